"""Shows the progress of a run: in place on a terminal or in a notebook, elsewhere a line every 30 s with the time."""

import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

from speechmill.core import pulse
from speechmill.core.build import Build
from speechmill.core.last_acts import before_exit
from speechmill.core.store import Store
from speechmill.runner import speeds
from speechmill.runner.events import Events
from speechmill.runner.forecast import Forecast, stage_models
from speechmill.runner.live import Screen, plain_line, screen_for
from speechmill.runner.statusline import CLOCK, PLAIN_INTERVAL_S, TERMINAL_INTERVAL_S
from speechmill.runner.tracking import Tracker


class Progress:
    """Context manager that follows a run from the current end of its log, and shows it in a thread of its own."""

    def __init__(
        self, store: Store, build: Build | None = None, stream: TextIO | None = None, *, quiet: bool = False,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:  # fmt: skip
        """Make it; nothing is shown before the block begins.

        Args:
            store: The corpus.
            build: What the run makes; None: the end cannot be forecast.
            stream: Where to show progress; None: standard error.
            quiet: Show nothing.
            stopping: Whether the run was asked to stop.
        """
        self._store, self._events, self._stopping = store, Events(store), stopping
        self._stream, self._quiet = sys.stderr if stream is None else stream, quiet
        self._build = build
        self.tracker = Tracker(Forecast(speeds.recalled(stage_models(build), build) if build else []))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._show, daemon=True)

    def __enter__(self) -> "Progress":
        self.update()
        if not self._quiet:
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self.update()
        if self._build is not None:
            speeds.remember(self.tracker.forecast.models, self.tracker.states, self._build)

    def update(self, *, at_once: bool = True) -> None:
        """Read what is new; `at_once`: of an object store too, however soon after the last time."""
        events = list(self._events.new(at_once=at_once))
        pulses, received = pulse.read(self._store)
        self.tracker.observe(time.monotonic(), events, pulses, received)

    def _show(self) -> None:
        screen = screen_for(self._stream)
        if screen is not None:
            self._show_on(screen)
            return
        printed_s = time.monotonic()
        while not self._stop.wait(TERMINAL_INTERVAL_S if self._store.is_local else PLAIN_INTERVAL_S):
            self.update(at_once=False)
            if time.monotonic() - printed_s >= PLAIN_INTERVAL_S:
                printed_s = time.monotonic()
                line = plain_line(self.tracker, stopping=self._stopping())
                print(f"{time.strftime(CLOCK)}  {line}", file=self._stream, flush=True)

    def _show_on(self, screen: Screen) -> None:
        with screen, before_exit(lambda: screen.__exit__(None, None, None)):
            screen.show(self.tracker, stopping=self._stopping())
            while not self._stop.wait(TERMINAL_INTERVAL_S):
                self.update(at_once=False)
                screen.show(self.tracker, stopping=self._stopping())
