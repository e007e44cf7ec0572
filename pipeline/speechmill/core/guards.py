"""Limits that a worker process sets for itself: how long it may stand still, and how much memory it may take."""

import faulthandler
import os
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PROCESS_STATUS = "/proc/self/status"
is_worker = False  # set once in a worker process


@contextmanager
def watchdog(seconds: float) -> Iterator[Callable[[], None]]:
    """End this process if `alive` is not called for so long: a decoder that hangs in C obeys nothing else.

    Arming starts a thread, so it is done ten times in `seconds`, not for every block; so much later it fires.
    """
    due = 0.0

    def alive() -> None:
        nonlocal due
        if time.monotonic() >= due:
            due = time.monotonic() + seconds / 10
            faulthandler.dump_traceback_later(1.1 * seconds, exit=True, file=2)

    alive()
    try:
        yield alive
    finally:
        faulthandler.cancel_dump_traceback_later()


@contextmanager
def memory_limited(spare_bytes: int) -> Iterator[None]:
    """Let this worker process take at most so much more memory than it has now; beyond that is a MemoryError, or death.

    Does nothing outside a worker, where it would hit others, nor where the system has no such limit (macOS accepts
    it and does not heed it).
    """
    if not is_worker or not os.path.exists(PROCESS_STATUS):
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_DATA)
    limit = _data_bytes() + spare_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (limit if before[1] < 0 else min(limit, before[1]), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def _data_bytes() -> int:
    """Memory that counts against RLIMIT_DATA: what this process may write to and shares with nobody."""
    with open(PROCESS_STATUS) as status:
        return next(1024 * int(line.split()[1]) for line in status if line.startswith("VmData:"))
