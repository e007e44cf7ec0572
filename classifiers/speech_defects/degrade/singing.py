"""Turns speech into song: slower, on the notes of a melody, with vibrato.

Songs that may be trained on are few, and a singer without instruments is what a detector of music misses first.
"""

import numpy as np
import numpy.typing as npt
from scipy.fft import irfft, rfft
from scipy.ndimage import map_coordinates, median_filter, uniform_filter1d

from speech_defects import RATE, Float32

Track = npt.NDArray[np.float64]
STEP = RATE // 100
WINDOW = RATE // 20
PITCH_HZ = (70.0, 400.0)
VOICED = 0.45  # least normalised autocorrelation
SLOWER = (1.2, 2.4)
NOTE_S = (0.25, 1.3)
SCALE = (0, 2, 4, 5, 7, 9, 11)  # semitones of a major scale
SPREAD = 512  # samples: half the window of the time stretch
SEARCH = 200  # samples: how far a piece moves to fit the one before it


def sung(wave: Float32, rng: np.random.Generator) -> Float32:
    """Sing float32[n] at 16 kHz to a random melody: float32[n], of its first words."""
    slow = stretched(wave, rng.uniform(*SLOWER))
    pitch, is_voiced = pitched(slow)
    if not is_voiced.any():
        return wave
    ratio = melody(rng, len(pitch), float(np.median(pitch[is_voiced]))) / pitch
    at = np.flatnonzero(is_voiced)
    steady = uniform_filter1d(np.interp(np.arange(len(pitch)), at, np.clip(ratio[at], 0.5, 2.0)), 3)
    speed = np.interp(np.arange(len(slow)) / STEP, np.arange(len(steady)), steady)
    played_at = np.concatenate([[0.0], np.cumsum(1 / speed)])  # when each sample is played
    position = np.interp(np.arange(len(wave)), played_at, np.arange(len(played_at)))
    return np.asarray(map_coordinates(slow, position[None], order=3, mode="mirror"), np.float32)


def stretched(wave: Float32, slower: float) -> Float32:
    """Slow float32[n] down at the same pitch, by overlapped pieces that continue each other.

    WSOLA: Verhelst and Roelands, "An overlap-add technique based on waveform similarity", 1993.
    """
    window = np.hanning(2 * SPREAD + 1)[:-1].astype(np.float32)
    padded = np.pad(wave, (SEARCH, 2 * SPREAD + 2 * SEARCH))
    out = np.zeros(round(len(wave) * slower) + 2 * SPREAD, np.float32)
    at = SEARCH
    for start in range(0, len(out) - 2 * SPREAD, SPREAD):
        out[start : start + 2 * SPREAD] += padded[at : at + 2 * SPREAD] * window
        follows = padded[at + SPREAD : at + 2 * SPREAD]
        wanted = SEARCH + min(int((start + SPREAD) / slower), len(wave))
        near = padded[wanted - SEARCH : wanted + SEARCH + SPREAD]
        size = 2 * SPREAD
        match = irfft(rfft(near, size) * np.conj(rfft(follows, size)), size)[: 2 * SEARCH]
        at = wanted - SEARCH + int(np.argmax(match))
    return out


def pitched(wave: Float32) -> tuple[Track, npt.NDArray[np.bool_]]:
    """Pitch in hertz of float32[n] in steps of 10 ms, float64[n / STEP], and where it is voiced."""
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(wave, WINDOW // 2), WINDOW)[::STEP][: len(wave) // STEP]
    power = np.abs(rfft(frames * np.hanning(WINDOW), 2 * WINDOW)) ** 2
    likeness = irfft(power)[:, :WINDOW] / (irfft(rfft(np.hanning(WINDOW), 2 * WINDOW).__abs__() ** 2)[:WINDOW] + 1e-6)
    shortest, longest = (round(RATE / hertz) for hertz in PITCH_HZ[::-1])
    lag = shortest + np.argmax(likeness[:, shortest:longest], axis=1)
    best = likeness[np.arange(len(lag)), lag] / (likeness[:, 0] + 1e-9)
    loud = likeness[:, 0] > 0.003 * np.percentile(likeness[:, 0], 95)
    return median_filter(RATE / lag, 5), (best > VOICED) & loud


def melody(rng: np.random.Generator, steps: int, around: float) -> Track:
    """Pitch in hertz of random notes around one, float64[steps], with glides and vibrato."""
    semitones = np.zeros(steps)
    degree, at, shift = 0, 0, rng.uniform(-2, 5)
    while at < steps:
        length = int(rng.uniform(*NOTE_S) * 100)
        degree = int(np.clip(degree + rng.integers(-3, 4), -6, 7))
        semitones[at : at + length] = 12 * (degree // 7) + SCALE[degree % 7]
        at += length
    glide = uniform_filter1d(semitones, int(rng.integers(4, 12)), mode="nearest")
    shake = rng.uniform(0, 0.7) * np.sin(2 * np.pi * rng.uniform(4.5, 6.5) * np.arange(steps) / 100)
    return np.asarray(around * 2 ** ((glide + shift + shake) / 12))
