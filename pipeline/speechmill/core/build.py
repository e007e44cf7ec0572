"""The build that a run works on: its config, its store, and the artifact names of each stage.

A profile is a short hash of everything that a stage's result depends on besides the recording. It is part of the
artifact's name: after a change of settings old results are not used, and after changing back they are used again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from speechmill.core.config import RunConfig
from speechmill.core.manual import ManualDecisions
from speechmill.core.models import ModelRef
from speechmill.core.removals import Removals
from speechmill.core.share import WHOLE, Share
from speechmill.core.store import Store

FETCHED = "v1"  # profile of the stage fetch
STOP_FILE = "work/stop"  # exists while a run is asked to stop; that of a shard has its name too
PURGE_FILE = "work/erase"  # exists while a removal request matches a recording whose files are not purged yet
LOG_FILE = "work/log.jsonl"
LOG_FOLDER = "work/log"  # on object stores, which cannot append: the log in pieces, of each process its own
CONFIG_FILE = "work/config.json"  # config of the current or the last run
FINISHED_FILE = "work/finished.json"  # config of the last finished run, with the secrets that run.json leaves out
COMPARED_FOLDER = "work/compared"  # what dedup compared, and in which order; it holds addresses
KNOWN_FILE = "work/known.parquet"  # index of the recordings that the corpus had when the run began


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """One build of a corpus. Small and picklable, since it is sent to every worker."""

    config: RunConfig
    store: Store
    profiles: Mapping[str, str | None]
    """Profile by stage name; None: the stage is switched off."""
    models: Mapping[str, tuple[ModelRef, ...]]
    """Models by stage name; empty for stages without models, and where models were not resolved."""
    device: str
    """cpu or cuda."""
    removals: Removals
    """Requests to remove recordings, which no run may bring back."""
    by_hand: ManualDecisions
    """Decisions of people about clips."""
    share: Share = WHOLE
    """What of the build this run does."""
    is_complete: bool = False
    """Whether every known recording was through all stages when the run began."""

    def runs(self, stage: str) -> bool:
        """Whether a stage is switched on."""
        return self.profiles[stage] is not None

    def by_reference(self) -> "Build":
        """The same build for workers on other machines, where models are looked for by name, not by path."""
        models = {stage: tuple(replace(ref, files=()) for ref in refs) for stage, refs in self.models.items()}
        return replace(self, models=models)

    def artifact(self, stage: str, content_id: str) -> str:
        """Name of the artifact that a recording stage makes of one content."""
        return self.store.artifact(stage, str(self.profiles[stage]), content_id)

    def parts(self, stage: str, content_id: str) -> str:
        """Folder of the artifacts that a clip stage makes of one content: a file for each selection of its clips."""
        return f"work/{stage}/{self.profiles[stage]}/{content_id}"

    def fetched(self, recording_id: str) -> str:
        """Name of the artifact of the stage fetch: metadata of one recording."""
        return self.store.artifact("fetch", FETCHED, recording_id)

    def segments(self, content_id: str) -> str:
        """Name of the artifact of the stage segment: spans and clips of one content."""
        return self.artifact("segment", content_id)

    def is_decoded(self, content_id: str) -> bool:
        """Whether the media of a content are not needed any more."""
        return self.store.is_done(self.segments(content_id)) or (
            self.runs("passages") and self.store.is_done(self.artifact("passages", content_id))
        )

    @property
    def has_defects(self) -> bool:
        """Whether defect models score clips, besides the signal measures."""
        return self.config.defects.weights is not None

    def is_stopping(self) -> bool:
        """Whether the run was asked to stop: finish elements in progress and begin no others."""
        return self.store.has_appeared(self.stop_file)

    @property
    def stop_file(self) -> str:
        """Name of the file that exists while this run is asked to stop."""
        return STOP_FILE + self.share.name

    def known_recordings(self) -> list[str]:
        """Ids of all recordings that this corpus ever had, sorted."""
        return [name.removesuffix(".parquet") for name in self.store.names(f"work/fetch/{FETCHED}")]
