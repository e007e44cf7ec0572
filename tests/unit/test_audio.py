"""Decoding: every container and rate to the sample, true amplitudes, and FLAC that loses nothing."""

import io

import av
import numpy as np
import pytest
from speechmill.audio import Decoding, decode_flac, encode_flac, resample, to_int16
from speechmill.audio.frames import planes
from speechmill.core.config import Audio
from speechmill.core.reasons import Reason
from speechmill.core.records import RejectedError

from tests.media import RATE, Sound, decode, encode, riff, tone, wav

SUBTYPES = ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"]
RATES_HZ = [8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000, 192_000]
LSB = 1 / 32_768


def rms(sound: Sound) -> float:
    return float(np.sqrt(np.mean(np.square(sound, dtype=np.float64))))


def noise(frames: int, channels: int = 1, seed: int = 0) -> Sound:
    return np.random.default_rng(seed).uniform(-0.9, 0.9, (frames, channels))


@pytest.mark.parametrize("subtype", SUBTYPES)
@pytest.mark.parametrize("frames", [1, 23_999, 50_001])
def test_every_sample_format_of_wav_gives_each_sample(subtype: str, frames: int) -> None:
    sound = noise(frames)
    decoding, got = decode(wav(sound, subtype=subtype))
    assert (decoding.source_frames, decoding.samples, got.size) == (frames, frames, frames)
    np.testing.assert_allclose(got, sound[:, 0], atol=1 / 127 if subtype == "PCM_U8" else LSB)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
@pytest.mark.parametrize("rate", RATES_HZ)
@pytest.mark.parametrize("kind", ["WAV", "FLAC", "AIFF", "W64"])
def test_lossless_files_have_their_exact_length_at_any_rate(kind: str, rate: int, subtype: str) -> None:
    frames = rate + rate // 7 + 1
    decoding, got = decode(wav(noise(frames, 2), rate, subtype=subtype, kind=kind))
    assert (decoding.source_frames, decoding.source_rate, decoding.channels) == (frames, rate, 2)
    assert decoding.bad_packets == 0
    assert decoding.breaks == []
    assert abs(got.size - frames * RATE / rate) <= 1


@pytest.mark.parametrize("corpus_rate", [8_000, 16_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_any_corpus_rate_gives_the_right_length(rate: int, corpus_rate: int) -> None:
    decoding, got = decode(wav(noise(2 * rate + 11), rate), corpus_rate)
    assert abs(got.size - decoding.source_frames * corpus_rate / rate) <= 1


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "AIFF"])
def test_sixteen_bit_mono_at_the_corpus_rate_comes_through_unchanged(kind: str) -> None:
    pcm = np.random.default_rng(1).integers(-32_768, 32_768, 100_003).astype(np.int16)
    pcm[:2] = -32_768, 32_767
    assert np.array_equal(to_int16(decode(wav(pcm, kind=kind))[1]), pcm)


@pytest.mark.parametrize("channels", range(1, 9))
@pytest.mark.parametrize("kind", ["WAV", "FLAC"])
def test_mono_is_the_mean_of_the_channels(kind: str, channels: int) -> None:
    sound = noise(30_000, channels)
    decoding, got = decode(wav(sound, kind=kind, subtype="PCM_24"))
    assert decoding.channels == channels
    if kind == "FLAC" and channels >= 6:  # its fourth channel is for low frequencies
        sound = np.delete(sound, 3, axis=1)
    np.testing.assert_allclose(got, sound.mean(axis=1), atol=1e-6)


LOSSY = [
    ("mp3", "libmp3lame", 24_000, 0.0),
    ("mp3", "libmp3lame", 44_100, 0.0),
    ("mp4", "aac", 44_100, 0.05),
    ("adts", "aac", 24_000, 0.1),
    ("ogg", "libopus", 48_000, 0.01),
    ("webm", "libopus", 48_000, 0.01),
    ("ogg", "vorbis", 48_000, 0.0),
    ("matroska", "ac3", 48_000, 0.05),
]


@pytest.mark.parametrize(("container", "codec", "rate", "delay_s"), LOSSY)
def test_lossy_files_have_their_length_within_the_delay_of_the_codec(
    container: str, codec: str, rate: int, delay_s: float
) -> None:
    sound = tone(1_000, 3.3, rate)
    decoding, got = decode(encode(container, codec, sound, rate, channels=2))
    assert -1 <= got.size - sound.size * RATE / rate <= delay_s * RATE + 1
    assert decoding.bad_packets == 0
    assert rms(got[RATE : 2 * RATE]) == pytest.approx(0.5 / np.sqrt(2), rel=0.06)  # LAME takes 5 % off


@pytest.mark.parametrize(
    ("container", "codec"),
    [("mp4", "alac"), ("ogg", "flac"), ("matroska", "flac"), ("caf", "pcm_s16be"), ("au", "pcm_s16be")],
)
def test_other_lossless_containers_give_each_sample(container: str, codec: str) -> None:
    sound = noise(70_001)[:, 0]
    got = decode(encode(container, codec, sound))[1]
    np.testing.assert_allclose(got, sound, atol=2 * LSB)


@pytest.mark.parametrize("rate", RATES_HZ)
def test_resampling_keeps_a_tone(rate: int) -> None:
    _, got = decode(wav(tone(1_000, 4, rate), rate, subtype="FLOAT"))
    middle = got[RATE : 3 * RATE]
    expected = tone(1_000, 4)[RATE : 3 * RATE]
    assert np.abs(middle - expected).max() < 1e-3  # amplitude, frequency and phase at once


@pytest.mark.parametrize("rate", [44_100, 48_000, 96_000])
def test_resampling_removes_what_the_corpus_rate_cannot_hold(rate: int) -> None:
    _, got = decode(wav(tone(13_000, 2, rate), rate, subtype="FLOAT"))
    assert rms(got[RATE // 2 : -RATE // 2]) < 0.5 * 10 ** (-80 / 20)


def test_blocks_are_short_however_long_the_file() -> None:
    blocks = list(Decoding(io.BytesIO(wav(noise(90 * 8_000), 8_000)), RATE, Audio()))
    assert max(block.size for block in blocks) <= 1.5 * RATE


@pytest.mark.parametrize(("tag", "bits", "reason"), [(1, 64, Reason.BAD_HEADER), (0x9999, 16, Reason.NOT_AUDIO)])
def test_sample_formats_that_nobody_can_read_are_rejected(tag: int, bits: int, reason: Reason) -> None:
    with pytest.raises(RejectedError) as caught:
        decode(riff(bytes(8_000), tag=tag, bits=bits))
    assert caught.value.reason is reason


def test_a_declared_duration_is_reported_and_a_guessed_one_is_not() -> None:
    sound = tone(300, 5)
    assert decode(encode("mp3", "libmp3lame", sound))[0].declared_duration_s == pytest.approx(5, abs=0.1)
    without_header = encode("mp3", "libmp3lame", sound, write_xing="0", id3v2_version="0")
    for junk in (b"", bytes(700)):
        assert decode(junk + without_header)[0].declared_duration_s is None
    assert decode(encode("adts", "aac", sound))[0].declared_duration_s is None


def test_flac_loses_nothing_and_is_the_same_every_time() -> None:
    pcm = np.random.default_rng(2).integers(-32_768, 32_768, 120_001).astype(np.int16)
    data = encode_flac(pcm, RATE)
    assert np.array_equal(decode_flac(data), pcm)
    assert encode_flac(pcm.copy(), RATE) == data
    assert decode(data)[0].codec == "flac"


def test_rounding_to_sixteen_bits_is_exact_and_clips() -> None:
    every = np.arange(-32_768, 32_768).astype(np.int16)
    assert np.array_equal(to_int16(every.astype(np.float32) / 32_768), every)
    assert to_int16(np.array([-2, 2, 1], np.float32)).tolist() == [-32_768, 32_767, 32_767]


def test_a_planar_frame_has_the_planes_of_its_channels_and_no_others() -> None:
    for channels in (1, 9, 42, 48):
        found = planes(av.AudioFrame("fltp", f"{channels} channels", 5))
        assert [plane.shape for plane in found] == [(5,)] * channels


def test_a_clip_is_resampled_for_a_model() -> None:
    pcm = to_int16(tone(1_000, 2).astype(np.float32))
    got = resample(pcm, RATE, 16_000)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got[4_000:-4_000], tone(1_000, 2, 16_000)[4_000:-4_000], atol=2e-3)
    assert np.array_equal(resample(pcm, RATE, RATE), pcm.astype(np.float32) / 32_768)
