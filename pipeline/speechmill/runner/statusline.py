"""Status line of a long task, for commands that do one thing after another."""

import sys
import time
from typing import TextIO

from speechmill.core.terminal import printable

TERMINAL_INTERVAL_S = 0.5
PLAIN_INTERVAL_S = 30.0
CLOCK = "%H:%M:%S"


class StatusLine:
    """Status line of a long task: on a terminal updated in place, elsewhere printed every 30 s with the time."""

    def __init__(self, stream: TextIO = sys.stderr, *, quiet: bool = False) -> None:
        self._stream, self._quiet = stream, quiet
        self._interval_s = TERMINAL_INTERVAL_S if stream.isatty() else PLAIN_INTERVAL_S
        self._printed_s: float | None = None if stream.isatty() else time.monotonic()
        self._began: tuple[float, float] | None = None  # time and amount of work done at the first report of an amount

    def __call__(self, text: str, done: float | None = None, total: float | None = None) -> None:
        """Show a text, unless the last one was shown less than an interval ago.

        Args:
            text: What is being done.
            done: Amount of work done so far, in any unit.
            total: Amount of all work; with it the line has a share in percent and the time left.
        """
        now = time.monotonic()
        if done is not None and self._began is None:
            self._began = (now, done)
        if self._quiet or (self._printed_s is not None and now - self._printed_s < self._interval_s):
            return
        self._printed_s = now
        line = printable(text) + ("" if done is None or not total else self._amount(now, done, total))
        if self._stream.isatty():
            print(f"\r\x1b[2K{line}", end="", file=self._stream, flush=True)
        else:
            print(f"{time.strftime(CLOCK)}  {line}", file=self._stream, flush=True)

    def _amount(self, now: float, done: float, total: float) -> str:
        begun_s, before = self._began or (now, done)
        gone_s, made = now - begun_s, done - before
        left = f", {clock(gone_s / made * (total - done))} left" if made > 0 else ""
        return f": {done:,.0f} of {total:,.0f}, {done / total:.0%}{left}"

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
