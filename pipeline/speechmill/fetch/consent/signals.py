"""Raises refusals, and records all signals of publishers."""

import itertools
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from speechmill.core.reasons import Reason
from speechmill.core.records import RejectedError, Signal
from speechmill.core.urls import public_url

MAX_VALUE_CHARS, MAX_SIGNALS = 500, 20
CRAWLING = "robots.txt"  # the kind of signal that forbids crawling, and says nothing about training
# Exceptions that parsers raise, or may raise, on hostile bytes.
PARSER_ERRORS = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, AssertionError, RecursionError)
_CONTROL = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

Words = tuple[str, str, str]  # kind of a signal, its value, and the address where it was found


def refuse(words: Iterable[Words], when: float | None = None) -> None:
    """Raise RejectedError(OPTED_OUT) with all signals, if there are any. They were seen at `when`, by default now."""
    signals = tuple(signal_of(*signal_words, when) for signal_words in itertools.islice(words, MAX_SIGNALS))
    if signals:
        first = signals[0]
        detail = f"{first.signal}: {first.value} ({first.url}), seen {first.seen[:10]}"
        raise RejectedError(Reason.OPTED_OUT, detail, signals=signals)


def signal_of(kind: str, value: str, url: str, when: float | None = None) -> Signal:
    """Make a Signal.

    Args:
        kind: Kind of signal, such as `robots.txt`.
        value: Its text.
        url: Address where it was found.
        when: Time it was seen, in seconds since 1970; None: now.
    """
    seen = datetime.fromtimestamp(time.time() if when is None else when, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    plain = " ".join(_CONTROL.sub("", value[:MAX_VALUE_CHARS]).split())
    return Signal(signal=kind, value=plain, url=public_url(url), seen=seen)


@contextmanager
def understanding(place: str) -> Iterator[None]:
    """Turn an unexpected error of a parser into a RejectedError, which costs one input and may be retried."""
    try:
        yield
    except PARSER_ERRORS as error:
        detail = f"what {public_url(place)} says of its use cannot be read: {type(error).__name__}: {error}"
        raise RejectedError(Reason.INTERNAL_ERROR, detail[:300], retry=True) from error
