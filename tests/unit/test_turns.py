"""Speaker turns: what the clustering makes of embeddings, and what cuts follow from it."""

from collections.abc import Iterator

import numpy as np
import pytest
from speechmill.audio.cutting import place_changes, spans
from speechmill.core.config import Segment
from speechmill.core.records import NOBODY, SpanKind
from speechmill.speakers.second_voice import LONG, likeness, probabilities
from speechmill.speakers.steps import pauses_before, speech_steps, units_of
from speechmill.speakers.turns import (
    SECOND,
    SEVERAL,
    STEP,
    TurnDetector,
    Voices,
    best_path,
    clip_voices,
)

RATE = 16_000


class TwoTones:
    """Statistics of a network that hears the level: quiet steps are one voice, loud ones another."""

    def sums(self, wave: np.ndarray) -> Iterator[np.ndarray]:
        loud = np.abs(wave.reshape(-1, STEP)).max(axis=1) > 0.5
        yield np.stack([~loud, loud], axis=1).astype(np.float32)

    def embed(self, sums: np.ndarray, steps: np.ndarray) -> np.ndarray:
        return (sums / np.linalg.norm(sums, axis=1, keepdims=True)).astype(np.float32)


def wave_of(pattern: str) -> tuple[np.ndarray, np.ndarray]:
    """float32[n] and bool[steps]: `a` a quiet step, `b` a loud one, `.` silence."""
    levels = np.array([{"a": 0.2, "b": 0.9, ".": 0.0}[letter] for letter in pattern], np.float32)
    return np.repeat(levels, STEP), levels > 0


def pauses_of(speech: np.ndarray) -> np.ndarray:
    return pauses_before(np.repeat(speech, 10), speech)


def labels_of(pattern: str, overlap: np.ndarray | None = None) -> str:
    detector = TurnDetector(TwoTones())
    wave, speech = wave_of(pattern)
    detector.feed(wave, speech, pauses_of(speech), overlap)
    return "".join({NOBODY: ".", SEVERAL: "x"}.get(int(label), "ABC"[label]) for label in detector.finish().labels)


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("a" * 40, "A" * 40),
        ("a" * 30 + "b" * 30, "A" * 30 + "B" * 30),  # without a pause
        ("a" * 30 + "..." + "b" * 30 + "...." + "a" * 20, "A" * 30 + "..." + "B" * 30 + "...." + "A" * 20),
        ("." * 20, "." * 20),
        ("a" * 30 + "b" + "a" * 30, "A" * 61),  # 100 ms of anything is no voice
        ("a" * 5, "A" * 5),
    ],
)
def test_each_step_has_the_voice_that_speaks_in_it(pattern: str, wanted: str) -> None:
    assert labels_of(pattern) == wanted


def test_labels_do_not_depend_on_the_parts_that_a_recording_is_fed_in() -> None:
    wave, speech = wave_of("a" * 700 + "..." + "b" * 900 + "....." + "a" * 300)
    whole, parts = TurnDetector(TwoTones()), TurnDetector(TwoTones())
    pauses = pauses_of(speech)
    whole.feed(wave, speech, pauses)
    for first in range(0, speech.size, 37):
        part = slice(first, first + 37)
        parts.feed(wave[first * STEP : (first + 37) * STEP], speech[part], pauses[part])
    first, second = whole.finish(), parts.finish()
    assert np.array_equal(first.labels, second.labels)
    assert np.array_equal(first.second, second.second, equal_nan=True)
    assert set(first.labels.tolist()) == {NOBODY, 0, 1}  # the same two in both blocks


def test_several_at_once_are_nobodys_turn() -> None:
    overlap = np.zeros(60, np.float32)
    overlap[25:33], overlap[50:52] = 0.9, 0.9  # two steps may be laughter
    assert labels_of("a" * 60, overlap) == "A" * 25 + "x" * 8 + "A" * 27


@pytest.mark.parametrize(("hears_overlap", "pattern", "wanted"), [
    (True, "a" * 30 + "bbb" + "a" * 30, "A" * 30 + "xxx" + "A" * 30),
    (False, "a" * 30 + "bbb" + "a" * 30, "A" * 63),
    (True, "a" * 63, "A" * 63),
])  # fmt: skip
def test_a_word_of_another_voice_is_found_where_both_networks_half_hear_it(
    hears_overlap: bool, pattern: str, wanted: str
) -> None:
    """Too brief to be a turn, and too quiet to be surely overlap; what one network alone hears is no second voice."""
    overlap = np.full(103, 0.001, np.float32)
    overlap[29:34] = 0.2 if hears_overlap else 0.001
    assert labels_of(pattern + "...." + "b" * 36, overlap)[:63] == wanted


def test_a_second_voice_is_the_likelier_the_more_a_step_sounds_like_another_one() -> None:
    path, brief = np.array([0, 1, 1]), np.array([[0.7, 0.1], [0.5, 0.4], [-0.3, -0.2]], np.float32)
    found = likeness(path, brief, brief + np.float32(0.1))
    assert found == pytest.approx(np.array([[0.7, 0.1, 0.8, 0.2], [0.4, 0.5, 0.5, 0.6], [-0.2, 0.0, -0.1, 0.0]]))
    overlap, around = np.full(LONG, 0.001), np.append(found[:1].repeat(LONG - 1, axis=0), found[1:2], axis=0)
    overlap[-2:] = 0.1
    alone, other = probabilities(overlap, around)[-2:]
    assert alone < 0.05 < other
    assert np.isnan(probabilities(np.full(2, 0.9), np.full((2, 4), np.nan, np.float32))).all()


def test_what_sounds_unlike_its_voice_for_long_is_a_room_and_no_second_voice() -> None:
    """An interjection stands out of it as it does elsewhere."""
    dry, room, other = np.array([[0.7, 0.1] * 2, [0.3, 0.2] * 2, [-0.2, 0.6] * 2], np.float32)
    found = np.concatenate([np.tile(dry, (200, 1)), np.tile(room, (200, 1))])
    found[[100, 300]] = other
    second = probabilities(np.full(400, 0.01), found) >= SECOND
    assert np.flatnonzero(second).tolist() == [100, 300]
    assert probabilities(np.full(1, 0.01), room[None]) < SECOND


def test_units_are_about_a_second_and_end_at_pauses() -> None:
    places = np.array([*range(10), *range(20, 24), *range(26, 33), *range(40, 66)])
    assert [places[unit].tolist() for unit in units_of(places)] == [
        list(range(10)), [*range(20, 24), *range(26, 33)], list(range(40, 53)), list(range(53, 66)),
    ]  # fmt: skip


def test_a_change_costs_more_within_speech_than_at_a_pause() -> None:
    cosines = np.tile(np.array([0.5, 0.4], np.float32), (20, 1))
    cosines[8:12, 1] = 0.72
    pauses = np.zeros(20, np.int64)
    within = best_path(cosines, pauses)
    pauses[[8, 12]] = 15
    apart = best_path(cosines, pauses)
    assert not within.any()
    assert apart.tolist() == [0] * 8 + [1] * 4 + [0] * 8


def test_a_pause_inside_a_word_counts_as_speech() -> None:
    marks = np.zeros(100, bool)
    marks[0:10], marks[25:40], marks[80:100] = True, True, True
    assert speech_steps(marks).tolist() == [True] * 4 + [False] * 4 + [True] * 2


def test_a_change_is_placed_in_the_longest_pause_nearby() -> None:
    speech = np.ones(200, bool)
    speech[93:97], speech[104:116] = False, False
    voices = np.repeat(np.array([0, 1], np.int16), 10)
    assert place_changes(voices, speech, np.zeros(200, np.float32)).tolist() == [110]


def test_without_a_pause_it_is_placed_where_it_is_quietest() -> None:
    levels = np.full(200, -20.0, np.float32)
    levels[88:91] = -35
    voices = np.repeat(np.array([0, 1], np.int16), 10)
    assert place_changes(voices, np.ones(200, bool), levels).tolist() == [89]


@pytest.mark.parametrize("profile", ["tortoise", "recover"])
@pytest.mark.parametrize("gap", [0, 10, 40])
def test_no_clip_goes_beyond_a_change(profile: str, gap: int) -> None:
    """Two voices of eight seconds each, with a pause that does not separate utterances."""
    speech = np.concatenate([np.ones(800, bool), np.zeros(gap, bool), np.ones(800, bool), np.zeros(60, bool)])
    levels = np.where(speech, -20, -60).astype(np.float32)
    change = np.array([800 + gap // 2])
    rules = Segment.model_validate({"profile": profile})
    cut = spans(speech, levels, samples=speech.size * 160, rate=RATE, rules=rules, changes=change)
    clips = [span for span in cut if span.kind is SpanKind.CLIP]
    assert len(clips) == 2
    assert clips[0].end <= change[0] * 160 <= clips[1].start
    assert sum(span.samples for span in cut) == speech.size * 160
    whole = spans(speech, levels, samples=speech.size * 160, rate=RATE, rules=rules)
    assert sum(span.kind is SpanKind.CLIP for span in whole) == 1


def test_recover_joins_short_utterances_of_one_turn_only() -> None:
    speech = np.concatenate([np.ones(300, bool), np.zeros(60, bool)] * 4)
    levels = np.where(speech, -20, -60).astype(np.float32)
    rules = Segment(profile="recover")
    cut = spans(speech, levels, samples=speech.size * 160, rate=RATE, rules=rules, changes=np.array([330]))
    assert [span.kind for span in cut if span.kind is not SpanKind.SILENCE] == [SpanKind.TOO_SHORT, SpanKind.CLIP]


def test_the_voices_of_a_clip() -> None:
    labels = np.array([NOBODY] * 10 + [0] * 50 + [NOBODY] * 3 + [1] * 40 + [0] * 40, np.int16)
    likely = np.where(labels == NOBODY, np.nan, 0.001).astype(np.float32)
    likely[110:115] = 0.95
    voices = Voices(labels, likely)
    first, second, third = (clip_voices(voices, *place) for place in ((1.0, 6.0), (6.3, 10.3), (10.3, 14.3)))
    assert (first.voices, second.voices, third.voices) == (1, 1, 1)
    assert (first.turn_id, second.turn_id, third.turn_id) == (0, 1, 2)
    assert first.score_turn < 0.01
    assert third.score_turn > 0.9
    both = clip_voices(voices, 3.0, 9.0)
    assert (both.voices, both.score_turn) == (2, 1.0)
    assert clip_voices(voices, 0.0, 0.9).voices == 1  # silence


def test_an_interjection_begins_no_turn() -> None:
    labels = np.array([0] * 60 + [SEVERAL] * 6 + [0] * 60 + [SEVERAL] * 3 + [1] * 60, np.int16)
    voices = Voices(labels, np.zeros(labels.size, np.float32))
    assert [clip_voices(voices, start, start + 5).turn_id for start in (0.0, 6.6, 12.9)] == [0, 0, 1]


@pytest.mark.parametrize(("one", "several", "wanted"), [(60, 4, 1), (60, 5, 2), (0, 60, 2), (3, 60, 2)])
def test_speech_of_several_at_once_counts_as_two_voices(one: int, several: int, wanted: int) -> None:
    labels = np.array([0] * one + [SEVERAL] * several, np.int16)
    second = np.where(labels == 0, 0.01, np.nan).astype(np.float32)
    found = clip_voices(Voices(labels, second), 0.0, labels.size / 10)
    assert found.voices == wanted
    assert found.score_turn == (1.0 if wanted == 2 else 0.01)
