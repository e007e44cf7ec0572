"""Progress display, a row per stage, read from the log: in place on a terminal, else printed every 30 s."""

import sys
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from speechmill.core.terminal import printable
from speechmill.runner.events import Events

if TYPE_CHECKING:
    from rich.table import Table

TERMINAL_INTERVAL_S = 0.5
PLAIN_INTERVAL_S = 30.0
CLOCK = "%H:%M:%S"


@dataclass(slots=True)
class StageProgress:
    """Counts of one stage so far in this run."""

    inputs: int = 0
    failed: int = 0
    reused: int = 0
    hours_in: float = 0.0
    hours_kept: float = 0.0
    hours_done: float = 0.0  # without reused results
    first_s: float = 0.0  # start of the first input, seconds since 1970
    last_s: float = 0.0  # end of the last one

    def add(self, event: dict[str, Any]) -> None:
        """Count one event of the log."""
        start_s = event["time"] - event["seconds"]
        self.first_s = min(self.first_s or start_s, start_s)
        self.last_s = max(self.last_s, event["time"])
        self.inputs += 1
        self.failed += event["state"] == "failed"
        self.reused += event["state"] == "reused"
        self.hours_in += event["audio_in_s"] / 3600
        self.hours_kept += event["audio_kept_s"] / 3600
        self.hours_done += event["audio_in_s"] / 3600 if event["state"] == "done" else 0.0

    @property
    def speed(self) -> float:
        """Hours of audio processed per wall-clock hour, all processes together."""
        return 3600 * self.hours_done / max(self.last_s - self.first_s, 0.001)

    def eta_s(self, expected: int) -> float | None:
        """Seconds until `expected` inputs are done at the mean speed so far; None if unknown or done."""
        left = expected - self.inputs
        return (self.last_s - self.first_s) / self.inputs * left if self.inputs and left > 0 else None


class Progress:
    """Context manager that follows a log from its current end and shows progress."""

    def __init__(self, events: Events, stream: TextIO = sys.stderr, *, quiet: bool = False) -> None:
        self._events, self._stream, self._quiet = events, stream, quiet
        self.stages: dict[str, StageProgress] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._show, daemon=True)

    def __enter__(self) -> "Progress":
        if not self._quiet:
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self.update()

    def update(self, *, at_once: bool = True) -> None:
        """Read new events; `at_once`: however soon after the last ones."""
        for event in self._events.new(at_once=at_once):
            if "stage" in event:
                self.stages.setdefault(event["stage"], StageProgress()).add(event)

    def cells(self) -> list[list[str]]:
        """A row for each stage that began, of equal length; cells may be empty."""
        expected = 0
        rows = []
        for name, stage in self.stages.items():  # in the order in which they began
            rows.append(_cells(name, stage, expected))
            expected = stage.inputs - stage.failed
        return rows

    def _show(self) -> None:
        if self._stream.isatty():
            self._show_live()
        else:
            while not self._stop.wait(PLAIN_INTERVAL_S):
                self.update()
                lines = ["  ".join(filter(None, cells)) for cells in self.cells()]
                print(" | ".join(lines) or "starting", file=self._stream, flush=True)

    def _show_live(self) -> None:
        from rich.console import Console
        from rich.live import Live

        console = Console(file=self._stream)
        with Live(console=console, auto_refresh=False, transient=True) as live:
            while not self._stop.wait(TERMINAL_INTERVAL_S):
                self.update(at_once=False)
                live.update(self._table(), refresh=True)

    def _table(self) -> "Table":
        from rich.table import Table

        grid = Table.grid(padding=(0, 2))
        for cells in self.cells():
            grid.add_row(*cells)
        return grid


def _cells(name: str, stage: StageProgress, expected: int) -> list[str]:
    is_audio, eta = name != "publish", stage.eta_s(expected)
    return [
        name,
        f"{stage.inputs} of {expected}" if expected > stage.inputs else str(stage.inputs),
        f"{stage.hours_in:.2f} h in" if is_audio else "",
        f"{stage.hours_kept:.2f} h kept" if is_audio else "",
        f"{stage.speed:.0f} x real time" if stage.hours_done and name != "fetch" else "",
        f"{stage.failed} failed" if stage.failed else "",
        "" if eta is None else f"ETA {time.strftime('%H:%M:%S', time.gmtime(eta))}",
    ]


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
