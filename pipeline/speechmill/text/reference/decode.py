"""Decodes the bytes of a transcript file: encodings vary and are rarely declared."""

import codecs
import re

from speechmill.core.reasons import Reason
from speechmill.core.records import RejectedError

MAX_BYTES = 50_000_000
SAMPLE_BYTES = 65_536  # enough to guess from
MAX_FEW = 0.3  # share of bytes over 127 in European languages written in Latin letters: at most a quarter
MAX_LOST = 0.1  # share of the bytes over 127 that a UTF-8 text with a few errors may have wrong
MAX_CONTROL = 0.001  # share of control characters
BOMS = (
    (codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"),
)  # fmt: skip
# Python has more codecs, of which some are slow (punycode) and some are not for text.
KNOWN = re.compile(
    r"(?:iso-?8859-\d{1,2}|(?:windows-|cp)125\d|koi8-[ru]|shift[-_]jis|euc-(?:jp|kr)|gbk|gb2312|gb18030|big5)", re.I
)
_DECLARED = re.compile(rf"charset\s{{0,3}}=\s{{0,3}}[\"']?({KNOWN.pattern})", re.IGNORECASE)
_HIGH = bytes(range(128, 256))
_CONTROL = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
# No part of a spelling: soft hyphens, direction marks, joiners, byte order marks, and the time marks of `captions`.
_INVISIBLE = re.compile("[\xad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ue000\ue001]")
_NEWLINE = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]")


def decode(raw: bytes, media_type: str | None) -> str:
    """Decode a file to text with line feeds. Raises RejectedError(BAD_TRANSCRIPT) for what is not text."""
    if len(raw) > MAX_BYTES:
        raise RejectedError(Reason.BAD_TRANSCRIPT, f"more than {MAX_BYTES} bytes")
    if raw.startswith((b"%PDF", b"{\\rtf")):
        raise RejectedError(Reason.BAD_TRANSCRIPT, "a document of a word processor")
    text = _decoded(raw, media_type)
    if len(_CONTROL.findall(text)) > MAX_CONTROL * len(text):
        raise RejectedError(Reason.BAD_TRANSCRIPT, "not text")
    text = _INVISIBLE.sub("", _NEWLINE.sub("\n", text))
    if not text.strip():
        raise RejectedError(Reason.BAD_TRANSCRIPT, "empty")
    return text


def _decoded(raw: bytes, media_type: str | None) -> str:
    """Decode by byte order mark, by zero bytes, as UTF-8, as declared, and at last by a guess."""
    for mark, encoding in BOMS:
        if raw.startswith(mark):
            return raw[len(mark) :].decode(encoding, "replace")
    head = raw[:SAMPLE_BYTES]
    if b"\0" in head:
        return raw.decode(_with_zeros(head), "replace")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        mended = raw.decode("utf-8", "replace")
    high = len(raw) - len(raw.translate(None, _HIGH))
    if mended.count("\ufffd") <= MAX_LOST * high:
        return mended
    declared = _DECLARED.search(f"{media_type or ''} {head[:2048].decode('latin-1')}")
    return raw.decode(declared[1] if declared else _guess(head, high / len(raw)), "replace")


def _with_zeros(head: bytes) -> str:
    """Encoding of UTF-16 without a byte order mark: most of every other byte is zero."""
    for first, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        every_other = head[first::2]
        if every_other.count(0) > len(every_other) / 2 and not head[1 - first :: 2].count(0):
            return encoding
    raise RejectedError(Reason.BAD_TRANSCRIPT, "not text")


def _guess(head: bytes, high: float) -> str:
    """Guess the encoding: Windows-1252 where few bytes are over 127, else what charset-normalizer finds.

    charset-normalizer is reliable only for texts with many bytes over 127.
    """
    if high <= MAX_FEW:
        return "cp1252"
    from charset_normalizer import from_bytes

    best = from_bytes(head).best()
    if best is None:
        raise RejectedError(Reason.BAD_TRANSCRIPT, "not text, or in an unknown encoding")
    return best.encoding
