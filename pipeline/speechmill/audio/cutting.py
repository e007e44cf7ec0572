"""Silences to spans: where a recording is cut, decided on marks and levels alone. No audio, no I/O.

All positions that come in and go out are integer samples at the corpus rate; inside, the unit is the 10 ms
frame of the detector. The spans cover the recording without gap or overlap.
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

REST = 16  # frames: no word has so long a rest inside; before a last "t" or "ts" there are up to 15
REST_DB = 3.0  # a rest rises by so much over the quiet fifth of what follows an utterance at most
MAX_TAIL = 30  # frames: as far as a detector misses the end of a word

Marks = npt.NDArray[np.bool_]
Levels = npt.NDArray[np.float32]


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
    speech: Marks, levels: Levels, *, samples: int, rate: int, rules: Segment, breaks: Iterable[int] = ()
) -> list[Span]:
    """Cover a recording of `samples` samples at `rate` Hz with spans.

    speech: bool[frames], levels: float32[frames] in dBFS, for each 10 ms; breaks: samples where packets were
    lost: an utterance around one is `corrupt`.
    """
    found = _utterances(speech, rules)
    clips = _place(found, levels, rules)
    judged = (
        _judge(one, clip, samples=samples, rate=rate, rules=rules) for one, clip in zip(found, clips, strict=True)
    )
    return list(_cover(judged, samples, np.sort(np.fromiter(breaks, np.int64))))


def gate(speech: Marks, levels: Levels) -> Marks:
    """Take from the marks what does not rise over the recording's own background, bool[frames].

    The background at a place is the lowest level (10th percentile of a second) within 30 s to either side. It is
    relative: an absolute level would lose quiet books and never find a silence in noisy podcasts.
    """
    if not levels.size:
        return speech
    quiet, reach = _quiet_seconds(levels), FLOOR_WINDOW // FLOOR_BLOCK
    around = np.lib.stride_tricks.sliding_window_view(np.pad(quiet, reach, mode="edge"), 2 * reach + 1)
    threshold = np.repeat(around.min(axis=1) + GATE_DB, FLOOR_BLOCK)[: levels.size]
    return speech & (levels > threshold)


def _quiet_seconds(levels: Levels) -> Levels:
    """Level of the quiet tenth of each second. A function of its own, so that its copies are gone after it."""
    blocks = np.pad(levels, (0, -levels.size % FLOOR_BLOCK), mode="edge").reshape(-1, FLOOR_BLOCK)
    return np.percentile(blocks, 10, axis=1).astype(np.float32)


def _runs(marks: Marks) -> npt.NDArray[np.int64]:
    """[start, end) of each run of true marks, int64[runs, 2]."""
    steps = np.diff(np.concatenate([[0], marks.astype(np.int8), [0]]))
    return np.stack([np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)], axis=1)


def _utterances(speech: Marks, rules: Segment) -> list[Utterance]:
    """What lies between two silences; then the profile's changes."""
    runs = _runs(speech)
    runs = runs[runs[:, 1] - runs[:, 0] >= MIN_SPEECH]
    found = _merge(runs, _frames(rules.min_silence_s))
    if rules.profile == "tortoise":
        return found
    longest = _frames(rules.max_length_s)
    safe = longest - 2 * MAX_TAIL  # has room for what the detector missed at either end
    pieces = [piece for one in found for piece in (_split(one, runs, safe) if one.frames > longest else [one])]
    return _join(pieces, shortest=_frames(rules.min_length_s), longest=safe)


def _frames(seconds: float) -> int:
    return round(seconds * FRAMES_PER_S)


def _merge(runs: npt.NDArray[np.int64], min_silence: int) -> list[Utterance]:
    if not runs.size:
        return []
    apart = runs[1:, 0] - runs[:-1, 1] >= min_silence
    starts = runs[np.concatenate([[True], apart]), 0]
    ends = runs[np.concatenate([apart, [True]]), 1]
    return [Utterance(int(start), int(end)) for start, end in zip(starts, ends, strict=True)]


def _split(whole: Utterance, runs: npt.NDArray[np.int64], longest: int) -> Iterator[Utterance]:
    """Cut an utterance at its longest inner pause, and its parts again, until they fit."""
    inner = runs[(runs[:, 0] >= whole.start) & (runs[:, 1] <= whole.end)]
    waiting = [inner]
    while waiting:
        part = waiting.pop()
        pauses = part[1:, 0] - part[:-1, 1]
        start, end = int(part[0, 0]), int(part[-1, 1])
        if end - start <= longest or not pauses.size or pauses.max() < RECOVER_MIN_PAUSE:
            yield Utterance(start, end)
            continue
        at = int(pauses.argmax()) + 1
        waiting += [part[at:], part[:at]]


def _join(pieces: list[Utterance], *, shortest: int, longest: int) -> list[Utterance]:
    """Join short utterances with the neighbour before them, from left to right."""
    joined: list[Utterance] = []
    for piece in pieces:
        if joined:
            last = joined[-1]
            is_short = min(last.frames, piece.frames) < shortest
            if is_short and piece.start - last.end < RECOVER_MAX_GAP and piece.end - last.start <= longest:
                joined[-1] = Utterance(last.start, piece.end)
                continue
        joined.append(piece)
    return joined


def _place(found: list[Utterance], levels: Levels, rules: Segment) -> Iterator[Utterance]:
    """Give each utterance the ends of its words and, as far as the longest clip has room for them, its edges.

    Neither goes past the middle of a gap.
    """
    longest, edge = _frames(rules.max_length_s), _frames(rules.edge_s)
    for i, one in enumerate(found):
        before = (found[i - 1].end + one.start + 1) // 2 if i else 0
        after = (one.end + found[i + 1].start) // 2 if i + 1 < len(found) else levels.size
        start = one.start - _tail(levels[before : one.start][::-1])
        end = one.end + _tail(levels[one.end : after])
        room = min(max(longest - (end - start), 0) // 2, edge)
        yield Utterance(max(start - room, before), min(end + room, after))


def _tail(outward: Levels) -> int:
    """Frames of a gap, seen from the utterance on, that are still its word: a detector misses quiet consonants.

    The word ends where a rest begins; if there is none near by, at the quietest frame.
    """
    near = outward[: MAX_TAIL + REST]
    if not near.size:
        return 0
    smooth = np.convolve(np.pad(near, 1, mode="edge"), np.full(3, 1 / 3), mode="valid")
    runs = _runs(smooth <= np.percentile(smooth, 20) + REST_DB)
    is_rest = (runs[:, 1] - runs[:, 0] >= REST) | (runs[:, 1] == outward.size)
    end = int(runs[is_rest, 0][0]) if is_rest.any() else int(near.argmin())
    return min(end, MAX_TAIL)


def _judge(one: Utterance, clip: Utterance, *, samples: int, rate: int, rules: Segment) -> Span:
    """Judge a clip's length in samples, since the last frame may be shorter; what is no clip goes without edges."""
    start, end = (min(at * rate // FRAMES_PER_S, samples) for at in (clip.start, clip.end))
    if rules.min_length_s * rate <= end - start <= rules.max_length_s * rate:
        return Span(start=start, end=end, kind=SpanKind.CLIP)
    kind = SpanKind.TOO_SHORT if end - start < rules.min_length_s * rate else SpanKind.TOO_LONG
    start, end = (min(at * rate // FRAMES_PER_S, samples) for at in (one.start, one.end))
    return Span(start=start, end=end, kind=kind)


def _cover(judged: Iterable[Span], samples: int, lost: npt.NDArray[np.int64]) -> Iterator[Span]:
    """Fill what is between with silence; mark what has a break inside."""
    at = 0
    for span in judged:
        if span.start > at:
            yield Span(start=at, end=span.start, kind=SpanKind.SILENCE)
        is_broken = np.searchsorted(lost, span.start) < np.searchsorted(lost, span.end, side="right")
        yield replace(span, kind=SpanKind.CORRUPT) if is_broken else span
        at = span.end
    if at < samples:
        yield Span(start=at, end=samples, kind=SpanKind.SILENCE)
