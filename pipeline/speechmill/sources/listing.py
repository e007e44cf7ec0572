"""Lists inputs in a process of its own, because what they hold is written by others, and read by libraries of others.

Whatever happens in it costs the input that it happened to: an error that nobody thought of, an extractor that comes to
no end, a page that takes all memory, a crash. As long as nothing goes wrong, it serves one input after another.
"""

import logging
import pickle
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any
from urllib.parse import urlsplit

from speechmill import fetch, sources
from speechmill.core import guards, processes
from speechmill.core.config import Input, RunConfig
from speechmill.core.config_errors import ConfigError
from speechmill.core.reasons import Reason
from speechmill.core.records import Recording, RejectedError
from speechmill.core.store import OutOfSpaceError, Store, raise_if_out_of_space
from speechmill.fetch import StoppedError, never
from speechmill.sources import Listed, plain_text

IN_PROCESS = ("local", "librilight")  # files of the user's own
MAX_ROWS = 1_000_000  # of one input
BATCH_ROWS, BATCH_S = 200, 1.0
SILENT_CPU_S = 600.0  # of computing without a row, after which nothing more is expected
RESOLVE_CPU_S = 60.0
SPARE_BYTES = 2_000_000_000  # of memory, beyond what the process takes when it begins
MAX_LOG_LINES, MAX_LINE_CHARACTERS = 1_000, 2_000
RESOLVERS = 4  # recordings that are looked up at a time
START_S = 300.0  # for a process to begin, on a busy machine
POLL_S = 0.5  # how soon a stop is noticed
_log = logging.getLogger("speechmill")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What one listing may take: seconds in all, seconds of computing without a row, and bytes of memory."""

    seconds: float
    silent_cpu_s: float = SILENT_CPU_S
    spare_bytes: int = SPARE_BYTES


def list_recordings(
    source: Input, config: RunConfig, store: Store, *, stopping: Callable[[], bool] = never,
    bounds: Bounds | None = None,
) -> Iterator[Listed]:  # fmt: skip
    """List what an input has, as `sources.list_recordings` does.

    Raises ConfigError for an unknown kind or a missing file, and RejectedError for whatever else goes wrong, at once or
    after the first recordings: what came before stands. Ends early when the run stops.
    """
    kind = source.kind or sources.kind_of(source.address)
    if kind in IN_PROCESS:
        rows = _guarded(lambda: sources.list_recordings(source, config, store))
    else:
        bounds = bounds or Bounds(seconds=config.fetch.listing_max_s)
        rows = _elsewhere(_Job(_list, (source, config, store), bounds), stopping)
    with suppress(StoppedError):
        for number, row in enumerate(rows, 1):
            if number > MAX_ROWS:
                raise RejectedError(Reason.TOO_BIG, f"more than {MAX_ROWS} recordings in one input")
            yield row


def resolve(
    recording: Recording, config: RunConfig, store: Store, *, stopping: Callable[[], bool] = never
) -> tuple[Recording, str]:
    """Say where the media of a recording are now, as `sources.resolve` does. Raises RejectedError and StoppedError."""
    if not sources.is_resolved_late(recording):
        return recording, recording.media_url
    bounds = Bounds(seconds=config.fetch.max_seconds, silent_cpu_s=RESOLVE_CPU_S)
    with _turn_at(recording.media_url, stopping):
        for found in _elsewhere(_Job(_resolve, (recording, config, store), bounds), stopping):
            resolved: tuple[Recording, str] = found
            return resolved
    raise RejectedError(Reason.INTERNAL_ERROR, "it was not resolved", retry=True)


# --- here ---


@dataclass(frozen=True, slots=True)
class _Job:
    """What to do in the process: a generator function and its arguments."""

    function: Callable[..., Iterator[Any]]
    arguments: tuple[Any, ...]
    bounds: Bounds


class _Worker:
    """A process that lists, and the pipe to it."""

    def __init__(self) -> None:
        self._process, self._pipe = processes.spawn(_serve)
        self.is_free = False

    def rows(self, job: _Job, stopping: Callable[[], bool]) -> Iterator[Any]:
        """Yield what a job yields.

        Raises what it raised, RejectedError if the process did not outlive it, and StoppedError.
        """
        deadline, self.is_free = time.monotonic() + START_S + job.bounds.seconds, False
        try:
            self._pipe.send_bytes(pickle.dumps((job, fetch.delays(), _log.getEffectiveLevel())))
            while True:
                self._wait(deadline, job.bounds, stopping)
                what, value = self._pipe.recv()
                if what == "rows":
                    yield from value
                elif what == "begun":
                    deadline = time.monotonic() + job.bounds.seconds
                elif what == "log":
                    _log.log(value[0], "%s", value[1])
                else:
                    self.is_free = what == "end"
                    fetch.hold(value[0])
                    if value[1] is not None:
                        raise value[1]
                    return
        except (EOFError, OSError):
            raise self._verdict(job.bounds) from None

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
        self._process.join(processes.END_S)  # it is ending by itself, with a code of its own
        code = self.end()
        if code == -signal.SIGPROF:
            detail = f"it was computed for {bounds.silent_cpu_s:g} s, and nothing came of it"
            return RejectedError(Reason.TIMED_OUT, detail, retry=True)
        return RejectedError(Reason.INTERNAL_ERROR, f"the process that listed it ended with code {code}", retry=True)

    def end(self) -> int:
        """Make sure that the process is gone; returns its exit code."""
        self._process.kill()
        return processes.end(self._process, self._pipe)


_idle: list[_Worker] = []
_idle_lock = threading.Lock()


def _elsewhere(job: _Job, stopping: Callable[[], bool]) -> Iterator[Any]:
    """Yield what a job yields in a process that waits for one, or in a new one."""
    with _idle_lock:
        worker = _idle.pop() if _idle else None
    worker = worker or _Worker()
    try:
        yield from worker.rows(job, stopping)
    finally:
        if worker.is_free:
            with _idle_lock:
                _idle.append(worker)
        else:  # it is busy with what nobody waits for any more, or gone
            worker.end()


_hosts: dict[str, threading.Lock] = {}
_hosts_lock = threading.Lock()
_resolvers = threading.BoundedSemaphore(RESOLVERS)


@contextmanager
def _turn_at(url: str, stopping: Callable[[], bool]) -> Iterator[None]:
    """One at a time at a host, so that its delay holds, and few in all. Raises StoppedError."""
    try:
        host = urlsplit(url).netloc
    except ValueError:
        host = ""
    with _hosts_lock:
        turn = _hosts.setdefault(host, threading.Lock())
    taken: list[Any] = []
    try:
        for one in (turn, _resolvers):
            while not one.acquire(timeout=POLL_S):
                if stopping():
                    raise StoppedError
            taken.append(one)
        yield
    finally:
        for one in reversed(taken):
            one.release()


# --- in the process ---


def _list(source: Input, config: RunConfig, store: Store) -> Iterator[Listed]:
    yield from _guarded(lambda: sources.list_recordings(source, config, store))


def _resolve(recording: Recording, config: RunConfig, store: Store) -> Iterator[tuple[Recording, str]]:
    yield from _guarded(lambda: iter([sources.resolve(recording, config, store)]))


def _guarded(rows: Callable[[], Iterator[Any]]) -> Iterator[Any]:
    """Yield rows; an error that nobody thought of becomes a verdict on the input."""
    try:
        yield from rows()
    except (ConfigError, RejectedError, StoppedError, MemoryError, OutOfSpaceError):
        raise
    except Exception as error:
        raise_if_out_of_space(error, "the output")
        _log.error("listing: %s", "".join(traceback.format_exception(error)))
        detail = f"listing: {type(error).__name__}: {error}"
        raise RejectedError(Reason.INTERNAL_ERROR, plain_text(detail[:500]) or "", retry=True) from None


class _Sender(logging.Handler):
    """Sends rows by the batch, and what is logged, to whoever waits for them."""

    def __init__(self, pipe: Connection, silent_cpu_s: float) -> None:
        super().__init__()
        self._pipe, self._silent_cpu_s = pipe, silent_cpu_s
        self._batch, self._sent, self._lines = list[Any](), time.monotonic(), 0
        self._lock = threading.Lock()  # of the pipe
        self.arm()

    def arm(self) -> None:
        """Begin anew to count the seconds of computing after which the system ends this process."""
        signal.setitimer(signal.ITIMER_PROF, self._silent_cpu_s)

    def add(self, row: Any) -> None:
        """Send a row, with others."""
        self.arm()
        self._batch.append(row)
        if len(self._batch) >= BATCH_ROWS or time.monotonic() - self._sent > BATCH_S:
            self.flush_rows()

    def flush_rows(self) -> None:
        """Send what is there."""
        if self._batch:
            self.send("rows", self._batch)
        self._batch, self._sent = [], time.monotonic()

    def emit(self, record: logging.LogRecord) -> None:
        """Send a line of the log."""
        self._lines += 1
        if self._lines <= MAX_LOG_LINES:
            self.send("log", (record.levelno, record.getMessage()[:MAX_LINE_CHARACTERS]))

    def send(self, what: str, value: Any) -> None:
        """Send a message."""
        with self._lock:
            self._pipe.send((what, value))


def _serve(pipe: Connection) -> None:
    """The life of the process: take a job, send its rows, say how it ended."""
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    while True:
        try:
            job, delays, level = pickle.loads(pipe.recv_bytes())  # noqa: S301 - our own parent wrote it
            fetch.hold(delays)
            _log.setLevel(level)
            _log.propagate = False
            sender = _Sender(pipe, job.bounds.silent_cpu_s)
            sender.send("begun", None)
            is_last = _do(job, sender)
        except (EOFError, OSError):  # nobody waits any more
            return
        if is_last:
            return


def _do(job: _Job, sender: _Sender) -> bool:
    """Do a job; returns whether this process should serve no other."""
    _log.handlers, is_last = [sender], False
    error: Exception | None = None
    try:
        with guards.memory_limited(job.bounds.spare_bytes):
            for row in job.function(*job.arguments):
                sender.add(row)
    except MemoryError:
        detail = f"listing takes more than {job.bounds.spare_bytes // 1_000_000} MB of memory"
        error, is_last = RejectedError(Reason.TOO_BIG, detail), True
    except (ConfigError, RejectedError, OutOfSpaceError) as fault:
        error = fault
    sender.flush_rows()
    sender.send("last" if is_last else "end", (fetch.delays(), error))
    return is_last
