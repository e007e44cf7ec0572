"""Whatever the marks and levels: the spans balance to the sample, and every clip keeps the rules."""

from itertools import pairwise

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st
from speechmill.audio.cutting import MAX_TAIL, spans
from speechmill.core.config import Segment
from speechmill.core.records import Span, SpanKind

RATES_HZ = [8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000]
MIN_SPEECH = 5  # frames: shorter marks are clicks

Case = tuple[npt.NDArray[np.bool_], npt.NDArray[np.float32], int, int]


@st.composite
def recordings(draw: st.DrawFn, rates: list[int] = RATES_HZ) -> Case:
    """Marks in runs of any length, levels of any kind, a rate, and a length with a last frame of any size."""
    lengths = draw(st.lists(st.one_of(st.integers(1, 60), st.integers(1, 2_500)), max_size=30))
    first = draw(st.booleans())
    marks = np.concatenate([np.zeros(0, bool), *(np.full(n, first ^ bool(i % 2)) for i, n in enumerate(lengths))])
    seed = draw(st.integers(0, 9))
    steps = draw(st.sampled_from([1, 5, 1_000]))  # few steps: many equal levels
    levels = (np.random.default_rng(seed).integers(-steps, 1, marks.size) * (100 / steps)).astype(np.float32)
    rate = draw(st.sampled_from(rates))
    first_of_last = max(marks.size - 1, 0) * rate // 100
    samples = draw(st.integers(first_of_last + 1, marks.size * rate // 100)) if marks.size else 0
    return marks, levels, samples, rate


@st.composite
def rules(draw: st.DrawFn, profile: str | None = None) -> Segment:
    shortest = draw(st.sampled_from([0.5, 0.503, 1.0, 4.999, 5.0]))
    return Segment(
        profile=profile or draw(st.sampled_from(["tortoise", "recover"])),
        min_silence_s=draw(st.sampled_from([0.01, 0.3, 0.5, 2.0])),
        min_length_s=shortest,
        max_length_s=draw(st.sampled_from([5.0, 10.005, 20.0, 29.0])),
        edge_s=draw(st.sampled_from([0.0, 0.1, 1.0])),
    )


def cut(case: Case, limits: Segment, breaks: list[int] | None = None) -> list[Span]:
    marks, levels, samples, rate = case
    return spans(marks, levels, samples=samples, rate=rate, rules=limits, breaks=breaks or [])


def utterances(marks: npt.NDArray[np.bool_], min_silence: int) -> list[tuple[int, int]]:
    """By the definition: what lies between silences, frame by frame."""
    voiced = np.flatnonzero(marks).tolist()
    runs: list[list[int]] = []
    for at in voiced:
        if runs and at == runs[-1][1]:
            runs[-1][1] = at + 1
        else:
            runs.append([at, at + 1])
    found: list[tuple[int, int]] = []
    for start, end in (run for run in runs if run[1] - run[0] >= MIN_SPEECH):
        if found and start - found[-1][1] < min_silence:
            found[-1] = found[-1][0], end
        else:
            found.append((start, end))
    return found


@given(recordings(), rules(), st.data())
def test_the_spans_balance_to_the_sample(case: Case, limits: Segment, data: st.DataObject) -> None:
    breaks = data.draw(st.lists(st.integers(0, case[2]), max_size=5))
    found = cut(case, limits, breaks)
    assert sum(span.samples for span in found) == case[2]
    assert all(span.samples > 0 for span in found)
    assert not found or (found[0].start, found[-1].end) == (0, case[2])
    assert all(one.end == two.start for one, two in pairwise(found))
    assert all((one.kind, two.kind) != ("silence", "silence") for one, two in pairwise(found))


@given(recordings(), rules())
def test_every_clip_keeps_the_limits_in_samples(case: Case, limits: Segment) -> None:
    for clip in (span for span in cut(case, limits) if span.kind is SpanKind.CLIP):
        assert limits.min_length_s * case[3] <= clip.samples <= limits.max_length_s * case[3]


@given(recordings(), rules("tortoise"))
def test_tortoise_neither_cuts_nor_joins_utterances(case: Case, limits: Segment) -> None:
    marks, _, samples, rate = case
    pieces = [span for span in cut(case, limits) if span.kind is not SpanKind.SILENCE]
    expected = utterances(marks, round(100 * limits.min_silence_s))
    assert len(pieces) == len(expected)
    edge = round(100 * limits.edge_s) + MAX_TAIL
    for i, (piece, (start, end)) in enumerate(zip(pieces, expected, strict=True)):
        before = (expected[i - 1][1] + start) / 2 if i else 0
        after = (expected[i + 1][0] + end) / 2 if i + 1 < len(expected) else marks.size
        first, last = max(start - edge, before), min(end + edge, after)
        assert first * rate / 100 - 1 <= piece.start <= start * rate / 100
        assert min(end * rate // 100, samples) <= piece.end <= last * rate / 100
        if piece.kind is not SpanKind.CLIP:
            assert (piece.start, piece.end) == (start * rate // 100, min(end * rate // 100, samples))


@given(recordings(rates=[24_000]), rules("recover"))
def test_recover_cuts_at_pauses_and_joins_over_short_gaps(case: Case, limits: Segment) -> None:
    marks, _, _, rate = case
    pieces = [span for span in cut(case, limits) if span.kind is not SpanKind.SILENCE]
    frames = [(span.start * 100 // rate, -(-span.end * 100 // rate)) for span in pieces]
    silence = round(100 * limits.min_silence_s)
    for start, end in utterances(marks, min(20, silence)):  # never cut at a pause of under 0.2 s
        assert any(first <= start and end <= last for first, last in frames)
    for (_, end), (start, _) in pairwise(utterances(marks, max(150, silence))):  # never joined over 1.5 s
        assert not any(first < end and start < last for first, last in frames)


@given(recordings(rates=[24_000]))
def test_recover_recovers(case: Case) -> None:
    """Of what it may cut or join it never makes less than the strict profile."""
    strict, lenient = (cut(case, Segment(profile=profile)) for profile in ("tortoise", "recover"))
    clips = [sum(s.samples for s in found if s.kind is SpanKind.CLIP) for found in (strict, lenient)]
    assert clips[1] >= 0.99 * clips[0]


@given(recordings(), rules(), st.data())
def test_breaks_make_corrupt_what_they_are_in_and_nothing_else(
    case: Case, limits: Segment, data: st.DataObject
) -> None:
    whole = cut(case, limits)
    breaks = data.draw(st.lists(st.integers(0, case[2]), max_size=5))
    for before, after in zip(whole, cut(case, limits, breaks), strict=True):
        is_hit = before.kind is not SpanKind.SILENCE and any(before.start <= at <= before.end for at in breaks)
        assert (after.start, after.end) == (before.start, before.end)
        assert after.kind is (SpanKind.CORRUPT if is_hit else before.kind)


@given(recordings(), rules())
def test_the_same_input_gives_the_same_spans(case: Case, limits: Segment) -> None:
    assert cut(case, limits) == cut(case, limits)
