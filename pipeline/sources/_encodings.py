"""Turns feeds in encodings that expat cannot read into UTF-8, so that they are read as carefully as all others."""

import codecs
import re

DECLARATION = re.compile(r"""\A\s*<\?xml\b[^>]*?\bencoding\s*=\s*["']([\w.:-]+)["'][^>]*>""", re.ASCII)
DECLARATION_CHARACTERS = 400
MARKS = {  # UTF-32 first: its mark begins as that of UTF-16 does
    codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32", b"<\0\0\0": "utf-32-le", b"\0\0\0<": "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16", b"<\0": "utf-16-le", b"\0<": "utf-16-be",
}  # fmt: skip
# Others that take several bytes for a letter. Python has more codecs, and not all of them are encodings of text.
SEVERAL_BYTES = re.compile(r"big5.*|cp9\d\d|euc_.*|gb.*|hz|iso2022_.*|johab|shift_jis.*")


def in_utf8(raw: bytes) -> bytes | None:
    """Recode a document in UTF-32, UTF-16, or a Chinese, Japanese or Korean encoding; None for any other."""
    name = next((name for mark, name in MARKS.items() if raw.startswith(mark)), None) or _declared(raw)
    if name is None:
        return None
    try:
        text = raw.decode(name).removeprefix("\ufeff")
    except UnicodeDecodeError:
        return None
    head = DECLARATION.sub('<?xml version="1.0" encoding="utf-8"?>', text[:DECLARATION_CHARACTERS])
    return (head + text[DECLARATION_CHARACTERS:]).encode()


def _declared(raw: bytes) -> str | None:
    found = DECLARATION.match(raw[:DECLARATION_CHARACTERS].decode("ascii", "replace"))
    try:
        name = codecs.lookup(found[1]).name if found else ""
    except LookupError:
        return None
    # GB 18030 has all of the older GB 2312, and feeds that declare the one are often in the other.
    return "gb18030" if name == "gb2312" else name if SEVERAL_BYTES.fullmatch(name) else None
