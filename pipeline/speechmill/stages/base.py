"""Base classes of stages. An artifact is made once, under a name that digests all that determines its content."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from speechmill.core.build import Build
from speechmill.core.columns import Column
from speechmill.core.config import RunConfig, profile_of
from speechmill.core.models import FindModel, ModelRef
from speechmill.core.section import Section
from speechmill.core.store import Store
from speechmill.stages.restored import by_clip
from speechmill.stages.work import Outcome, WorkItem

Clips = Mapping[str, npt.NDArray[np.int16]]  # int16[n] at the corpus rate, by clip_id
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class InProcess:
    """Run in the worker process, one element after another: for models, which are loaded once per process."""

    min_ram_gb: int = 0
    """Memory that a machine of a cluster needs for it; 0: what any machine has."""
    on_gpu: bool = False
    """Whether it runs on a GPU where the build does: a cluster gives GPUs to such stages only."""


@dataclass(frozen=True, slots=True)
class Isolated:
    """Run in separate processes, on all cores: for code that may crash or hang, such as decoders."""


@dataclass(frozen=True, slots=True)
class GroupedByHost:
    """Run in threads, with a limit for each host: for downloads."""


Execution = InProcess | Isolated | GroupedByHost


class Stage(ABC):
    """One step from recordings to a corpus.

    Graph, names of artifacts, `prune`, `plan`, progress and `run.json` are derived from these attributes. An artifact
    is complete or absent; a stage whose artifact exists does nothing.
    """

    name: ClassVar[str]
    """Name of its folder in `work/`, and in progress and `run.json`."""
    version: ClassVar[int] = 1
    """Raised whenever the same input and settings give another result."""
    after: ClassVar[tuple[str, ...]] = ()
    """Stages whose artifacts it reads; their profiles are part of its own."""
    artifact: ClassVar[pa.Schema | None] = None
    """Schema of its artifact; None: `clip_id` and `columns`."""
    columns: ClassVar[tuple[Column, ...]] = ()
    """Columns that it adds to `data/` and the pool, with their thresholds and histograms."""
    reasons: ClassVar[tuple[str, ...]] = ()
    """Reasons for which it rejects clips, other than those of thresholds: the summary lists them in its row."""
    is_in_graph: ClassVar[bool] = True
    """False for columns that are computed when the corpus is published."""
    typical_speed: ClassVar[float | None] = None
    """Speed of one process on a CPU, in multiples of real time (a shared server, 2026); None: negligible cost."""
    clips_only: ClassVar[bool] = False
    """Whether it processes only clips that pass all tests before it, not all audio."""
    clips_of: ClassVar[str] = "segment"
    """Stage whose clips it processes."""
    models_are_local: ClassVar[bool] = False
    """Whether the models that it runs, if any, are local files, so that `plan` knows its profile without a download."""
    section: ClassVar[type[Section] | None] = None
    """Schema of the config section `plugins.<name>` of a plug-in stage."""
    execution: Execution = InProcess()
    """Where it runs, and what that needs."""

    def settings(self, config: RunConfig) -> Any:
        """Settings that determine the result, other than models: JSON values or sections; None if it is switched off.

        By default the section of a plug-in stage in `plugins`, which null switches off.
        """
        section = config.plugins.get(self.name, {})
        return None if section is None else () if self.section is None else self.section.model_validate(section)

    def columns_in(self, config: RunConfig) -> tuple[Column, ...]:
        """Those of `columns` that it makes with a config."""
        return self.columns

    def schema_in(self, config: RunConfig) -> pa.Schema:
        """Schema of its artifact with a config: `artifact`, or else `clip_id` and the columns."""
        if self.artifact is not None:
            return self.artifact
        return pa.schema([pa.field("clip_id", pa.string()), *(column.field for column in self.columns_in(config))])

    def models(self, config: RunConfig, store: Store, find_model: FindModel) -> tuple[ModelRef, ...]:
        """The models that it runs. Raises ConfigError for unusable files.

        Args:
            config: The config.
            store: The corpus.
            find_model: Returns the folder of a model by name and config key, after a download if necessary.
        """
        return ()

    def profile(self, config: RunConfig, models: tuple[ModelRef, ...], before: Mapping[str, str | None]) -> str | None:
        """Digest of all that determines the result; None if it is switched off.

        Args:
            config: The config.
            models: The models that it runs.
            before: Profiles of the stages before it, by name.
        """
        settings = self.settings(config)
        if settings is None:
            return None
        own = profile_of(self.version, *_as_tuple(settings), *(model.sha256 for model in models))
        return "-".join([*(str(before[name]) for name in self.after if before[name] is not None), own])

    def check(self, build: Build) -> None:  # noqa: B027 - few stages have something to check
        """Raise ConfigError, before a run begins, for settings that its models cannot do. Nothing is checked here."""

    def execution_in(self, build: Build) -> Execution:
        """Where it runs in a build."""
        return self.execution

    def read(self, content_id: str, build: Build, columns: list[str] | None = None) -> pa.Table:
        """Rows of a content; empty if there is no artifact."""
        name = build.artifact(self.name, content_id)
        if build.runs(self.name) and build.store.exists(name):
            return build.store.read(name, columns)
        return _subschema(self.schema_in(build.config), columns).empty_table()

    def fill(self, content_id: str, build: Build) -> Mapping[str, Any]:
        """Values by column for clips without a row in the artifact; other columns are null for them."""
        return {}

    def speed(self, config: RunConfig) -> float | None:
        """Speed for the estimate of `plan`: see `typical_speed`."""
        return self.typical_speed


class RecordingStage(Stage):
    """A stage that processes one recording at a time: implement `process`."""

    models_are_local = True

    def is_done(self, element: Any, build: Build) -> bool:
        """Whether `process` would have nothing to do."""
        return build.store.is_done(build.artifact(self.name, element.content_id))

    @abstractmethod
    def process(self, element: Any, build: Build) -> Outcome:
        """Make the artifact of one recording. RejectedError, or any other error, fails only this recording."""


class ClipStage(Stage):
    """A stage that adds columns to clips: implement `rows`.

    It processes the clips that pass all tests before it, or all clips if `clips_only` is False, each once, in batches
    across contents. Its artifact has `clip_id` and the columns, unless `artifact` is set.
    """

    after: ClassVar[tuple[str, ...]] = ("segment",)
    clips_only = True
    artifact: ClassVar[pa.Schema]
    clips_at_a_time: ClassVar[int] = 16
    """Most clips that `rows` gets on a CPU, so that a run can be watched and stopped."""
    seconds_at_a_time: ClassVar[float] = 1_200.0
    """Most audio that `rows` gets on a GPU, which short clips fill no better than long ones; one clip may be longer."""
    of_restored: ClassVar[bool] = True
    """Whether it processes the restored sound of the clips that have any."""

    def __init_subclass__(cls) -> None:
        """Set `artifact` from the columns, unless it is set."""
        super().__init_subclass__()
        if getattr(cls, "artifact", None) is None:
            cls.artifact = pa.schema([pa.field("clip_id", pa.string()), *(column.field for column in cls.columns)])

    def choose(self, work: WorkItem, build: Build) -> Iterable[str] | None:
        """Ids of the clips of a content that it processes; None: those that `clips_only` says."""
        return None

    def known_rows(self, content_id: str, clip_ids: Iterable[str], build: Build) -> list[Row]:
        """Rows of those clips whose result follows from other artifacts, so that `rows` need not make them."""
        return []

    @abstractmethod
    def rows(self, clips: Clips, build: Build) -> list[Row]:
        """Make a row of the artifact for each clip, in any order. A clip's row must not depend on other clips."""

    def in_parts(self, clips: Clips, build: Build) -> Iterator[list[Row]]:
        """Make rows of all clips, some at a time, in any order."""
        on_gpu, samples = build.device == "cuda", self.seconds_at_a_time * build.config.audio.sample_rate
        part: dict[str, npt.NDArray[np.int16]] = {}
        for clip_id, clip in clips.items():
            waiting = sum(one.size for one in part.values())
            if part and (waiting + clip.size > samples if on_gpu else len(part) == self.clips_at_a_time):
                yield self.rows(part, build)
                part = {}
            part[clip_id] = clip
        if part:
            yield self.rows(part, build)

    def read(self, content_id: str, build: Build, columns: list[str] | None = None) -> pa.Table:
        """All rows of a content so far, one of each clip; `columns` include `clip_id`."""
        schema = _subschema(self.artifact, columns)
        if not build.runs(self.name):
            return schema.empty_table()
        folder = build.parts(self.name, content_id)
        parts = [build.store.read(f"{folder}/{name}", schema.names) for name in build.store.names(folder)]
        rows = pa.concat_tables(parts) if parts else schema.empty_table()
        return by_clip(rows, content_id, build) if self.of_restored else rows


def _subschema(schema: pa.Schema, columns: list[str] | None) -> pa.Schema:
    return schema if columns is None else pa.schema([schema.field(name) for name in columns])


def _as_tuple(settings: Any) -> tuple[Any, ...]:
    return settings if isinstance(settings, tuple) else (settings,)
