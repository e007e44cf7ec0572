"""Effects that do not make a clip unfit for training: microphone colour, dynamics, pauses, a singing tone.

Clips with and without defects get them alike, so that they do not correlate with defects.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.fft import irfft, next_fast_len, rfft
from scipy.ndimage import map_coordinates, uniform_filter1d

from speech_defects import FRAME, RATE, Float32
from speech_defects.degrade import levels
from speech_defects.degrade.levels import Mask

Gain = npt.NDArray[np.float64]
TILT_DB_OCT = 4.0
SHELF_DB = 6.0
LOW_CUT_HZ = (50.0, 120.0)
PAUSE_S = (0.2, 2.0)
STEP = levels.STEP


def coloured(wave: Float32, rng: np.random.Generator, *, low_cut: bool = True) -> Float32:
    """Give float32[n] the frequency response of another microphone: a tilt, two shelves, and a low cut."""
    size = next_fast_len(len(wave), real=True)
    hertz = np.geomspace(20, RATE / 2, 200)
    octave = np.log2(hertz / 1000)
    tilt = np.clip(rng.normal(0, TILT_DB_OCT / 3), -TILT_DB_OCT, TILT_DB_OCT)
    gain_db = tilt * np.clip(octave, -3, 2)
    for low, high in ((-3, -0.5), (0.5, 2.5)):
        gain_db = gain_db + _shelf(octave * np.sign(low + high), rng.uniform(0.5, 2.5), rng.uniform(-1, 1) * SHELF_DB)
    if low_cut:
        corner = np.log2(rng.uniform(*LOW_CUT_HZ) / 1000)
        gain_db = gain_db - 12 * np.maximum(0, corner - octave) * rng.uniform(1, 2)
    gain = np.interp(np.linspace(0, RATE / 2, size // 2 + 1), hertz, 10 ** (gain_db / 20)).astype(np.float32)
    return np.asarray(irfft(rfft(wave, size) * gain, size)[: len(wave)], np.float32)


def compressed(wave: Float32, rng: np.random.Generator) -> Float32:
    """Compress the loud parts of float32[n] by a random ratio."""
    ratio, under = rng.uniform(1.5, 5), rng.uniform(3, 15)
    return _by_level(wave, lambda level: -(1 - 1 / ratio) * np.maximum(0, level + under))


def gated(wave: Float32, rng: np.random.Generator) -> Float32:
    """Attenuate the quiet parts of float32[n], like an expander or a noise gate."""
    ratio, under, deepest = rng.uniform(1.3, 4), rng.uniform(25, 40), rng.uniform(6, 40)
    return _by_level(wave, lambda level: np.maximum(-deepest, (ratio - 1) * np.minimum(0, level + under)))


def limited(wave: Float32, rng: np.random.Generator) -> Float32:
    """Soft-clip the peaks of float32[n]."""
    drive = np.float32(rng.uniform(0.5, 1.5) / max(float(np.abs(wave).max()), 1e-9))
    return np.asarray(np.tanh(wave * drive) / drive, np.float32)


def chanted(wave: Float32, rng: np.random.Generator) -> Float32:
    """Modulate the pitch of float32[n] with glides and vibrato; same length."""
    seconds = np.arange(len(wave), dtype=np.float64) / RATE
    shake, glide = rng.uniform(4, 7), rng.uniform(0.2, 0.8)
    bent = rng.uniform(0.01, 0.035) / shake * np.sin(2 * np.pi * shake * seconds)
    bent += rng.uniform(0.03, 0.12) / (2 * np.pi * glide) * np.sin(2 * np.pi * glide * seconds)
    at = (seconds * 0.97 + bent / 2) * RATE
    return np.asarray(map_coordinates(wave, at[None], order=3, mode="mirror"), np.float32)


def with_pauses(wave: Float32, rng: np.random.Generator) -> Float32:
    """Insert 1 to 3 pauses into float32[n] where it is quiet, of silence or of its own background; same length."""
    quiet = np.flatnonzero(~levels.activity(wave)[:-1])
    floor = levels.quietest(wave, RATE // 5) * (rng.random() < 0.5)
    for _ in range(int(rng.integers(1, 4)) if len(quiet) else 0):
        at = int(quiet[rng.integers(len(quiet))]) * FRAME + FRAME // 2
        pause = np.resize(np.concatenate([floor, floor[::-1]]), round(rng.uniform(*PAUSE_S) * RATE))
        wave = np.concatenate([wave[:at], pause, wave[at:]])[: len(wave)]
    return wave


def presence(rng: np.random.Generator, length: int, *, part: float) -> Float32:
    """Draw a gain float32[length]: 1 throughout, or for a part of at least a second, with fades."""
    if rng.random() > part or length < 1.5 * RATE:
        return np.ones(length, np.float32)
    duration = rng.uniform(1.1 * RATE, 0.8 * length)
    start = rng.uniform(0, length - duration)
    fade = np.exp(rng.uniform(np.log(0.01), np.log(0.4))) * RATE
    at = np.arange(length, dtype=np.float32)
    return np.asarray(np.clip(np.minimum(at - start, start + duration - at) / fade, 0, 1), np.float32)


def ducking(active: Mask, length: int, deep_db: float) -> Float32:
    """Gain float32[length] that is `deep_db` lower where a voice is active, changing within 0.2 s."""
    slow = np.convolve(np.pad(active.astype(np.float32), 5, mode="edge"), np.full(11, 1 / 11), "valid")
    gain = 10 ** (-deep_db * slow / 20)
    return np.interp(np.arange(length) / FRAME, np.arange(len(gain)), gain).astype(np.float32)


def _shelf(octave: Gain, corner: float, gain_db: float) -> Gain:
    return np.asarray(gain_db / (1 + np.exp(-4 * (octave - corner))))


def _by_level(wave: Float32, gain_db: Callable[[Gain], Gain]) -> Float32:
    """Apply a gain to float32[n] by its level, in dB below its loud parts, smoothed over 50 ms."""
    power = np.square(np.pad(wave, (0, -len(wave) % STEP)).reshape(-1, STEP)).mean(axis=1) + 1e-12
    level = 10 * np.log10(uniform_filter1d(power, 5))
    gain = uniform_filter1d(10 ** (gain_db(level - np.percentile(level, 95)) / 20), 3)
    at = (np.arange(len(wave)) - STEP / 2) / STEP
    return np.asarray(wave * np.interp(at, np.arange(len(gain)), gain), np.float32)
