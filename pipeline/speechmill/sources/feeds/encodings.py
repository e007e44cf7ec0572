"""Converts feeds to UTF-8: from encodings that expat cannot read, and where the declared encoding is wrong."""

import codecs
import re
from collections.abc import Iterator

DECLARATION = re.compile(r"""\A\s*<\?xml\b[^>]*?\bencoding\s*=\s*["']([\w.:-]+)["'][^>]*>""", re.ASCII)
DECLARATION_CHARACTERS = 400
MARKS = {  # UTF-32 first: its mark begins with that of UTF-16
    codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32", b"<\0\0\0": "utf-32-le", b"\0\0\0<": "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16", b"<\0": "utf-16-le", b"\0<": "utf-16-be",
}  # fmt: skip
# Multi-byte encodings. Python has more codecs, and not all of them are encodings of text.
SEVERAL_BYTES = re.compile(r"big5.*|cp9\d\d|euc_.*|gb.*|hz|iso2022_.*|johab|shift_jis.*")
ONE_BYTE = re.compile(r"iso8859-\d+|latin[-_]?1|cp(?:125\d|437|8\d\d|10\d\d)|koi8[-_]\w|mac[-_]\w+|ascii|tis[-_]620")
CHUNK_BYTES = 1 << 20  # recoded at a time: a whole document would take four bytes a character
SAMPLE_BYTES = 200_000


def in_utf8(raw: bytes) -> bytes | None:
    """Convert a document in UTF-32, UTF-16, or a Chinese, Japanese or Korean encoding to UTF-8; None for any other."""
    name = _by_byte_order_mark(raw) or _multibyte(_declared(raw))
    if name is None:
        return None
    try:
        return _with_declaration(_recoded(raw, name, "strict"))
    except UnicodeDecodeError:
        return None


def in_utf8_as_well_as_can_be(raw: bytes) -> bytes:
    """Convert a document to UTF-8 whatever it declares; undecodable bytes become U+FFFD."""
    if _is_utf8(raw) and not _by_byte_order_mark(raw) and not raw.isascii():
        return _with_declaration(raw.removeprefix(codecs.BOM_UTF8))
    if (converted := in_utf8(raw)) is not None:
        return converted
    if raw.isascii():
        return raw
    marked, declared = _by_byte_order_mark(raw), _declared(raw)
    if marked:
        return _recoded(raw, marked, "replace")
    several = _multibyte(declared)
    if several or (declared and ONE_BYTE.fullmatch(declared) and declared != "ascii"):
        return _recoded(raw, several or declared or "", "replace")
    return _recoded(raw, "utf-8", "replace") if _is_mostly_utf8(raw) else _recoded(raw, _guess(raw), "replace")


def says_another_encoding(raw: bytes) -> bool:
    """Whether a document is in UTF-8 but declares an encoding in which any bytes would be valid."""
    declared = _declared(raw)
    is_another = declared and (ONE_BYTE.fullmatch(declared) or _multibyte(declared))
    return bool(is_another) and not raw.isascii() and _is_utf8(raw)


def _by_byte_order_mark(raw: bytes) -> str | None:
    return next((name for mark, name in MARKS.items() if raw.startswith(mark)), None)


def _declared(raw: bytes) -> str | None:
    """Python's name of the declared encoding; None if none is declared or it is unknown."""
    match = DECLARATION.match(raw[:DECLARATION_CHARACTERS].decode("ascii", "replace"))
    try:
        return codecs.lookup(match[1]).name if match else None
    except LookupError:
        return None


def _multibyte(name: str | None) -> str | None:
    # GB 18030 is a superset of GB 2312, and feeds that declare GB 2312 are often in GB 18030.
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
    declared = DECLARATION.sub('<?xml version="1.0" encoding="utf-8"?>', head)
    return declared.encode() + utf8[len(head.encode()) :]


def _is_utf8(raw: bytes) -> bool:
    try:
        return all(True for _ in _pieces(raw, "utf-8", "strict"))
    except UnicodeDecodeError:
        return False


def _is_mostly_utf8(raw: bytes) -> bool:
    """Whether most characters around the first error are UTF-8: then the text is damaged UTF-8."""
    try:
        for _ in _pieces(raw, "utf-8", "strict"):
            pass
        return True
    except UnicodeDecodeError as error:
        fault = error.object[max(error.start - SAMPLE_BYTES, 0) : error.start + SAMPLE_BYTES]
    letters = re.sub("[\x00-\x7f]+|(?<=\ufffd)\ufffd+", "", fault.decode("utf-8", "replace"))
    return letters.count("\ufffd") <= len(letters) / 2


def _guess(raw: bytes) -> str:
    """Guess the encoding of undeclared text that is not UTF-8: Western, unless most high bytes come in runs."""
    sample = raw[:SAMPLE_BYTES]
    foreign = sum(len(run) for run in re.findall(rb"[\x80-\xff]{4,}", sample))
    if foreign < len(re.findall(rb"[\x80-\xff]", sample)) / 2:  # in Western languages high bytes are isolated
        return "cp1252"
    from charset_normalizer import from_bytes

    best = from_bytes(sample[:20_000]).best()
    return best.encoding if best and best.encoding != "ascii" else "cp1252"
