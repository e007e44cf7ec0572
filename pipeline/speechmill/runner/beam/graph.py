"""The Beam graph of all stages. Its elements are small (ids, paths, counts); audio stays in the store."""

import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from speechmill.core.build import Build
from speechmill.core.share import Share
from speechmill.runner.beam.functions import BatchedFn, CompareFn, IsolatedFn, StageFn, WaitingFn
from speechmill.runner.beam.options import hints_for, is_on_other_machines
from speechmill.runner.forecast import expected_s
from speechmill.runner.log import log_listed, open_log
from speechmill.sources import Listed
from speechmill.stages import DEDUP, FETCH, ClipStage, RecordingStage, Stage
from speechmill.stages.base import GroupedByHost, Isolated
from speechmill.stages.dedup import BucketLandmarks, BucketSpreader, Matches, find_matches, join_matches
from speechmill.stages.fetch import host_of
from speechmill.stages.flow import STAGES
from speechmill.stages.identity import Claims, load_registry, placeholder
from speechmill.stages.known import recalled
from speechmill.stages.work import WorkItem, primary


class _RegistryFn(beam.DoFn):  # type: ignore[misc]
    """Base of DoFns that use the registry of known recordings."""

    def __init__(self, build: Build) -> None:
        self._build = build

    def setup(self) -> None:
        """Load the registry, once per worker."""
        self._registry = load_registry(self._build)


class Settle(_RegistryFn):
    """Gives listed recordings their ids; those with several candidate ids go to the output CLAIMS."""

    CLAIMS = "claims"

    def process(self, listed: Listed) -> Iterator[Any]:
        """Settle a listed recording, which may read its file, unless the run is stopping."""
        if self._build.is_stopping():
            return
        settled = self._registry.settle(listed)
        is_claim = isinstance(settled, Claims)
        yield beam.pvalue.TaggedOutput(self.CLAIMS, settled) if is_claim else settled


class Resolve(_RegistryFn):
    """Resolves competing claims to known ids."""

    def process(self, element: tuple[int, Iterable[Claims]]) -> Iterator[Listed]:
        """Resolve all claims of the run together."""
        yield from self._registry.resolve(element[1])


class Distinct(_RegistryFn):
    """Merges listings of the same id, and logs how much was listed, by which the live view knows the end."""

    def setup(self) -> None:
        """Load the registry, and open the log, once per worker."""
        super().setup()
        open_log(self._build.store)

    def start_bundle(self) -> None:
        """Begin to count."""
        self._listed, self._expected_s = 0, 0.0

    def process(self, element: tuple[str, Iterable[Listed]]) -> Iterator[Listed]:
        """Merge all listings of an id."""
        for listed in self._registry.distinct(element[1], self._build):
            if self._build.share.has(listed.recording.recording_id):
                self._listed += 1
                self._expected_s += expected_s(listed)
            yield listed

    def finish_bundle(self) -> None:
        """Log the counts."""
        log_listed(self._listed, self._expected_s)


class Identify(beam.PTransform):  # type: ignore[misc]
    """Listed recordings in; every recording of the corpus out, once, under its id. `recall`: also unlisted ones."""

    def __init__(self, build: Build, *, recall: bool) -> None:
        super().__init__()
        self.build, self.recall = build, recall

    def expand(self, listed: beam.PCollection[Listed]) -> beam.PCollection[Listed]:
        """Settle, resolve and merge; all claims, which are few, go to one worker."""
        settled = listed | "settle" >> beam.ParDo(Settle(self.build)).with_outputs(Settle.CLAIMS, main="settled")
        resolved = (
            settled[Settle.CLAIMS]
            | "in one place" >> beam.Map(lambda claims: (0, claims)).with_output_types(tuple[int, Claims])
            | "all claims" >> beam.GroupByKey()
            | "resolve" >> beam.ParDo(Resolve(self.build))
        )
        known = (
            listed.pipeline
            | "index" >> beam.Create([None] if self.recall else [])  # without ids, which would be a part of the graph
            | "known" >> beam.FlatMap(_recalled, self.build).with_output_types(Listed)
        )
        return (
            (settled.settled, resolved, known)
            | "recordings" >> beam.Flatten()
            | "by id"
            >> beam.Map(lambda listed: (listed.recording.recording_id, listed)).with_output_types(tuple[str, Listed])
            | "same recording" >> beam.GroupByKey()
            | "distinct" >> beam.ParDo(Distinct(self.build))
        )


def _recalled(_: None, build: Build) -> Iterator[Listed]:
    return map(placeholder, recalled(build))


def stage_fn(stage: Stage, build: Build) -> StageFn:
    """DoFn for a stage and its kind of execution."""
    if isinstance(stage, ClipStage):
        return BatchedFn(stage, build)
    assert isinstance(stage, RecordingStage)
    execution = stage.execution_in(build)
    if isinstance(execution, Isolated):
        return IsolatedFn(stage.name, stage.process, build, stage.is_done)
    return (WaitingFn if isinstance(execution, GroupedByHost) else StageFn)(stage.name, stage.process, build)


class Fetching(beam.PTransform):  # type: ignore[misc]
    """Listed recordings in; work items out, one per recording with media."""

    def __init__(self, build: Build) -> None:
        super().__init__()
        self.build = build

    def expand(self, listed: beam.PCollection[Listed]) -> beam.PCollection[WorkItem]:
        """Fetch by host."""
        return (
            listed
            | "of this shard" >> beam.Filter(_is_in_shard, self.build.share)
            | "by host"
            >> beam.Map(_by_host, self.build.config.fetch.host_workers).with_output_types(tuple[str, Listed])
            | "same host" >> beam.GroupByKey()
            | FETCH.name >> beam.ParDo(stage_fn(FETCH, self.build))
        )


class RecordingStages(beam.PTransform):  # type: ignore[misc]
    """Work items in; one item per content out, after all stages of the build but fetching.

    Where the corpus is complete and no recording has changed since, they are skipped. `is_whole`: the items are the
    whole corpus, not a wave of it.
    """

    def __init__(self, build: Build, options: PipelineOptions, *, is_whole: bool) -> None:
        super().__init__()
        self.build, self.options, self.is_whole = build, options, is_whole

    def expand(self, works: beam.PCollection[WorkItem]) -> beam.PCollection[WorkItem]:
        """Merge items by content, then run the stages in order."""
        share = self.build.share
        works = (
            works
            | "by content" >> beam.Map(lambda work: (work.content_id, work)).with_output_types(tuple[str, WorkItem])
            | "same content" >> beam.GroupByKey()
            | "primary" >> beam.MapTuple(lambda _, works: primary(works))
        )
        if self.build.is_complete:
            changed = works | "changed" >> beam.Filter(_is_changed) | beam.combiners.Count.Globally()
            works |= "if any" >> beam.Filter(lambda _, count: count > 0, beam.pvalue.AsSingleton(changed))
        for stage in STAGES:
            if stage is DEDUP and share.shards > 1:  # it compares all recordings: a run of the whole does that
                works |= "compared" >> beam.Filter(DEDUP.is_done, self.build)
            elif stage is DEDUP:
                works |= DEDUP.name >> self._deduplicate()
            elif stage is not FETCH and stage.is_in_graph and self.build.runs(stage.name):
                hints = hints_for(stage, self.build, self.options)
                works |= stage.name >> beam.ParDo(stage_fn(stage, self.build)).with_resource_hints(**hints)
            if stage.name == share.until:
                break
        return works

    def _deduplicate(self) -> beam.PTransform:
        """By shuffles where workers are on several machines, else by files on the disk of this one."""
        is_spread = is_on_other_machines(self.options)
        return Deduplicate(self.build) if is_spread else DeduplicateHere(self.build, is_whole=self.is_whole)


def _by_host(listed: Listed, workers: int) -> tuple[str, Listed]:
    """A recording by its host, and by one of the workers that share that host."""
    return f"{host_of(listed)} {zlib.crc32(listed.recording.recording_id.encode()) % workers}", listed


def _is_in_shard(listed: Listed, share: Share) -> bool:
    return share.has(listed.recording.recording_id)


def _is_changed(work: WorkItem) -> bool:
    return not work.is_as_before


class BucketFn(beam.DoFn):  # type: ignore[misc]
    """Sends landmarks of contents to dedup buckets, many contents at a time."""

    def __init__(self, build: Build) -> None:
        self._build = build

    def start_bundle(self) -> None:
        """Begin without landmarks."""
        self._spreader = BucketSpreader()

    def process(self, work: WorkItem) -> Iterator[tuple[int, BucketLandmarks]]:
        """Collect landmarks; yield buckets when there are enough."""
        self._spreader.add(work, self._build)
        if self._spreader.is_full:
            yield from self._spreader.spread()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """Yield the remaining buckets."""
        for element in self._spreader.spread():
            yield WindowedValue(element, GlobalWindow().max_timestamp(), [GlobalWindow()])


class Deduplicate(beam.PTransform):  # type: ignore[misc]
    """Work items in; the same items out, after the stage dedup has matched their sound with all others."""

    def __init__(self, build: Build) -> None:
        super().__init__()
        self.build = build

    def expand(self, works: beam.PCollection[WorkItem]) -> beam.PCollection[WorkItem]:
        """Group landmarks by bucket, find matches, and give each to the later of its two contents."""
        build = self.build
        matches = (
            works
            | "buckets" >> beam.ParDo(BucketFn(build)).with_output_types(tuple[int, BucketLandmarks])
            | "same bucket" >> beam.GroupByKey()
            | "match"
            >> beam.FlatMapTuple(lambda _, bucket: find_matches(bucket)).with_output_types(tuple[str, Matches])
        )
        own = works | "own" >> beam.Map(lambda work: (work.content_id, work)).with_output_types(tuple[str, WorkItem])
        return (
            {"works": own, "matches": matches}
            | "for each" >> beam.CoGroupByKey()
            | "join" >> beam.FlatMapTuple(lambda _, joined: join_matches(**joined))
            | "store" >> beam.ParDo(stage_fn(DEDUP, build))
        )


class DeduplicateHere(beam.PTransform):  # type: ignore[misc]
    """As `Deduplicate`, in one process, whose memory does not grow with the corpus."""

    def __init__(self, build: Build, *, is_whole: bool) -> None:
        super().__init__()
        self.build, self.is_whole = build, is_whole

    def expand(self, works: beam.PCollection[WorkItem]) -> beam.PCollection[WorkItem]:
        """Compare all items in one place, then spread them again."""
        return (
            works
            | "one place" >> beam.Map(lambda work: (0, work)).with_output_types(tuple[int, WorkItem])
            | "all works" >> beam.GroupByKey()
            | "compare" >> beam.ParDo(CompareFn(self.build, is_whole=self.is_whole))
            | "by itself" >> beam.Map(lambda work: (work.content_id, work)).with_output_types(tuple[str, WorkItem])
            | "spread again" >> beam.GroupByKey()
            | "each" >> beam.FlatMapTuple(lambda _, works: works)
        )
