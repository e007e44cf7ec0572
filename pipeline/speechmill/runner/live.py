"""The live view of a run: one bar for all of it, a row a stage, and what is being worked on."""

import sys
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from speechmill.core.terminal import printable
from speechmill.runner.forecast import StageState
from speechmill.runner.statusline import clock
from speechmill.runner.tracking import Tracker
from speechmill.stages import FETCH

if TYPE_CHECKING:
    from rich.console import RenderableType

SHOWN_ELEMENTS = 3
TITLE_CHARACTERS = 44
BAR_CHARACTERS = 40
NOTEBOOK_CHARACTERS = 110
MIN_BYTES_PER_S = 1_000.0
SILENT_S = 3.0  # without a result, after which a stage at work is said to be so
WITHOUT_AUDIO = (FETCH.name, "publish", "tabulate")  # stages whose elements are files
COUNTED = (FETCH.name, "passages", "segment")  # stages that all recordings pass
STOPPING = "stopping: what is in hand is finished and kept, for 5 s at most; Ctrl-C again ends at once"


class Screen(AbstractContextManager["Screen"], Protocol):
    """A place where a view is replaced again and again."""

    def show(self, tracker: Tracker, *, stopping: bool) -> None:
        """Replace the view."""
        ...


def screen_for(stream: TextIO) -> Screen | None:
    """The terminal of a stream, or the notebook that this process serves; None for neither."""
    if stream.isatty():
        return _Terminal(stream)
    if stream is sys.stderr and _in_notebook():
        return _Notebook()
    return None


def _in_notebook() -> bool:
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and hasattr(shell, "kernel")


class _Terminal(Screen):
    """A terminal: the view goes when the run ends, and messages are printed above it."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(console=Console(file=stream), auto_refresh=False, transient=True)

    def __enter__(self) -> "_Terminal":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, tracker: Tracker, *, stopping: bool) -> None:
        """See Screen."""
        self._live.update(view(tracker, stopping=stopping), refresh=True)


class _Notebook(Screen):
    """The output of a notebook's cell, which stays there when the run has ended."""

    def __init__(self) -> None:
        from IPython.display import display  # type: ignore[import-not-found, unused-ignore]

        self._handle: Any = display(self._bundle("starting"), raw=True, display_id=True)
        self._elapsed_s = 0.0

    def __exit__(self, *_: object) -> None:
        self._handle.update(self._bundle(f"ended after {clock(self._elapsed_s)}"), raw=True)

    @staticmethod
    def _bundle(text: str) -> dict[str, str]:
        return {"text/plain": text}

    def show(self, tracker: Tracker, *, stopping: bool) -> None:
        """See Screen."""
        from rich.console import Console

        self._elapsed_s = tracker.elapsed_s
        console = Console(width=NOTEBOOK_CHARACTERS, force_jupyter=False, color_system=None)
        with console.capture() as captured:
            console.print(view(tracker, stopping=stopping))
        self._handle.update(self._bundle(captured.get()), raw=True)


def view(tracker: Tracker, *, stopping: bool = False) -> "RenderableType":
    """The whole view."""
    from rich.console import Group
    from rich.text import Text

    lines = [_at_work(tracker)] + ([STOPPING] if stopping else [])
    return Group(_bar(tracker), _stages(tracker), *(Text(line, overflow="ellipsis", no_wrap=True) for line in lines))


def _bar(tracker: Tracker) -> "RenderableType":
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    row = Table.grid(padding=(0, 2))
    bar = ProgressBar(
        total=1.0 if tracker.left_s is not None else None, completed=tracker.share, width=BAR_CHARACTERS,
        animation_time=tracker.now_s,
    )  # fmt: skip
    row.add_row(bar, *_times(tracker))
    return row


def _times(tracker: Tracker) -> list[str]:
    """Share of the run that is done, time since its beginning and until its end."""
    elapsed = f"{clock(tracker.elapsed_s)} elapsed"
    if tracker.left_s is None:
        return ["starting", elapsed]
    return [f"{tracker.share:.0%}", elapsed, f"about {clock(tracker.left_s)} left"]


def _stages(tracker: Tracker) -> "RenderableType":
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    for justify in ("left", "right", "right", "right", "left"):
        grid.add_column(justify=justify, no_wrap=True)
    at_work = {pulse.stage for pulse in tracker.pulses}
    for name, state in tracker.states.items():
        style = "bold" if name in at_work else "dim"
        grid.add_row(*cells(name, state, tracker), style=style)
    return grid


def cells(name: str, state: StageState, tracker: Tracker) -> list[str]:
    """Cells of a stage: name, elements, audio done of all, speed, failures; some may be empty."""
    listed = tracker.forecast.listed
    count = f"{state.inputs:,} of {listed:,}" if name in COUNTED and listed > state.inputs else f"{state.inputs:,}"
    if name in WITHOUT_AUDIO:
        return [name, count, "", _speed(name, state, tracker), _failed(state)]
    total_s = tracker.forecast.totals.get(name, 0.0)
    done_s = max(state.shown_s, state.in_s + state.partial_s)
    audio = amount(min(done_s, total_s) if total_s else done_s, total_s)
    return [name, count, audio, _speed(name, state, tracker), _failed(state)]


def amount(done_s: float, total_s: float) -> str:
    """Audio done of all, in minutes, or in hours where there are any.

    >>> amount(90, 3000), amount(90, 36000), amount(90, 0)
    ('1.5 of 50.0 min', '0.03 of 10.00 h', '1.5 min')
    """
    unit_s, digits, unit = (3600, 2, "h") if max(done_s, total_s) >= 3600 else (60, 1, "min")
    done = f"{done_s / unit_s:,.{digits}f}"
    return f"{done} of {total_s / unit_s:,.{digits}f} {unit}" if total_s > done_s + 0.05 * unit_s else f"{done} {unit}"


def _speed(name: str, state: StageState, tracker: Tracker) -> str:
    if name == FETCH.name:
        return f"{tracker.bytes_per_s / 1e6:.1f} MB/s" if tracker.bytes_per_s >= MIN_BYTES_PER_S else ""
    if name in WITHOUT_AUDIO:
        return ""
    cost, silent_s = state.cost(0.0), state.wall_s - state.result_s
    is_silent = silent_s >= SILENT_S and any(pulse.stage == name for pulse in tracker.pulses)
    if not cost:
        return f"loading for {clock(silent_s)}" if is_silent else ""
    ago = f"; last result {clock(silent_s)} ago" if is_silent else ""
    return f"{1 / cost:,.0f} x real time{ago}"


def _failed(state: StageState) -> str:
    return f"{state.failed:,} failed" if state.failed else ""


def _at_work(tracker: Tracker) -> str:
    """What is being worked on."""
    if not tracker.pulses:
        return ""
    named = []
    for pulse in tracker.pulses[:SHOWN_ELEMENTS]:
        title = printable(tracker.title(pulse))
        title = title if len(title) <= TITLE_CHARACTERS else f"{title[: TITLE_CHARACTERS - 1]}…"
        far = f" ({clock(pulse.done_s)} of {clock(pulse.total_s)})" if pulse.total_s else ""
        named.append(f"{pulse.stage} {title}{far}")
    more = f", and {len(tracker.pulses) - SHOWN_ELEMENTS} more" if len(tracker.pulses) > SHOWN_ELEMENTS else ""
    return f"now: {', '.join(named)}{more}"


def plain_line(tracker: Tracker, *, stopping: bool = False) -> str:
    """The view in one line, for where there is no terminal."""
    parts = [", ".join(_times(tracker))]
    for name, state in tracker.states.items():
        stage, count, *rest = cells(name, state, tracker)
        parts.append(" ".join(filter(None, (stage, count, *rest))))
    return "; ".join([*parts, *(["stopping"] if stopping else [])])
