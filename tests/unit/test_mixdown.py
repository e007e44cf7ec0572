"""Mixing down: speech comes through at its level, whatever the channels are and however they were made."""

import io
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
from speechmill.audio import Decoding, Mix, mixdown_name
from speechmill.audio.meter import Meter
from speechmill.audio.mixdown import DIFFERENCE, FIRST_CHANNEL, Format, Mixer
from speechmill.core.config import Audio

from tests.media import RATE, segmented, wav

Sound = npt.NDArray[np.float32]
Channels = Callable[[Sound, Sound], npt.NDArray]  # two voices to [n, channels]


def mixed(data: bytes) -> tuple[tuple[Mix, ...], Sound]:
    """As the segment stage does: the mean, and again if something else is better."""
    first = Decoding(io.BytesIO(data), RATE, Audio())
    got, mixes = np.concatenate([*first]), first.decided_mixes()
    if all(mix.is_default for mix in mixes):
        return mixes, got
    again = Decoding(io.BytesIO(data), RATE, Audio(), mixes=mixes)
    return mixes, np.concatenate([*again])


def level_db(sound: Sound) -> float:
    return float(10 * np.log10(np.mean(np.square(sound, dtype=np.float64)) + 1e-20))


def likeness(got: Sound, voice: Sound) -> float:
    """How much of `got` is the voice, at any small delay and in either polarity: 1 is all."""
    size = min(got.size, voice.size)
    spectra = [np.fft.rfft(sound[:size].astype(np.float64), 2 * size) for sound in (got, voice)]
    products = np.fft.irfft(spectra[0] * spectra[1].conj())
    near = np.abs(np.concatenate([products[:2_000], products[-2_000:]])).max()
    return float(near / np.sqrt(np.sum(np.square(got[:size], dtype=np.float64)) * np.sum(np.square(voice[:size]))))


def low_passed(sound: Sound, hertz: float) -> Sound:
    spectrum = np.fft.rfft(sound)
    spectrum[round(hertz * sound.size / RATE) :] = 0
    return np.fft.irfft(spectrum, sound.size).astype(np.float32)


def delayed(sound: Sound, seconds: float) -> Sound:
    turns = np.exp(-2j * np.pi * np.fft.rfftfreq(sound.size, 1 / RATE) * seconds)
    return np.fft.irfft(np.fft.rfft(sound) * turns, sound.size).astype(np.float32)


def hiss(sound: Sound, peak: float, seed: int = 0) -> Sound:
    return (peak * np.random.default_rng(seed).standard_normal(sound.size)).astype(np.float32)


def only(channel: int, of: int) -> Channels:
    return lambda voice, _: np.stack([voice if i == channel else hiss(voice, 3e-4, i) for i in range(of)], axis=1)


def stereo(right: Callable[[Sound], Sound]) -> Channels:
    return lambda voice, _: np.stack([voice, right(voice)], axis=1)


def halves(first: Channels, second: Channels) -> Channels:
    def made(voice: Sound, other: Sound) -> npt.NDArray:
        middle = voice.size // 2 + 12_345
        return np.concatenate([first(voice, other)[:middle], second(voice, other)[middle:]])

    return made


def ambisonic(angle: float) -> Channels:
    return lambda voice, _: np.stack([voice, np.sin(angle) * voice, 0.1 * voice, np.cos(angle) * voice], axis=1)


CASES: dict[str, tuple[Channels, set[str]]] = {
    "dual mono": (stereo(lambda v: v), {"mean"}),
    "opposite phase": (stereo(lambda v: -v), {"difference"}),
    "opposite phase, other levels": (stereo(lambda v: -0.6 * v), {"left"}),
    "opposite phase above 1 kHz": (stereo(lambda v: 2 * low_passed(v, 1_000) - v), {"left", "right"}),
    "opposite phase below 300 Hz": (stereo(lambda v: v - 2 * low_passed(v, 300)), {"left", "right"}),
    "right is empty": (stereo(np.zeros_like), {"left"}),
    "right is faint": (stereo(lambda v: 0.05 * v), {"left"}),
    "right is hiss": (stereo(lambda v: hiss(v, 0.02)), {"left"}),
    "right has hiss": (stereo(lambda v: v + hiss(v, 0.01)), {"mean", "left"}),
    "left is empty": (lambda v, _: np.stack([0 * v, v], axis=1), {"right"}),
    "delay of 0.1 ms": (stereo(lambda v: delayed(v, 1e-4)), {"left", "right"}),
    "delay of 1 ms": (stereo(lambda v: delayed(v, 1e-3)), {"left", "right"}),
    "delay of 10 ms": (stereo(lambda v: delayed(v, 0.01)), {"left", "right"}),
    "delay of 30 ms": (stereo(lambda v: delayed(v, 0.03)), {"left", "right"}),
    "middle and side": (stereo(lambda v: 0.03 * delayed(v, 0.004)), {"left"}),
    "phase changes midway": (halves(stereo(lambda v: v), stereo(lambda v: -v)), {"left", "right"}),
    "side changes midway": (halves(only(0, 2), only(1, 2)), {"sum"}),
    "5.1, centre": (only(2, 6), {"front center"}),
    "5.1, rear": (only(4, 6), {"side left"}),
    "7.1, side": (only(7, 8), {"side right"}),
    "5.1, low frequency": (only(3, 6), {"low frequency"}),  # the fourth track of a recorder, whose layout is a guess
    "5.1 of one sound": (lambda v, _: np.repeat(v[:, None], 6, axis=1), {"mean"}),
    "twelve tracks": (only(10, 12), {"channel 11"}),
    "64 tracks of one sound": (lambda v, _: np.repeat(v[:, None], 64, axis=1), {"mean"}),
    "ambisonics from ahead": (ambisonic(0.0), {"w"}),
    "ambisonics from aside": (ambisonic(1.1), {"w"}),
}


@pytest.mark.parametrize("name", CASES)
def test_a_voice_comes_through_at_its_level(name: str, speech: Sound) -> None:
    voice = speech[: 30 * RATE]
    make, names = CASES[name]
    channels = make(voice, voice[::-1])
    kind = "FLAC" if name[:3] in ("5.1", "7.1") else "WAV"  # plain WAV names no channels
    mixes, got = mixed(wav(channels, kind=kind))
    assert level_db(got) == pytest.approx(level_db(voice), abs=0.7)
    assert likeness(got, voice) > 0.97
    assert mixdown_name(mixes) in names
    assert [mix.remark for mix in mixes] == [None]


def test_identical_channels_are_the_mono_file_to_the_bit(speech: Sound) -> None:
    voice = speech[: 12 * RATE]
    for channels in (2, 4):
        mixes, got = mixed(wav(np.repeat(voice[:, None], channels, axis=1)))
        assert mixdown_name(mixes) == "mean"
        assert np.array_equal(got, mixed(wav(voice))[1])


def test_two_voices_hard_left_and_right_are_both_there(speech: Sound) -> None:
    one, other = speech[: 25 * RATE], speech[25 * RATE : 50 * RATE]
    turns = np.arange(one.size) // (4 * RATE) % 2 == 0
    left, right = np.where(turns, one, 0), np.where(turns, 0, other)
    mixes, got = mixed(wav(np.stack([left, right], axis=1)))
    assert mixdown_name(mixes) == "sum"
    assert level_db(got) == pytest.approx(level_db(left + right), abs=0.3)
    for voice in (left, right):
        there = np.abs(voice) > 0
        assert level_db(got[there]) == pytest.approx(level_db(voice[there]), abs=0.3)


def test_voices_at_once_add_up_without_clipping(speech: Sound) -> None:
    one, other = speech[: 25 * RATE], speech[25 * RATE : 50 * RATE]
    scale = 0.95 / max(np.abs(one).max(), np.abs(other).max())
    mixes, got = mixed(wav(scale * np.stack([one, other], axis=1)))
    if mixdown_name(mixes) == "sum":
        assert np.abs(got).max() <= 1
    assert min(likeness(got, one), likeness(got, other)) > 0.5


def test_what_no_single_mix_serves_is_mixed_by_the_window_and_told(speech: Sound) -> None:
    voice = np.tile(speech[: 30 * RATE], 2)
    silence = np.zeros_like(voice)
    thirds = np.arange(voice.size) // (voice.size // 3)
    left = np.select([thirds == 0, thirds == 1], [voice, silence], voice)
    right = np.select([thirds == 0, thirds == 1], [silence, voice], voice)
    mixes, got = mixed(wav(np.stack([left, right], axis=1)))
    assert mixdown_name(mixes) == "varying"
    assert mixes[0].remark is not None
    assert mixes[0].remark.startswith("mixed down by the window: ")
    for third in range(3):
        inner = slice(third * voice.size // 3 + 5 * RATE, (third + 1) * voice.size // 3 - 5 * RATE)
        assert level_db(got[inner]) == pytest.approx(level_db(voice[inner]), abs=0.7)


def test_a_labelled_ambisonic_file_gives_its_first_channel(speech: Sound) -> None:
    voice = speech[: 10 * RATE]
    frames = np.stack([voice, 0.9 * voice, -voice, 0.4 * voice]).astype(np.float32)
    form = Format(RATE, "ambisonic 1", tuple(f"ambisonic ACN {i}" for i in range(4)), "flt")
    mixer = Mixer(form, None)
    assert np.array_equal(mixer.take(frames), voice)
    assert mixer.decide().name == "w"
    assert "ambisonic 1" in av.AudioLayout("ambisonic 1").name


@pytest.mark.parametrize("mix", [Mix(), Mix(((0, DIFFERENCE), (30_011, FIRST_CHANNEL), (61_000, DIFFERENCE)))])
def test_blocks_of_any_length_give_the_same(mix: Mix, speech: Sound) -> None:
    frames = np.stack([speech[: 6 * RATE], -0.7 * delayed(speech[: 6 * RATE], 0.002)])
    form = Format(RATE, "stereo", ("front left", "front right"), "flt")
    results: list[tuple[Sound, Sound]] = []
    for size in (997, 24_000, 10**9):
        meter, mixer = Meter(RATE, 2), Mixer(form, mix)
        parts = [frames[:, at : at + size] for at in range(0, frames.shape[1], min(size, frames.shape[1]))]
        for part in parts:
            meter.hear(part)
        losses = np.stack([window.losses_db for window in meter.finish()])
        results.append((np.concatenate([mixer.take(part) for part in parts]), losses))
        np.testing.assert_array_equal(results[0][0], results[-1][0])
        np.testing.assert_allclose(results[0][1], results[-1][1], rtol=1e-5)


def test_the_stage_takes_the_better_mix_and_says_which(tmp_path: Path, speech: Sound) -> None:
    voice = speech[: 20 * RATE]
    same, _ = segmented(wav(np.stack([voice, voice], axis=1)), tmp_path / "same")
    opposite, rows = segmented(wav(np.stack([voice, -voice], axis=1)), tmp_path / "opposite")
    mono, mono_rows = segmented(wav(voice), tmp_path / "mono")
    assert [facts.mixdown for facts in (same, opposite, mono)] == ["mean", "difference", "mono"]
    assert [facts.detail for facts in (same, opposite, mono)] == [None] * 3
    assert [(row["start"], row["end"]) for row in rows] == [(row["start"], row["end"]) for row in mono_rows]
    assert opposite.clip_seconds == mono.clip_seconds > 10
