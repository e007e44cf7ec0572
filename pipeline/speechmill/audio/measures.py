"""Signal measures of a clip: SNR, bandwidth, loudness, peak, clipping, and whether it ends in a pause.

They use one clip's own samples, vectorised within the clip. Nothing is padded or stacked with
other clips, so that a result cannot depend on the batch.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float64]

NAMES = ("snr_db", "bandwidth_hz", "loudness_lufs", "peak_dbfs", "clipped_ratio", "edge_ratio")
DECIMALS = 4
FULL_SCALE = 32768.0  # |int16 minimum|

FRAME_S = 0.032  # 31.25 Hz a bin; half overlapping
MIN_FRAMES = 10  # 0.18 s; fewer frames give no meaningful distribution
LOWEST_HZ = 80.0  # below are DC offset, hum and rumble
BAND_BINS = 8  # 250 Hz
ROUNDING_POWER = 1 / 12  # variance of the rounding to integers

FLOOR_QUANTILE = 0.2  # pauses and the gaps between harmonics and phones fill about a fifth of the frames
FLOOR_BIAS = 10**0.4  # mean of a real background over that quantile: 4 dB, measured (tests/benchmarks/measures.py)
PEAK_QUANTILE = 0.95
SPEECH_RANGE = 10**-2.5  # frames within 25 dB of the loud ones are speech
LEAST_RATIO = 0.01  # a clip without speech has -20 dB, not minus infinity

SIBILANT_QUANTILE = 0.97  # the highest bands are carried by a few per cent of the frames
CONTRAST = 10**1.2  # speech fluctuates: 12 dB above the band's own floor, which steady noise never reaches
BAND_RANGE = 10**-6.0  # 60 dB under the loudest band is leakage of a resampler or codec

HOP_S, HOPS_A_BLOCK = 0.1, 4  # BS.1770: blocks of 400 ms, 75 % overlap
OFFSET_LU = -0.691
ABSOLUTE_GATE_LUFS = -70.0
RELATIVE_GATE = 0.1  # -10 LU

LEVEL_S, EDGE_LEVELS = 0.01, 5  # 50 ms at each end: half of a clip's edge
PAUSE_QUANTILE = 0.05  # readers pause more; fluent speech still has closures
LEAST_RANGE_DB = 6.0  # sound with a smaller range has no pauses

TOP_RANGE = 10 ** (-0.2 / 20)  # a resampled flat top is still within 0.2 dB
TOP_SAMPLES = 3
LEAST_TOP = 0.5 * FULL_SCALE  # clipped audio is rarely attenuated by more than 6 dB


def measure(clips: Sequence[npt.NDArray[np.int16]], sample_rate: int) -> dict[str, npt.NDArray[np.float32]]:
    """Measure mono int16 clips of any length at `sample_rate` Hz (8 000 to 48 000).

    Returns one float32[N] for each of NAMES, rounded to 1e-4; NaN where undefined, never infinite.
    A clip's values do not depend on the other clips, to the last bit.
    """
    rows = np.array([_measure_clip(clip, sample_rate) for clip in clips]).reshape(len(clips), len(NAMES))
    return {name: column.astype(np.float32) for name, column in zip(NAMES, rows.round(DECIMALS).T, strict=True)}


def _measure_clip(clip: npt.NDArray[np.int16], rate: int) -> tuple[float, ...]:
    samples = clip.astype(np.float64)
    bands = _band_powers(samples, rate)
    return (
        _snr_db(bands),
        _bandwidth_hz(bands, rate),
        _loudness_lufs(samples / FULL_SCALE, rate),
        _peak_dbfs(samples),
        _clipped_ratio(samples),
        _edge_ratio(samples, rate),
    )


def _frame_samples(rate: int) -> int:
    return round(FRAME_S * rate)


def _band_powers(samples: Samples, rate: int) -> Samples:
    """Power [frames, bands] of 250 Hz wide bands from 0 Hz up; white noise of variance v has v / 2 over all bands.

    Frames of digital silence are left out: they say nothing about the background of the recording.
    """
    size = _frame_samples(rate)
    count = size // 2 // BAND_BINS
    if samples.size < size:
        return np.empty((0, count))
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)  # periodic Hann: a constant leaks into bin 1 only
    frames = np.lib.stride_tricks.sliding_window_view(samples, size)[:: size // 2] * window
    spectrum = np.fft.rfft(frames)[:, : count * BAND_BINS]
    power = (spectrum.real**2 + spectrum.imag**2) / (size * np.sum(window**2))
    power[:, : int(np.ceil(LOWEST_HZ * size / rate))] = 0.0
    bands: Samples = power.reshape(len(power), count, BAND_BINS).sum(axis=2)
    audible: Samples = bands[bands.sum(axis=1) > ROUNDING_POWER / 2]
    return audible


def _floor(bands: Samples) -> Samples:
    """Background power of each band: a low quantile over frames, at least the rounding noise."""
    rounding = ROUNDING_POWER / 2 / bands.shape[1]
    floor: Samples = np.maximum(np.quantile(bands, FLOOR_QUANTILE, axis=0), rounding)
    return floor


def _snr_db(bands: Samples) -> float:
    """SNR in dB, at least -20: mean power of the frames with speech over the power of the background.

    The background is estimated by band, because each band has more pauses than their sum. Unbiased around 15 dB;
    at 30 dB some 3 dB too low, because speech leaves few frames free.
    """
    if len(bands) < MIN_FRAMES:
        return np.nan
    frames = bands.sum(axis=1)
    speech = frames[frames > np.quantile(frames, PEAK_QUANTILE) * SPEECH_RANGE].mean()
    background = FLOOR_BIAS * _floor(bands).sum()
    return float(10 * np.log10(max(speech / background - 1, LEAST_RATIO)))


def _bandwidth_hz(bands: Samples, rate: int) -> float:
    """Upper edge of the highest two neighbouring bands that carry speech, Hz; NaN if none does.

    A band carries speech if it comes and goes (CONTRAST) and is not too faint beside the loudest (BAND_RANGE).
    A steady tone or noise has no contrast, hence no bandwidth; where it covers the speech of a band, that band is lost.
    """
    if len(bands) < MIN_FRAMES:
        return np.nan
    loud = np.quantile(bands, SIBILANT_QUANTILE, axis=0)
    carries = (loud > CONTRAST * _floor(bands)) & (loud > BAND_RANGE * loud.max())
    pairs = np.flatnonzero(carries[1:] & carries[:-1])
    return float((pairs[-1] + 2) * BAND_BINS * rate / _frame_samples(rate)) if pairs.size else np.nan


@lru_cache
def _k_weighting(rate: int) -> Samples:
    """Second-order sections of the K-weighting for any rate; at 48 kHz those tabled in ITU-R BS.1770-4.

    The analogue constants are from De Man, Evaluation of Implementations of the EBU R128 Loudness Measurement (2018).
    """
    gain = 10 ** (3.999843853973347 / 20)
    middle = gain**0.4996667741545416
    k, q = np.tan(np.pi * 1681.974450955533 / rate), 0.7071752369554196
    shelf = [gain + middle * k / q + k * k, 2 * (k * k - gain), gain - middle * k / q + k * k]
    scale = 1 + k / q + k * k
    first = [*(b / scale for b in shelf), 1, 2 * (k * k - 1) / scale, (1 - k / q + k * k) / scale]
    k, q = np.tan(np.pi * 38.13547087602444 / rate), 0.5003270373238773
    scale = 1 + k / q + k * k
    return np.array([first, [1, -2, 1, 1, 2 * (k * k - 1) / scale, (1 - k / q + k * k) / scale]])


def _loudness_lufs(samples: Samples, rate: int) -> float:
    """Integrated loudness by ITU-R BS.1770-4 of samples in [-1, 1); NaN under 0.4 s or if all is below -70 LUFS."""
    from scipy.signal import sosfilt  # half a second to import

    hop = round(HOP_S * rate)
    hops = samples.size // hop
    if hops < HOPS_A_BLOCK:
        return np.nan
    weighted = sosfilt(_k_weighting(rate), samples[: hops * hop]).reshape(hops, hop)
    hop_powers = np.square(weighted).mean(axis=1)
    blocks = np.lib.stride_tricks.sliding_window_view(hop_powers, HOPS_A_BLOCK).mean(axis=1)
    blocks = blocks[blocks > 10 ** ((ABSOLUTE_GATE_LUFS - OFFSET_LU) / 10)]
    if not blocks.size:
        return np.nan
    return float(OFFSET_LU + 10 * np.log10(blocks[blocks > RELATIVE_GATE * blocks.mean()].mean()))


def _peak_dbfs(samples: Samples) -> float:
    """Highest magnitude of a sample, dBFS, 0 at most; NaN for digital silence."""
    peak = np.abs(samples).max(initial=0.0)
    return float(20 * np.log10(peak / FULL_SCALE)) if peak else np.nan


def _clipped_ratio(samples: Samples) -> float:
    """Share of samples in flat tops, [0, 1]; NaN for an empty clip.

    A flat top is a run of 3 or more samples within 0.2 dB of the clip's own extreme of that sign, where this is at
    least -6 dBFS. Clipping that was resampled and turned down afterwards has rippled tops and is not seen.
    """
    if not samples.size:
        return np.nan
    return sum(_flat_top_samples(side) for side in (samples, -samples)) / samples.size


def _flat_top_samples(samples: Samples) -> int:
    top = samples.max()
    if top < LEAST_TOP:
        return 0
    at_top = np.concatenate(([False], samples >= top * TOP_RANGE, [False]))
    edges = np.flatnonzero(at_top[1:] != at_top[:-1])
    lengths = edges[1::2] - edges[::2]
    return int(lengths[lengths >= TOP_SAMPLES].sum())


def _edge_ratio(samples: Samples, rate: int) -> float:
    """Level of the louder end, from 0 for that of pauses to 1 for that of speech; NaN if there are no pauses.

    In decibels, clipped to [0, 1]. An end above 0.5 is hardly ever a pause: tests/benchmarks/boundaries.py measures it.
    """
    size = round(LEVEL_S * rate)
    frames = samples[: samples.size // size * size].reshape(-1, size)
    if len(frames) < MIN_FRAMES:
        return np.nan
    powers = np.maximum(np.square(frames).mean(axis=1), ROUNDING_POWER)
    pause_db, speech_db = 10 * np.log10(np.quantile(powers, (PAUSE_QUANTILE, PEAK_QUANTILE)))
    if speech_db - pause_db < LEAST_RANGE_DB:
        return np.nan
    end_db = 10 * np.log10(max(powers[:EDGE_LEVELS].mean(), powers[-EDGE_LEVELS:].mean()))
    return float(np.clip((end_db - pause_db) / (speech_db - pause_db), 0, 1))
