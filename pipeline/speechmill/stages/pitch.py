"""Pitch: from selected clips to how high and how lively their voice is, as trainers filter by and describe voices."""

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from speechmill.audio import resample
from speechmill.core.build import Build
from speechmill.core.columns import Column, steps
from speechmill.core.config import RunConfig
from speechmill.core.models import FindModel, ModelRef, model_file
from speechmill.core.store import Store
from speechmill.stages.base import Clips, ClipStage, Row

SAMPLE_RATE_HZ = 16_000  # what SwiftF0 was trained on
LOWEST_HZ, HIGHEST_HZ = 60.0, 500.0  # of speaking voices, from a low bass to a child
MIN_CONFIDENCE = 0.5  # from which SwiftF0 calls a frame voiced
MIN_FRAMES = 6  # 0.1 s of voiced frames of 16 ms: fewer say little of a voice
SEMITONES = 12  # in an octave
RANGE = (5, 95)  # percentiles: the few frames beyond them are mostly octave errors

F32 = pa.float32()


class Pitch(ClipStage):
    """Mean, spread and range of the fundamental frequency of voiced frames, by SwiftF0."""

    name = "pitch"
    models_are_local = True
    columns: ClassVar[tuple[Column, ...]] = (
        Column("pitch_mean_hz", F32, "mean fundamental frequency of voiced frames; null with hardly any", "Hz",
               steps(60, 500, 20)),
        Column("pitch_std_hz", F32, "standard deviation of the fundamental frequency", "Hz", steps(0, 120, 5)),
        Column("pitch_range_semitones", F32, "from the 5 % to the 95 % quantile of the fundamental frequency: how"
               " lively the speech is, alike for low and high voices", "semitones", steps(0, 30, 1)),
    )  # fmt: skip
    typical_speed = 110.0

    def models(self, config: RunConfig, store: Store, find_model: FindModel) -> tuple[ModelRef, ...]:
        """SwiftF0's weights, which are in its package."""
        return (model_file("pitch", "swift-f0", _weights()),)

    def rows(self, clips: Clips, build: Build) -> list[Row]:
        """Rows with the pitch of each clip."""
        rate = build.config.audio.sample_rate
        return [
            {"clip_id": clip_id, **pitch_columns(voiced_hz(resample(clip, rate, SAMPLE_RATE_HZ)))}
            for clip_id, clip in clips.items()
        ]


def pitch_columns(voiced: npt.NDArray[np.float32]) -> Row:
    """Columns from the fundamental frequencies of voiced frames, float32[n] in Hz; None with fewer than MIN_FRAMES.

    >>> pitch_columns(np.full(100, 110, np.float32))
    {'pitch_mean_hz': 110.0, 'pitch_std_hz': 0.0, 'pitch_range_semitones': 0.0}
    """
    if voiced.size < MIN_FRAMES:
        return dict.fromkeys(column.name for column in Pitch.columns)
    low, high = np.percentile(voiced, RANGE)
    return {
        "pitch_mean_hz": round(float(voiced.mean(dtype=np.float64)), 1),
        "pitch_std_hz": round(float(voiced.std(dtype=np.float64)), 1),
        "pitch_range_semitones": round(SEMITONES * float(np.log2(high / low)), 1),
    }


def voiced_hz(wave: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Fundamental frequency of each voiced frame: float32[n] samples in [-1, 1] at 16 kHz to float32[voiced] in Hz."""
    if not wave.size:
        return np.zeros(0, np.float32)
    result = _detector().detect(wave, SAMPLE_RATE_HZ, fmin=LOWEST_HZ, fmax=HIGHEST_HZ)
    hz: npt.NDArray[np.float32] = result.pitch_hz[result.confidence >= MIN_CONFIDENCE]
    return hz


@lru_cache(maxsize=1)
def _detector() -> Any:
    """SwiftF0 on one thread, so that sums are taken in one order."""
    from swift_f0 import SwiftF0

    return SwiftF0(threads=1, spin=False)


def _weights() -> Path:
    """File of SwiftF0's weights; does not import its runtime."""
    spec = find_spec("swift_f0")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).with_name("model.onnx")
