"""Where in a clip a defect is."""

import numpy as np
import numpy.typing as npt
import pytest
import soxr
import speech_defects
from speech_defects import RATE, Defect, Span
from speech_defects.spans import located

STEP_S = 0.04


@pytest.fixture(scope="module")
def voice(speech: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.asarray(soxr.resample(speech, 24_000, RATE), np.float32)


def verdicts(*runs: tuple[float, float]) -> npt.NDArray[np.float64]:
    """Verdicts of frames: seconds at a value, one after another."""
    return np.concatenate([np.full(round(seconds / STEP_S), value) for seconds, value in runs])


def times(values: npt.NDArray[np.float64], duration_s: float = 60.0) -> list[tuple[float, float]]:
    found = located(Defect.NOISE, values, 0.0, step_s=STEP_S, duration_s=duration_s)
    assert {span.kind for span in found} <= {Defect.NOISE}
    return [(span.start_s, span.end_s) for span in found]


def test_two_seconds_of_twenty_are_located() -> None:
    assert times(verdicts((12, -4), (2, 4), (6, -4))) == [(12, 14)]


def test_spans_reach_to_the_ends_of_a_clip_and_no_further() -> None:
    assert times(verdicts((1, 4), (3, -4), (1, 4)), duration_s=4.97) == [(0, 1), (4, 4.97)]
    assert times(verdicts((2, 4)), duration_s=1.99) == [(0, 1.99)]


def test_what_is_short_is_no_span_and_no_gap() -> None:
    assert times(verdicts((4, -4), (0.2, 4), (4, -4))) == []
    assert times(verdicts((4, -4), (1, 4), (0.24, -4), (1, 4), (4, -4))) == [(4, 6.24)]
    assert times(verdicts((4, -4), (1, 4), (0.8, -4), (1, 4), (4, -4))) == [(4, 5), (5.8, 6.8)]


def test_a_single_frame_is_outvoted_by_its_neighbours() -> None:
    values = verdicts((4, -2), (2, 2), (4, -2))
    values[[50, 125]] *= -1
    assert times(values) == [(4, 6)]


def test_a_clip_shorter_than_a_span_may_be_one() -> None:
    assert times(verdicts((0.2, 4)), duration_s=0.2) == [(0, 0.2)]
    assert times(np.zeros(0), duration_s=0.0) == []


@pytest.mark.parametrize("at_s", [0.0, 3.0, 9.0])
def test_the_network_hears_where_noise_is(voice: npt.NDArray[np.float32], at_s: float) -> None:
    scorer = speech_defects.load(device="cpu")
    rng = np.random.default_rng(1)
    clip = voice[: 12 * RATE].copy()
    part = slice(round(at_s * RATE), round((at_s + 3) * RATE))
    clip[part] += rng.normal(0, clip.std(), 3 * RATE).astype(np.float32)
    scores, (spans,) = scorer.judge([clip], RATE)
    assert scores["noise"].shape == (1,)
    [noise] = [span for span in spans if span.kind == Defect.NOISE]
    assert noise == pytest.approx((at_s, at_s + 3, Defect.NOISE), abs=0.3)


def test_places_do_not_depend_on_a_batch(voice: npt.NDArray[np.float32]) -> None:
    scorer = speech_defects.load(device="cpu")
    rng = np.random.default_rng(2)
    lengths = [round(seconds * RATE) for seconds in (3, 5.5, 5.9, 9)]
    noisy = [voice[:length] + rng.normal(0, 0.02, length).astype(np.float32) for length in lengths]
    clips = [np.concatenate([part, voice[: 4 * RATE]]) for part in noisy]
    broken = np.full(RATE, np.nan, np.float32)
    alone = [list(scorer.judge([clip], RATE).spans[0]) for clip in clips]
    together = scorer.judge([*clips, broken, *clips[::-1]], RATE).spans
    assert list(together) == [*alone, [], *alone[::-1]]
    assert all(any(span.kind == Defect.NOISE for span in spans) for spans in alone)
    assert all(isinstance(span, Span) and 0 <= span.start_s < span.end_s for spans in alone for span in spans)
