"""The Beam graph: the only file that knows Apache Beam.

Elements are small (ids, paths, counts); audio is read from and written to the store inside a stage. What a
stage computes is a plain function in `stages`; here it gets its counters, its log line and its failures.
"""

import difflib
import io
import logging
import traceback
from argparse import ArgumentParser
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import redirect_stderr
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics, MetricsFilter
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from speechmill import publish, stages
from speechmill.core import processes
from speechmill.core.build import KNOWN_FILE, Build
from speechmill.core.config import ConfigError, Input
from speechmill.core.paths import OutsideError
from speechmill.core.records import Status
from speechmill.core.store import OutOfSpace, raise_if_out_of_space
from speechmill.fetch import Stopped
from speechmill.runner.log import open_log
from speechmill.sources import Listed
from speechmill.stages import DEDUP, FETCH, STAGES, ClipStage, Stage
from speechmill.stages.base import Batched, GroupedByHost, Isolated
from speechmill.stages.batches import Batch, Done
from speechmill.stages.dedup import Sounds, Spreader, Votes, compared, find_votes
from speechmill.stages.fetch import host_of, list_input
from speechmill.stages.identity import Claims, load_registry, placeholder, write_index
from speechmill.stages.work import Outcome, Work, identify, primary

NAMESPACE = "speechmill"
LISTED = "listed/"  # before the number of an input: counter of its recordings
DEFAULT_RUNNER = "--runner=FnApiRunner"  # in process; the name DirectRunner would try to download another first
WITH_JOB_SERVICE = ("FlinkRunner", "PortableRunner", "PrismRunner", "SparkRunner")
STOP_CHECK_S = 0.5  # how soon a run that waits for its workers sees that it is to stop
FATAL = (MemoryError, OutOfSpace, OutsideError, ConfigError)
log = logging.getLogger("speechmill")

StageFunction = Callable[[Any, Build], Outcome]


class StageFn(beam.DoFn):  # type: ignore[misc]
    """Runs one stage function on each element: counts, logs, turns errors into rows."""

    def __init__(self, name: str, function: StageFunction, build: Build) -> None:
        self._name, self._function, self._build = name, function, build

    def setup(self) -> None:
        """Called once a worker."""
        open_log(self._build.store)

    def process(self, element: Any) -> Iterator[Any]:
        """Run the stage, unless the run is to stop."""
        if not self._build.is_stopping():
            yield from self._finish(element, lambda: processes.timed(self._function, element, self._build))

    def _finish(self, element: Any, result: Callable[[], tuple[Outcome, float]]) -> Iterator[Any]:
        """Take the result of one element, whatever happened to it."""
        seconds = 0.0
        try:
            outcome, seconds = result()
        except Stopped:
            return
        except FATAL:
            raise
        except Exception as error:
            raise_if_out_of_space(error, self._build.store.root)
            if not isinstance(error, processes.Died):
                log.error("%s: %s", self._name, "".join(traceback.format_exception(error)))
            outcome = self._failed(element, error)
        yield from self._account(element, outcome, seconds)

    def _failed(self, element: Any, error: Exception) -> Outcome:
        return stages.note_error(self._name, element, self._build, error)

    def _account(self, element: Any, outcome: Outcome, seconds: float) -> Iterator[Any]:
        """Count and log one element, and pass it on."""
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
            Metrics.counter(NAMESPACE, f"{self._name}/{key}").inc(value)
        fields = {"stage": self._name, "state": outcome.state, "seconds": round(seconds, 3)}
        fields |= {"audio_in_s": round(outcome.seconds_in, 3), "audio_kept_s": round(outcome.seconds_kept, 3)}
        fields |= identify(element) | ({"reason": outcome.reason} if outcome.reason else {})
        log.info("%s %s", self._name, outcome.detail or outcome.state, extra={"fields": fields})


def publish_file(task: publish.Task, build: Build) -> Outcome:
    """Write one file of the finished corpus aside."""
    publish.write(task, build)
    return Outcome(state="done")


class PublishFn(StageFn):
    """Writes files of the corpus. One that fails ends the run: a corpus with a file missing is no corpus."""

    def _failed(self, element: Any, error: Exception) -> Outcome:
        raise error


class Listing(beam.DoFn):  # type: ignore[misc]
    """Lists inputs, and counts what each of them gives."""

    def __init__(self, build: Build) -> None:
        self._build = build

    def setup(self) -> None:
        """Called once a worker."""
        open_log(self._build.store)

    def process(self, numbered: tuple[int, Input]) -> Iterator[Listed]:
        """List an input; what is no recording, but a row that says why there is none, is not counted."""
        number, source = numbered
        for listed in list_input(source, self._build):
            if listed.recording.status is not Status.FAILED:
                Metrics.counter(NAMESPACE, f"{LISTED}{number}").inc()
            yield listed


class WaitingFn(StageFn):
    """A stage that waits for servers: many elements at a time, few of each host, in threads.

    It takes what is grouped by host: all of one comes to one worker, so that the host's limit holds on any runner.
    """

    def start_bundle(self) -> None:
        """Begin with nothing in flight."""
        self._threads = ThreadPoolExecutor(self._build.config.fetch.concurrency)
        self._waiting: dict[str, Iterator[Any]] = {}
        self._running: dict[Future[tuple[Outcome, float]], tuple[str, Any]] = {}

    def process(self, element: tuple[str, Iterable[Any]]) -> Iterator[Any]:
        """Begin with a host; yield what is ready, until there is room for another."""
        host, elements = element
        self._waiting[host] = iter(elements)
        self._begin()
        while len(self._waiting) >= self._build.config.fetch.concurrency:
            yield from self._collect()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """Wait for what is in flight."""
        while self._running or self._waiting:
            for element in self._collect():
                yield WindowedValue(element, GlobalWindow().max_timestamp(), [GlobalWindow()])
        self._threads.shutdown()

    def _begin(self) -> None:
        """Fill the threads, host by host."""
        limits = self._build.config.fetch
        busy = Counter(host for host, _ in self._running.values())
        for host in list(self._waiting):
            while busy[host] < limits.per_host and len(self._running) < limits.concurrency:
                element = next(self._waiting[host], None)
                if element is None:
                    del self._waiting[host]
                    break
                future = self._threads.submit(processes.timed, self._function, element, self._build)
                self._running[future] = (host, element)
                busy[host] += 1

    def _collect(self) -> Iterator[Any]:
        """Yield what has ended, after a short wait for the first, and begin with others."""
        for future in wait(self._running, STOP_CHECK_S, FIRST_COMPLETED).done:
            _, element = self._running.pop(future)
            yield from self._finish(element, future.result)
        if self._build.is_stopping():
            self._waiting = {}
        self._begin()


class IsolatedFn(StageFn):
    """A stage in processes of its own: a decoder that crashes or hangs costs one recording, and all cores work."""

    def __init__(self, name: str, function: StageFunction, build: Build, is_done: Callable[[Any, Build], bool]) -> None:
        super().__init__(name, function, build)
        self._is_done = is_done

    def start_bundle(self) -> None:
        """Begin with nothing in flight."""
        self._pending: deque[tuple[Any, Future[tuple[Outcome, float]]]] = deque()

    def process(self, element: Any) -> Iterator[Any]:
        """Hand the element to a process; yield earlier ones that are ready."""
        if self._build.is_stopping():
            return
        if self._is_done(element, self._build):
            yield from super().process(element)
            return
        workers = processes.pool(self._build.config.workers)
        self._pending.append((element, workers.submit(self._function, element, self._build)))
        while len(self._pending) > workers.backlog:
            yield from self._collect()

    def _collect(self) -> Iterator[Any]:
        while self._pending and not wait([self._pending[0][1]], STOP_CHECK_S).done:
            if self._build.is_stopping():  # what still waits for a worker is dropped
                self._pending = deque(pair for pair in self._pending if pair[1].running() or not pair[1].cancel())
        if not self._pending:
            return
        element, future = self._pending.popleft()
        yield from self._finish(element, lambda: processes.result(future))

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """Wait for what is in flight."""
        while self._pending:
            for element in self._collect():
                yield WindowedValue(element, GlobalWindow().max_timestamp(), [GlobalWindow()])


class BatchedFn(StageFn):
    """A stage that works on clips of many elements together, so that the batches of a model are full."""

    def __init__(self, stage: ClipStage, build: Build) -> None:
        super().__init__(stage.name, stage.process, build)
        self._stage = stage

    def start_bundle(self) -> None:
        """Begin with an empty batch."""
        self._batch = Batch(self._stage, self._build)

    def process(self, element: Work) -> Iterator[Any]:
        """Add to the batch; yield what is done by then."""
        if not self._build.is_stopping():
            yield from self._together(self._batch.add(element))

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """Work on what is left."""
        for element in self._together(self._batch.rest()):
            yield WindowedValue(element, GlobalWindow().max_timestamp(), [GlobalWindow()])

    def _together(self, done: Iterator[Done]) -> Iterator[Any]:
        """Account for what is done. Whatever fails in company is tried alone, so that it harms no neighbour."""
        try:
            for work, (outcome, seconds) in done:
                yield from self._account(work, outcome, seconds)
            return
        except Stopped:
            return
        except FATAL:
            raise
        except Exception:
            works, self._batch = self._batch.works, Batch(self._stage, self._build)
        for work in works:
            yield from super().process(work)


class _Knowing(beam.DoFn):  # type: ignore[misc]
    """Looks up what the corpus knows."""

    def __init__(self, build: Build) -> None:
        self._build = build

    def setup(self) -> None:
        """Called once a worker."""
        self._registry = load_registry(self._build)


class Settle(_Knowing):
    """Gives what is listed the id that it is known by; what needs comparing goes to the output CLAIMS."""

    CLAIMS = "claims"

    def process(self, listed: Listed) -> Iterator[Any]:
        """Settle one, unless the run is to stop: it may have to be read."""
        if self._build.is_stopping():
            return
        settled = self._registry.settle(listed)
        is_open = isinstance(settled, Claims)
        yield beam.pvalue.TaggedOutput(self.CLAIMS, settled) if is_open else settled


class Resolve(_Knowing):
    """Compares all claims with each other."""

    def process(self, element: tuple[int, Iterable[Claims]]) -> Iterator[Listed]:
        """Take all claims there are."""
        yield from self._registry.resolve(element[1])


class Distinct(_Knowing):
    """Makes one of what has one id."""

    def process(self, element: tuple[str, Iterable[Listed]]) -> Iterator[Listed]:
        """Take all that has one id."""
        yield from self._registry.distinct(element[1], self._build)


class Identify(beam.PTransform):  # type: ignore[misc]
    """What inputs list in; every recording of the corpus out, once, as itself."""

    def __init__(self, build: Build, known: list[str]) -> None:
        super().__init__()
        self.build, self.known = build, known

    def expand(self, listed: beam.PCollection[Listed]) -> beam.PCollection[Listed]:
        """Wire the comparison with what is known: all claims, which are few, meet in one place."""
        settled = listed | "settle" >> beam.ParDo(Settle(self.build)).with_outputs(Settle.CLAIMS, main="settled")
        resolved = (
            settled[Settle.CLAIMS]
            | "in one place" >> beam.Map(lambda claims: (0, claims)).with_output_types(tuple[int, Claims])
            | "all claims" >> beam.GroupByKey()
            | "resolve" >> beam.ParDo(Resolve(self.build))
        )
        known = listed.pipeline | "known" >> beam.Create([placeholder(one) for one in self.known])
        return (
            (settled.settled, resolved, known)
            | "recordings" >> beam.Flatten()
            | "by id"
            >> beam.Map(lambda listed: (listed.recording.recording_id, listed)).with_output_types(tuple[str, Listed])
            | "same recording" >> beam.GroupByKey()
            | "distinct" >> beam.ParDo(Distinct(self.build))
        )


def run_by(stage: Stage, build: Build) -> StageFn:
    """What runs a stage, as it asks for."""
    how = stage.execution_in(build)
    if isinstance(how, Batched):
        assert isinstance(stage, ClipStage)
        return BatchedFn(stage, build)
    if isinstance(how, Isolated):
        return IsolatedFn(stage.name, stage.process, build, stage.is_done)
    return (WaitingFn if isinstance(how, GroupedByHost) else StageFn)(stage.name, stage.process, build)


class RecordingStages(beam.PTransform):  # type: ignore[misc]
    """Listed recordings in; works that every stage of the build is through with out."""

    def __init__(self, build: Build) -> None:
        super().__init__()
        self.build = build

    def expand(self, listed: beam.PCollection[Listed]) -> beam.PCollection[Work]:
        """Wire fetching by host, one work a content, and the stages after it in their order."""
        works = (
            listed
            | "by host" >> beam.Map(lambda one: (host_of(one), one)).with_output_types(tuple[str, Listed])
            | "same host" >> beam.GroupByKey()
            | FETCH.name >> beam.ParDo(run_by(FETCH, self.build))
            | "by content" >> beam.Map(lambda work: (work.content_id, work)).with_output_types(tuple[str, Work])
            | "same content" >> beam.GroupByKey()
            | "primary" >> beam.MapTuple(lambda _, works: primary(works))
        )
        for stage in STAGES:
            if stage is DEDUP:
                works |= DEDUP.name >> Deduplicate(self.build)
            elif stage is not FETCH and stage.is_in_graph and self.build.runs(stage.name):
                works |= stage.name >> beam.ParDo(run_by(stage, self.build))
        return works


class Spread(beam.DoFn):  # type: ignore[misc]
    """Sends the landmarks of contents to their buckets, many contents at a time."""

    def __init__(self, build: Build) -> None:
        self._build = build

    def start_bundle(self) -> None:
        """Begin with nothing gathered."""
        self._spreader = Spreader()

    def process(self, work: Work) -> Iterator[tuple[int, Sounds]]:
        """Gather; spread when there is enough."""
        self._spreader.add(work, self._build)
        if self._spreader.is_full:
            yield from self._spreader.spread()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """Spread the rest."""
        for element in self._spreader.spread():
            yield WindowedValue(element, GlobalWindow().max_timestamp(), [GlobalWindow()])


class Deduplicate(beam.PTransform):  # type: ignore[misc]
    """Works in; the same works out, once all of them were compared with each other by their sound."""

    def __init__(self, build: Build) -> None:
        super().__init__()
        self.build = build

    def expand(self, works: beam.PCollection[Work]) -> beam.PCollection[Work]:
        """Wire the comparison: landmarks of one hash meet in a bucket, what they say goes to the later content."""
        build = self.build
        votes = (
            works
            | "spread" >> beam.ParDo(Spread(build)).with_output_types(tuple[int, Sounds])
            | "same bucket" >> beam.GroupByKey()
            | "vote" >> beam.FlatMapTuple(lambda _, sounds: find_votes(sounds)).with_output_types(tuple[str, Votes])
        )
        own = works | "own" >> beam.Map(lambda work: (work.content_id, work)).with_output_types(tuple[str, Work])
        return (
            {"works": own, "votes": votes}
            | "for each" >> beam.CoGroupByKey()
            | "voted for" >> beam.FlatMapTuple(lambda _, found: compared(**found))
            | "judge" >> beam.ParDo(run_by(DEDUP, build))
        )


def _as_raised(error: BaseException) -> BaseException:
    """A fatal error as a stage raised it: runners wrap it, or add to its message where it happened."""
    for kind in FATAL:
        name = f"{kind.__name__}: "
        if isinstance(error, kind) or name in str(error):
            message = str(error).rpartition(name)[2].partition(" [while running")[0].strip()
            return kind(message)
    return error


def _options(given: tuple[str, ...]) -> PipelineOptions:
    named = any(option.startswith("--runner") for option in given)
    return PipelineOptions([*given] if named else [DEFAULT_RUNNER, *given])


def check_options(given: tuple[str, ...]) -> None:
    """Raise ConfigError for options that Beam would drop without a word.

    A job service describes options of its own only once it is asked: what is unknown then is a warning.
    """
    options, parsers, usage = _options(given), list[ArgumentParser](), io.StringIO()
    try:
        with redirect_stderr(usage):
            chosen = options.get_all_options(add_extra_args_fn=parsers.append)
    except SystemExit:  # argparse's answer to a value of the wrong kind
        cause = usage.getvalue().strip().rpartition("error: ")[2]
        raise ConfigError(f"options for Beam, after --: {' '.join(cause.split())}") from None
    _check_runner(chosen)
    _, unknown = parsers[0].parse_known_args(list(given))
    if not unknown:
        return
    known = [name for action in parsers[0]._actions for name in action.option_strings]
    close = difflib.get_close_matches(unknown[0].partition("=")[0], known, n=1)
    fix = f"did you mean {close[0]}?" if close else "leave it out, or look it up in Beam's documentation"
    message = f"options for Beam, after --: {unknown[0]} is unknown; {fix}"
    if str(chosen["runner"]).endswith(WITH_JOB_SERVICE):
        log.warning("%s (passed on to the job service)", message)
        return
    raise ConfigError(message)


def _check_runner(chosen: Mapping[str, Any]) -> None:
    """Raise ConfigError for values that Beam refuses, by a traceback, only when the graph is made or runs."""
    try:
        beam.runners.create_runner(chosen["runner"] or "DirectRunner")
    except (ValueError, ImportError, AttributeError) as error:
        cause = f"--runner={chosen['runner']}: {str(error).partition('. ')[0]}"
        raise ConfigError(f"options for Beam, after --: {cause}; leave it out, or see Beam's documentation") from None
    if chosen["direct_num_workers"] < 0:
        cause = f"--direct_num_workers={chosen['direct_num_workers']}: must be 1 or more, or 0 for one a core"
        raise ConfigError(f"options for Beam, after --: {cause}")


def run(build: Build, beam_options: tuple[str, ...] = (), *, only_publish: bool = False) -> dict[str, int]:
    """Run the whole graph; returns the counters, `stage/key` to value.

    Counters count attempts: a runner that repeats an element counts it twice, the artifacts are the same.
    """
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)  # its errors are raised, and told in our words
    pipeline = beam.Pipeline(options=_options(beam_options))
    inputs = () if only_publish else build.config.inputs
    milled = (
        pipeline
        | "inputs" >> beam.Create(list(enumerate(inputs)))
        | "list" >> beam.ParDo(Listing(build)).with_output_types(Listed)
        | "identify" >> Identify(build, [] if only_publish else write_index(build))
        | "stages" >> RecordingStages(build)
    )
    (
        milled
        | "all milled" >> beam.combiners.Count.Globally()
        | "plan" >> beam.FlatMap(lambda _, build: [] if build.is_stopping() else publish.plan(build), build)
        | "spread files" >> beam.Reshuffle()
        | "publish" >> beam.ParDo(PublishFn("publish", publish_file, build))
    )
    try:
        result = pipeline.run()
        result.wait_until_finish()
    except (RuntimeError, *FATAL) as error:
        raise _as_raised(error) from None
    finally:
        build.store.remove(KNOWN_FILE)
    found = result.metrics().query(MetricsFilter().with_namespace(NAMESPACE))["counters"]
    return {counter.key.metric.name: counter.committed for counter in found}
