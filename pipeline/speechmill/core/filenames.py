"""File names as text: they may hold any bytes, several Unicode forms of a character, and any case."""

import os
import re
import unicodedata

_ESCAPED = re.compile(rb"\\x([89a-f][0-9a-f])")  # as `readable` writes a byte that is not UTF-8


def readable(name: str) -> str:
    r"""A file name as valid Unicode, for tables and pages: bytes that are not UTF-8 become `\xe9`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def from_readable(text: str) -> str:
    """Invert `readable`, for names without a backslash."""
    return os.fsdecode(_ESCAPED.sub(lambda match: bytes.fromhex(match[1].decode()), os.fsencode(text)))


def name_key(name: str) -> str:
    """Key for comparing names: equal where they differ in case or Unicode form only."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
