"""Signal measures: against references, on signals whose answer is known, and independent of the batch."""

import numpy as np
import numpy.typing as npt
import pyloudnorm
import pytest
import soxr
from hibari import Hibari
from hypothesis import given, settings
from hypothesis import strategies as st
from speechmill.audio.measures import NAMES, measure

RATE = 24_000
TEXT = "She sells sea shells by the sea shore, and so, they say, she is rather rich. Six of us wished to see it."
Signal = npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def speech() -> Signal:
    """Synthetic speech of about ten seconds with a peak of 0.5."""
    voice = Hibari()
    said = np.concatenate([np.asarray(voice(TEXT, seed=seed), dtype=np.float64) for seed in (0, 1)])
    loudest = np.abs(said).max()
    return np.asarray(said / loudest / 2, dtype=np.float64)


def pcm(signal: Signal) -> npt.NDArray[np.int16]:
    return np.clip(np.round(signal * 32768), -32768, 32767).astype(np.int16)


def one(signal: Signal, name: str, rate: int = RATE) -> float:
    return float(measure([pcm(signal)], rate)[name][0])


def tone(hertz: float, *, seconds: float = 5.0, peak: float = 0.5) -> Signal:
    wave: Signal = peak * np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE)
    return wave


def through(signal: Signal, rate: int) -> Signal:
    return np.asarray(soxr.resample(soxr.resample(signal, RATE, rate), rate, RATE), dtype=np.float64)


def with_noise(signal: Signal, snr: float) -> Signal:
    noise = np.random.default_rng(0).standard_normal(signal.size)
    mixed: Signal = signal + noise * np.sqrt(np.mean(signal**2) * 10 ** (-snr / 10))
    return mixed


def test_no_clips_give_empty_columns() -> None:
    table = measure([], RATE)
    assert tuple(table) == NAMES
    assert all(column.shape == (0,) and column.dtype == np.float32 for column in table.values())


@pytest.mark.parametrize("samples", [0, 1, 2, 700, 1200, 9599])
@pytest.mark.parametrize("rate", [8_000, 22_050, 24_000, 48_000])
def test_short_clips_are_measured_without_infinity(samples: int, rate: int) -> None:
    noise = np.random.default_rng(0).integers(-999, 999, samples).astype(np.int16)
    table = measure([noise], rate)
    assert not any(np.isinf(column).any() for column in table.values())
    assert np.isnan(table["peak_dbfs"][0]) == (samples == 0)
    assert np.isnan(table["loudness_lufs"][0]) == (samples < 0.4 * rate)


def test_digital_silence_is_undefined_and_not_clipped() -> None:
    table = measure([np.zeros(5 * RATE, dtype=np.int16)], RATE)
    undefined = {name for name in NAMES if np.isnan(table[name][0])}
    assert undefined == set(NAMES) - {"clipped_ratio"}
    assert table["clipped_ratio"][0] == 0


@settings(max_examples=15)
@given(
    lengths=st.lists(st.integers(0, 3 * RATE), min_size=1, max_size=6),
    rate=st.sampled_from([8_000, 11_025, RATE]),
    seed=st.integers(0, 99),
)
def test_a_clip_has_the_same_bits_in_any_company(lengths: list[int], rate: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    clips = [pcm(rng.standard_normal(n) * np.abs(rng.standard_normal(n // 2000 + 1)).repeat(2000)[:n]) for n in lengths]
    alone = [measure([clip], rate) for clip in clips]
    order = rng.permutation(len(clips))
    together = measure([clips[i] for i in order], rate)
    for name in NAMES:
        expected = np.concatenate([alone[i][name] for i in order])
        assert together[name].tobytes() == expected.tobytes()


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 24_000, 44_100, 48_000])
def test_loudness_agrees_with_pyloudnorm(speech: Signal, rate: int) -> None:
    # The silence must go first, or it lowers the mean so far that the faint part passes the relative gate.
    gated = np.concatenate([speech, np.zeros(6 * speech.size), speech / 8])
    clip = pcm(soxr.resample(gated, RATE, rate))
    expected = pyloudnorm.Meter(rate, filter_class="DeMan").integrated_loudness(clip / 32768)
    assert float(measure([clip], rate)["loudness_lufs"][0]) == pytest.approx(expected, abs=0.05)


def test_a_full_scale_tone_of_997_hz_has_minus_three_lufs() -> None:
    assert one(tone(997, peak=1), "loudness_lufs") == pytest.approx(-3.01, abs=0.05)  # BS.1770-4, mono


def test_peak_is_of_either_sign() -> None:
    assert one(np.array([0.1, -0.5, 0.2]), "peak_dbfs") == pytest.approx(-6.0206, abs=1e-4)
    assert one(np.array([-1.0]), "peak_dbfs") == 0


@pytest.mark.parametrize("snr", [5, 10, 15, 20, 30])
def test_snr_follows_the_noise_that_was_added(speech: Signal, snr: int) -> None:
    assert one(with_noise(speech, snr), "snr_db") == pytest.approx(snr, abs=5)


def test_snr_of_clean_speech_is_high_and_of_noise_low(speech: Signal) -> None:
    assert one(speech, "snr_db") > 25
    assert one(with_noise(speech, -40) / 1000, "snr_db") < 0


def test_snr_does_not_count_digital_silence_as_background(speech: Signal) -> None:
    noisy = with_noise(speech, 10)
    gated = np.concatenate([np.zeros(5 * RATE), noisy, np.zeros(5 * RATE)])
    assert one(gated, "snr_db") == pytest.approx(one(noisy, "snr_db"), abs=1)


@pytest.mark.parametrize("name", ["snr_db", "bandwidth_hz"])
def test_an_offset_changes_nothing(speech: Signal, name: str) -> None:
    assert one(speech + 0.25, name) == pytest.approx(one(speech, name), abs=0.01)


@pytest.mark.parametrize(
    ("rate", "low", "high"), [(8_000, 3_500, 4_000), (11_025, 5_000, 5_500), (16_000, 7_250, 8_000)]
)
@pytest.mark.parametrize("gain", [1.0, 0.02])
def test_bandwidth_tells_the_rate_that_speech_came_from(
    speech: Signal, rate: int, low: float, high: float, gain: float
) -> None:
    assert low <= one(gain * through(speech, rate), "bandwidth_hz") <= high


def test_bandwidth_ignores_rounding_noise_that_comes_and_goes(speech: Signal) -> None:
    hum = np.sign(tone(1000) + 1e-9) / 32768  # of one step of 16 bits: nothing at all between its harmonics
    assert one(np.concatenate([hum, 0.002 * through(speech, 8_000)]), "bandwidth_hz") <= 4_000


def test_bandwidth_of_full_band_speech_reaches_up(speech: Signal) -> None:
    assert one(speech, "bandwidth_hz") > 10_000


def test_bandwidth_ignores_steady_sounds_above_the_speech(speech: Signal) -> None:
    narrow = through(speech, 8_000)
    whistle = tone(10_000, seconds=narrow.size / RATE, peak=0.05)
    assert one(with_noise(narrow, 30), "bandwidth_hz") <= 4_000
    assert one(narrow + whistle, "bandwidth_hz") <= 4_000


def test_bandwidth_ignores_what_leaks_through_a_resampler(speech: Signal) -> None:
    assert one(through(speech, 8_000) + 2e-4 * speech, "bandwidth_hz") <= 4_000


def test_a_steady_tone_is_no_speech() -> None:
    assert np.isnan(one(tone(440), "bandwidth_hz"))
    assert one(tone(440), "snr_db") <= 0


def test_loud_clean_speech_is_not_clipped(speech: Signal) -> None:
    assert one(2 * speech, "clipped_ratio") < 0.001


@pytest.mark.parametrize("scale", [1.0, 0.7])
def test_clipped_speech_is_seen_also_when_turned_down(speech: Signal, scale: float) -> None:
    assert one(scale * np.clip(8 * speech, -1, 1), "clipped_ratio") > 0.01


def test_clipping_is_seen_through_a_resampler(speech: Signal) -> None:
    wide = np.clip(8 * soxr.resample(speech, RATE, 44_100), -1, 1)
    assert one(soxr.resample(wide, 44_100, RATE), "clipped_ratio") > 0.01


def test_a_full_scale_square_wave_is_all_clipped() -> None:
    assert one(np.sign(tone(100) + 1e-9), "clipped_ratio") == 1


def test_values_are_rounded(speech: Signal) -> None:
    for column in measure([pcm(speech)], RATE).values():
        assert column[0] == np.float32(np.round(float(column[0]), 4))


def test_a_clip_that_begins_or_ends_in_a_word_is_told_from_one_that_does_not(speech: Signal) -> None:
    pause = np.zeros(RATE // 10)
    for snr in (60.0, 25.0, 15.0):
        whole = with_noise(np.concatenate([pause, speech, pause]), snr)
        assert one(whole, "edge_ratio") < 0.4
        loud = int(np.convolve(np.square(speech), np.ones(RATE // 20), "same").argmax()) + pause.size
        assert one(whole[:loud], "edge_ratio") > 0.6
        assert one(whole[loud:], "edge_ratio") > 0.6


def test_sound_without_pauses_has_no_ends_to_judge(speech: Signal) -> None:
    assert np.isnan(one(tone(200), "edge_ratio"))
    assert np.isnan(one(np.zeros(RATE), "edge_ratio"))
    assert 0 <= one(speech, "edge_ratio") <= 1
