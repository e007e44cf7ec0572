"""Aligns a reference text to the clips of a recording: by the ASR hypothesis of each clip, else by time."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from speechmill.text.reference.anchors import Window, around, windows
from speechmill.text.reference.distance import agreement, beginning, ending, fit
from speechmill.text.reference.places import Clip, Text
from speechmill.text.reference.seams import parted
from speechmill.text.reference.words import Ints, Keys, Reference, split

MIN_MATCH = 0.5  # share of words that agree; a clip that is not in the text reaches 0.3 by chance
MAX_WINDOW = 5_000  # keys: how much of a text is searched for a clip without anchors
MAX_RATE = 6  # words a second: as fast as anybody speaks
TAKEN = 3  # keys by which the window of a neighbouring clip may be too long
SPARE = 40  # keys that are searched in any case, however short the clips are
SLACK_S = 60.0  # by how much the times of a text may differ from the recording's while no clip is aligned
SAME_OFFSET_S = 2.0  # largest difference of neighbours' offsets if nothing was inserted between them


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipHypothesis:
    """A clip from `start_s` to `end_s`, seconds of the recording, and the words of its ASR hypothesis.

    `words` is None where the clip was not transcribed, and empty where the hypothesis is empty.
    """

    start_s: float
    end_s: float
    words: tuple[str, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignedText:
    """The reference text of a clip, and the share of its words that agree with the hypothesis, 0 to 1.

    `match` is None where the text was chosen by time alone.
    """

    text: str
    match: float | None


def align(reference: Reference, clips: Sequence[ClipHypothesis]) -> list[AlignedText | None]:
    """Align the clips of one recording to its reference text.

    Hypotheses decide, together with those of neighbouring clips; the times of a text, if it has them, only break ties.
    A clip without a hypothesis is placed by the text's times, corrected by the offset of the clips around it.

    Returns:
        The text of each clip, in the order of `clips`; None for clips that are not in the reference text.
    """
    order = sorted(range(len(clips)), key=lambda i: (clips[i].start_s, clips[i].end_s, i))
    keys = Keys()
    text = Text.of(reference, keys)
    hypotheses = [_clip(clips[i], keys) for i in order]
    placed = parted(text, hypotheses, _placed(text, hypotheses, keys), keys)
    aligned: list[AlignedText | None] = [None] * len(clips)
    for i, clip, window in zip(order, hypotheses, placed, strict=True):
        aligned[i] = _accepted(text, clip, window, keys)
    for i, timed in _aligned_by_time(text, hypotheses, placed):
        aligned[order[i]] = timed
    return aligned


def _clip(clip: ClipHypothesis, keys: Keys) -> Clip:
    hypothesis_keys = None if clip.words is None else keys.of(split(clip.words))[0]
    return Clip(start_s=clip.start_s, end_s=clip.end_s, keys=hypothesis_keys)


def _accepted(text: Text, clip: Clip, window: Window | None, keys: Keys) -> AlignedText | None:
    """The text in a window, or None where it agrees too little with the clip's hypothesis."""
    if window is None or clip.keys is None or window[0] >= window[1]:
        return None
    match = agreement(clip.keys, text.keys[slice(*window)], keys)
    return AlignedText(text=text.spelling(*window), match=match) if match >= MIN_MATCH else None


def _placed(text: Text, clips: Sequence[Clip], keys: Keys) -> list[Window | None]:
    """The window of each clip: first of clips with anchors, then of the others between them, in order of time."""
    none = np.zeros(0, np.int64)
    anchored = windows([none if clip.keys is None else clip.keys for clip in clips], text.keys)
    placed: list[Window | None] = [None] * len(clips)
    for i, window in anchored.items():
        placed[i] = _best(text.keys, clips[i].keys, [window], keys)
    _drop_disordered(text.keys, clips, placed, keys)
    for i, clip in enumerate(clips):
        if placed[i] is None and clip.keys is not None and clip.keys.size:
            placed[i] = _best(text.keys, clip.keys, _between(text, clips, placed, i), keys)
    _drop_disordered(text.keys, clips, placed, keys)
    return placed


def _best(text: Ints, hypothesis: Ints | None, among: list[Window], keys: Keys) -> Window | None:
    """The window with the highest agreement, or None if no window reaches MIN_MATCH."""
    if hypothesis is None:
        return None
    candidates = [_fitting(text, hypothesis, window, keys) for window in among if window[0] < window[1]]
    scored_windows = [
        (agreement(hypothesis, text[slice(*window)], keys), window) for window in candidates if window[0] < window[1]
    ]
    match, window = max(scored_windows, key=lambda scored: scored[0], default=(0.0, None))
    return window if match >= MIN_MATCH else None


def _fitting(text: Ints, hypothesis: Ints, window: Window, keys: Keys) -> Window:
    """The longest of the cheapest alignments in a window, so that a misrecognised word at the edge is not lost."""
    if (
        window[1] - window[0] > 4 * len(hypothesis) + SPARE
    ):  # a rough pass first: letters are compared in short windows only
        costs = fit(hypothesis, text[slice(*window)], keys)
        end = int(ending(costs).argmin())
        low, high = around(window[0] + end - len(hypothesis), len(hypothesis), len(text))
        window = max(low, window[0]), min(high, window[1])
    costs = fit(hypothesis, text[slice(*window)], keys)
    ends = ending(costs)
    end = ends.size - 1 - int(ends[::-1].argmin())
    start = int(beginning(costs.until(end), ended=True).argmin())
    return window[0] + start, window[0] + end


def _between(text: Text, clips: Sequence[Clip], placed: list[Window | None], i: int) -> list[Window]:
    """Windows where a clip without anchors may be: between its neighbours, close to them."""
    length = len(text.keys)
    before = next((k for k in range(i - 1, -1, -1) if placed[k]), None)
    after = next((k for k in range(i + 1, len(clips)) if placed[k]), None)
    left, right = (None if k is None else placed[k] for k in (before, after))
    first, last = left[1] if left else 0, right[0] if right else length
    first, last = max(first - TAKEN, 0), min(last + TAKEN, length)
    if last - first <= MAX_WINDOW:
        return [(first, last)]
    candidates: list[Window] = []
    if before is not None:
        candidates.append((first, first + _reach(clips[before], clips[i])))
    if after is not None:
        candidates.append((last - _reach(clips[i], clips[after]), last))
    if candidates or text.times is None:
        return [(max(low, first), min(high, last)) for low, high in candidates]
    return [text.during(clips[i].start_s - SLACK_S, clips[i].end_s + SLACK_S)]


def _reach(first: Clip, second: Clip) -> int:
    """Largest number of reference keys between the start of one clip and the end of another."""
    return min(int(MAX_RATE * (second.end_s - first.start_s)) + SPARE, MAX_WINDOW)


def _drop_disordered(text: Ints, clips: Sequence[Clip], placed: list[Window | None], keys: Keys) -> None:
    """Set to None the windows that are out of order or overlap a neighbour by half: the one that agrees less."""
    kept: list[int] = []
    for i, window in enumerate(placed):
        while window and kept and _clash(placed[kept[-1]], window):
            worse = min((i, kept[-1]), key=lambda k: _match(text, clips[k], placed[k], keys))
            placed[worse] = None
            if worse == i:
                break
            kept.pop()
        if placed[i]:
            kept.append(i)


def _clash(first: Window | None, second: Window) -> bool:
    """Whether two successive windows are out of order, or share more than half of the shorter one."""
    assert first is not None
    shared = first[1] - second[0]
    return second[0] < first[0] or 2 * shared > min(first[1] - first[0], second[1] - second[0])


def _match(text: Ints, clip: Clip, window: Window | None, keys: Keys) -> float:
    return agreement(clip.keys, text[slice(*window)], keys) if window and clip.keys is not None else 0.0


def _aligned_by_time(
    text: Text, clips: Sequence[Clip], placed: Sequence[Window | None]
) -> list[tuple[int, AlignedText]]:
    """Index and text of clips without a hypothesis, by the times of the reference text."""
    if text.times is None:
        return []
    known = [(i, text.offset(clip, window)) for i, (clip, window) in enumerate(zip(clips, placed)) if window]
    has_hypotheses = any(clip.keys is not None and clip.keys.size for clip in clips)
    aligned: list[tuple[int, AlignedText]] = []
    for i, clip in enumerate(clips):
        offset = _offset(i, known) if has_hypotheses else 0.0
        if clip.keys is None and offset is not None:
            window = text.during(clip.start_s + offset, clip.end_s + offset)
            if window[0] < window[1]:
                aligned.append((i, AlignedText(text=text.spelling(*window), match=None)))
    return aligned


def _offset(i: int, known: list[tuple[int, float]]) -> float | None:
    """Seconds by which the reference text is later than the recording around clip i.

    None where no neighbour is aligned, or where the offsets on both sides differ.
    """
    neighbours = [next((s for k, s in reversed(known) if k < i), None), next((s for k, s in known if k > i), None)]
    offsets = [offset for offset in neighbours if offset is not None]
    if not offsets or max(offsets) - min(offsets) > SAME_OFFSET_S:
        return None
    return sum(offsets) / len(offsets)
