"""Room responses, simulated or measured, with their clarity C50.

Labels of reverberation must be exact, so the C50 of each response is measured, not taken from its parameters.
"""

from dataclasses import dataclass
from math import log

import numpy as np
import numpy.typing as npt
from scipy.fft import irfft, rfft
from scipy.signal import fftconvolve

from speech_defects import RATE, Float32

Point = npt.NDArray[np.float64]
DIRECT = 16  # sample of the direct sound: 1 ms is kept before it, for pre-ringing of resamplers
EARLY_S = 0.05  # C50: ISO 3382-1, Annex A
DIRECT_S = 0.0025  # the ear merges reflections within this time with the direct sound
SOUND_M_S = 343.0
LONGEST_S = 2.5
C50_DB = (-2.0, 25.0)  # usual rooms: a church, to a treated booth
WIDER_C50_DB = (-5.0, 30.0)
T60_S = (0.1, 1.5)
IMAGE_ORDER = 6  # later reflections are too dense to be heard separately, and images are slow
BANDS_HZ = (0, 250, 500, 1000, 2000, 4000, 8000)


@dataclass(frozen=True, slots=True)
class Room:
    """A response float32[n] at 16 kHz with the direct sound at sample DIRECT, its clarity and its decay time."""

    response: Float32
    c50_db: float
    t60_s: float


def c50(response: Float32, rate: int) -> float:
    """Clarity C50 in dB of a response float32[n]: energy in the first 50 ms over the rest.

    ISO 3382-1, A.2.4. At most 60, also for a response without a tail.
    """
    start = _onset(response)
    energy = np.square(response[start:], dtype=np.float64)
    early = round(EARLY_S * rate)
    return float(min(60.0, 10 * np.log10((energy[:early].sum() + 1e-20) / (energy[early:].sum() + 1e-20))))


def t60(response: Float32, rate: int) -> float:
    """Reverberation time in seconds of a response float32[n], by Schroeder's backward integration.

    A line is fitted from -5 to -35 dB (T30), or to -25 dB (T20) where the response ends before that.
    """
    remaining = np.cumsum(np.square(response[_onset(response) :], dtype=np.float64)[::-1])[::-1]
    level = 10 * np.log10(remaining / remaining[0] + 1e-20)
    end = np.searchsorted(-level, 35 if np.searchsorted(-level, 45) < 0.95 * len(level) else 25)
    fit = np.arange(np.searchsorted(-level, 5), end)
    if len(fit) < 2:
        return 0.0
    slope = np.polyfit(fit / rate, level[fit], 1)[0]
    return float(-60 / min(slope, -1e-6))


def simulated(rng: np.random.Generator, *, c50_db: float | None = None) -> Room:
    """Simulate a random room: a shoebox by image sources with a noise tail, or noise only, with equal probability.

    C50 is near `c50_db`; None: drawn evenly from C50_DB, sometimes from WIDER_C50_DB.
    """
    wanted = rng.uniform(*(WIDER_C50_DB if rng.random() < 0.15 else C50_DB)) if c50_db is None else c50_db
    # An exponential decay without direct sound has C50 = 10 log10(exp(13.8 * 0.05 / T60) - 1): a room that decays
    # faster can not be this unclear, from whatever distance.
    shortest = max(T60_S[0], 1.25 * 6 * log(10) * EARLY_S / log(1 + 10 ** (wanted / 10)))
    longest = max(T60_S[1] if wanted < 18 else 0.7, 1.2 * shortest)
    decay_s = float(np.exp(rng.uniform(log(shortest), log(longest))))
    response = _shoebox(rng, decay_s) if rng.random() < 0.5 else _stochastic(rng, decay_s)
    return _room(_with_clarity(response, wanted))


def measured(wave: Float32, rate: int) -> Room:
    """Make a Room of a measured response float32[n] at any rate: trimmed to the direct sound, at most 2.5 s.

    Raises ValueError for a silent response.
    """
    import soxr

    if not np.any(wave):
        raise ValueError("a room response without any sound")
    response = np.asarray(soxr.resample(wave, rate, RATE) if rate != RATE else wave, np.float32)
    start = _onset(response)
    before = np.zeros(max(0, DIRECT - start), np.float32)
    return _room(np.concatenate([before, response[max(0, start - DIRECT) :]])[: round(LONGEST_S * RATE)])


def damped(room: Room, decay_s: float) -> Room:
    """Damp a room: its response decays by another 60 dB in `decay_s`."""
    late = np.maximum(0, np.arange(len(room.response)) - DIRECT) / RATE
    return _room((room.response * 10 ** (-3 * late / decay_s)).astype(np.float32))


def nearer(room: Room, louder_db: float) -> Room:
    """Bring the voice nearer: the direct sound of a room is `louder_db` louder, and its reflections as they were."""
    near = DIRECT + round(DIRECT_S * RATE)
    response = room.response.copy()
    response[:near] *= np.float32(10 ** (louder_db / 20))
    return _room(response)


def apply(wave: Float32, room: Room) -> Float32:
    """Convolve a voice float32[n] at 16 kHz with a room: float32[n], aligned with the direct sound, of equal energy."""
    wet = fftconvolve(wave, room.response)[DIRECT : DIRECT + len(wave)]
    gain = np.sqrt(np.square(wave).mean() / max(float(np.square(wet).mean()), 1e-20))
    return np.asarray(wet * gain, np.float32)


def _room(response: Float32) -> Room:
    response = (response / np.abs(response).max()).astype(np.float32)
    return Room(response, c50(response, RATE), t60(response, RATE))


def _onset(response: Float32) -> int:
    """First sample less than 20 dB below the peak, where a response begins by ISO 3382-1."""
    return int(np.argmax(np.abs(response) > np.abs(response).max() / 10))


def _with_clarity(response: Float32, wanted_db: float) -> Float32:
    """Scale the reflections relative to the direct sound, as distance and directivity do, towards a C50."""
    energy = np.square(response, dtype=np.float64)
    near, early = DIRECT + round(DIRECT_S * RATE), DIRECT + round(EARLY_S * RATE)
    direct, soon, late = energy[:near].sum(), energy[near:early].sum(), energy[early:].sum() + 1e-12
    # wanted = (direct + g soon) / (g late)
    room = 10 ** (wanted_db / 10) * late - soon
    gain = np.sqrt(np.clip(direct / room if room > 0 else np.inf, 1e-3, 8))
    return np.concatenate([response[:near], response[near:] * np.float32(gain)])


def _stochastic(rng: np.random.Generator, decay_s: float) -> Float32:
    """Random response: direct sound, a few reflections, and a noise tail that begins within 30 ms."""
    tail = _tail(rng, decay_s)
    start = round(rng.uniform(0.001, 0.03) * RATE)
    ramp = np.clip((np.arange(len(tail)) - start) / (0.01 * RATE), 0, 1)
    response = np.concatenate([np.zeros(DIRECT), tail * ramp * rng.uniform(0.02, 0.15)]).astype(np.float32)
    times = rng.uniform(0.0005, 0.06, rng.integers(3, 25))
    at = DIRECT + (times * RATE).astype(int)
    strength = rng.uniform(0.1, 0.8) * 10 ** (-3 * times / decay_s) / (1 + times / 0.01)
    np.add.at(response, at, strength * rng.choice([-1.0, 1.0], len(at)) * rng.uniform(0.3, 1, len(at)))
    response[DIRECT] += 1
    return response


def _shoebox(rng: np.random.Generator, decay_s: float) -> Float32:
    """Random shoebox that decays in about `decay_s`, by image sources, continued with noise."""
    import pyroomacoustics as pra  # slow to import

    size = np.array([rng.uniform(2, 12), rng.uniform(2, 10), rng.uniform(2.2, 5)])
    # Sabine's formula solved for absorption; where it would exceed 1, the room decays more slowly.
    absorbed = 0.161 * size.prod() / (decay_s * 2 * (size[0] * size[1] + size[1] * size[2] + size[0] * size[2]))
    tilt = np.linspace(-1, 1, 6) * rng.uniform(-0.1, 0.4)
    coeffs = np.clip(min(absorbed, 0.9) * np.exp(tilt), 0.01, 0.97)
    walls = pra.Material({"coeffs": list(coeffs), "center_freqs": [125, 250, 500, 1000, 2000, 4000]})
    box = pra.ShoeBox(size, fs=RATE, materials=walls, max_order=IMAGE_ORDER, air_absorption=True)
    voice, microphone = _positions(rng, size)
    box.add_source(voice)
    box.add_microphone(microphone)
    box.compute_rir()
    arrival = np.linalg.norm(voice - microphone) / SOUND_M_S * RATE + pra.constants.get("frac_delay_length") // 2
    images = np.asarray(box.rir[0][0], np.float32)[max(0, round(arrival) - DIRECT) :]
    return _continued(rng, images, round(IMAGE_ORDER * size.min() / SOUND_M_S * RATE), decay_s)


def _positions(rng: np.random.Generator, size: Point) -> tuple[Point, Point]:
    """Random positions of a voice and a microphone 0.2 to 5 m apart and 0.3 m from the walls."""
    voice = rng.uniform(0.3, size - 0.3)
    away = rng.normal(size=3) * [1, 1, 0.3]
    away *= np.exp(rng.uniform(log(0.2), log(5.0))) / np.linalg.norm(away)
    microphone = np.clip(voice + away, 0.3, size - 0.3)
    if np.linalg.norm(microphone - voice) < 0.2:  # limited by a corner
        microphone = size / 2 + 0.1
    return voice, microphone


def _continued(rng: np.random.Generator, images: Float32, full: int, decay_s: float) -> Float32:
    """Crossfade from images to noise of equal level at sample `full`, up to which no image is missing."""
    tail = _tail(rng, decay_s)
    full = min(full, len(images) - 1, len(tail) - 1)
    seam = slice(max(DIRECT, full - round(0.015 * RATE)), full)
    level = np.sqrt(np.square(images[seam]).mean() / max(float(np.square(tail[seam]).mean()), 1e-20))
    response = np.zeros(len(tail), np.float32)
    fade = np.clip((np.arange(len(tail)) - seam.start) / max(1, full - seam.start), 0, 1)
    response[: len(images)] = images[: len(tail)] * (1 - fade[: len(images)])
    return np.asarray(response + tail * (fade * level), np.float32)


def _tail(rng: np.random.Generator, decay_s: float) -> Float32:
    """Random noise that decays by 60 dB in about `decay_s`, differently in each octave; treble faster."""
    n = round(min(LONGEST_S, 1.2 * decay_s + 0.1) * RATE)
    spectrum = rfft(rng.standard_normal(n, np.float32))
    bins = np.arange(len(spectrum)) * RATE / n
    seconds = np.arange(n, dtype=np.float32) / RATE
    slower = np.exp(np.linspace(rng.uniform(0, 0.7), rng.uniform(-0.9, 0.1), len(BANDS_HZ) - 1))
    tail = np.zeros(n, np.float32)
    for low, high, factor in zip(BANDS_HZ, BANDS_HZ[1:], slower):
        band = irfft(np.where((bins >= low) & (bins < high), spectrum, 0), n)
        tail += band * np.exp(-3 * log(10) / (decay_s * factor) * seconds)
    return tail
