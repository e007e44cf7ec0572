"""Division of speech into clips at the ends of sentences."""

import itertools

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from speechmill.audio.cutting import MAX_GAP, NO_FRAMES, PASSAGE, PASSAGE_EDGE, passages, spans
from speechmill.audio.sentences import (
    DISPUTED_SHARE,
    Boundary,
    TimedText,
    TimedWord,
    boundaries,
    boundary_of,
    cut_costs,
    divide,
)
from speechmill.core.config import Segment
from speechmill.core.records import SpanKind

RATE = 16_000


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("sea.", "Then", Boundary.SENTENCE),
        ("sea?”", "“Then", Boundary.SENTENCE),
        ("…", "Then", Boundary.SENTENCE),
        ("ist.", "Öl", Boundary.SENTENCE),
        ("海。", "然后", Boundary.SENTENCE),
        ("море.", "Потом", Boundary.SENTENCE),
        ("p.m.", "and", Boundary.CLAUSE),  # an abbreviation: the sentence goes on in lower case
        ("sea,", "then", Boundary.CLAUSE),
        ("sea –", "then", Boundary.CLAUSE),
        ("the", "Sea", Boundary.INSIDE),
        ("the", "sea", Boundary.INSIDE),
        ("", "", Boundary.INSIDE),
    ],
)
def test_boundaries_by_marks_and_case(before: str, after: str, expected: Boundary) -> None:
    assert boundary_of(before, after) is expected


def test_a_word_is_on_the_side_of_a_pause_where_its_middle_is() -> None:
    """As an ASR model stretches "Then" over the whole pause before it."""
    runs = np.array([[0, 100], [150, 250]])
    words = (TimedWord(40, "the"), TimedWord(85, "sea."), TimedWord((100 + 180) / 2, "Then"), TimedWord(210, "we"))
    assert boundaries(runs, [TimedText(0, 300, words)]) == [Boundary.SENTENCE]


def test_nothing_is_known_of_a_pause_beside_speech_that_was_not_transcribed() -> None:
    runs = np.array([[0, 100], [150, 250], [300, 400]])
    words = (TimedWord(40, "Yes."), TimedWord(85, "So."), TimedWord(200, "Well."))
    assert boundaries(runs, [TimedText(0, 275, words)]) == [Boundary.SENTENCE, Boundary.UNKNOWN]
    assert boundaries(runs, []) == [Boundary.UNKNOWN] * 2


def test_a_sentence_ends_at_a_shorter_pause_than_a_cut_needs_elsewhere() -> None:
    costs = cut_costs(np.array([11, 15, 15, 15, 25]), [Boundary.SENTENCE, Boundary.SENTENCE, *[Boundary.INSIDE] * 3])
    assert np.isfinite(costs).tolist() == [False, True, False, False, True]


def test_ends_of_sentences_cost_least_then_clauses_then_words() -> None:
    costs = cut_costs(np.full(3, 40), [Boundary.SENTENCE, Boundary.CLAUSE, Boundary.INSIDE])
    assert costs.tolist() == sorted(costs.tolist())
    assert costs[1] - costs[0] > 100 < costs[2] - costs[1]


@st.composite
def speech(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    lengths = draw(st.lists(st.tuples(st.integers(20, 900), st.integers(1, 140)), min_size=1, max_size=7))
    starts = np.cumsum([0, *(run + pause for run, pause in lengths[:-1])])
    runs = np.stack([starts, starts + [run for run, _ in lengths]], axis=1)
    costs = draw(st.lists(st.sampled_from([0.0, 30.0, 150.0, 400.0, np.inf]), min_size=len(runs) - 1, max_size=6))
    margins = draw(st.lists(st.sampled_from([-8.0, 0.0, 2.0]), min_size=len(runs), max_size=7))
    return runs, np.array(costs[: len(runs) - 1]), np.array(margins[: len(runs)])


A_SHORT_RUN_BEFORE_A_LONG_ONE = np.array([[0, 20], [21, 482], [622, 1522], [1523, 1543], [1544, 1564], [1565, 1606]])


@given(speech())
@example((A_SHORT_RUN_BEFORE_A_LONG_ONE, np.array([0, np.inf, 0, 0, 0]), np.zeros(6)))
def test_no_other_division_costs_less(case: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    runs, costs, margins = case

    def cost(cuts: tuple[int, ...]) -> float:
        total, bounds = sum(costs[at - 1] for at in cuts), [0, *cuts, len(runs)]
        for first, end in itertools.pairwise(bounds):
            speech = sum(run[1] - run[0] for run in runs[first:end])
            if not 500 <= runs[end - 1, 1] - runs[first, 0] <= 1_500:
                total += speech + 10
            elif margins[first:end].sum() < 0:
                total += DISPUTED_SHARE * speech
        return float(total)

    found = divide(runs, runs, runs, costs, margins, shortest=500, longest=1_500)
    assert [*found[1:, 0]] == [*found[:-1, 1] + 1]
    every = [cuts for n in range(len(runs)) for cuts in itertools.combinations(range(1, len(runs)), n)]
    assert cost(tuple(int(at) for at in found[1:, 0])) == pytest.approx(min(cost(cuts) for cuts in every))


def test_an_hour_without_a_pause_costs_no_time() -> None:
    """10,000 runs between which nothing may be cut are one piece."""
    runs = np.arange(20_000).reshape(-1, 2) * 18
    assert divide(runs, runs, runs, np.full(9_999, np.inf), np.zeros(10_000), shortest=500, longest=2_000).tolist() == [
        [0, 9_999]
    ]


marks = st.lists(st.tuples(st.integers(1, 1_500), st.integers(1, 400)), max_size=12).map(
    lambda parts: np.concatenate([np.zeros(0, bool), *(np.repeat([True, False], part) for part in parts)])
)


@given(marks, st.lists(st.integers(0, 6_000), max_size=3))
def test_passages_fit_the_window_and_touch_over_gaps_that_a_clip_may_have(spoken: np.ndarray, at: list[int]) -> None:
    changes = np.unique(np.array([one for one in at if one < spoken.size], np.int64))
    found = passages(spoken, changes)
    assert all(0 <= first < last <= spoken.size and last - first <= PASSAGE + 2 * PASSAGE_EDGE for first, last in found)
    for (_, end), (start, _) in itertools.pairwise(found.tolist()):
        assert end <= start
    if found.size:
        levels = np.where(spoken, -20, -70).astype(np.float32)
        rules = Segment(profile="recover", min_length_s=1)
        for span in spans(spoken, levels, samples=160 * spoken.size, rate=RATE, rules=rules, changes=changes):
            if span.kind is SpanKind.CLIP:  # its sound is in passages, without a hole
                own = found[(found[:, 0] < span.end / 160) & (found[:, 1] > span.start / 160)]
                assert own[0, 0] * 160 <= span.start
                assert span.end <= own[-1, 1] * 160
                assert (own[1:, 0] == own[:-1, 1]).all()


def test_a_clip_ends_with_its_sentence_rather_than_at_the_longer_pause() -> None:
    """Two readings of 12 s with a pause of 0.9 s in mid-sentence, and one of 0.3 s between the sentences."""
    runs = [(0, 800), (890, 1_200), (1_230, 1_500), (1_590, 2_400)]
    spoken = np.zeros(2_500, bool)
    for start, end in runs:
        spoken[start:end] = True
    words = [TimedWord(700, "the"), TimedWord(1_100, "sea."), TimedWord(1_400, "Then"), TimedWord(1_700, "we")]
    cut = {"samples": 160 * spoken.size, "rate": RATE, "rules": Segment(profile="recover")}
    levels = np.where(spoken, -20, -70).astype(np.float32)
    by_pauses, by_words = (
        [round(span.start / RATE, 1) for span in spans(spoken, levels, texts=texts, **cut) if span.kind == "clip"]
        for texts in ((), [TimedText(0, 2_500, tuple(words))])
    )
    assert by_pauses == [0.0, 8.8, 15.8]
    assert by_words == [0.0, 12.2]


def test_no_gap_in_a_passage_is_longer_than_in_a_clip() -> None:
    spoken = np.concatenate([np.ones(500, bool), np.zeros(MAX_GAP, bool), np.ones(500, bool)])
    assert len(passages(spoken, NO_FRAMES)) == 2
    assert len(passages(np.delete(spoken, 600), NO_FRAMES)) == 1


ON_SEA = (TimedWord(300, "the", 1.0), TimedWord(700, "sea.", 1.0))


@pytest.mark.parametrize(
    ("words", "clips"),
    [
        ((*ON_SEA, TimedWord(1_000, "Zebra", 0.2)), [(0, 800)]),  # the last words are disputed
        ((TimedWord(300, "zebra.", 0.2), TimedWord(1_000, "Then", 1.0)), [(0, 1_200)]),  # the rest is too short
        ((*ON_SEA, TimedWord(1_000, "Then", 1.0)), [(0, 1_200)]),
        ((*ON_SEA, TimedWord(1_000, "Zebra", None)), [(0, 1_200)]),  # there is no cross-check
        ((TimedWord(300, "the", 1.0), TimedWord(700, "sea", 1.0), TimedWord(1_000, "Thin", 0.75)), [(0, 1_200)]),
    ],
)
def test_disputed_words_are_cut_off_at_a_pause_where_the_rest_is_a_clip(
    words: tuple[TimedWord, ...], clips: list[tuple[int, int]]
) -> None:
    """Speech of 8 s and of 3.6 s, with a pause of 0.4 s."""
    spoken = np.repeat([True, False, True], [800, 40, 360])
    levels = np.where(spoken, -20, -70).astype(np.float32)
    rules = Segment(profile="recover", edge_s=0.0)
    found = spans(
        spoken, levels, samples=160 * spoken.size, rate=RATE, rules=rules, texts=[TimedText(0, spoken.size, words)]
    )
    pieces = [(span.start // 160, span.end // 160) for span in found if span.kind is SpanKind.CLIP]
    assert pieces == clips
    assert sum(span.samples for span in found) == 160 * spoken.size


def test_disputed_first_words_are_cut_off_too() -> None:
    """The ledger has them as a span of their own."""
    spoken = np.repeat([True, False, True], [360, 40, 800])
    levels = np.where(spoken, -20, -70).astype(np.float32)
    words = (TimedWord(200, "Zebra.", 0.0), TimedWord(700, "The", 1.0), TimedWord(1_100, "sea.", 1.0))
    cut = {"samples": 160 * spoken.size, "rate": RATE, "rules": Segment(profile="recover", edge_s=0.0)}
    found = spans(spoken, levels, texts=[TimedText(0, spoken.size, words)], **cut)
    pieces = [(span.start // 160, span.end // 160, span.kind) for span in found]
    assert pieces == [(0, 360, SpanKind.TOO_SHORT), (360, 400, SpanKind.SILENCE), (400, 1_200, SpanKind.CLIP)]


def test_speech_whose_words_are_all_disputed_is_cut_as_without_a_cross_check() -> None:
    """So that clips are rejected for disagreement, and another threshold can keep them."""
    spoken = np.repeat([True, False] * 6, [700, 60] * 6)
    levels = np.where(spoken, -20, -70).astype(np.float32)
    cut = {"samples": 160 * spoken.size, "rate": RATE, "rules": Segment(profile="recover")}
    texts = [
        [TimedText(0, spoken.size, tuple(TimedWord(760 * n + 350, f"Word{n}.", share) for n in range(6)))]
        for share in (None, 0.1)
    ]
    without, disputed = (spans(spoken, levels, texts=text, **cut) for text in texts)
    assert any(span.kind is SpanKind.CLIP for span in without)
    assert disputed == without
