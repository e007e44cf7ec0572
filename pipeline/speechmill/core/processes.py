"""Worker processes for code that may crash or hang, such as decoders: one input is lost, never the run.

Each worker is a spawned process with a pipe of its own and a thread here that feeds it. Nothing is shared
between workers, no lock and no queue, so that the death of one, or of all at once, can block nobody: its
thread starts another process and goes on.
"""

import atexit
import itertools
import multiprocessing
import os
import pickle
import queue
import signal
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from speechmill.core import guards

WATCHDOG_EXIT_CODE = 1  # of faulthandler.dump_traceback_later(exit=True)
FROM_OUTSIDE = {-signal.SIGKILL, -signal.SIGTERM, -signal.SIGHUP}  # no verdict on the input: out of memory, or somebody
ORPHAN_CHECK_S = 2.0
MAX_ATTEMPTS = 3  # at one input, when its process is killed from outside
END_S = 5.0  # for a process that was asked to end
STARTED = b""  # what a worker sends when it has taken an input; then comes the pickled outcome

_starting = threading.Lock()  # multiprocessing reaps finished children whenever one starts: not in two threads at once


class DiedError(Exception):
    """The process that worked on an input is gone. `hung`: the watchdog ended it; else it crashed."""

    def __init__(self, exit_code: int) -> None:
        self.exit_code = exit_code
        self.hung = exit_code == WATCHDOG_EXIT_CODE
        self.was_killed = exit_code in FROM_OUTSIDE
        how = "made no progress and was stopped" if self.hung else f"ended with code {exit_code}"
        super().__init__(f"the decoding process {how}")

    def __reduce__(self) -> tuple[Any, ...]:
        """Survive the way between processes."""
        return DiedError, (self.exit_code,)


def spawn(work: Callable[[Connection], None]) -> tuple[BaseProcess, Connection]:
    """Start a process that does `work` with its end of a pipe; returns it, and our end.

    Ctrl-C does not reach it, and it ends with this process.
    """
    context = multiprocessing.get_context("spawn")  # a fork would copy Beam's threads in mid-air
    ours, theirs = context.Pipe()
    process = context.Process(target=_live, args=[work, theirs, os.getpid()], daemon=True)
    with _starting:
        process.start()
    theirs.close()
    return process, ours


def end(process: BaseProcess, pipe: Connection) -> int:
    """Make sure that a process is gone; returns its exit code."""
    pipe.close()
    with _starting:
        process.join(END_S)
        if process.is_alive():
            process.kill()
            process.join()
    return process.exitcode or 0


class _Worker:
    """A process and the pipe to it. `is_fresh`: it has worked on nothing yet."""

    def __init__(self) -> None:
        self._process, self.pipe = spawn(_work)
        self.is_fresh = True

    def call(self, job: bytes) -> Any:
        """Send a job and wait for its result.

        Raises what the job raised, or _LostError if the process died on the way.
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
        """Make sure that the process is gone; returns its exit code."""
        return end(self._process, self.pipe)

    def kill(self) -> None:
        """End the process without waiting for it; whoever waits in `call` notices."""
        self._process.kill()


class _LostError(Exception):
    def __init__(self, exit_code: int, *, started: bool, is_fresh: bool) -> None:
        super().__init__(exit_code)
        self.death = DiedError(exit_code)
        # Whoever crashes in a process that others used before it may have inherited the damage.
        self.may_be_innocent = not started or self.death.was_killed or not (is_fresh or self.death.hung)


class Pool:
    """Worker processes; `backlog` inputs may wait for them at a time. Threads may share it."""

    def __init__(self, workers: int) -> None:
        self.backlog = 2 * workers
        self._jobs: queue.SimpleQueue[tuple[Future[Any], bytes] | None] = queue.SimpleQueue()
        self._workers: dict[threading.Thread, _Worker] = {}
        self._closed = threading.Event()
        self._threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(workers)]
        for thread in self._threads:
            thread.start()

    def submit(self, function: Callable[..., Any], *arguments: Any) -> "Future[tuple[Any, float]]":
        """Call a function in a process; see `result`. Function, arguments and result must be picklable."""
        future: Future[tuple[Any, float]] = Future()
        self._jobs.put((future, pickle.dumps((function, arguments))))
        return future

    def close(self) -> None:
        """End the processes; what still waits for one is cancelled."""
        self._closed.set()
        for _ in self._threads:
            self._jobs.put(None)
        for worker in list(self._workers.values()):
            worker.kill()
        for thread in self._threads:
            thread.join()

    def _serve(self) -> None:
        """Feed one worker as long as the pool lasts."""
        me = threading.current_thread()
        while (job := self._jobs.get()) is not None:
            future, call = job
            if self._closed.is_set():
                future.cancel()
            if future.set_running_or_notify_cancel():
                _settle(future, *_outcome(self._call, call, me))
        worker = self._workers.pop(me, None)
        if worker is not None:
            worker.kill()
            worker.end()

    def _call(self, call: bytes, me: threading.Thread) -> Any:
        """The result of one input, in as many processes as it takes to be sure whose fault a death is."""
        for attempt in itertools.count(1):
            try:
                return self._worker_of(me).call(call)
            except _LostError as lost:
                del self._workers[me]
                if not lost.may_be_innocent or attempt == MAX_ATTEMPTS or self._closed.is_set():
                    raise lost.death from None
        raise AssertionError

    def _worker_of(self, me: threading.Thread) -> _Worker:
        if me not in self._workers:
            self._workers[me] = _Worker()
            if self._closed.is_set():  # it was too late for `close` to see this one
                self._workers[me].kill()
        return self._workers[me]


_pools: dict[int, Pool] = {}
_making = threading.Lock()


def pool(workers: int | None) -> Pool:
    """A pool of this process: started when first needed, ended with it; one worker a core unless told otherwise."""
    count = workers or usable_cores()
    with _making:
        if count not in _pools:
            _pools[count] = Pool(count)
            atexit.register(_pools[count].close)
        return _pools[count]


def usable_cores() -> int:
    """Cores that this process may use, where the system tells; else all of them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def result(future: "Future[tuple[Any, float]]") -> tuple[Any, float]:
    """Wait for a result and the seconds it took. Raises what the function raised, or DiedError."""
    return future.result()


def timed(function: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """Call a function; returns its result and the wall seconds it took."""
    started = time.monotonic()
    value = function(*arguments)
    return value, time.monotonic() - started


def _outcome(function: Callable[..., Any], *arguments: Any) -> tuple[bool, Any]:
    """Whether a call raised, and what it returned or raised: an error of any kind belongs to whoever asked for it."""
    try:
        return False, function(*arguments)
    except Exception as error:
        return True, error


def _settle(future: "Future[Any]", is_error: bool, value: Any) -> None:  # noqa: FBT001 - as `_outcome` returns it
    if is_error:
        future.set_exception(value)
    else:
        future.set_result(value)


def _live(work: Callable[[Connection], None], pipe: Connection, parent: int) -> None:
    _begin(parent)
    work(pipe)


def _work(pipe: Connection) -> None:
    """The life of a worker: take an input, say so, work, send what came of it."""
    while True:
        try:
            job = pipe.recv_bytes()
            pipe.send_bytes(STARTED)
            pipe.send_bytes(_packed(*_outcome(_run, job)))
        except (EOFError, OSError):  # the parent closed the pipe, or is gone
            return


def _run(job: bytes) -> tuple[Any, float]:
    function, arguments = pickle.loads(job)  # noqa: S301 - our own parent wrote it
    return timed(function, *arguments)


def _packed(is_error: bool, value: Any) -> bytes:  # noqa: FBT001 - as `_outcome` returns it
    """Pickle an outcome, or why it cannot be; errors of libraries often can be pickled but not unpickled."""
    if is_error and hasattr(value, "add_note"):
        value.add_note("".join(traceback.format_exception(value)))
    failed, packed = _outcome(pickle.dumps, (is_error, value))
    if not failed and is_error:
        failed, _ = _outcome(pickle.loads, packed)
    return pickle.dumps((True, RuntimeError(f"{type(value).__name__}: {value}"))) if failed else packed


def _begin(parent: int) -> None:
    """Set up a worker: Ctrl-C is the parent's business; without a parent there is nothing to do."""
    guards.is_worker = True
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with, args=[parent], daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(ORPHAN_CHECK_S)
    os._exit(0)
