"""Lists inputs in a separate process, because inputs come from others and are read by third-party libraries.

A failure costs only the input: an unexpected error, an extractor that never ends, a page that takes all
memory, a crash. As long as nothing goes wrong, a process serves one input after another.
"""

import logging
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait
from typing import Any
from urllib.parse import urlsplit

from speechmill import fetch, sources
from speechmill.core import processes
from speechmill.core.config import Input, RunConfig
from speechmill.core.reasons import Reason
from speechmill.core.records import Recording, RejectedError
from speechmill.core.store import Store
from speechmill.fetch import StoppedError, never
from speechmill.sources import Listed
from speechmill.sources.listing_process import Bounds, Job, guarded, list_source, resolve_one, serve

IN_PROCESS = ("local", "librilight")  # files of the user's own
MAX_ROWS = 1_000_000  # of one input
RESOLVE_CPU_S = 60.0
RESOLVERS = 4  # recordings that are resolved at a time
START_S = 300.0  # for a process to start, on a busy machine
POLL_S = 0.5  # interval at which a stop is noticed
_log = logging.getLogger("speechmill")


def list_recordings(
    source: Input, config: RunConfig, store: Store, *, stopping: Callable[[], bool] = never,
    bounds: Bounds | None = None,
) -> Iterator[Listed]:  # fmt: skip
    """List the recordings of an input, as `sources.list_recordings` does. Ends early when the run stops.

    Args:
        source: The input.
        config: Of the run.
        store: Cache of fetched documents.
        stopping: Whether the run stops.
        bounds: Limits on time and memory; by default those of the config.

    Raises:
        ConfigError: Unknown kind or missing file.
        RejectedError: Anything else, at once or after some recordings, which remain valid.
    """
    kind = source.kind or sources.kind_of(source.address)
    if kind in IN_PROCESS:
        rows = guarded(lambda: sources.list_recordings(source, config, store))
    else:
        bounds = bounds or Bounds(seconds=config.fetch.listing_max_s)
        rows = _elsewhere(Job(list_source, (source, config, store), bounds), stopping)
    with suppress(StoppedError):
        for number, row in enumerate(rows, 1):
            if number > MAX_ROWS:
                raise RejectedError(Reason.TOO_BIG, f"more than {MAX_ROWS} recordings in one input")
            yield row


def resolve(
    recording: Recording, config: RunConfig, store: Store, *, stopping: Callable[[], bool] = never
) -> tuple[Recording, str]:
    """Find the current address of a recording's media, as `sources.resolve` does.

    Args:
        recording: As it was listed.
        config: Of the run.
        store: Cache of fetched documents.
        stopping: Whether the run stops.

    Raises:
        RejectedError: The media cannot be had.
        StoppedError: The run stops.
    """
    if not sources.is_resolved_late(recording):
        return recording, recording.media_url
    bounds = Bounds(seconds=config.fetch.max_seconds, silent_cpu_s=RESOLVE_CPU_S)
    with _turn_at(recording.media_url, stopping):
        for result in _elsewhere(Job(resolve_one, (recording, config, store), bounds), stopping):
            resolved: tuple[Recording, str] = result
            return resolved
    raise RejectedError(Reason.INTERNAL_ERROR, "it was not resolved", retry=True)


# --- in this process ---


class _NotBegunError(Exception):
    """Raised when a process ended before it took the job."""


class _Worker:
    """A listing process and the pipe to it."""

    def __init__(self) -> None:
        self._process, self._pipe = processes.spawn(serve)
        self.is_free = False

    def rows(self, job: Job, stopping: Callable[[], bool]) -> Iterator[Any]:
        """Yield the rows of a job.

        Raises what the job raised, RejectedError if the process crashed, and StoppedError.
        """
        deadline, self.is_free, has_begun = time.monotonic() + START_S + job.bounds.seconds, False, False
        try:
            self._pipe.send_bytes(pickle.dumps((job, fetch.delays(), _log.getEffectiveLevel())))
            while True:
                self._wait(deadline, job.bounds, stopping)
                kind, value = self._pipe.recv()
                if kind == "rows":
                    yield from value
                elif kind == "begun":
                    has_begun = True
                    deadline = time.monotonic() + job.bounds.seconds
                elif kind == "log":
                    _log.log(value[0], "%s", value[1])
                else:
                    self.is_free = kind == "end"
                    fetch.hold(value[0])
                    if value[1] is not None:
                        raise value[1]
                    return
        except (EOFError, OSError):
            verdict = self._verdict(job.bounds)
            raise verdict if has_begun else _NotBegunError(verdict) from None

    def _wait(self, deadline: float, bounds: Bounds, stopping: Callable[[], bool]) -> None:
        while not wait([self._pipe, self._process.sentinel], min(POLL_S, max(deadline - time.monotonic(), 0))):
            if stopping():
                raise StoppedError
            if time.monotonic() >= deadline:
                detail = f"not listed to its end within {bounds.seconds:g} s (fetch.listing_max_s)"
                raise RejectedError(Reason.TIMED_OUT, detail, retry=True)
        if stopping():
            raise StoppedError
        if not self._pipe.poll():
            raise EOFError

    def _verdict(self, bounds: Bounds) -> RejectedError:
        self._process.join(processes.END_S)  # it is ending, with its own exit code
        code = self.end()
        if code == -signal.SIGPROF:
            detail = f"it was computed for {bounds.silent_cpu_s:g} s, and nothing came of it"
            return RejectedError(Reason.TIMED_OUT, detail, retry=True)
        return RejectedError(Reason.INTERNAL_ERROR, f"the process that listed it ended with code {code}", retry=True)

    def end(self) -> int:
        """Kill the process; returns its exit code."""
        self._process.kill()
        return processes.end(self._process, self._pipe)


_idle: list[_Worker] = []
_idle_lock = threading.Lock()


def _elsewhere(job: Job, stopping: Callable[[], bool]) -> Iterator[Any]:
    """Yield the rows of a job from an idle process, or from a new one.

    An idle process may have been killed meanwhile, which says nothing about the job: then the next one takes it.
    """
    while worker := _take_idle():
        try:
            yield from _in(worker, job, stopping)
            return
        except _NotBegunError:
            continue
    try:
        yield from _in(_Worker(), job, stopping)
    except _NotBegunError as error:
        raise error.args[0] from None


def _take_idle() -> _Worker | None:
    with _idle_lock:
        return _idle.pop() if _idle else None


def _in(worker: _Worker, job: Job, stopping: Callable[[], bool]) -> Iterator[Any]:
    try:
        yield from worker.rows(job, stopping)
    finally:
        if worker.is_free:
            with _idle_lock:
                _idle.append(worker)
        else:  # it is busy with an abandoned job, or gone
            worker.end()


_hosts: dict[str, threading.Lock] = {}
_hosts_lock = threading.Lock()
_resolvers = threading.BoundedSemaphore(RESOLVERS)


@contextmanager
def _turn_at(url: str, stopping: Callable[[], bool]) -> Iterator[None]:
    """Hold a turn at a host: one at a time, so that its delay is kept, and RESOLVERS in all. Raises StoppedError."""
    try:
        host = urlsplit(url).netloc
    except ValueError:
        host = ""
    with _hosts_lock:
        turn = _hosts.setdefault(host, threading.Lock())
    taken: list[Any] = []
    try:
        for lock in (turn, _resolvers):
            while not lock.acquire(timeout=POLL_S):
                if stopping():
                    raise StoppedError
            taken.append(lock)
        yield
    finally:
        for lock in reversed(taken):
            lock.release()
