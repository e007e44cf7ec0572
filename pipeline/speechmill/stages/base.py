"""What a stage is: it turns one recording's artifacts into the next one, once, named by all that decides it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
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
from speechmill.stages.work import Outcome

Clips = Mapping[str, npt.NDArray[np.int16]]  # int16[n] at the corpus rate, by clip_id
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class InProcess:
    """In the worker itself, one element after the other: for models, which are loaded once a process."""


@dataclass(frozen=True, slots=True)
class Isolated:
    """In processes of its own, on all cores: for code that may crash or hang, such as decoders."""


@dataclass(frozen=True, slots=True)
class GroupedByHost:
    """In threads that wait for servers, few of each host."""


Execution = InProcess | Isolated | GroupedByHost


class Stage(ABC):
    """One step from recordings to a corpus. A file of this package has one or two.

    Graph, names of artifacts, `prune`, `plan`, progress and `run.json` follow from what is said here. An artifact is
    there whole or not at all; a stage whose artifact is there does nothing.
    """

    name: ClassVar[str]
    """Folder in `work/`, row of the progress and of `run.json`."""
    version: ClassVar[int] = 1
    """Raise it when the same input and settings give another result."""
    after: ClassVar[tuple[str, ...]] = ()
    """Stages whose artifacts it reads, and whose profiles its own stands on."""
    artifact: ClassVar[pa.Schema | None] = None
    columns: ClassVar[tuple[Column, ...]] = ()
    """What it adds to `data/` and the pool, with their thresholds and histograms."""
    reasons: ClassVar[tuple[str, ...]] = ()
    """Why it rejects clips, beside the thresholds of its columns: the end table names them in its row."""
    is_in_graph: ClassVar[bool] = True
    """False for what is made when the corpus is published."""
    typical_speed: ClassVar[float | None] = None
    """× real time of one process on a CPU (a shared server, 2026); None where it costs next to nothing."""
    clips_only: ClassVar[bool] = False
    """Whether it takes only clips that pass so far, not all audio."""
    section: ClassVar[type[Section] | None] = None
    """For a stage of a plug-in: the keys that `plugins.<name>` may have in the config."""

    def settings(self, config: RunConfig) -> Any:
        """What of the config decides the result, beside models: values of JSON or sections; None: it is off.

        Of a stage of a plug-in its section in `plugins`, which null switches off.
        """
        given = config.plugins.get(self.name, {})
        return None if given is None else () if self.section is None else self.section.model_validate(given)

    def columns_in(self, config: RunConfig) -> tuple[Column, ...]:
        """The columns that it makes with a config, where it may make fewer."""
        return self.columns

    def schema_in(self, config: RunConfig) -> pa.Schema:
        """The schema of its artifact with a config: of its columns, a row a clip, where it names no other."""
        if self.artifact is not None:
            return self.artifact
        return pa.schema([pa.field("clip_id", pa.string()), *(column.field for column in self.columns_in(config))])

    def models(self, config: RunConfig, store: Store, find_model: FindModel) -> tuple[ModelRef, ...]:
        """The models it runs. `find_model` gives the folder of one that may have to be downloaded.

        Raises ConfigError for a file that cannot be used.
        """
        return ()

    def profile(self, config: RunConfig, models: tuple[ModelRef, ...], before: Mapping[str, str | None]) -> str | None:
        """Name of all that decides the result, given the profiles `before` it; None where it is switched off."""
        chosen = self.settings(config)
        if chosen is None:
            return None
        own = profile_of(self.version, *_listed(chosen), *(model.sha256 for model in models))
        return "-".join([*(str(before[name]) for name in self.after), own])

    def read(self, content_id: str, build: Build, columns: list[str] | None = None) -> pa.Table:
        """Rows of a content; none where the artifact is not there."""
        name = build.artifact(self.name, content_id)
        if build.runs(self.name) and build.store.exists(name):
            return build.store.read(name, columns)
        return _chosen(self.schema_in(build.config), columns).empty_table()

    def fill(self, content_id: str, build: Build) -> Mapping[str, Any]:
        """Values, by column, of clips that the artifact has no row of; null for other columns."""
        return {}

    def speed(self, config: RunConfig) -> float | None:
        """× real time of one process on a CPU that `plan` reckons with; None where it costs next to nothing."""
        return self.typical_speed


class RecordingStage(Stage):
    """A stage that works on one recording at a time: write `process`."""

    execution: Execution = InProcess()

    def execution_in(self, build: Build) -> Execution:
        """How it runs in a build."""
        return self.execution

    def is_done(self, element: Any, build: Build) -> bool:
        """Whether `process` would run nothing."""
        return build.store.is_done(build.artifact(self.name, element.content_id))

    @abstractmethod
    def process(self, element: Any, build: Build) -> Outcome:
        """Make the artifact of one recording. Raises RejectedError, or any error, which costs that recording only."""


class ClipStage(Stage):
    """A stage that adds columns to clips: write `rows`, and the rest follows.

    Only clips that pass so far are worked on, or all of them where `clips_only` is False; only those not done yet, of
    many contents together. The artifact is made of the columns, where a stage names no other.
    """

    after = ("segment",)
    clips_only = True
    artifact: ClassVar[pa.Schema]

    def __init_subclass__(cls) -> None:
        """Make the artifact of the columns."""
        super().__init_subclass__()
        if getattr(cls, "artifact", None) is None:
            cls.artifact = pa.schema([pa.field("clip_id", pa.string()), *(column.field for column in cls.columns)])

    @abstractmethod
    def rows(self, clips: Clips, build: Build) -> list[Row]:
        """A row of the artifact for each clip, in any order. A clip's row may not depend on the others."""

    def read(self, content_id: str, build: Build, columns: list[str] | None = None) -> pa.Table:
        """All rows of a content so far."""
        schema = _chosen(self.artifact, columns)
        if not build.runs(self.name):
            return schema.empty_table()
        folder = build.parts(self.name, content_id)
        parts = [build.store.read(f"{folder}/{name}", schema.names) for name in build.store.names(folder)]
        return pa.concat_tables(parts) if parts else schema.empty_table()


def _chosen(schema: pa.Schema, columns: list[str] | None) -> pa.Schema:
    return schema if columns is None else pa.schema([schema.field(name) for name in columns])


def _listed(chosen: Any) -> tuple[Any, ...]:
    return chosen if isinstance(chosen, tuple) else (chosen,)
