"""Score: from clips to measures and defect scores."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import speech_defects

from speechmill.audio import INT16_STEPS, decode_flac, measures
from speechmill.core import pulse
from speechmill.core.build import Build
from speechmill.core.columns import UNIT, Column, at_least, at_most, steps
from speechmill.core.config import Defects, RunConfig
from speechmill.core.config_errors import ConfigError
from speechmill.core.models import FindModel, ModelRef
from speechmill.core.reasons import Reason
from speechmill.core.store import Store, add_footer
from speechmill.stages.base import Execution, InProcess, Isolated, RecordingStage
from speechmill.stages.restored import with_restored
from speechmill.stages.selection import clip_durations, select_clips
from speechmill.stages.work import Outcome, WorkItem

SCORE_ROWS = {"cpu": 32, "cuda": 256}  # clips scored at a time: at most 20 MB of audio, or what fills a GPU
# The models' snr_db is left out: on recordings with a noise floor of their own the measure is more accurate.
SCORES_TO_STORE = {f"{defect}": f"score_{defect}" for defect in speech_defects.Defect} | {"c50_db": "c50_db"}


F32 = pa.float32()
SPAN = pa.struct([("start_s", F32), ("end_s", F32), ("kind", pa.string())])
EDGE_RATIO = Column(
    "edge_ratio", F32, "where the louder end lies between the levels of pauses, 0, and of speech, 1", "", UNIT,
    at_most("edge_ratio", Reason.CUT_WORD),
)  # fmt: skip
MEASURES = (
    Column("snr_db", F32, "speech level over background level", "dB", steps(0, 80, 2),
           at_least("snr_db", Reason.LOW_SNR)),
    Column("bandwidth_hz", F32, "highest frequency that carries speech", "Hz", steps(0, 24_000, 500),
           at_least("bandwidth_hz", Reason.BAND_LIMITED)),
    Column("loudness_lufs", F32, "integrated loudness, ITU-R BS.1770-4", "LUFS", steps(-70, 0, 2),
           at_least("loudness_lufs", Reason.TOO_QUIET)),
    Column("peak_dbfs", F32, "highest sample", "dBFS", steps(-60, 0, 2)),
    Column("clipped_ratio", F32, "share of samples in flat tops at full scale", "", steps(0, 0.02, 0.001),
           at_most("clipped_ratio", Reason.CLIPPED)),
    EDGE_RATIO,
)  # fmt: skip
DEFECTS = (
    Column("score_noise", F32, "probability of background noise", "", UNIT, at_most("noise", Reason.NOISE)),
    Column("score_music", F32, "probability of music", "", UNIT, at_most("music", Reason.MUSIC)),
    Column("score_telephone", F32, "probability of band-limited or coded speech", "", UNIT,
           at_most("telephone", Reason.TELEPHONE)),
    Column("score_overlap", F32, "probability of two or more voices at once", "", UNIT,
           at_most("overlap", Reason.OVERLAP)),
    Column("score_reverb", F32, "probability of reverberation", "", UNIT, at_most("reverb", Reason.REVERB)),
    Column("c50_db", F32, "clarity: early over late reverberant energy", "dB", (), at_least("c50_db", Reason.REVERB)),
    Column("defect_spans", pa.list_(SPAN), "where in the clip a defect is more likely than not, 0.4 s or longer: its"
           " times in s, and its kind, which is noise, music, telephone, overlap or reverb"),
)  # fmt: skip


class Score(RecordingStage):
    """Measures of every clip, and defect scores if there are models."""

    name = "score"
    version = 3  # audio/measures.py; the models have a version of their own
    after = ("segment",)
    columns: ClassVar[tuple[Column, ...]] = (*DEFECTS, *MEASURES)
    execution = Isolated()
    typical_speed = 100.0

    def columns_in(self, config: RunConfig) -> tuple[Column, ...]:
        """Columns of measures, and of scores where there are models; ends of recordings that came cut have no test."""
        columns = MEASURES if config.defects.weights is None else self.columns
        came_cut = config.segment.profile == "as_is"
        return tuple(replace(column, test=None) if column is EDGE_RATIO and came_cut else column for column in columns)

    def models(self, config: RunConfig, store: Store, find_model: FindModel) -> tuple[ModelRef, ...]:
        """The defect models, and a pyannote checkpoint for overlap if one is configured."""
        if (profile := profile_of_scorer(config.defects)) is None:
            return ()
        files = (str(path) for path in defect_files(config.defects) if path is not None)
        return (ModelRef(key="defects.weights", name=str(config.defects.weights), files=tuple(files), sha256=profile),)

    def execution_in(self, build: Build) -> Execution:
        """In the worker with models, which are loaded once; otherwise in separate processes."""
        return InProcess(on_gpu=True) if build.has_defects else self.execution

    def process(self, element: WorkItem, build: Build) -> Outcome:
        """Measure and score every clip of a recording."""
        return score_clips(element, build, self)

    def read(self, content_id: str, build: Build, columns: list[str] | None = None) -> pa.Table:
        """Rows of a content, with the scores of restored sound where clips have any."""
        names = [column.name for column in self.columns_in(build.config)]
        return with_restored(super().read(content_id, build, columns), names, content_id, build)

    def passing(self, work: WorkItem, build: Build) -> Iterable[str]:
        """Ids of clips that pass the thresholds so far."""
        return select_clips(work, build)


def profile_of_scorer(defects: Defects) -> str | None:
    """Profile of the configured defect models; None without any. Raises ConfigError."""
    if defects.weights is None:
        if defects.overlap:
            raise ConfigError("defects.overlap: needs defects.weights, since it takes the place of one of its scores")
        return None
    try:
        weights, overlap = defect_files(defects)
        return speech_defects.profile(weights=weights, overlap=overlap)
    except speech_defects.NoWeightsError as error:
        fix = "give a file made by `speechmill train defects`, or null for no models"
        raise ConfigError(f"defects: {error}; {fix}") from None


def defect_files(defects: Defects) -> tuple[Path, Path | None]:
    """Paths of the weights, and of the pyannote checkpoint for overlap if one is configured."""
    shipped = defects.weights == "shipped"
    weights = speech_defects.WEIGHTS if shipped else Path(defects.weights or "").expanduser()
    return weights, Path(defects.overlap).expanduser() if defects.overlap else None


def score_clips(work: WorkItem, build: Build, stage: Score | None = None) -> Outcome:
    """Measure and score every clip of a recording; those that pass the present thresholds count as kept."""
    stage = stage or Score()
    name, clips = build.artifact(stage.name, work.content_id), build.artifact(stage.clips_of, work.content_id)
    state = "reused"
    if not build.store.is_done(name):
        state = "done"
        schema = stage.schema_in(build.config)
        with build.store.parquet(name, schema) as writer:
            for clip_ids, waves in _clips(clips, build):
                writer.write_table(pa.table({"clip_id": clip_ids, **scores_of(waves, build)}, schema=schema))
                pulse.add(sum(wave.size for wave in waves) / build.config.audio.sample_rate)
            add_footer(writer)
    durations = clip_durations(work.content_id, build, stage.clips_of)
    kept = stage.passing(work, build)
    return Outcome(
        state=state, seconds_in=sum(durations.values()), seconds_kept=sum(durations[clip_id] for clip_id in kept)
    )


def _clips(artifact: str, build: Build) -> Iterator[tuple[list[str], list[npt.NDArray[np.int16]]]]:
    """Ids and int16[n] samples of some clips at a time."""
    for batch in build.store.batches(artifact, ["clip_id", "flac"], SCORE_ROWS[build.device]):
        rows = [(row["clip_id"], row["flac"]) for row in batch.to_pylist() if row["clip_id"]]
        if rows:
            yield [clip_id for clip_id, _ in rows], [decode_flac(flac) for _, flac in rows]


def scores_of(clips: Sequence[npt.NDArray[np.int16]], build: Build) -> dict[str, pa.Array]:
    """Measure and score int16[n] clips at the corpus rate: an array for each column; numbers are null if undefined."""
    rate = build.config.audio.sample_rate
    values = dict(measures.measure(clips, rate))
    spans = {}
    if build.has_defects:
        waves = [_judged(clip, rate) for clip in clips]
        weights, overlap = defect_files(build.config.defects)
        scorer = speech_defects.load(device=build.device, weights=weights, overlap=overlap)
        scores, places = scorer.judge(waves, rate)
        values |= {column: np.round(scores[key], 4) for key, column in SCORES_TO_STORE.items()}
        spans = {"defect_spans": pa.array([[span._asdict() for span in found] for found in places], pa.list_(SPAN))}
    return {column: pa.array(array, F32, from_pandas=True) for column, array in values.items()} | spans


def _judged(clip: npt.NDArray[np.int16], rate: int) -> npt.NDArray[np.float32]:
    """A clip as the defect models take it; NaN, which have no scores, for a passage that is too short for them."""
    if clip.size < speech_defects.SHORTEST_S * rate:
        return np.full(rate, np.nan, np.float32)
    return clip.astype(np.float32) / np.float32(INT16_STEPS)
