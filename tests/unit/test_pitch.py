"""Pitch columns: on voices whose pitch is known, on sound without a voice, and independent of the batch."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from speechmill.stages.pitch import Pitch, pitch_columns, voiced_hz

RATE = 16_000


def buzz(hertz: np.ndarray) -> np.ndarray:
    """Pulses of a larynx, through the first formant of an open vowel, float32[n]."""
    phase = 2 * np.pi * np.cumsum(hertz) / RATE
    wave = sum(np.cos(n * phase) / (1 + ((n * hertz - 700) / 200) ** 2) for n in range(1, 16))
    return (0.1 * wave).astype(np.float32)


@pytest.mark.parametrize("hertz", [80, 120, 220, 400])
def test_a_steady_voice_has_its_pitch_and_no_range(hertz: int) -> None:
    found = pitch_columns(voiced_hz(buzz(np.full(2 * RATE, hertz))))
    assert found["pitch_mean_hz"] == pytest.approx(hertz, rel=0.01)
    assert found["pitch_std_hz"] < 0.01 * hertz
    assert found["pitch_range_semitones"] < 0.5


def test_an_octave_is_twelve_semitones_for_low_and_high_voices() -> None:
    for low in (90, 180):
        glide = low * 2 ** np.linspace(0, 1, 3 * RATE)
        found = pitch_columns(voiced_hz(buzz(glide)))
        assert found["pitch_range_semitones"] == pytest.approx(0.9 * 12, abs=0.8)  # the middle 90 % of it
        assert found["pitch_mean_hz"] == pytest.approx(glide.mean(), rel=0.02)
        assert found["pitch_std_hz"] == pytest.approx(glide.std(), rel=0.1)


def test_sound_without_a_voice_has_no_pitch() -> None:
    hiss = 0.1 * np.random.default_rng(0).standard_normal(2 * RATE).astype(np.float32)
    for wave in (np.zeros(0, np.float32), np.zeros(1, np.float32), np.zeros(RATE, np.float32), hiss):
        assert set(pitch_columns(voiced_hz(wave)).values()) == {None}


@given(st.lists(st.floats(60, 500, width=32), max_size=20))
@settings(max_examples=50)
def test_any_voiced_frames_give_finite_columns_in_range(hertz: list[float]) -> None:
    found = pitch_columns(np.array(hertz, np.float32))
    assert list(found) == [column.name for column in Pitch.columns]
    if found["pitch_mean_hz"] is not None:
        assert 60 <= found["pitch_mean_hz"] <= 500
        assert 0 <= found["pitch_std_hz"] <= 220
        assert 0 <= found["pitch_range_semitones"] <= 37
