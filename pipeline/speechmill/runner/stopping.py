"""Stops a run at SIGINT or SIGTERM: acknowledged at once, ended within seconds, and at the second signal at once."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial

from speechmill.core.interrupts import EXIT_INTERRUPTED, STOP_S, exit_at_once, received, say
from speechmill.core.store import Store

__all__ = ["EXIT_INTERRUPTED", "Stopping", "stop_at_signal"]

ACKNOWLEDGED = "interrupted: finishing what is in hand; interrupt again to end at once"
LAST_WORDS = "speechmill: stopped; run the same command again to go on from here"

log = logging.getLogger("speechmill")
_exit = partial(exit_at_once, LAST_WORDS)  # artifacts are whole or absent: the next run makes what is missing


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
        self._deadline = threading.Timer(STOP_S, _exit)
        self._deadline.daemon = True

    def is_set(self) -> bool:
        """Whether the run was asked to stop."""
        return self._asked.is_set()

    def ask(self) -> None:
        """At the first call, ask all processes to stop; at the second, end this process if it may be ended."""
        if self._asked.is_set():
            if self._may_exit:
                _exit()
            return
        self._asked.set()
        if log.handlers:
            log.warning(ACKNOWLEDGED)
        else:  # before the log is open, and once it is closed
            say(f"speechmill: {ACKNOWLEDGED}")
        if self._may_exit and not self._is_patient:  # after the acknowledgement, which must not be lost
            self._deadline.start()
        with suppress(OSError):  # of a full disk, for which the run ends anyway
            self._store.write_text(self._stop_file, "")

    def close(self) -> None:
        """Forget the deadline, and take back what asks other processes to stop."""
        self._deadline.cancel()
        self._store.remove(self._stop_file)


@contextmanager
def stop_at_signal(
    store: Store, stop_file: str, *, may_exit: bool = False, is_patient: bool = False
) -> Iterator[Stopping]:
    """Stop at signals until the block ends; see `Stopping`. Outside the main thread nothing stops it."""
    store.remove(stop_file)
    stopping = Stopping(store, stop_file, may_exit=may_exit, is_patient=is_patient)
    try:
        with received(stopping.ask, raise_from=None if may_exit else 2):
            yield stopping
    finally:
        stopping.close()
