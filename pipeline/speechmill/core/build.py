"""What a run works with: its config, its store, and the names of the artifacts that each stage makes.

A profile is a short hash of all that a stage's result depends on besides the recording itself. It is part
of the artifact's name: change a setting and the old result is not used, change it back and it is there.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from speechmill.core.config import RunConfig
from speechmill.core.manual import ByHand
from speechmill.core.models import ModelRef
from speechmill.core.removals import Tombstones
from speechmill.core.store import Store

FETCHED = "v1"
STOP_FILE = "work/stop"
ERASE_FILE = "work/erase"  # something that was fetched before falls under a tombstone only now
LOG_FILE = "work/log.jsonl"
CONFIG_FILE = "work/config.json"  # of the run that is, or was last, at work
FINISHED_FILE = "work/finished.json"  # config of the run that finished last, with the secrets that run.json leaves out
KNOWN_FILE = "work/known.parquet"  # what a run knew when it began


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """One corpus being made. Small and picklable: it travels to every worker."""

    config: RunConfig
    store: Store
    profiles: Mapping[str, str | None]
    """Of each stage by its name; None: it is switched off."""
    models: Mapping[str, tuple[ModelRef, ...]]
    """Of each stage that runs one, by its name; empty where it was not looked for."""
    device: str
    """cpu or cuda."""
    removed: Tombstones
    """What may not come back."""
    by_hand: ByHand
    """What people decided about clips."""

    def runs(self, stage: str) -> bool:
        """Whether a stage is switched on."""
        return self.profiles[stage] is not None

    def artifact(self, stage: str, content_id: str) -> str:
        """Name of what a stage makes of a content in one file."""
        return self.store.artifact(stage, str(self.profiles[stage]), content_id)

    def parts(self, stage: str, content_id: str) -> str:
        """Folder of what a stage makes of a content's clips: one file for each set of clips that was selected."""
        return f"work/{stage}/{self.profiles[stage]}/{content_id}"

    def fetched(self, recording_id: str) -> str:
        """Name of the artifact with one recording's metadata and what was fetched."""
        return self.store.artifact("fetch", FETCHED, recording_id)

    def segments(self, content_id: str) -> str:
        """Name of the artifact with spans and clips."""
        return self.artifact("segment", content_id)

    @property
    def has_defects(self) -> bool:
        """Whether clips are scored by defect models, not only measured."""
        return self.config.defects.weights is not None

    def is_stopping(self) -> bool:
        """Whether the run was asked to end: finish what is in hand and begin nothing new."""
        return self.store.exists(STOP_FILE)

    def known_recordings(self) -> list[str]:
        """Ids of all recordings that this corpus ever saw, sorted."""
        return [name.removesuffix(".parquet") for name in self.store.names(f"work/fetch/{FETCHED}")]
