"""Audio of the demo podcast: three voices made from one, and the planted defects.

The defects are made here, not with the code that trains the classifiers, so that they are an independent test.
"""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from speech_defects.packages import packaged_weights

from speechmill.core.config_errors import ConfigError
from speechmill.sources.demo.script import Episode, Passage

RATE = 44_100
MP3_BITS_A_SECOND = 128_000
MP3_OPTIONS = {"compression_level": "7"}  # LAME's fast search, in half the time

VOICE_RATE = 24_000
PITCH = {"narrator": 1.0, "miller": 0.8, "guest": 1.15}  # speech played this much faster moves pitch and formants
PACE = 0.92  # of the voice's own; slightly slower is more intelligible
SPEECH_DBFS = -23.0
ROOM_TONE_DBFS = -70.0
QUIET_DB = 40.0  # below the loudest frame of a passage
HOP = RATE // 100
PAUSE_REACH_HOPS = 14  # a pause inside a passage keeps this much at either end: at most 0.28 s
PAUSES_S = (0.9, 1.2)
MARGIN = RATE // 5  # a background fades in and out over this much beyond its passage
OVERLAP_LAG = RATE // 4

NOISE_SNR_DB = 5.0
MUSIC_SNR_DB = 3.0
OVERLAP_SNR_DB = 2.0
T60_S = 1.2
REVERB_TO_DIRECT = 2.0  # in energy
PHONE_RATE = 8_000
PHONE_BAND_HZ = (300.0, 3_400.0)
MU = 255  # of ITU-T G.711
CHORDS_HZ = (
    (130.8, 196.0, 261.6, 329.6),
    (110.0, 220.0, 261.6, 329.6),
    (87.3, 174.6, 261.6, 349.2),
    (98.0, 196.0, 246.9, 293.7),
)
BEAT = RATE // 4
BEATS_A_CHORD = 8

Sound = NDArray[np.float64]
"""Mono samples of shape (n,) at 44.1 kHz, full scale ±1."""


def load_voice() -> Callable[[Passage], Sound]:
    """Load the voice; what is returned speaks a passage, tightly cut, at SPEECH_DBFS.

    Raises ConfigError when the package that speaks is not installed.
    """
    try:
        from hibari import Hibari
    except ModuleNotFoundError:
        raise ConfigError("the demo needs the extra 'demo': pip install 'speechmill[demo]'") from None
    import soxr

    for name in ("assets/hibari.onnx", "assets/oov.onnx"):
        packaged_weights("hibari", name)
    engine = Hibari()

    def speak(passage: Passage) -> Sound:
        pitch = PITCH[passage.voice]
        speech = engine(passage.text, speed=PACE / pitch, seed=0)
        return _level(_tighten(soxr.resample(speech.astype(np.float64), VOICE_RATE * pitch, RATE)), SPEECH_DBFS)

    return speak


def render(episode: Episode, speak: Callable[[Passage], Sound]) -> tuple[Sound, list[dict[str, Any]]]:
    """Render an episode with its pauses and room tone, and say where each passage lies (start_s, end_s)."""
    rng = np.random.default_rng(episode.number)
    parts, truth, start = [np.zeros(RATE - MARGIN)], [], RATE
    for passage in episode.passages:
        sound = _plant(passage, speak, rng)
        end = start + len(sound) - 2 * MARGIN
        facts = {"text": passage.text, "voice": passage.voice, "defect": passage.defect}
        truth.append({"start_s": round(start / RATE, 3), "end_s": round(end / RATE, 3), **facts})
        pause = int(rng.uniform(*PAUSES_S) * RATE)
        parts += [sound, np.zeros(pause - 2 * MARGIN)]
        start = end + pause
    whole = np.concatenate(parts)
    return np.clip(whole + _level(_coloured(len(whole), rng), ROOM_TONE_DBFS), -1, 1), truth


def _plant(passage: Passage, speak: Callable[[Passage], Sound], rng: np.random.Generator) -> Sound:
    """Speak a passage with a margin at either end, and do to it what the script says."""
    speech = speak(passage)
    if passage.over is not None:
        speech = _lay_over(speech, speak(passage.over))
    speech = np.pad(speech, MARGIN)
    if passage.defect not in DEFECTS:
        return speech
    ramp = np.minimum(np.arange(len(speech)) / MARGIN, 1)
    return DEFECTS[passage.defect](speech, rng) * ramp * ramp[::-1]


def _lay_over(speech: Sound, other: Sound) -> Sound:
    both = np.zeros(max(len(speech), len(other) + OVERLAP_LAG))
    both[: len(speech)] += speech
    both[OVERLAP_LAG : OVERLAP_LAG + len(other)] += _level(other, SPEECH_DBFS - OVERLAP_SNR_DB)
    return both


def _noise(speech: Sound, rng: np.random.Generator) -> Sound:
    return speech + _level(_coloured(len(speech), rng), SPEECH_DBFS - NOISE_SNR_DB)


def _music(speech: Sound, _: np.random.Generator) -> Sound:
    """Lay a slow progression of chords, each held and plucked note by note, under the speech."""
    tune = np.zeros(len(speech) + BEATS_A_CHORD * BEAT)
    for beat in range(len(speech) // BEAT):
        chord = CHORDS_HZ[beat // BEATS_A_CHORD % len(CHORDS_HZ)]
        plucked = _note(2 * chord[beat % len(chord)], attack_s=0.005, decay_s=0.25)
        sustained = sum(_note(f, attack_s=0.3, decay_s=1.5) for f in chord) if beat % BEATS_A_CHORD == 0 else 0
        tune[beat * BEAT : (beat + BEATS_A_CHORD) * BEAT] += plucked + 0.5 * sustained
    return speech + _level(tune[: len(speech)], SPEECH_DBFS - MUSIC_SNR_DB)


def _note(frequency_hz: float, *, attack_s: float, decay_s: float) -> Sound:
    seconds = np.arange(BEATS_A_CHORD * BEAT) / RATE
    harmonics = np.arange(1, 7)[:, None]
    wave = (np.sin(2 * np.pi * frequency_hz * harmonics * seconds) / harmonics**1.5).sum(axis=0)
    return np.asarray(wave * np.minimum(seconds / attack_s, 1) * np.exp(-seconds / decay_s))


def _telephone(speech: Sound, _: np.random.Generator) -> Sound:
    """Pass speech through a telephone: 300 to 3400 Hz at 8 kHz, eight bits companded by the µ-law of ITU-T G.711."""
    import soxr

    low, high = PHONE_BAND_HZ
    narrow = soxr.resample(speech, RATE, PHONE_RATE)
    narrow = _filtered(narrow, PHONE_RATE, lambda f: 1 / np.sqrt((1 + (low / f) ** 12) * (1 + (f / high) ** 60)))
    code = np.round(127 * np.sign(narrow) * np.log1p(MU * np.abs(narrow).clip(max=1)) / np.log1p(MU)) / 127
    decoded = soxr.resample(np.sign(code) * np.expm1(np.abs(code) * np.log1p(MU)) / MU, PHONE_RATE, RATE)
    return _level(np.pad(decoded, (0, MARGIN))[: len(speech)], SPEECH_DBFS)


def _reverb(speech: Sound, rng: np.random.Generator) -> Sound:
    """Put speech in a room: the direct sound, then noise that has decayed by 60 dB after T60_S."""
    decay = rng.standard_normal(int(T60_S * RATE)) * 10 ** (-3 * np.arange(int(T60_S * RATE)) / (T60_S * RATE))
    decay *= np.sqrt(REVERB_TO_DIRECT / np.sum(decay**2))
    size = _fast_size(len(speech) + len(decay))
    wet = np.fft.irfft(np.fft.rfft(speech, size) * np.fft.rfft(decay, size), size)[: len(speech)]
    return _level(speech + wet, SPEECH_DBFS)


DEFECTS: dict[str | None, Callable[[Sound, np.random.Generator], Sound]] = {
    "noise": _noise,
    "music": _music,
    "telephone": _telephone,
    "reverb": _reverb,
}


def _tighten(speech: Sound) -> Sound:
    """Cut the silence off both ends, and shorten pauses so that no segmenter takes one for the end of a passage."""
    frames = speech[: len(speech) // HOP * HOP].reshape(-1, HOP)
    level_db = 10 * np.log10((frames**2).mean(axis=1) + 1e-12)
    loud = np.flatnonzero(level_db > level_db.max() - QUIET_DB)
    inside = np.arange(loud[0], loud[-1] + 1)
    to_speech = np.abs(inside[:, None] - loud).min(axis=1)
    return np.asarray(frames[inside[to_speech <= PAUSE_REACH_HOPS]]).ravel()


def _level(sound: Sound, dbfs: float) -> Sound:
    return np.asarray(sound * 10 ** (dbfs / 20) / np.sqrt(np.mean(sound**2)))


def _coloured(samples: int, rng: np.random.Generator) -> Sound:
    """Pink noise, flat below 50 Hz."""
    return _filtered(rng.standard_normal(samples), RATE, lambda f: 1 / np.sqrt(np.maximum(f, 50.0)))


def _filtered(sound: Sound, rate: int, gain: Callable[[Sound], Sound]) -> Sound:
    size = _fast_size(len(sound))
    frequency_hz = np.maximum(np.fft.rfftfreq(size, 1 / rate), 1.0)
    return np.fft.irfft(np.fft.rfft(sound, size) * gain(frequency_hz), size)[: len(sound)]


def _fast_size(samples: int) -> int:
    return 1 << samples.bit_length()  # a Fourier transform of a long prime length takes seconds


def encode_mp3(sound: Sound, title: str) -> bytes:
    """Encode as MP3 with a title and a licence in its tags."""
    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp3") as container:
        container.metadata.update(title=title, copyright="CC0-1.0")
        stream = container.add_stream("libmp3lame", rate=RATE, layout="mono", options=MP3_OPTIONS)
        stream.bit_rate = MP3_BITS_A_SECOND
        frame = av.AudioFrame.from_ndarray(np.round(sound * 32_767).astype(np.int16)[None], "s16", "mono")
        frame.sample_rate = RATE
        container.mux([*stream.encode(frame), *stream.encode(None)])
    return buffer.getvalue()
