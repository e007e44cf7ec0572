"""Segmentation: from VAD marks and levels to spans. No audio, no I/O.

Positions in arguments and results are integer samples at the corpus rate; inside, the unit is the 10 ms
frame of the VAD. The spans cover the recording without gap or overlap.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from speechmill.core.config import Segment
from speechmill.core.records import Span, SpanKind

FRAMES_PER_S = 100
MIN_SPEECH = 5  # frames: a shorter mark is a click or a mouth noise, not an utterance
RECOVER_MIN_PAUSE = 20  # frames: shortest pause at which `recover` cuts a long utterance
RECOVER_MAX_GAP = 150  # frames: `recover` joins short utterances over a shorter gap
GATE_DB = 6.0  # speech is at least so much louder than the background around it
FLOOR_WINDOW = 30 * FRAMES_PER_S  # the background is estimated over 30 s to either side
FLOOR_BLOCK = 1 * FRAMES_PER_S

REST = 16  # frames: longer than any pause inside a word; the closure before a final "t" or "ts" has up to 15
REST_DB = 3.0  # a rest is at most so much louder than the quiet fifth of the gap after an utterance
CHANGE_REACH = 30  # frames around a change of the voice in which it is placed; steps of turns have ten
MAX_TAIL = 30  # frames: the most that a VAD cuts off the end of a word

Marks = npt.NDArray[np.bool_]
Levels = npt.NDArray[np.float32]
NOBODY = -1  # label of steps without a voice
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
    """
    utterances = _utterances(speech, rules, changes)
    clips = _place(utterances, levels, rules)
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


def _utterances(speech: Marks, rules: Segment, changes: Frames) -> list[Utterance]:
    """Speech between silences and changes of the voice, split and joined as the profile demands."""
    runs = _divide(_runs(speech), changes)
    runs = runs[runs[:, 1] - runs[:, 0] >= MIN_SPEECH]
    if rules.profile == "as_is":
        return [Utterance(int(runs[0, 0]), int(runs[-1, 1]))] if len(runs) else []
    utterances = _merge(runs, _frames(rules.min_silence_s), changes)
    if rules.profile == "tortoise":
        return utterances
    longest = _frames(rules.max_length_s)
    safe = longest - 2 * MAX_TAIL  # leaves room for word ends that the VAD cut off
    pieces = [
        piece
        for utterance in utterances
        for piece in (_split(utterance, runs, safe) if utterance.frames > longest else [utterance])
    ]
    return _join(pieces, changes, shortest=_frames(rules.min_length_s), longest=safe)


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


def _split(whole: Utterance, runs: npt.NDArray[np.int64], longest: int) -> Iterator[Utterance]:
    """Split an utterance at its longest inner pause, and its parts again, until they are short enough."""
    inner = runs[(runs[:, 0] >= whole.start) & (runs[:, 1] <= whole.end)]
    pending = [inner]
    while pending:
        part = pending.pop()
        pauses = part[1:, 0] - part[:-1, 1]
        start, end = int(part[0, 0]), int(part[-1, 1])
        if end - start <= longest or not pauses.size or pauses.max() < RECOVER_MIN_PAUSE:
            yield Utterance(start, end)
            continue
        at = int(pauses.argmax()) + 1
        pending += [part[at:], part[:at]]


def _join(pieces: list[Utterance], changes: Frames, *, shortest: int, longest: int) -> list[Utterance]:
    """Join short utterances with the previous one of the same turn, from left to right."""
    joined: list[Utterance] = []
    ends, starts = (np.array([getattr(piece, name) for piece in pieces], np.int64) for name in ("end", "start"))
    is_new_turn = np.concatenate([[True], _have_between(changes, ends[:-1], starts[1:])])
    for piece, is_apart in zip(pieces, is_new_turn, strict=False):
        if joined and not is_apart:
            last = joined[-1]
            is_short = min(last.frames, piece.frames) < shortest
            if is_short and piece.start - last.end < RECOVER_MAX_GAP and piece.end - last.start <= longest:
                joined[-1] = Utterance(last.start, piece.end)
                continue
        joined.append(piece)
    return joined


def _place(utterances: list[Utterance], levels: Levels, rules: Segment) -> Iterator[Utterance]:
    """Extend each utterance to the ends of its words and, as far as the longest clip allows, by its edges.

    Neither goes beyond the middle of a gap.
    """
    longest, edge = _frames(rules.max_length_s), _frames(rules.edge_s)
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
