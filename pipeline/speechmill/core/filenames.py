"""Names of files as text: Linux allows any bytes in them, Unicode has several spellings of one, and people any case."""

import os
import re
import unicodedata

_ESCAPED = re.compile(rb"\\x([89a-f][0-9a-f])")  # as `readable` writes a byte that is no UTF-8


def readable(name: str) -> str:
    r"""A file name as valid Unicode, for tables and pages: bytes that are no UTF-8 are written as `\xe9`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def restored(text: str) -> str:
    """The name that `readable` was given, provided that no backslash was in it."""
    return os.fsdecode(_ESCAPED.sub(lambda found: bytes.fromhex(found[1].decode()), os.fsencode(text)))


def key_of(name: str) -> str:
    """What two names have in common that differ in case or in their Unicode form only."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
