"""Turns feeds into UTF-8: those in encodings that expat cannot read, and those that are not in what they declare."""

import codecs
import re
from collections.abc import Iterator

DECLARATION = re.compile(r"""\A\s*<\?xml\b[^>]*?\bencoding\s*=\s*["']([\w.:-]+)["'][^>]*>""", re.ASCII)
DECLARATION_CHARACTERS = 400
MARKS = {  # UTF-32 first: its mark begins as that of UTF-16 does
    codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32", b"<\0\0\0": "utf-32-le", b"\0\0\0<": "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16", b"<\0": "utf-16-le", b"\0<": "utf-16-be",
}  # fmt: skip
# Others that take several bytes for a letter. Python has more codecs, and not all of them are encodings of text.
SEVERAL_BYTES = re.compile(r"big5.*|cp9\d\d|euc_.*|gb.*|hz|iso2022_.*|johab|shift_jis.*")
ONE_BYTE = re.compile(r"iso8859-\d+|latin[-_]?1|cp(?:125\d|437|8\d\d|10\d\d)|koi8[-_]\w|mac[-_]\w+|ascii|tis[-_]620")
CHUNK_BYTES = 1 << 20  # recoded at a time: whole documents would take four bytes a letter
SAMPLE_BYTES = 200_000


def in_utf8(raw: bytes) -> bytes | None:
    """Recode a document in UTF-32, UTF-16, or a Chinese, Japanese or Korean encoding; None for any other."""
    name = _marked(raw) or _of_several_bytes(_declared(raw))
    if name is None:
        return None
    try:
        return _with_declaration(_recoded(raw, name, "strict"))
    except UnicodeDecodeError:
        return None


def in_utf8_as_well_as_can_be(raw: bytes) -> bytes:
    """Recode a document whatever it declares; bytes that no encoding explains become U+FFFD."""
    if _is_utf8(raw) and not _marked(raw) and not raw.isascii():
        return _with_declaration(raw.removeprefix(codecs.BOM_UTF8))
    if (found := in_utf8(raw)) is not None:
        return found
    if raw.isascii():
        return raw
    marked, declared = _marked(raw), _declared(raw)
    if marked:
        return _recoded(raw, marked, "replace")
    several = _of_several_bytes(declared)
    if several or (declared and ONE_BYTE.fullmatch(declared) and declared != "ascii"):
        return _recoded(raw, several or declared or "", "replace")
    return _recoded(raw, "utf-8", "replace") if _is_mostly_utf8(raw) else _recoded(raw, _guess(raw), "replace")


def says_another_encoding(raw: bytes) -> bool:
    """Whether a document declares an encoding in which any bytes are letters, but is in UTF-8: it would not be so."""
    declared = _declared(raw)
    is_another = declared and (ONE_BYTE.fullmatch(declared) or _of_several_bytes(declared))
    return bool(is_another) and not raw.isascii() and _is_utf8(raw)


def _marked(raw: bytes) -> str | None:
    return next((name for mark, name in MARKS.items() if raw.startswith(mark)), None)


def _declared(raw: bytes) -> str | None:
    """Python's name of the encoding that a document declares; None where it has none that is known."""
    found = DECLARATION.match(raw[:DECLARATION_CHARACTERS].decode("ascii", "replace"))
    try:
        return codecs.lookup(found[1]).name if found else None
    except LookupError:
        return None


def _of_several_bytes(name: str | None) -> str | None:
    # GB 18030 has all of the older GB 2312, and feeds that declare the one are often in the other.
    if name == "gb2312":
        return "gb18030"
    return name if name and SEVERAL_BYTES.fullmatch(name) else None


def _pieces(raw: bytes, name: str, errors: str) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(name)(errors)
    for at in range(0, len(raw), CHUNK_BYTES):
        yield decoder.decode(raw[at : at + CHUNK_BYTES], at + CHUNK_BYTES >= len(raw))


def _recoded(raw: bytes, name: str, errors: str) -> bytes:
    encoded = (piece.encode("utf-8", "replace") for piece in _pieces(raw, name, errors))
    return b"".join(encoded).removeprefix(codecs.BOM_UTF8)


def _with_declaration(utf8: bytes) -> bytes:
    head = utf8[:DECLARATION_CHARACTERS].decode("utf-8", "ignore")
    told = DECLARATION.sub('<?xml version="1.0" encoding="utf-8"?>', head)
    return told.encode() + utf8[len(head.encode()) :]


def _is_utf8(raw: bytes) -> bool:
    try:
        return all(True for _ in _pieces(raw, "utf-8", "strict"))
    except UnicodeDecodeError:
        return False


def _is_mostly_utf8(raw: bytes) -> bool:
    """Whether more letters around the first fault are UTF-8 than are not: then the text is, and is damaged."""
    try:
        for _ in _pieces(raw, "utf-8", "strict"):
            pass
        return True
    except UnicodeDecodeError as error:
        fault = error.object[max(error.start - SAMPLE_BYTES, 0) : error.start + SAMPLE_BYTES]
    letters = re.sub("[\x00-\x7f]+|(?<=\ufffd)\ufffd+", "", fault.decode("utf-8", "replace"))
    return letters.count("\ufffd") <= len(letters) / 2


def _guess(raw: bytes) -> str:
    """Encoding of text that is not UTF-8 and does not say what it is: Western, unless most letters are of no such."""
    sample = raw[:SAMPLE_BYTES]
    foreign = sum(len(run) for run in re.findall(rb"[\x80-\xff]{4,}", sample))
    if foreign < len(re.findall(rb"[\x80-\xff]", sample)) / 2:  # in Western languages they stand alone
        return "cp1252"
    from charset_normalizer import from_bytes

    best = from_bytes(sample[:20_000]).best()
    return best.encoding if best and best.encoding != "ascii" else "cp1252"
