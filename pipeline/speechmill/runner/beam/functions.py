"""DoFns of Beam: each runs a stage on its elements, counts and logs them, and turns errors into rows."""

import logging
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import cache, partial
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from speechmill import stages
from speechmill.core import processes
from speechmill.core.build import Build
from speechmill.core.config import Input
from speechmill.core.config_errors import ConfigError
from speechmill.core.paths import OutsideError
from speechmill.core.reasons import Reason
from speechmill.core.records import Status
from speechmill.core.store import OutOfSpaceError, raise_if_out_of_space
from speechmill.fetch import StoppedError
from speechmill.runner.log import flush_log, open_log
from speechmill.runner.waves import LISTED
from speechmill.sources import Listed
from speechmill.stages import ClipStage
from speechmill.stages.batches import Batch, Done, complete_content
from speechmill.stages.comparison import compare
from speechmill.stages.fetch import list_input
from speechmill.stages.work import Outcome, StageFunction, WorkItem, identify, watched

NAMESPACE = "speechmill"
STOP_CHECK_S = 0.5  # interval of checks for STOP_FILE while waiting for workers
FATAL = (MemoryError, OutOfSpaceError, OutsideError, ConfigError)
log = logging.getLogger("speechmill")

_counter = cache(partial(Metrics.counter, NAMESPACE))  # making one takes longer than to count


class StageFn(beam.DoFn):  # type: ignore[misc]
    """Runs a stage function on each element; counts, logs, and turns errors into rows."""

    def __init__(self, name: str, function: StageFunction, build: Build) -> None:
        self._name, self._function, self._build = name, function, build

    def setup(self) -> None:
        """Open the log, once per worker."""
        open_log(self._build.store)

    def process(self, element: Any) -> Iterator[Any]:
        """Run the stage, unless the run is stopping."""
        if not self._build.is_stopping():
            call = partial(processes.timed, watched, self._name, self._function, element, self._build)
            yield from self._finish(element, call)

    def finish_bundle(self) -> Iterator[WindowedValue] | None:
        """Write the log."""
        flush_log()
        return None

    def _finish(self, element: Any, result: Callable[[], tuple[Outcome, float]]) -> Iterator[Any]:
        """Account for one element, from `result`, which returns outcome and seconds or raises the stage's error."""
        seconds = 0.0
        try:
            outcome, seconds = result()
        except StoppedError:
            return
        except FATAL:
            raise
        except Exception as error:
            raise_if_out_of_space(error, self._build.store.root)
            if not isinstance(error, processes.DiedError):
                log.error("%s: %s", self._name, "".join(traceback.format_exception(error)))
            outcome = self._failed(element, error)
        yield from self._account(element, outcome, seconds)

    def _failed(self, element: Any, error: Exception) -> Outcome:
        return stages.note_error(self._name, element, self._build, error)

    def _account(self, element: Any, outcome: Outcome, seconds: float) -> Iterator[Any]:
        """Count and log one element, and yield it for the next stage unless it failed."""
        self._count(element, outcome, seconds)
        if outcome.state != "failed":
            yield outcome.work or element

    def _count(self, element: Any, outcome: Outcome, seconds: float) -> None:
        counts = {
            "in": 1,
            outcome.state: 1,
            "wall_ms": round(1000 * seconds),
            "audio_in_ms": round(1000 * outcome.seconds_in),
            "audio_kept_ms": round(1000 * outcome.seconds_kept),
            "audio_done_ms": round(1000 * outcome.seconds_in) if outcome.state == "done" else 0,
        } | ({f"reason.{outcome.reason}": 1} if outcome.reason else {})
        for key, value in counts.items():
            self._add(f"{self._name}/{key}", value)
        fields = {"stage": self._name, "state": outcome.state, "seconds": round(seconds, 3)}
        fields |= {"audio_in_s": round(outcome.seconds_in, 3), "audio_kept_s": round(outcome.seconds_kept, 3)}
        fields |= identify(element) | ({"reason": outcome.reason} if outcome.reason else {})
        if outcome.reason is Reason.REMOVED:  # nothing of a removed recording is kept, its title neither
            fields.pop("title", None)
        log.info("%s %s", self._name, outcome.detail or outcome.state, extra={"fields": fields})

    def _add(self, counter: str, value: int) -> None:
        _counter(counter).inc(value)


class Listing(beam.DoFn):  # type: ignore[misc]
    """Lists inputs, and counts the recordings of each."""

    def __init__(self, build: Build) -> None:
        self._build = build

    def setup(self) -> None:
        """Open the log, once per worker."""
        open_log(self._build.store)

    def process(self, numbered: tuple[int, Input]) -> Iterator[Listed]:
        """List an input; failed listings are yielded but not counted."""
        number, source = numbered
        for listed in list_input(source, self._build):
            if listed.recording.status is not Status.FAILED:
                Metrics.counter(NAMESPACE, f"{LISTED}{number}").inc()
            yield listed


class WaitingFn(StageFn):
    """Runs a stage that waits for servers in threads: many elements at a time, few of each host.

    Elements come grouped by host, in as many groups as `fetch.host_workers` says. One worker gets a group, and has its
    part of the limits: those of the host hold on any runner.
    """

    def start_bundle(self) -> None:
        """Start the threads."""
        self._threads = ThreadPoolExecutor(self._build.config.fetch.concurrency)
        self._waiting: dict[str, Iterator[Any]] = {}
        self._running: dict[Future[tuple[Outcome, float]], tuple[str, Any]] = {}

    def process(self, element: tuple[str, Iterable[Any]]) -> Iterator[Any]:
        """Begin with a host; yield finished elements until there is room for another host."""
        host, elements = element
        self._waiting[host] = iter(elements)
        self._begin()
        while len(self._waiting) >= self._build.config.fetch.concurrency:
            yield from self._collect()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """Wait for all elements."""
        while self._running or self._waiting:
            for element in self._collect():
                yield WindowedValue(element, GlobalWindow().max_timestamp(), [GlobalWindow()])
        self._threads.shutdown()
        flush_log()

    def _begin(self) -> None:
        """Start waiting elements, host by host, while the limits permit."""
        limits = self._build.config.fetch
        busy = Counter(host for host, _ in self._running.values())
        for host in list(self._waiting):
            while busy[host] < limits.per_host_here and len(self._running) < limits.concurrency:
                element = next(self._waiting[host], None)
                if element is None:
                    del self._waiting[host]
                    break
                future = self._threads.submit(
                    processes.timed, watched, self._name, self._function, element, self._build
                )
                self._running[future] = (host, element)
                busy[host] += 1

    def _collect(self) -> Iterator[Any]:
        """Wait up to STOP_CHECK_S for an element, yield finished ones, and start others."""
        for future in wait(self._running, STOP_CHECK_S, FIRST_COMPLETED).done:
            _, element = self._running.pop(future)
            yield from self._finish(element, future.result)
        if self._build.is_stopping():
            self._waiting = {}
        self._begin()


class IsolatedFn(StageFn):
    """Runs a stage in worker processes: a decoder that crashes or hangs costs one recording, and all cores are used."""

    def __init__(self, name: str, function: StageFunction, build: Build, is_done: Callable[[Any, Build], bool]) -> None:
        super().__init__(name, function, build)
        self._is_done = is_done

    def start_bundle(self) -> None:
        """Begin without pending elements."""
        self._pending: deque[tuple[Any, Future[tuple[Outcome, float]]]] = deque()

    def process(self, element: Any) -> Iterator[Any]:
        """Submit the element to a worker process; yield earlier ones while too many are pending."""
        if self._build.is_stopping():
            return
        if self._is_done(element, self._build):
            yield from super().process(element)
            return
        workers = processes.pool(self._build.config.workers)
        self._pending.append((element, workers.submit(watched, self._name, self._function, element, self._build)))
        while len(self._pending) > workers.backlog:
            yield from self._collect()

    def _collect(self) -> Iterator[Any]:
        while self._pending and not wait([self._pending[0][1]], STOP_CHECK_S).done:
            if self._build.is_stopping():  # drop elements that no worker has begun
                self._pending = deque(pair for pair in self._pending if pair[1].running() or not pair[1].cancel())
        if not self._pending:
            return
        element, future = self._pending.popleft()
        yield from self._finish(element, lambda: processes.result(future))

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """Wait for pending elements."""
        while self._pending:
            for element in self._collect():
                yield WindowedValue(element, GlobalWindow().max_timestamp(), [GlobalWindow()])
        flush_log()


class CorpusFn(IsolatedFn):
    """Makes tables and files of the corpus in worker processes. An error ends the run: a corpus must be complete."""

    def _failed(self, element: Any, error: Exception) -> Outcome:
        raise error


class BatchedFn(StageFn):
    """Runs a clip stage on clips of many elements together, so that a model gets full batches."""

    def __init__(self, stage: ClipStage, build: Build) -> None:
        super().__init__(stage.name, partial(complete_content, stage=stage), build)
        self._stage = stage

    def start_bundle(self) -> None:
        """Begin with an empty batch."""
        self._batch = Batch(self._stage, self._build)

    def process(self, element: WorkItem) -> Iterator[Any]:
        """Add to the batch; yield elements that are done."""
        if not self._build.is_stopping():
            yield from self._account_batch(self._batch.add(element))

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """Process the remaining clips."""
        for element in self._account_batch(self._batch.rest()):
            yield WindowedValue(element, GlobalWindow().max_timestamp(), [GlobalWindow()])
        flush_log()

    def _account_batch(self, done: Iterator[Done]) -> Iterator[Any]:
        """Account for elements that are done; if a batch fails, process its elements one by one."""
        try:
            for work, (outcome, seconds) in done:
                yield from self._account(work, outcome, seconds)
            return
        except StoppedError:
            return
        except FATAL:
            raise
        except Exception:
            works, self._batch = self._batch.works, Batch(self._stage, self._build)
        for work in works:
            yield from super().process(work)


class CompareFn(StageFn):
    """Runs the stage dedup on all items together, which come as one element."""

    def __init__(self, build: Build, *, is_whole: bool) -> None:
        super().__init__(stages.DEDUP.name, stages.DEDUP.process, build)
        self._is_whole = is_whole

    def process(self, element: tuple[int, Iterable[WorkItem]]) -> Iterator[Any]:
        """Compare the items; yield them all once the duplicates of each are stored."""
        try:
            for matched in compare(element[1], self._build, is_whole=self._is_whole):
                yield from super().process(matched)
        except OSError as error:
            raise_if_out_of_space(error, self._build.store.root)
            raise
