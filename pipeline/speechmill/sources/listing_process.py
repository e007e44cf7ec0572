"""The process in which inputs are listed: takes jobs from a pipe, one after the other."""

import logging
import pickle
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from speechmill import fetch, sources
from speechmill.core import guards
from speechmill.core.config import Input, RunConfig
from speechmill.core.config_errors import ConfigError
from speechmill.core.reasons import Reason
from speechmill.core.records import Recording, RejectedError
from speechmill.core.store import OutOfSpaceError, Store, raise_if_out_of_space
from speechmill.fetch import StoppedError
from speechmill.sources import Listed, plain_text

BATCH_ROWS, BATCH_S = 200, 1.0
SILENT_CPU_S = 600.0  # CPU seconds without a row after which the process is ended
SPARE_BYTES = 2_000_000_000  # of memory, beyond that at the start of the process
MAX_LOG_LINES, MAX_LINE_CHARACTERS = 1_000, 2_000
_log = logging.getLogger("speechmill")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Limits of one job: seconds in all, CPU seconds without a row, and bytes of memory."""

    seconds: float
    silent_cpu_s: float = SILENT_CPU_S
    spare_bytes: int = SPARE_BYTES


@dataclass(frozen=True, slots=True)
class Job:
    """A generator function to run in the process, and its arguments."""

    function: Callable[..., Iterator[Any]]
    arguments: tuple[Any, ...]
    bounds: Bounds


def list_source(source: Input, config: RunConfig, store: Store) -> Iterator[Listed]:
    """The job that lists an input."""
    yield from guarded(lambda: sources.list_recordings(source, config, store))


def resolve_one(recording: Recording, config: RunConfig, store: Store) -> Iterator[tuple[Recording, str]]:
    """The job that resolves one recording."""
    yield from guarded(lambda: iter([sources.resolve(recording, config, store)]))


def guarded(rows: Callable[[], Iterator[Any]]) -> Iterator[Any]:
    """Yield rows; turn an unexpected error into a RejectedError for the input."""
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
    """Sends rows in batches, and log messages, to the parent process."""

    def __init__(self, pipe: Connection, silent_cpu_s: float) -> None:
        super().__init__()
        self._pipe, self._silent_cpu_s = pipe, silent_cpu_s
        self._batch, self._sent, self._lines = list[Any](), time.monotonic(), 0
        self._lock = threading.Lock()  # of the pipe
        self.arm()

    def arm(self) -> None:
        """Restart the count of CPU seconds after which the system ends this process."""
        signal.setitimer(signal.ITIMER_PROF, self._silent_cpu_s)

    def add(self, row: Any) -> None:
        """Add a row to the batch; send the batch if it is large or old enough."""
        self.arm()
        self._batch.append(row)
        if len(self._batch) >= BATCH_ROWS or time.monotonic() - self._sent > BATCH_S:
            self.flush_rows()

    def flush_rows(self) -> None:
        """Send the batch."""
        if self._batch:
            self.send("rows", self._batch)
        self._batch, self._sent = [], time.monotonic()

    def emit(self, record: logging.LogRecord) -> None:
        """Send a log message."""
        self._lines += 1
        if self._lines <= MAX_LOG_LINES:
            self.send("log", (record.levelno, record.getMessage()[:MAX_LINE_CHARACTERS]))

    def send(self, kind: str, value: Any) -> None:
        """Send a message."""
        with self._lock:
            self._pipe.send((kind, value))


def serve(pipe: Connection) -> None:
    """Main loop of the process: take a job, send its rows, report how it ended."""
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
        except (EOFError, OSError):  # the parent is gone
            return
        if is_last:
            return


def _do(job: Job, sender: _Sender) -> bool:
    """Run a job; returns whether this process must not take another."""
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
