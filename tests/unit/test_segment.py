"""Cutting: the rules of the design on recordings drawn as seconds of speech and silence."""

import numpy as np
import pytest
from speechmill.audio.cutting import gate, spans
from speechmill.core.config import RunConfig, Segment
from speechmill.core.records import Span, SpanKind
from speechmill.stages.selection import early_columns

RATE = 24_000
FRAME = RATE // 100
LOUD_DB, QUIET_DB = -20.0, -60.0


def draw(*seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """Marks and levels of silence, speech, silence … of so many seconds each."""
    frames = [round(100 * s) for s in seconds]
    marks = np.concatenate([np.full(n, i % 2 == 1) for i, n in enumerate(frames)])
    return marks, np.where(marks, LOUD_DB, QUIET_DB).astype(np.float32)


def cut(*seconds: float, breaks: tuple[int, ...] = (), samples: int | None = None, **rules: object) -> list[Span]:
    marks, levels = draw(*seconds)
    length = marks.size * FRAME if samples is None else samples
    return spans(marks, levels, samples=length, rate=RATE, rules=Segment.model_validate(rules), breaks=breaks)


def outline(found: list[Span]) -> list[tuple[SpanKind, float]]:
    return [(span.kind, span.samples / RATE) for span in found]


def of_kind(found: list[Span], kind: SpanKind) -> list[tuple[float, float]]:
    return [(span.start / RATE, span.end / RATE) for span in found if span.kind is kind]


def test_an_utterance_between_two_silences_becomes_a_clip_with_its_edges() -> None:
    assert of_kind(cut(1, 6, 1), SpanKind.CLIP) == [(0.9, 7.1)]


def test_a_pause_under_half_a_second_does_not_part_utterances() -> None:
    assert of_kind(cut(1, 4, 0.49, 4, 1), SpanKind.CLIP) == [(0.9, 9.59)]
    assert of_kind(cut(1, 6, 0.5, 6, 1), SpanKind.CLIP) == [(0.9, 7.1), (7.4, 13.6)]


@pytest.mark.parametrize("profile", ["tortoise", "recover"])
@pytest.mark.parametrize(
    ("seconds", "edge", "kind"),
    [
        (4.99, 0, SpanKind.TOO_SHORT),
        (5.0, 0, SpanKind.CLIP),
        (20.0, 0, SpanKind.CLIP),
        (20.01, 0, SpanKind.TOO_LONG),
        (4.8, 0.1, SpanKind.CLIP),
        (4.79, 0.1, SpanKind.TOO_SHORT),
        (20.0, 0.1, SpanKind.CLIP),
    ],
)
def test_the_limits_themselves_are_clips(profile: str, seconds: float, edge: float, kind: SpanKind) -> None:
    found = cut(2, seconds, 2, edge_s=edge, profile=profile)
    assert [span.kind for span in found] == [SpanKind.SILENCE, kind, SpanKind.SILENCE]


def test_edges_shrink_where_they_would_make_a_clip_too_long() -> None:
    ((start, end),) = of_kind(cut(2, 19.9, 2), SpanKind.CLIP)
    assert (start, end) == (1.95, 21.95)


def test_what_is_no_clip_has_no_edges() -> None:
    assert outline(cut(1, 3, 1)) == [(SpanKind.SILENCE, 1), (SpanKind.TOO_SHORT, 3), (SpanKind.SILENCE, 1)]
    assert outline(cut(1, 25, 1)) == [(SpanKind.SILENCE, 1), (SpanKind.TOO_LONG, 25), (SpanKind.SILENCE, 1)]


def test_the_last_frame_counts_with_the_samples_it_has() -> None:
    short = 5 * RATE - 100  # 500 frames, the last of them not whole
    assert [span.kind for span in cut(0, 5, samples=short)] == [SpanKind.TOO_SHORT]


def clips(marks: np.ndarray, levels: np.ndarray, **rules: object) -> list[tuple[float, float]]:
    found = spans(marks, levels, samples=marks.size * FRAME, rate=RATE, rules=Segment.model_validate(rules))
    return of_kind(found, SpanKind.CLIP)


def test_what_a_detector_misses_of_a_word_goes_with_it() -> None:
    marks, levels = draw(1, 6, 1)
    levels[85:100] = -50  # a breath before, a quiet consonant after: louder than the pause
    levels[700:712] = -45
    assert clips(marks, levels) == [(0.74, 7.23)]


def test_a_closure_inside_a_word_is_no_end_of_it() -> None:
    marks, levels = draw(1, 6, 1)
    levels[715:720] = -40  # the release of a stop, after 150 ms of silence
    assert clips(marks, levels) == [(0.9, 7.31)]


def test_where_there_is_no_rest_the_quietest_point_near_by_is_the_end() -> None:
    marks, levels = draw(1, 6, 1)
    levels[700:] = np.where(np.arange(100) % 8 < 4, -50, -60)  # of pauses of 40 ms
    levels[717] = -80
    assert clips(marks, levels) == [(0.9, 7.27)]


def test_no_missed_end_reaches_past_the_middle_of_a_gap() -> None:
    marks, levels = draw(1, 6, 0.6, 6, 1)
    levels[700:730] = np.linspace(-30, -60, 30)  # a long fading sound
    assert clips(marks, levels) == [(0.9, 7.3), (7.5, 13.7)]


def test_a_missed_end_is_at_most_300_ms_long() -> None:
    marks, levels = draw(1, 6, 2)
    levels[700:745] = np.linspace(-30, -60, 45)
    assert clips(marks, levels) == [(0.9, 7.4)]


def test_the_end_of_a_word_needs_room_before_any_silence() -> None:
    marks, levels = draw(1, 19.7, 1)
    levels[2070:2089] = -45  # with the frame that smoothing adds, 0.2 s
    assert clips(marks, levels) == [(0.95, 20.95)]
    levels[2070:2095] = -45
    assert clips(marks, levels) == [(0.98, 20.98)]


def test_what_is_too_long_with_the_end_of_its_word_is_not_cut_to_fit() -> None:
    marks, levels = draw(1, 19.9, 1)
    levels[2090:2110] = -50
    found = spans(marks, levels, samples=marks.size * FRAME, rate=RATE, rules=Segment())
    assert outline(found) == [(SpanKind.SILENCE, 1), (SpanKind.TOO_LONG, 19.9), (SpanKind.SILENCE, 1)]


def test_recover_does_not_cut_what_fits() -> None:
    assert of_kind(cut(1, 10, 0.4, 9.5, 1, profile="recover"), SpanKind.CLIP) == [(0.95, 20.95)]


def test_recover_leaves_room_for_the_ends_of_words() -> None:
    marks, levels = draw(1, 10, 0.4, 9.5, 0.5, 10, 1)
    levels[2090:2110] = -45
    assert clips(marks, levels, profile="recover", min_silence_s=0.6) == [(0.9, 11.1), (11.3, 21.15), (21.3, 31.5)]


def test_two_clips_meet_at_most_in_the_middle_of_a_gap() -> None:
    found = cut(0, 6, 0.5, 6, 0, edge_s=1)
    assert outline(found) == [(SpanKind.CLIP, 6.25), (SpanKind.CLIP, 6.25)]


def test_a_click_is_no_utterance() -> None:
    assert outline(cut(1, 0.04, 1)) == [(SpanKind.SILENCE, 2.04)]
    assert of_kind(cut(1, 6, 1, 0.04, 1), SpanKind.CLIP) == [(0.9, 7.1)]


@pytest.mark.parametrize("profile", ["tortoise", "recover"])
def test_a_recording_of_pauses_is_one_silence(profile: str) -> None:
    assert outline(cut(60, profile=profile)) == [(SpanKind.SILENCE, 60)]
    assert cut(0, profile=profile) == []


@pytest.mark.parametrize("profile", ["tortoise", "recover"])
def test_a_minute_without_a_pause_is_too_long(profile: str) -> None:
    assert outline(cut(0, 60, profile=profile)) == [(SpanKind.TOO_LONG, 60)]


def test_recover_cuts_at_the_longest_inner_pause_until_it_fits() -> None:
    found = cut(1, 8, 0.25, 10, 0.4, 9, 0.3, 10, 1, profile="recover")
    assert of_kind(found, SpanKind.CLIP) == [(0.9, 19.35), (19.55, 39.05)]


def test_recover_does_not_cut_at_pauses_under_a_fifth_of_a_second() -> None:
    assert of_kind(cut(1, 15, 0.19, 15, 1, profile="recover"), SpanKind.TOO_LONG) == [(1, 31.19)]
    assert len(of_kind(cut(1, 15, 0.2, 15, 1, profile="recover"), SpanKind.CLIP)) == 2


def test_recover_joins_short_neighbours_over_short_gaps() -> None:
    assert of_kind(cut(1, 3, 1.49, 3, 1, profile="recover"), SpanKind.CLIP) == [(0.9, 8.59)]
    assert of_kind(cut(1, 3, 1.5, 3, 1, profile="recover"), SpanKind.CLIP) == []
    assert len(of_kind(cut(1, 17.5, 1, 3, 1, profile="recover"), SpanKind.CLIP)) == 1  # both would be over 20 s


def test_lost_packets_spoil_the_utterance_they_are_in_and_no_other() -> None:
    found = cut(1, 6, 1, 6, 1, 6, 1, breaks=(11 * RATE,))
    assert [span.kind for span in found if span.kind is not SpanKind.SILENCE] == ["clip", "corrupt", "clip"]
    assert all(span.kind is not SpanKind.CORRUPT for span in cut(1, 6, 1, 6, 1, breaks=(round(7.5 * RATE),)))


def test_the_gate_follows_the_background_of_the_recording() -> None:
    for offset_db in (0.0, -30.0, 20.0):
        marks, levels = draw(2, 8, 2, 8, 2)
        gated = gate(np.ones_like(marks), levels + offset_db)
        assert np.array_equal(gated, marks)


def test_the_gate_follows_a_background_that_changes() -> None:
    marks, levels = draw(*([1.0, 6.0] * 20), 1.0)
    rising = levels + np.repeat([0, 30], [levels.size // 2, levels.size - levels.size // 2])
    gated = gate(np.ones_like(marks), rising.astype(np.float32))
    far = np.r_[: levels.size // 2 - 3_000, levels.size // 2 + 3_100 : levels.size]  # 30 s from the change
    assert np.array_equal(gated[far], marks[far])


def test_the_gate_never_adds_speech() -> None:
    marks, levels = draw(2, 8, 2)
    assert not gate(np.zeros_like(marks), levels).any()
    assert gate(marks[:0], levels[:0]).size == 0


def test_a_recording_that_came_cut_is_one_clip_without_the_silence_around_it() -> None:
    """Six seconds of speech with a pause of 0.8 s inside, and a second of silence on either side."""
    parts = ((100, False), (300, True), (80, False), (300, True), (100, False))
    speech = np.concatenate([np.full(length, mark) for length, mark in parts])
    levels = np.where(speech, -20, -70).astype(np.float32)
    rules = Segment(profile="as_is")
    found = spans(speech, levels, samples=speech.size * 240, rate=24_000, rules=rules, changes=np.array([440]))
    assert [span.kind for span in found] == [SpanKind.SILENCE, SpanKind.CLIP, SpanKind.SILENCE]
    clip = found[1]
    assert 90 * 240 <= clip.start <= 100 * 240
    assert 780 * 240 <= clip.end <= 790 * 240
    short = spans(speech[:300], levels[:300], samples=300 * 240, rate=24_000, rules=rules)
    assert [span.kind for span in short] == [SpanKind.SILENCE, SpanKind.TOO_SHORT]
    assert spans(speech[:90], levels[:90], samples=90 * 240, rate=24_000, rules=rules)[0].kind is SpanKind.SILENCE


def test_ends_of_recordings_that_came_cut_are_no_cut_words() -> None:
    by_profile = {
        profile: {column.name for column in early_columns(config) if column.test}
        for profile in ("tortoise", "as_is")
        for config in [RunConfig.model_validate({"segment": {"profile": profile}})]
    }
    assert by_profile["tortoise"] - by_profile["as_is"] == {"edge_ratio"}
