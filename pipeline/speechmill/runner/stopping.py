"""Stops a run at SIGINT or SIGTERM: acknowledged at once, ended within seconds, and at the second signal at once.

Python runs its own handlers only between two instructions of the main thread, which may be inside a model for half a
minute. So signals are received by a thread, through the pipe that Python's C handler writes to.
"""

import itertools
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from speechmill.core import last_acts, processes
from speechmill.core.store import Store

LAST_ACTS_S = 1.0
STOP_S = 3.5  # after which what is in hand is given up: artifacts are whole or absent, and the next run makes them
EXIT_INTERRUPTED = 130
SIGNALS = (signal.SIGINT, signal.SIGTERM)
SHOW_CURSOR = "\x1b[?25h"
ACKNOWLEDGED = "interrupted: finishing what is in hand; interrupt again to end at once"

log = logging.getLogger("speechmill")


class Stopping:
    """Whether a run was asked to stop; calls `ask` for each signal."""

    def __init__(self, store: Store, stop_file: str, *, may_exit: bool, is_patient: bool) -> None:
        """Make it.

        Args:
            store: The corpus.
            stop_file: Name of the file that asks all processes of the run to stop.
            may_exit: Whether this process may be ended, as that of the command line may.
            is_patient: Whether to wait as long as it takes, since the work is on other machines.
        """
        self._store, self._stop_file = store, stop_file
        self._may_exit, self._is_patient = may_exit, is_patient
        self._asked = threading.Event()
        self._deadline = threading.Timer(STOP_S, exit_at_once)
        self._deadline.daemon = True

    def is_set(self) -> bool:
        """Whether the run was asked to stop."""
        return self._asked.is_set()

    def ask(self) -> None:
        """At the first call, ask all processes to stop; at the second, end this process if it may be ended."""
        if self._asked.is_set():
            if self._may_exit:
                exit_at_once()
            return
        self._asked.set()
        log.warning(ACKNOWLEDGED)
        if self._may_exit and not self._is_patient:  # after the acknowledgement, which must not be lost
            self._deadline.start()
        with suppress(OSError):  # of a full disk, for which the run ends anyway
            self._store.write_text(self._stop_file, "")

    def close(self) -> None:
        """Forget the deadline, and take back what asks other processes to stop."""
        self._deadline.cancel()
        self._store.remove(self._stop_file)


def exit_at_once() -> None:
    """End this process and its workers, after the last acts. The next run makes what they were making."""
    acts = threading.Thread(target=last_acts.run_all, daemon=True)
    acts.start()
    acts.join(LAST_ACTS_S)  # one of them may wait for a lock that nobody gives back
    processes.kill_all()
    with suppress(OSError, ValueError):
        if sys.stderr.isatty():
            sys.stderr.write(f"{SHOW_CURSOR}\n")
        sys.stderr.write("speechmill: stopped; run the same command again to go on from here\n")
        sys.stderr.flush()
    os._exit(EXIT_INTERRUPTED)


@contextmanager
def stop_at_signal(
    store: Store, stop_file: str, *, may_exit: bool = False, is_patient: bool = False
) -> Iterator[Stopping]:
    """Stop at signals until the block ends; see `Stopping`. Outside the main thread nothing stops it."""
    store.remove(stop_file)
    stopping = Stopping(store, stop_file, may_exit=may_exit, is_patient=is_patient)
    try:
        if threading.current_thread() is threading.main_thread():  # only there may handlers be set
            with _received(stopping.ask, may_raise=not may_exit):
                yield stopping
        else:
            yield stopping
    finally:
        stopping.close()


@contextmanager
def _received(ask: Callable[[], None], *, may_raise: bool) -> Iterator[None]:
    """Call a function, in a thread, for each signal of SIGNALS until the block ends.

    `may_raise`: from the second one on, raise KeyboardInterrupt in the main thread too.
    """
    counted = itertools.count(1)

    def handle(*_: Any) -> None:
        if next(counted) > 1 and may_raise:
            raise KeyboardInterrupt

    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = {number: signal.signal(number, handle) for number in SIGNALS}
    pipe_before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    thread = threading.Thread(target=_listen, args=[reader, ask], daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(pipe_before)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(writer)
        thread.join()
        os.close(reader)


def _listen(reader: int, ask: Callable[[], None]) -> None:
    while numbers := os.read(reader, 64):
        for _ in (number for number in numbers if number in SIGNALS):
            ask()
