"""Synthesises noises and short sounds: hiss, hum, wind, rain, engines, breaths, clicks, pages.

Recorded noises are few and soon memorised by a network; these never repeat.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.fft import irfft, next_fast_len, rfft
from scipy.signal import fftconvolve

from speech_defects import RATE, Float32

Curve = Callable[[Float32], npt.NDArray[np.floating]]
SHORT_S = 0.5  # total length of short sounds, below which they are no noise


def noise(rng: np.random.Generator, length: int) -> tuple[Float32, str]:
    """Random noise float32[length] of power 1 at 16 kHz, and its kind; sometimes a sum of two."""
    kind = _KINDS[int(rng.integers(len(_KINDS)))]
    wave, name = _unit(kind(rng, length)), kind.__name__.removeprefix("_")
    if rng.random() < 0.2:
        other = _KINDS[int(rng.integers(len(_KINDS)))]
        wave = _unit(wave + rng.uniform(0.3, 1) * _unit(other(rng, length)))
        name += "+" + other.__name__.removeprefix("_")
    return wave, name


def event(rng: np.random.Generator) -> tuple[Float32, str]:
    """Random breath, click, page or thump, float32[n] with a peak of 1, 0.01 to 0.4 s long, and its kind."""
    kind = _EVENTS[int(rng.integers(len(_EVENTS)))]
    wave = kind(rng)
    return (wave / max(float(np.abs(wave).max()), 1e-9)).astype(np.float32), kind.__name__.removeprefix("_")


def shaped(rng: np.random.Generator, length: int, gain_db: Curve) -> Float32:
    """Gaussian noise float32[length] with the spectrum `gain_db`, a function of frequency in Hz."""
    size = next_fast_len(length, real=True)
    spectrum = rfft(rng.standard_normal(size, np.float32))
    hertz = np.linspace(0, RATE / 2, len(spectrum), dtype=np.float32)
    return np.asarray(irfft(spectrum * (10 ** (gain_db(hertz) / 20)).astype(np.float32), size)[:length], np.float32)


def envelope(rng: np.random.Generator, length: int, *, hertz: float, depth_db: float) -> Float32:
    """Random gain float32[length] that varies by `depth_db`, about `hertz` times a second.

    Args:
        rng: Random generator.
        length: Samples.
        hertz: Rate of variation.
        depth_db: Two standard deviations of the gain.
    """
    knots = rng.normal(0, depth_db / 2, max(4, int(length / RATE * hertz) + 4))
    at = np.linspace(1, len(knots) - 2, length, dtype=np.float32)
    smooth = np.interp(at, np.arange(len(knots)), knots)
    return (10 ** (smooth / 20)).astype(np.float32)


def _unit(wave: Float32) -> Float32:
    return np.asarray(wave / np.sqrt(max(float(np.square(wave).mean()), 1e-12)), np.float32)


def _slope(rng: np.random.Generator, low: float, high: float) -> Curve:
    """Random spectral slope in dB per octave, flat below 60 Hz."""
    slope = rng.uniform(low, high)
    return lambda hertz: slope * np.log2(np.maximum(hertz, 60) / 1000)


def _coloured(rng: np.random.Generator, length: int) -> Float32:
    slope = _slope(rng, -12, 6)
    low, high = sorted(np.exp(rng.uniform(np.log(40), np.log(8000), 2)))
    cut = rng.random() < 0.3 and high > 2 * low
    peaks = rng.uniform((100, 3, 0.05), (6000, 18, 0.5), (int(rng.integers(4)), 3))

    def gain_db(hertz: Float32) -> npt.NDArray[np.floating]:
        total = slope(hertz)
        octaves = np.log2(np.maximum(hertz, 20))
        if cut:
            total = total - 24 * np.maximum(0, np.maximum(np.log2(low) - octaves, octaves - np.log2(high)))
        for centre, height, width in peaks:
            total = total + height * np.exp(-(((octaves - np.log2(centre)) / width) ** 2))
        return total

    return shaped(rng, length, gain_db)


def _hiss(rng: np.random.Generator, length: int) -> Float32:
    return shaped(rng, length, _slope(rng, -1, 4))


def _fan(rng: np.random.Generator, length: int) -> Float32:
    steady = _unit(shaped(rng, length, _slope(rng, -9, -3)))
    return steady + rng.uniform(0.05, 0.5) * _unit(_tones(rng, length, rng.uniform(60, 400), jitter=0.002))


def _hum(rng: np.random.Generator, length: int) -> Float32:
    mains = float(rng.choice([50.0, 60.0])) * (1 + rng.normal(0, 0.001))
    return _unit(_tones(rng, length, mains, jitter=0.0)) + rng.uniform(0, 0.3) * _unit(_hiss(rng, length))


def _machine(rng: np.random.Generator, length: int) -> Float32:
    tones = _unit(_tones(rng, length, np.exp(rng.uniform(3.2, 6)), jitter=rng.uniform(0.003, 0.05)))
    tones *= envelope(rng, length, hertz=rng.uniform(0.3, 8), depth_db=rng.uniform(0, 8))
    return tones + rng.uniform(0.1, 1) * _unit(shaped(rng, length, _slope(rng, -9, 0)))


def _tones(rng: np.random.Generator, length: int, hertz: float, *, jitter: float) -> Float32:
    """Harmonic complex with pitch variation by a share `jitter`, and random levels of the harmonics."""
    count = min(40, int(rng.integers(3, 41)), int(7600 / hertz))
    strength = 10 ** (rng.normal(0, 6, count) / 20) * np.arange(1, count + 1) ** -rng.uniform(0.2, 2.0)
    period = rng.uniform(0, 2 * np.pi, count)
    table = np.arange(4096, dtype=np.float32) * (2 * np.pi / 4096)
    cycle = sum(a * np.sin(k * table + p) for k, (a, p) in enumerate(zip(strength, period), start=1))
    pace = hertz * (1 + jitter * (envelope(rng, length, hertz=3, depth_db=6) - 1) * 2) if jitter else hertz
    phase = np.cumsum(np.broadcast_to(pace / RATE, length), dtype=np.float64) % 1.0
    return np.asarray(cycle, np.float32)[(phase * 4096).astype(np.int64) % 4096]


def _modulated(rng: np.random.Generator, length: int) -> Float32:
    """Wind, waves, traffic: dull noise that swells and fades."""
    wave = shaped(rng, length, _slope(rng, -12, -2))
    return wave * envelope(rng, length, hertz=rng.uniform(0.15, 4), depth_db=rng.uniform(3, 14))


def _impulses(rng: np.random.Generator, length: int) -> Float32:
    """Rain, applause, clatter, typing: grains of noise, 4 to 2000 a second."""
    pace = float(np.exp(rng.uniform(np.log(4), np.log(2000))))
    hits = np.zeros(length, np.float32)
    at = rng.integers(0, length, max(2, int(pace * length / RATE)))
    hits[at] = np.exp(rng.normal(0, 0.8, len(at)))
    grain_s = float(np.exp(rng.uniform(np.log(0.002), np.log(0.06 if pace < 30 else 0.015))))
    grain = _burst(rng, grain_s, -6, 6)
    return np.asarray(fftconvolve(hits, grain)[:length], np.float32)


def _burst(rng: np.random.Generator, seconds: float, low: float, high: float) -> Float32:
    """Noise with an immediate onset that decays within `seconds`."""
    length = max(32, round(seconds * RATE))
    return shaped(rng, length, _slope(rng, low, high)) * np.exp(-np.linspace(0, 5, length, dtype=np.float32))


def _breath(rng: np.random.Generator) -> Float32:
    length = round(rng.uniform(0.2, 0.4) * RATE)
    wave = shaped(rng, length, lambda hertz: -6 * np.abs(np.log2(np.maximum(hertz, 60) / 1800)))
    return (wave * np.hanning(length) ** rng.uniform(0.5, 1.5)).astype(np.float32)


def _click(rng: np.random.Generator) -> Float32:
    return _burst(rng, rng.uniform(0.005, 0.03), 0, 6)


def _thump(rng: np.random.Generator) -> Float32:
    return _burst(rng, rng.uniform(0.05, 0.25), -12, -8)


def _page(rng: np.random.Generator) -> Float32:
    length = round(rng.uniform(0.15, 0.4) * RATE)
    wave = shaped(rng, length, _slope(rng, 0, 5)) * np.hanning(length).astype(np.float32)
    return wave * envelope(rng, length, hertz=rng.uniform(20, 60), depth_db=12)


_KINDS = (_coloured, _coloured, _hiss, _fan, _hum, _machine, _modulated, _modulated, _impulses)
_EVENTS = (_breath, _click, _thump, _page)
