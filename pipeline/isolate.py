"""Worker processes for code that may crash or hang, such as decoders: one input is lost, never the run.

They are spawned, take inputs as long as the run lasts, and are replaced when they die.
"""

import atexit
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import lru_cache
from typing import Any

from pebble import ProcessExpired, ProcessPool

WATCHDOG_EXIT_CODE = 1  # of faulthandler.dump_traceback_later(exit=True)
ORPHAN_CHECK_S = 2.0


class Died(Exception):  # noqa: N818 - what happened to a process, not an error of ours
    """The process that worked on an input is gone. `hung`: the watchdog ended it; else it crashed."""

    def __init__(self, exit_code: int) -> None:
        self.hung = exit_code == WATCHDOG_EXIT_CODE
        self.was_killed = exit_code == -signal.SIGKILL  # by the system, out of memory, or by somebody: no verdict
        how = "made no progress and was stopped" if self.hung else f"ended with code {exit_code}"
        super().__init__(f"the decoding process {how}")


class Pool:
    """Worker processes; `backlog` inputs may wait for them at a time."""

    def __init__(self, workers: int) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would copy Beam's threads in mid-air
        self._pool = ProcessPool(max_workers=workers, context=context, initializer=_begin, initargs=[os.getpid()])
        self.backlog = 2 * workers

    def submit(self, function: Callable[..., Any], *arguments: Any) -> "Future[tuple[Any, float]]":
        """Call a function in a process; see `result`."""
        future: Future[tuple[Any, float]] = self._pool.schedule(timed, args=[function, *arguments])
        return future

    def close(self) -> None:
        """End the processes."""
        self._pool.stop()  # type: ignore[no-untyped-call]
        self._pool.join()


@lru_cache(maxsize=1)
def pool(workers: int | None) -> Pool:
    """The pool of this process: started when first needed, ended with it; one worker a core unless told otherwise."""
    made = Pool(workers or usable_cores())
    atexit.register(made.close)
    return made


def usable_cores() -> int:
    """Cores that this process may use, where the system tells; else all of them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def result(future: "Future[tuple[Any, float]]") -> tuple[Any, float]:
    """Wait for a result and the seconds it took. Raises what the function raised, or Died."""
    try:
        return future.result()
    except ProcessExpired as death:
        raise Died(death.exitcode or 0) from None


def timed(function: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """Call a function; returns its result and the wall seconds it took."""
    started = time.monotonic()
    value = function(*arguments)
    return value, time.monotonic() - started


def _begin(parent: int) -> None:
    """Set up a worker: Ctrl-C is the parent's business; without a parent there is nothing to do."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with, args=[parent], daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(ORPHAN_CHECK_S)
    os._exit(0)
