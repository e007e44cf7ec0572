"""Limits that a worker process sets for itself: longest time without progress, and most memory."""

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
    """Yield a function `alive`; end this process if it is not called for `seconds`.

    Nothing else stops a decoder that hangs in C. Arming the timer starts a thread, so it is done ten times in
    `seconds` rather than at every call; the process ends up to a tenth later.
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
    """Limit this worker process to `spare_bytes` more memory than it has now; beyond, MemoryError or a crash.

    Does nothing outside workers, where it would affect other work, nor on systems without /proc (macOS ignores the
    limit).
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
    """Bytes that count against RLIMIT_DATA: private writable memory of this process."""
    with open(PROCESS_STATUS) as status:
        return next(1024 * int(line.split()[1]) for line in status if line.startswith("VmData:"))
