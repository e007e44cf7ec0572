"""Worker processes for code that may crash or hang, such as decoders: that costs one input, never the run.

Each worker is a spawned process with its own pipe and a thread here that feeds it. Workers share nothing, neither lock
nor queue, so that the death of one or of all blocks nobody: the thread starts another process and goes on.
"""

import atexit
import itertools
import multiprocessing
import os
import pickle
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Any

from speechmill.core import guards

WATCHDOG_EXIT_CODE = 1  # of faulthandler.dump_traceback_later(exit=True)
FROM_OUTSIDE = {-signal.SIGKILL, -signal.SIGTERM, -signal.SIGHUP}  # by the OOM killer or a user: not the input's fault
ORPHAN_CHECK_S = 2.0
MAX_ATTEMPTS = 3  # at one input whose process is killed from outside
END_S = 5.0  # wait for a process to end before it is killed
STARTED = b""  # message of a worker that takes an input; the pickled outcome follows

_starting = threading.Lock()  # multiprocessing reaps finished children whenever one starts: not in two threads at once


class DiedError(Exception):
    """The process that worked on an input died. `hung`: the watchdog ended it; else it crashed."""

    def __init__(self, exit_code: int) -> None:
        self.exit_code = exit_code
        self.hung = exit_code == WATCHDOG_EXIT_CODE
        self.was_killed = exit_code in FROM_OUTSIDE
        how = "made no progress and was stopped" if self.hung else f"ended with code {exit_code}"
        super().__init__(f"the decoding process {how}")

    def __reduce__(self) -> tuple[Any, ...]:
        """Support pickling, to pass between processes."""
        return DiedError, (self.exit_code,)


def spawn(work: Callable[[Connection], None]) -> tuple[BaseProcess, Connection]:
    """Start a process, which ignores Ctrl-C and ends with this one, to call `work` with its end of a pipe; and ours."""
    context = multiprocessing.get_context("spawn")  # a fork would copy the locks that Beam's threads hold
    ours, theirs = context.Pipe()
    process = context.Process(target=_process_main, args=[work, theirs, os.getpid()], daemon=True)
    with _starting, _without_main():
        process.start()
    theirs.close()
    return process, ours


@contextmanager
def _without_main() -> Iterator[None]:
    """Hide a script that runs here: multiprocessing would run it again. What runs by `-m` is imported, as a module."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__") if main.__spec__ is None else main
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def end(process: BaseProcess, pipe: Connection) -> int:
    """Close the pipe to a process, and kill the process if it does not end within END_S; returns its exit code."""
    pipe.close()
    with _starting:
        process.join(END_S)
        if process.is_alive():
            process.kill()
            process.join()
    return process.exitcode or 0


class _Worker:
    """A process and the pipe to it. `is_fresh`: it had no input yet."""

    def __init__(self) -> None:
        self._process, self.pipe = spawn(_worker_main)
        self.is_fresh = True

    def call(self, job: bytes) -> Any:
        """Send a job and wait for its result.

        Raises what the job raised, or _LostError if the process died.
        """
        started, message = False, STARTED
        try:
            self.pipe.send_bytes(job)
            while message == STARTED:
                wait([self.pipe, self._process.sentinel])
                if not self.pipe.poll():
                    raise EOFError
                message = self.pipe.recv_bytes()
                started = True
        except (EOFError, OSError):
            raise _LostError(self.end(), started=started, is_fresh=self.is_fresh) from None
        finally:
            self.is_fresh = False
        is_error, value = pickle.loads(message)  # noqa: S301 - our own process wrote it
        if is_error:
            raise value
        return value

    def end(self) -> int:
        """End the process; returns its exit code."""
        return end(self._process, self.pipe)

    def kill(self) -> None:
        """Kill the process without waiting for it; a thread in `call` gets _LostError."""
        self._process.kill()


class _LostError(Exception):
    """A worker died. `may_be_innocent`: the input may not be the cause, and is worth another attempt."""

    def __init__(self, exit_code: int, *, started: bool, is_fresh: bool) -> None:
        super().__init__(exit_code)
        self.death = DiedError(exit_code)
        # An earlier input of the same process may have corrupted its memory.
        self.may_be_innocent = not started or self.death.was_killed or not (is_fresh or self.death.hung)


class Pool:
    """Worker processes, for any number of threads. `backlog`: inputs that should wait for them at a time."""

    def __init__(self, workers: int) -> None:
        self.backlog = 2 * workers
        self._jobs: queue.SimpleQueue[tuple[Future[Any], bytes] | None] = queue.SimpleQueue()
        self._workers: dict[threading.Thread, _Worker] = {}
        self._closed = threading.Event()
        self._threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(workers)]
        for thread in self._threads:
            thread.start()

    def submit(self, function: Callable[..., Any], *arguments: Any) -> "Future[tuple[Any, float]]":
        """Call a function in a worker; see `result`. Function, arguments and result must be picklable."""
        future: Future[tuple[Any, float]] = Future()
        self._jobs.put((future, pickle.dumps((function, arguments))))
        return future

    def close(self) -> None:
        """End the processes, and cancel inputs that wait."""
        self._closed.set()
        for _ in self._threads:
            self._jobs.put(None)
        for worker in list(self._workers.values()):
            worker.kill()
        for thread in self._threads:
            thread.join()

    def kill(self) -> None:
        """Kill the processes and wait for nothing; threads that wait for one of them get an error."""
        self._closed.set()
        for worker in list(self._workers.values()):
            worker.kill()

    def _serve(self) -> None:
        """Feed one worker until the pool is closed."""
        thread = threading.current_thread()
        while (item := self._jobs.get()) is not None:
            future, job = item
            if self._closed.is_set():
                future.cancel()
            if future.set_running_or_notify_cancel():
                _settle(future, *_outcome(self._call, job, thread))
        worker = self._workers.pop(thread, None)
        if worker is not None:
            worker.kill()
            worker.end()

    def _call(self, job: bytes, thread: threading.Thread) -> Any:
        """Run a job, and again in a fresh process while a death may not be its fault.

        Raises what the job raised, or DiedError.
        """
        for attempt in itertools.count(1):
            try:
                return self._worker_of(thread).call(job)
            except _LostError as lost:
                del self._workers[thread]
                if not lost.may_be_innocent or attempt == MAX_ATTEMPTS or self._closed.is_set():
                    raise lost.death from None
        raise AssertionError

    def _worker_of(self, thread: threading.Thread) -> _Worker:
        if thread not in self._workers:
            self._workers[thread] = _Worker()
            if self._closed.is_set():  # it was too late for `close` to see this worker
                self._workers[thread].kill()
        return self._workers[thread]


_pools: dict[int, Pool] = {}
_making = threading.Lock()


def pool(workers: int | None) -> Pool:
    """The pool of this process with so many workers, started at the first call; None: one worker per core."""
    count = workers or usable_cores()
    with _making:
        if count not in _pools:
            _pools[count] = Pool(count)
            atexit.register(_pools[count].close)
        return _pools[count]


def kill_all() -> None:
    """Kill the workers of all pools of this process, which is about to end."""
    for each in list(_pools.values()):
        each.kill()


def usable_cores() -> int:
    """Number of cores that this process may use; of all cores where the system does not say."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def result(future: "Future[tuple[Any, float]]") -> tuple[Any, float]:
    """Wait for the result of `Pool.submit` and its wall seconds. Raises what the function raised, or DiedError."""
    return future.result()


def timed(function: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """Call a function; returns its result and wall seconds."""
    started = time.monotonic()
    value = function(*arguments)
    return value, time.monotonic() - started


def _outcome(function: Callable[..., Any], *arguments: Any) -> tuple[bool, Any]:
    """Call a function; returns whether it raised, and what it returned or raised."""
    try:
        return False, function(*arguments)
    except Exception as error:
        return True, error


def _settle(future: "Future[Any]", is_error: bool, value: Any) -> None:  # noqa: FBT001 - as `_outcome` returns it
    if is_error:
        future.set_exception(value)
    else:
        future.set_result(value)


def _process_main(work: Callable[[Connection], None], pipe: Connection, parent: int) -> None:
    _set_up(parent)
    work(pipe)


def _worker_main(pipe: Connection) -> None:
    """Loop of a worker: receive a job, acknowledge it, run it, send its outcome."""
    while True:
        try:
            job = pipe.recv_bytes()
            pipe.send_bytes(STARTED)
            pipe.send_bytes(_pickled(*_outcome(_run, job)))
        except (EOFError, OSError):  # the parent closed the pipe, or is gone
            return


def _run(job: bytes) -> tuple[Any, float]:
    function, arguments = pickle.loads(job)  # noqa: S301 - our own parent wrote it
    return timed(function, *arguments)


def _pickled(is_error: bool, value: Any) -> bytes:  # noqa: FBT001 - as `_outcome` returns it
    """Pickle an outcome; a RuntimeError with its text where it cannot be pickled and, for an error, unpickled."""
    if is_error and hasattr(value, "add_note"):
        value.add_note("".join(traceback.format_exception(value)))
    failed, pickled = _outcome(pickle.dumps, (is_error, value))
    if not failed and is_error:  # errors of libraries often can be pickled but not unpickled
        failed, _ = _outcome(pickle.loads, pickled)
    return pickle.dumps((True, RuntimeError(f"{type(value).__name__}: {value}"))) if failed else pickled


def _set_up(parent: int) -> None:
    """Set up a worker process: it ignores Ctrl-C, which the parent handles, and ends with the parent."""
    guards.is_worker = True
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_exit_with, args=[parent], daemon=True).start()


def _exit_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(ORPHAN_CHECK_S)
    os._exit(0)
