"""Passes clips through telephone and internet codecs, filters and lossy networks, and labels the result.

Real encoders in memory where PyAV has them: their effect on a voice differs from a filter's.
"""

from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from math import nan
from typing import Literal, cast, get_args

import av
import numpy as np
import numpy.typing as npt
import soxr
from scipy.fft import irfft, next_fast_len, rfft
from scipy.signal import butter, firwin, oaconvolve, sosfilt

from speech_defects import RATE, Float32

PHONE_HZ = 4200.0  # a wave of 8 kHz, and the transition band of a filter
FULL_HZ = 7000.0  # wideband telephony ends here, which does not count as telephone quality
LOSS = 0.02  # share of lost speech from which gaps are audible
PACKET_S = (0.01, 0.02, 0.03)
Kind = Literal["butter4", "butter6", "butter10", "fir", "resample"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class Coding:
    """A codec at a sample rate and bit rate. `telephone` is the label: 1, 0, or NaN for in between."""

    codec: str
    encoder: str
    sample_rate: int
    bit_rate: int | None
    telephone: float
    options: tuple[tuple[str, str], ...] = field(default=())

    @property
    def name(self) -> str:
        """Codec with its rates: "amr-nb 8k 12.2k"."""
        kbit = f" {self.bit_rate / 1000:g}k" if self.bit_rate else ""
        return f"{self.codec} {self.sample_rate / 1000:g}k{kbit}"


def _codings(
    codec: str, encoder: str, sample_rate: int, bit_rates: tuple[int, ...], telephone: float, **options: str
) -> tuple[Coding, ...]:
    return tuple(Coding(codec, encoder, sample_rate, rate, telephone, tuple(options.items())) for rate in bit_rates)


AMR_NB = (4750, 5150, 5900, 6700, 7400, 7950, 10_200, 12_200)
TELEPHONE: tuple[tuple[Coding, ...], ...] = (  # a tuple per codec: codecs are drawn evenly, then their rates
    (Coding("mu-law", "pcm_mulaw", 8000, None, 1.0),),
    (Coding("a-law", "pcm_alaw", 8000, None, 1.0),),
    _codings("amr-nb", "libopencore_amrnb", 8000, AMR_NB, 1.0),
    _codings("g723.1", "g723_1", 8000, (6300,), 1.0),
    (Coding("celp", "real_144", 8000, None, 1.0),),  # similar to GSM, for which there is no encoder
    (Coding("nellymoser", "nellymoser", 8000, None, 1.0),),
    _codings("opus", "libopus", 8000, (6000, 8000, 10_000, 12_000), 1.0, application="voip"),
    _codings("mp3", "libmp3lame", 16_000, (8000, 16_000), 1.0),
)
BETWEEN: tuple[tuple[Coding, ...], ...] = (
    _codings("mp3", "libmp3lame", 16_000, (24_000, 32_000, 40_000), nan),
    _codings("opus", "libopus", 16_000, (8000, 10_000, 12_000, 16_000), nan, application="voip"),
    (Coding("nellymoser", "nellymoser", 11_025, None, nan),),
)
HARMLESS: tuple[tuple[Coding, ...], ...] = (  # the fastest settings, since they are used often
    _codings("mp3", "libmp3lame", 16_000, (64_000, 96_000, 128_000), 0.0, compression_level="9"),
    _codings("opus", "libopus", 16_000, (24_000, 32_000, 48_000, 64_000), 0.0, compression_level="0"),
    (Coding("g722", "g722", 16_000, None, 0.0),),
    _codings("aac", "aac", 16_000, (64_000, 96_000), 0.0, aac_coder="fast"),
)


def coded(wave: Float32, coding: Coding) -> Float32:
    """Encode and decode a clip float32[n] at 16 kHz: float32[n], aligned with the original."""
    resampled = wave if coding.sample_rate == RATE else soxr.resample(wave, RATE, coding.sample_rate)
    delay = _delay(coding)
    decoded = _through(resampled, coding)
    decoded = decoded[delay:] if delay >= 0 else np.pad(decoded, (-delay, 0))
    return _length(
        decoded if coding.sample_rate == RATE else soxr.resample(decoded, coding.sample_rate, RATE), len(wave)
    )


def band_limited(wave: Float32, *, low: float, high: float, kind: Kind) -> Float32:
    """Band-limit a clip float32[n] at 16 kHz to `low` to `high` Hz: float32[n].

    At the lower end it is a Butterworth filter of second order, as in telephones.

    Args:
        wave: The clip.
        low: Lower limit; 0 keeps everything below.
        high: Upper limit.
        kind: Filter at the upper end: Butterworth of an order, linear-phase FIR, or resampling to 2 x `high` and back.
    """
    if low > 0:
        wave = sosfilt(butter(2, low, "high", fs=RATE, output="sos"), wave).astype(np.float32)
    if high >= 0.99 * RATE / 2:
        return wave
    if kind == "resample":
        resampled = soxr.resample(wave, RATE, 2 * high)
        return _length(soxr.resample(resampled, 2 * high, RATE), len(wave))
    if kind == "fir":
        taps = firwin(129, high, fs=RATE).astype(np.float32)
        return np.asarray(oaconvolve(wave, taps, mode="same"), np.float32)
    order = int(kind.removeprefix("butter"))
    return np.asarray(sosfilt(butter(order, high, fs=RATE, output="sos"), wave), np.float32)


def band_label(high: float) -> float:
    """Label of a clip with an upper limit of `high` Hz: telephone 1, in between NaN, full band 0."""
    return 1.0 if high <= PHONE_HZ else 0.0 if high >= FULL_HZ else nan


def lossy(wave: Float32, rng: np.random.Generator) -> tuple[Float32, float]:
    """Lose packets of a clip float32[n] at 16 kHz, evenly or in bursts: float32[n] and the share of speech lost.

    Packets within 30 dB of the loudest twentieth count as speech: a lost pause is not audible.
    """
    packet = round(rng.choice(PACKET_S) * RATE)
    kept = wave[: len(wave) // packet * packet].reshape(-1, packet).copy()
    power = np.square(kept).mean(axis=1)
    spoken = power > np.percentile(power, 95) / 1000
    lost = _lost(rng, len(kept))
    _conceal(kept, lost, rng)
    wave = np.concatenate([kept.ravel(), wave[kept.size :]])
    return wave, float((lost & spoken).sum() / max(1, spoken.sum()))


def lossy_label(share: float) -> float:
    """Label of a clip that lost a share of its speech."""
    return 1.0 if share >= LOSS else nan if share > 0 else 0.0


def _lost(rng: np.random.Generator, packets: int) -> npt.NDArray[np.bool_]:
    """Draw lost packets, bool[packets], 2 to 20 % of them; in bursts by the model of Gilbert (1960)."""
    rate = float(np.exp(rng.uniform(np.log(0.02), np.log(0.2))))
    burst = 1.0 if rng.random() < 0.4 else rng.uniform(1.5, 6)  # mean length in packets
    lost = np.zeros(packets, bool)
    at = 0
    while at < packets:
        at += int(rng.geometric(min(1.0, rate / burst / (1 - rate))))
        length = int(rng.geometric(1 / burst))
        lost[at : at + length] = True
        at += length
    return lost


def _conceal(packets: Float32, lost: npt.NDArray[np.bool_], rng: np.random.Generator) -> None:
    """Fill lost packets, float32[packets, samples], in place: with silence, or the previous one, fading or not."""
    decay = (0.0, 1.0, rng.uniform(0.4, 0.9))[int(rng.integers(3))]
    ramp = np.linspace(0, 1, packets.shape[1], dtype=np.float32)
    for at in np.flatnonzero(lost):
        packets[at] = packets[at - 1] * (1 - (1 - decay) * ramp) if at and decay else 0


def _through(wave: Float32, coding: Coding) -> Float32:
    """Encode and decode float32[n] at the coding's sample rate: float32[about n], delayed by the codec."""
    encoder = cast(av.AudioCodecContext, av.CodecContext.create(coding.encoder, "w"))
    encoder.sample_rate, encoder.layout = coding.sample_rate, "mono"
    encoder.format = (encoder.codec.audio_formats or [])[0]
    encoder.time_base = Fraction(1, coding.sample_rate)
    encoder.options = dict(coding.options)
    if coding.bit_rate:
        encoder.bit_rate = coding.bit_rate
    encoder.open()
    packets = [packet for frame in _frames(wave, encoder) for packet in encoder.encode(frame)] + encoder.encode(None)
    name = "mp3float" if coding.encoder == "libmp3lame" else encoder.codec.name
    decoder = cast(av.AudioCodecContext, av.CodecContext.create(name, "r"))
    decoder.sample_rate, decoder.layout = coding.sample_rate, "mono"
    if encoder.extradata:
        decoder.extradata = encoder.extradata
    frames = [frame for packet in [*packets, None] for frame in decoder.decode(packet)]
    plain = av.AudioResampler(format="fltp", layout="mono", rate=frames[0].sample_rate)
    decoded = np.concatenate([part.to_ndarray()[0] for frame in frames for part in plain.resample(frame)])
    return np.asarray(soxr.resample(decoded, frames[0].sample_rate, coding.sample_rate), np.float32)


def _frames(wave: Float32, encoder: av.AudioCodecContext) -> list[av.AudioFrame]:
    """Split a clip into frames of the encoder's format and length."""
    whole = av.AudioFrame.from_ndarray(np.clip(wave, -1, 1)[None], format="fltp", layout="mono")
    whole.sample_rate, whole.pts = encoder.sample_rate, 0
    cutter = av.AudioResampler(encoder.format, "mono", encoder.sample_rate, frame_size=encoder.frame_size or None)
    return [*cutter.resample(whole), *cutter.resample(None)]


@cache
def _delay(coding: Coding) -> int:
    """Delay of a coding in samples at its rate, measured once by cross-correlation."""
    rate = coding.sample_rate
    rng = np.random.default_rng(0)
    loud = np.repeat(
        rng.uniform(0.02, 1, 40), rate // 20
    )  # an envelope like speech, which codecs keep even if they change phases
    band_noise = sosfilt(butter(2, (300, 1800), "band", fs=rate, output="sos"), rng.standard_normal(len(loud)))
    probe = (0.2 * loud * band_noise).astype(np.float32)
    decoded = _through(probe, coding)
    size = next_fast_len(len(probe) + len(decoded))
    match = irfft(rfft(decoded, size) * np.conj(rfft(probe, size)), size)
    delay = int(np.argmax(np.abs(match)))
    return delay if delay < size // 2 else delay - size


def _length(wave: Float32, length: int) -> Float32:
    return np.pad(wave[:length], (0, max(0, length - len(wave)))).astype(np.float32)
