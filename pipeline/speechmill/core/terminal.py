"""Cleans text for terminals and logs: without control characters and without secrets."""

import logging
import re
import sys
import traceback
from types import TracebackType

from speechmill.core.urls import without_secrets

# C0 and C1 without white space; marks that turn the direction of writing; halves of surrogate pairs; non-characters.
CONTROL = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]")
_MOVES = re.compile("[\x0b\x0c\r\x85\u2028\u2029]")  # white space that moves the cursor


def printable(text: str) -> str:
    r"""Remove control characters and secrets from a text of one or more lines.

    >>> printable("\x1b[2Jhttps://ann:s3cret@example.org/\r")
    '[2Jhttps://example.org/ '
    """
    return without_secrets(text if text.isprintable() else CONTROL.sub("", _MOVES.sub(" ", text)))


class Printable(logging.Formatter):
    """Formats log records with `printable`, tracebacks too."""

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter."""
        return printable(super().format(record))


def print_uncaught(kind: type[BaseException], error: BaseException, at: TracebackType | None) -> None:
    """Print the traceback of an uncaught error through `printable`; for sys.excepthook."""
    sys.stderr.write(printable("".join(traceback.format_exception(kind, error, at))))
