"""DeepFilterNet3 on whole clips: noise goes, speech stays where it is; and which clips are restored."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
import soxr
from speechmill.audio import to_int16
from speechmill.audio.restoration import SAMPLE_RATE_HZ, restore
from speechmill.core import config as config_module
from speechmill.core.config import RunConfig
from speechmill.core.config_errors import ConfigError
from speechmill.core.store import Store
from speechmill.stages import restore as stage_module
from speechmill.stages.profiles import plan_build
from speechmill.stages.restore import Restore, is_damaged, restore_clip

RATE = 24_000


@pytest.fixture(scope="module")
def clean(speech: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Eight seconds of a voice at 48 kHz."""
    return soxr.resample(speech[: 8 * RATE], RATE, SAMPLE_RATE_HZ).astype(np.float32)


def snr_db(wave: npt.NDArray[np.float32], clean: npt.NDArray[np.float32]) -> float:
    """Level of what is like the clean wave over that of the rest, whatever the gain."""
    gain = np.dot(wave, clean) / np.dot(clean, clean)
    return float(10 * np.log10(np.sum((gain * clean) ** 2) / np.sum((wave - gain * clean) ** 2)))


def test_noise_is_removed_and_speech_is_not_shifted(clean: npt.NDArray[np.float32]) -> None:
    noise = np.random.default_rng(0).normal(0, 0.02, clean.size).astype(np.float32)
    restored = restore(clean + noise, 100.0)
    assert snr_db(restored, clean) > snr_db(clean + noise, clean) + 4
    lags = range(-3, 4)
    alike = [float(np.dot(np.roll(restored, lag)[100:-100], clean[100:-100])) for lag in lags]
    assert lags[int(np.argmax(alike))] == 0


def test_a_limit_leaves_some_of_the_noise(clean: npt.NDArray[np.float32]) -> None:
    silence = np.random.default_rng(0).normal(0, 0.02, SAMPLE_RATE_HZ * 3).astype(np.float32)
    power = [float(np.mean(restore(silence, limit)[SAMPLE_RATE_HZ:] ** 2)) for limit in (6.0, 100.0)]
    assert 10 * np.log10(np.mean(silence**2) / power[0]) == pytest.approx(6, abs=1.5)
    assert power[1] < power[0] / 10


@pytest.mark.parametrize("samples", [0, 1, 479, 480, 1_441, 48_001])
def test_any_length_is_kept_and_the_result_is_always_the_same(samples: int) -> None:
    wave = np.random.default_rng(samples).normal(0, 0.1, samples).astype(np.float32)
    restored = restore(wave, 100.0)
    assert restored.shape == wave.shape
    assert np.isfinite(restored).all()
    np.testing.assert_array_equal(restored, restore(wave, 100.0))


@pytest.mark.parametrize("rate", [8_000, 22_050, 24_000, 44_100, 48_000])
@pytest.mark.parametrize("samples", [1, 12_345])
def test_a_clip_keeps_its_length_at_any_corpus_rate(rate: int, samples: int) -> None:
    clip = to_int16(np.random.default_rng(0).normal(0, 0.1, samples).astype(np.float32))
    restored = restore_clip(clip, rate, 100.0)
    assert (restored.shape, restored.dtype) == (clip.shape, np.int16)


def test_damaged_clips_are_those_with_some_damage_but_not_too_much() -> None:
    scores = pa.table(
        {
            "score_noise": pa.array([0.97, 0.1, 0.1, 0.1, 0.99, None], pa.float32()),
            "score_reverb": pa.array([0.1, 0.8, 0.1, 0.1, 0.1, None], pa.float32()),
            "snr_db": pa.array([20.0, 30.0, 14.0, 30.0, 7.0, None], pa.float32()),
        }
    )
    assert is_damaged(scores, config_module.Restore()).tolist() == [True, True, True, False, False, False]


def test_what_is_missing_is_an_error_that_names_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    on, store = {"model": "deepfilternet3"}, Store("memory://restoration")
    no_scores = RunConfig(restore=on, defects={"weights": None})
    with pytest.raises(ConfigError, match=r"restore\.model: needs scores .* give defects\.weights"):
        plan_build(no_scores, store, find_model=lambda *_: pytest.fail("no model is needed"))
    monkeypatch.setattr(stage_module.restoration, "PACKAGE", "no_such_package")
    with pytest.raises(ConfigError, match=r"install speechmill\[restore\], or set restore\.model=null"):
        Restore().models(RunConfig(restore=on), store, lambda *_: pytest.fail("no model is looked for"))
