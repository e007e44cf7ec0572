"""Status line of a long task, for commands that do one thing after another."""

import re
import sys
import time
from typing import TextIO

from speechmill.core.terminal import printable

TERMINAL_INTERVAL_S = 0.5
PLAIN_INTERVAL_S = 30.0
CLOCK = "%H:%M:%S"
COUNT, LEFT = re.compile(r"([0-9][0-9,]*) of ([0-9][0-9,]*)"), " left"


class StatusLine:
    """Status line of a long task: on a terminal updated in place, elsewhere printed every 30 s with the time."""

    def __init__(self, stream: TextIO = sys.stderr, *, quiet: bool = False) -> None:
        self._stream, self._quiet = stream, quiet
        self._interval_s = TERMINAL_INTERVAL_S if stream.isatty() else PLAIN_INTERVAL_S
        self._printed_s: float | None = None if stream.isatty() else time.monotonic()
        self._began: tuple[str, float, float] | None = None  # what, when, and the amount done, at its first report

    def __call__(self, text: str, done: float | None = None, total: float | None = None) -> None:
        """Show a text, unless the last one was shown less than an interval ago.

        Args:
            text: What is being done.
            done: Amount of work done so far, in any unit.
            total: Amount of all work; with it the line has a share in percent and the time left. A text that says
                `12 of 40` has the time left too.
        """
        now = time.monotonic()
        label, count = text, ""
        if done is None and (found := COUNT.search(text)):
            label, done, total = text[: found.start()], *(float(number.replace(",", "")) for number in found.groups())
        elif done is not None and total:
            count = f": {done:,.0f} of {total:,.0f}, {done / total:.0%}"
        if done is not None and (self._began is None or self._began[0] != label):
            self._began = (label, now, done)
        if self._quiet or (self._printed_s is not None and now - self._printed_s < self._interval_s):
            return
        self._printed_s = now
        left = "" if done is None or not total or LEFT in text else self._left(now, done, total)
        line = printable(text) + count + left
        if self._stream.isatty():
            print(f"\r\x1b[2K{line}", end="", file=self._stream, flush=True)
        else:
            print(f"{time.strftime(CLOCK)}  {line}", file=self._stream, flush=True)

    def _left(self, now: float, done: float, total: float) -> str:
        """Time left at the speed so far of what is being done; empty where it is not known."""
        _, begun_s, before = self._began or ("", now, done)
        gone_s, made = now - begun_s, done - before
        return f", {clock(gone_s / made * (total - done))}{LEFT}" if made > 0 else ""

    def __enter__(self) -> "StatusLine":
        return self

    def __exit__(self, *_: object) -> None:
        if self._stream.isatty() and self._printed_s is not None:
            print("\r\x1b[2K", end="", file=self._stream, flush=True)


def clock(seconds: float) -> str:
    """Duration as hours, minutes and seconds, as in `1:02:03`, or `2:03`.

    >>> clock(3723), clock(123.4)
    ('1:02:03', '2:03')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
