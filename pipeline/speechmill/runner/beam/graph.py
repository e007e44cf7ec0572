"""The graph: how elements come from stage to stage. They are small (ids, paths, counts); audio stays in the store."""

from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from speechmill.core.build import Build
from speechmill.runner.beam.functions import BatchedFn, IsolatedFn, StageFn, WaitingFn
from speechmill.sources import Listed
from speechmill.stages import DEDUP, FETCH, ClipStage, RecordingStage, Stage
from speechmill.stages.base import GroupedByHost, Isolated
from speechmill.stages.dedup import BucketLandmarks, BucketSpreader, Matches, find_matches, join_matches
from speechmill.stages.fetch import host_of
from speechmill.stages.flow import STAGES
from speechmill.stages.identity import Claims, load_registry, placeholder
from speechmill.stages.work import WorkItem, primary


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
    if isinstance(stage, ClipStage):
        return BatchedFn(stage, build)
    assert isinstance(stage, RecordingStage)
    how = stage.execution_in(build)
    if isinstance(how, Isolated):
        return IsolatedFn(stage.name, stage.process, build, stage.is_done)
    return (WaitingFn if isinstance(how, GroupedByHost) else StageFn)(stage.name, stage.process, build)


class RecordingStages(beam.PTransform):  # type: ignore[misc]
    """Listed recordings in; works that every stage of the build is through with out.

    Where the corpus `is_complete` and no recording has changed since, no stage after fetching is asked for anything.
    """

    def __init__(self, build: Build, *, is_complete: bool) -> None:
        super().__init__()
        self.build, self.is_complete = build, is_complete

    def expand(self, listed: beam.PCollection[Listed]) -> beam.PCollection[WorkItem]:
        """Wire fetching by host, one work a content, and the stages after it in their order."""
        works = (
            listed
            | "by host" >> beam.Map(lambda one: (host_of(one), one)).with_output_types(tuple[str, Listed])
            | "same host" >> beam.GroupByKey()
            | FETCH.name >> beam.ParDo(run_by(FETCH, self.build))
            | "by content" >> beam.Map(lambda work: (work.content_id, work)).with_output_types(tuple[str, WorkItem])
            | "same content" >> beam.GroupByKey()
            | "primary" >> beam.MapTuple(lambda _, works: primary(works))
        )
        if self.is_complete:
            changed = works | "changed" >> beam.Filter(_is_changed) | beam.combiners.Count.Globally()
            works |= "if any" >> beam.Filter(lambda _, count: count > 0, beam.pvalue.AsSingleton(changed))
        for stage in STAGES:
            if stage is DEDUP:
                works |= DEDUP.name >> Deduplicate(self.build)
            elif stage is not FETCH and stage.is_in_graph and self.build.runs(stage.name):
                works |= stage.name >> beam.ParDo(run_by(stage, self.build))
        return works


def _is_changed(work: WorkItem) -> bool:
    return not work.is_as_before


class Spread(beam.DoFn):  # type: ignore[misc]
    """Sends the landmarks of contents to their buckets, many contents at a time."""

    def __init__(self, build: Build) -> None:
        self._build = build

    def start_bundle(self) -> None:
        """Begin with nothing gathered."""
        self._spreader = BucketSpreader()

    def process(self, work: WorkItem) -> Iterator[tuple[int, BucketLandmarks]]:
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

    def expand(self, works: beam.PCollection[WorkItem]) -> beam.PCollection[WorkItem]:
        """Wire the comparison: landmarks of one hash meet in a bucket, what they say goes to the later content."""
        build = self.build
        matches = (
            works
            | "spread" >> beam.ParDo(Spread(build)).with_output_types(tuple[int, BucketLandmarks])
            | "same bucket" >> beam.GroupByKey()
            | "vote" >> beam.FlatMapTuple(lambda _, bucket: find_matches(bucket)).with_output_types(tuple[str, Matches])
        )
        own = works | "own" >> beam.Map(lambda work: (work.content_id, work)).with_output_types(tuple[str, WorkItem])
        return (
            {"works": own, "matches": matches}
            | "for each" >> beam.CoGroupByKey()
            | "voted for" >> beam.FlatMapTuple(lambda _, joined: join_matches(**joined))
            | "judge" >> beam.ParDo(run_by(DEDUP, build))
        )
