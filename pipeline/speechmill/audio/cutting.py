"""Segmentation: from VAD marks and levels to spans. No audio, no I/O.

Positions in arguments and results are integer samples at the corpus rate; inside, the unit is the 10 ms
frame of the VAD. The spans cover the recording without gap or overlap.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from speechmill.audio.sentences import (
    FULL_PAUSE,
    MIN_PAUSE,
    Costs,
    TimedText,
    agreement_margins,
    boundaries,
    cut_costs,
    divide,
)
from speechmill.core.config import Segment
from speechmill.core.records import NOBODY, Span, SpanKind

FRAMES_PER_S = 100
MIN_SPEECH = 5  # frames: a shorter mark is a click or a mouth noise, not an utterance
MAX_GAP = 150  # frames: `recover` joins utterances over a shorter gap
PASSAGE = 2_700  # frames: with both edges, shorter than the 30 s window of Whisper; longer speech has no pause
PASSAGE_EDGE = MAX_GAP // 2  # frames of silence that a passage has at either end
GATE_DB = 6.0  # speech is at least so much louder than the background around it
FLOOR_WINDOW = 30 * FRAMES_PER_S  # the background is estimated over 30 s to either side
FLOOR_BLOCK = 1 * FRAMES_PER_S

REST = 16  # frames: longer than any pause inside a word; the closure before a final "t" or "ts" has up to 15
REST_DB = 3.0  # a rest is at most so much louder than the quiet fifth of the gap after an utterance
CHANGE_REACH = 30  # frames around a change of the voice in which it is placed; steps of turns have ten
MAX_TAIL = 30  # frames: the most that a VAD cuts off the end of a word

Marks = npt.NDArray[np.bool_]
Levels = npt.NDArray[np.float32]
Frames = npt.NDArray[np.int64]
NO_FRAMES: Frames = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class Utterance:
    """Frames [start, end) of speech between two silences."""

    start: int
    end: int

    @property
    def frames(self) -> int:
        """Length in frames."""
        return self.end - self.start


def spans(
    speech: Marks,
    levels: Levels,
    *,
    samples: int,
    rate: int,
    rules: Segment,
    breaks: Iterable[int] = (),
    changes: Frames = NO_FRAMES,
    texts: Sequence[TimedText] = (),
) -> list[Span]:
    """Cover a recording with spans.

    Args:
        speech: bool[frames], VAD marks of each 10 ms.
        levels: float32[frames], level of each 10 ms in dBFS.
        samples: Length of the recording.
        rate: Corpus sample rate in Hz.
        rules: Settings of segmentation.
        breaks: Samples at which packets were lost; an utterance around one is `corrupt`.
        changes: int64[n], frames at which the voice changes, see `place_changes`: no clip goes beyond one.
        texts: What was transcribed before, see `passages`: `recover` cuts where its sentences end.
    """
    utterances = _utterances(speech, levels, rules, changes, texts)
    clips = _place(utterances, levels, rules, _frames(rules.edge_s))
    placed_spans = (
        _judge(utterance, clip, samples=samples, rate=rate, rules=rules)
        for utterance, clip in zip(utterances, clips, strict=True)
    )
    return list(_cover(placed_spans, samples, np.sort(np.fromiter(breaks, np.int64))))


def gate(speech: Marks, levels: Levels) -> Marks:
    """Remove VAD marks that are not louder than the recording's background by GATE_DB, bool[frames].

    The background is the lowest level (10th percentile of a second) within 30 s on either side. It is
    relative: an absolute level would lose quiet books and never find a silence in noisy podcasts.
    """
    if not levels.size:
        return speech
    quiet, reach = _quiet_seconds(levels), FLOOR_WINDOW // FLOOR_BLOCK
    around = np.lib.stride_tricks.sliding_window_view(np.pad(quiet, reach, mode="edge"), 2 * reach + 1)
    threshold = np.repeat(around.min(axis=1) + GATE_DB, FLOOR_BLOCK)[: levels.size]
    return speech & (levels > threshold)


def _quiet_seconds(levels: Levels) -> Levels:
    """Level of the quiet tenth of each second, float32[seconds]. A separate function, so that its copies are freed."""
    blocks = np.pad(levels, (0, -levels.size % FLOOR_BLOCK), mode="edge").reshape(-1, FLOOR_BLOCK)
    return np.percentile(blocks, 10, axis=1).astype(np.float32)


def _runs(marks: Marks) -> npt.NDArray[np.int64]:
    """Start and end (exclusive) of each run of true marks, int64[runs, 2]."""
    steps = np.diff(np.concatenate([[0], marks.astype(np.int8), [0]]))
    return np.stack([np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)], axis=1)


def place_changes(voices: npt.NDArray[np.int16], speech: Marks, levels: Levels) -> Frames:
    """Frames at which the voice changes, int64[n]: in the longest pause nearby, or else where it is quietest.

    Args:
        voices: int16[steps], voice of each 100 ms; NOBODY where nobody speaks, see speakers/turns.py.
        speech: bool[frames], VAD marks of each 10 ms.
        levels: float32[frames], level of each 10 ms in dBFS.
    """
    places = np.flatnonzero(voices != NOBODY)
    last = np.flatnonzero(voices[places[1:]] != voices[places[:-1]])
    changes = []
    for before, after in zip(places[last], places[last + 1], strict=True):
        first = max(10 * (before + 1) - CHANGE_REACH, 0)
        end = min(10 * after + CHANGE_REACH, speech.size)
        pauses = first + _runs(~speech[first:end])
        if len(pauses):
            start, stop = pauses[(pauses[:, 1] - pauses[:, 0]).argmax()]
            changes.append((start + stop) // 2)
        else:
            smooth = np.convolve(np.pad(levels[first:end], 1, mode="edge"), np.full(3, 1 / 3), mode="valid")
            changes.append(first + int(smooth.argmin()))
    return np.unique(np.array(changes, np.int64))


def _utterances(
    speech: Marks, levels: Levels, rules: Segment, changes: Frames, texts: Sequence[TimedText]
) -> list[Utterance]:
    """Speech between silences and changes of the voice, divided as the profile demands."""
    runs = _divide(_runs(speech), changes)
    runs = runs[runs[:, 1] - runs[:, 0] >= MIN_SPEECH]
    if rules.profile == "as_is":
        return [Utterance(int(runs[0, 0]), int(runs[-1, 1]))] if len(runs) else []
    if rules.profile == "tortoise":
        return _merge(runs, _frames(rules.min_silence_s), changes)
    costs = cut_costs(runs[1:, 0] - runs[:-1, 1], boundaries(runs, texts))
    words, clips = (
        np.array([(clip.start, clip.end) for clip in _place(_as_utterances(runs), levels, rules, edge)], np.int64)
        for edge in (0, _frames(rules.edge_s))
    )
    limits = {"shortest": _frames(rules.min_length_s), "longest": _frames(rules.max_length_s)}
    margins = agreement_margins(runs, texts)
    return _as_utterances(_divide_turns(runs, words, clips, costs, margins, changes, **limits))


def passages(speech: Marks, changes: Frames) -> Frames:
    """Passages for an ASR model, int64[n, 2]: speech of one voice, at most PASSAGE long, cut at the longest pauses.

    Half a gap between two belongs to each, up to PASSAGE_EDGE: over a gap that a clip may have, they touch.
    """
    runs = _divide(_runs(speech), changes)
    pauses = runs[1:, 0] - runs[:-1, 1]
    costs = np.where(pauses < MIN_PAUSE, np.inf, np.maximum(FULL_PAUSE - pauses, 1.0))
    undisputed = np.zeros(len(runs))
    pieces = _divide_turns(runs, runs, runs, costs, undisputed, changes, shortest=0, longest=PASSAGE)
    starts, ends = pieces[pieces[:, 1] - pieces[:, 0] <= PASSAGE].T
    middles = (ends[:-1] + starts[1:]) // 2
    first = np.maximum(starts - PASSAGE_EDGE, np.concatenate([[0], middles])[: len(starts)])
    last = np.minimum(ends + PASSAGE_EDGE, np.concatenate([middles, [speech.size]])[: len(ends)])
    return np.stack([first, last], axis=1)


def _divide(runs: npt.NDArray[np.int64], changes: Frames) -> npt.NDArray[np.int64]:
    """Divide runs, int64[n, 2], at the changes inside them."""
    run = np.searchsorted(runs[:, 0], changes, side="right") - 1
    inside = changes[(run >= 0) & (changes > runs[run, 0]) & (changes < runs[run, 1])] if len(runs) else changes[:0]
    bounds = np.sort(np.concatenate([runs.ravel(), inside, inside]))
    return bounds.reshape(-1, 2)


def _have_between(changes: Frames, ends: npt.NDArray[np.int64], starts: npt.NDArray[np.int64]) -> Marks:
    """Whether there is a change from each end to the start that follows it."""
    return np.searchsorted(changes, ends) < np.searchsorted(changes, starts, side="right")


def _frames(seconds: float) -> int:
    return round(seconds * FRAMES_PER_S)


def _merge(runs: npt.NDArray[np.int64], min_silence: int, changes: Frames) -> list[Utterance]:
    if not runs.size:
        return []
    apart = (runs[1:, 0] - runs[:-1, 1] >= min_silence) | _have_between(changes, runs[:-1, 1], runs[1:, 0])
    starts = runs[np.concatenate([[True], apart]), 0]
    ends = runs[np.concatenate([apart, [True]]), 1]
    return [Utterance(int(start), int(end)) for start, end in zip(starts, ends, strict=True)]


def _divide_turns(
    runs: Frames, words: Frames, clips: Frames, costs: Costs, margins: Costs, changes: Frames, **limits: int
) -> Frames:
    """Divide the speech of each turn, and of each stretch without a gap of MAX_GAP, with `divide`; int64[pieces, 2]."""
    if not len(runs):
        return runs
    ends, starts = runs[:-1, 1], runs[1:, 0]
    borders = np.flatnonzero((starts - ends >= MAX_GAP) | _have_between(changes, ends, starts)) + 1
    pieces = [
        first
        + divide(
            runs[first:end], words[first:end], clips[first:end], costs[first : end - 1], margins[first:end], **limits
        )
        for first, end in zip([0, *borders], [*borders, len(runs)], strict=True)
    ]
    at = np.concatenate(pieces)
    return np.stack([runs[at[:, 0], 0], runs[at[:, 1], 1]], axis=1)


def _as_utterances(pieces: Frames) -> list[Utterance]:
    return [Utterance(start, end) for start, end in pieces.tolist()]


def _place(utterances: list[Utterance], levels: Levels, rules: Segment, edge: int) -> Iterator[Utterance]:
    """Extend each utterance to the ends of its words and, as far as the longest clip allows, by its edges.

    Neither goes beyond the middle of a gap.
    """
    longest = _frames(rules.max_length_s)
    for i, utterance in enumerate(utterances):
        before = (utterances[i - 1].end + utterance.start + 1) // 2 if i else 0
        after = (utterance.end + utterances[i + 1].start) // 2 if i + 1 < len(utterances) else levels.size
        start = utterance.start - _tail(levels[before : utterance.start][::-1])
        end = utterance.end + _tail(levels[utterance.end : after])
        room = min(max(longest - (end - start), 0) // 2, edge)
        yield Utterance(max(start - room, before), min(end + room, after))


def _tail(outward: Levels) -> int:
    """Frames of a gap, seen from the utterance, that still belong to its word: VADs miss quiet consonants.

    The word ends where a rest begins; if there is none nearby, at the quietest frame.
    """
    near = outward[: MAX_TAIL + REST]
    if not near.size:
        return 0
    smooth = np.convolve(np.pad(near, 1, mode="edge"), np.full(3, 1 / 3), mode="valid")
    runs = _runs(smooth <= np.percentile(smooth, 20) + REST_DB)
    is_rest = (runs[:, 1] - runs[:, 0] >= REST) | (runs[:, 1] == outward.size)
    end = int(runs[is_rest, 0][0]) if is_rest.any() else int(near.argmin())
    return min(end, MAX_TAIL)


def _judge(utterance: Utterance, clip: Utterance, *, samples: int, rate: int, rules: Segment) -> Span:
    """Classify a clip by its length in samples, since the last frame may be shorter; other spans have no edges."""
    start, end = (min(at * rate // FRAMES_PER_S, samples) for at in (clip.start, clip.end))
    if rules.min_length_s * rate <= end - start <= rules.max_length_s * rate:
        return Span(start=start, end=end, kind=SpanKind.CLIP)
    kind = SpanKind.TOO_SHORT if end - start < rules.min_length_s * rate else SpanKind.TOO_LONG
    start, end = (min(at * rate // FRAMES_PER_S, samples) for at in (utterance.start, utterance.end))
    return Span(start=start, end=end, kind=kind)


def _cover(placed_spans: Iterable[Span], samples: int, lost: npt.NDArray[np.int64]) -> Iterator[Span]:
    """Fill gaps with silence; mark spans with a break as corrupt."""
    at = 0
    for span in placed_spans:
        if span.start > at:
            yield Span(start=at, end=span.start, kind=SpanKind.SILENCE)
        is_broken = np.searchsorted(lost, span.start) < np.searchsorted(lost, span.end, side="right")
        yield replace(span, kind=SpanKind.CORRUPT) if is_broken else span
        at = span.end
    if at < samples:
        yield Span(start=at, end=samples, kind=SpanKind.SILENCE)
