"""Measures levels: of a voice while it speaks, of the floor under it, and in which frames it speaks.

Every label is based on a ratio of two levels; all of them are measured here, in one way.
"""

import numpy as np
import numpy.typing as npt
from scipy.ndimage import maximum_filter1d

from speech_defects import FRAME, Float32

STEPS = 4  # in a frame
STEP = FRAME // STEPS
RANGE_DB = 25.0  # sound further below the loud parts is no speech
ABOVE_FLOOR_DB = 6.0
SMOOTH_STEPS = 9  # closures of stops are part of speech
SILENT_DB = -120.0

Mask = npt.NDArray[np.bool_]


def frames_in(length: int) -> int:
    """Number of frames of a clip of `length` samples; the last one may be short."""
    return -(-length // FRAME)


def activity(wave: Float32) -> Mask:
    """Frames in which a voice float32[n] is active: bool[frames_in(n)].

    A step of 10 ms is active where its level is within 25 dB of the 95th percentile, or less where the floor is high.
    """
    level = _steps_db(wave)
    loud, floor = np.percentile(level, 95), np.percentile(level, 5)
    if loud <= SILENT_DB + 1:
        return np.zeros(frames_in(len(wave)), bool)
    steps = level > np.clip(floor + ABOVE_FLOOR_DB, loud - RANGE_DB, loud - 15)
    closed = ~maximum_filter1d(~maximum_filter1d(steps, SMOOTH_STEPS), SMOOTH_STEPS)
    return np.asarray(_by_frame(closed).mean(axis=1) >= 0.5)


def level_db(wave: Float32, active: Mask | None = None) -> float:
    """Level of float32[n] in dBFS (power 1 is 0 dB) over the frames of `active`, or over all; at least -120."""
    if active is not None:
        wave = wave[np.repeat(active, FRAME)[: len(wave)]]
    return float(10 * np.log10(max(float(np.square(wave).mean()), 1e-12))) if len(wave) else SILENT_DB


def floor_db(wave: Float32) -> float:
    """Level in dBFS of the background of a voice float32[n]: the 5th percentile over steps of 10 ms."""
    return float(np.percentile(_steps_db(wave), 5))


def quietest(wave: Float32, length: int) -> Float32:
    """The quietest `length` samples of float32[n]: float32[min(n, length)]."""
    power = np.cumsum(np.square(wave, dtype=np.float64))
    sums = power[length::STEP] - power[: len(power) - length : STEP]
    start = int(np.argmin(sums)) * STEP if len(sums) else 0
    return wave[start : start + length]


def _steps_db(wave: Float32) -> npt.NDArray[np.float64]:
    whole = np.pad(wave, (0, -len(wave) % STEP)).reshape(-1, STEP)
    return np.asarray(10 * np.log10(np.square(whole).mean(axis=1, dtype=np.float64) + 1e-12))


def _by_frame(steps: Mask) -> Mask:
    return np.pad(steps, (0, -len(steps) % STEPS)).reshape(-1, STEPS)
