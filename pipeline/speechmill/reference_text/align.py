"""What a publisher's text has for each clip of a recording: found by what was heard there, else by time."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from speechmill.reference_text.anchors import Window, around, windows
from speechmill.reference_text.distance import agreement, beginning, ending, fit
from speechmill.reference_text.places import Clip, Text
from speechmill.reference_text.seams import parted
from speechmill.reference_text.words import Ints, Keys, Reference, split

MIN_MATCH = 0.5  # share of words that agree; a clip that the text does not have reaches 0.3 by chance
MAX_WINDOW = 5_000  # keys of a text in which a clip without anchors is looked for
MAX_RATE = 6  # words a second: as fast as anybody speaks
TAKEN = 3  # keys that a neighbour may have taken too many
SPARE = 40  # keys that are looked at in any case, however short clips are
SLACK_S = 60.0  # how far from its time a clip may be in a text with times, before anything else is known
SAME_OFFSET_S = 2.0  # what offsets of neighbours may differ by, if nothing was inserted between them


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A clip from `start_s` to `end_s`, seconds of the recording, and the words that a recogniser heard in it.

    None where it was not transcribed; empty where nothing was heard.
    """

    start_s: float
    end_s: float
    words: tuple[str, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The publisher's words in a clip, and the share of them that was heard too, 0 to 1; None: taken by time alone."""

    text: str
    match: float | None


def align(reference: Reference, clips: Sequence[Heard]) -> list[Found | None]:
    """Find clips of one recording in its text; None for those that it does not have. In the order of `clips`.

    Where words were heard, they decide, with what was heard in the neighbours; times, of texts that have them,
    then only break ties. They decide where a clip was not transcribed, moved by as much as the clips around it are.
    """
    order = sorted(range(len(clips)), key=lambda i: (clips[i].start_s, clips[i].end_s, i))
    keys = Keys()
    text = Text.of(reference, keys)
    heard = [_clip(clips[i], keys) for i in order]
    placed = parted(text, heard, _placed(text, heard, keys), keys)
    found: list[Found | None] = [None] * len(clips)
    for i, clip, window in zip(order, heard, placed, strict=True):
        found[i] = _found(text, clip, window, keys)
    for i, one in _by_time(text, heard, placed):
        found[order[i]] = one
    return found


def _clip(clip: Heard, keys: Keys) -> Clip:
    words = None if clip.words is None else keys.of(split(clip.words))[0]
    return Clip(start_s=clip.start_s, end_s=clip.end_s, keys=words)


def _found(text: Text, clip: Clip, window: Window | None, keys: Keys) -> Found | None:
    if window is None or clip.keys is None or window[0] >= window[1]:
        return None
    match = agreement(clip.keys, text.keys[slice(*window)], keys)
    return Found(text=text.spelling(*window), match=match) if match >= MIN_MATCH else None


def _placed(text: Text, clips: Sequence[Clip], keys: Keys) -> list[Window | None]:
    """Where each clip is: first those with anchors, then the others between them, in order of time."""
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


def _best(text: Ints, heard: Ints | None, among: list[Window], keys: Keys) -> Window | None:
    """The stretch that fits best, if it fits."""
    if heard is None:
        return None
    found = [_fitting(text, heard, window, keys) for window in among if window[0] < window[1]]
    judged = [(agreement(heard, text[slice(*window)], keys), window) for window in found if window[0] < window[1]]
    match, window = max(judged, key=lambda one: one[0], default=(0.0, None))
    return window if match >= MIN_MATCH else None


def _fitting(text: Ints, heard: Ints, window: Window, keys: Keys) -> Window:
    """The outermost stretch of a window with the lowest cost, so that a misheard word at the edge is not lost."""
    if window[1] - window[0] > 4 * len(heard) + SPARE:  # roughly first: letters are compared in short windows only
        costs = fit(heard, text[slice(*window)], keys)
        end = int(ending(costs).argmin())
        low, high = around(window[0] + end - len(heard), len(heard), len(text))
        window = max(low, window[0]), min(high, window[1])
    costs = fit(heard, text[slice(*window)], keys)
    ends = ending(costs)
    end = ends.size - 1 - int(ends[::-1].argmin())
    start = int(beginning(costs.until(end), ended=True).argmin())
    return window[0] + start, window[0] + end


def _between(text: Text, clips: Sequence[Clip], placed: list[Window | None], i: int) -> list[Window]:
    """Where a clip without anchors may be: near its neighbours, between them."""
    length = len(text.keys)
    before = next((k for k in range(i - 1, -1, -1) if placed[k]), None)
    after = next((k for k in range(i + 1, len(clips)) if placed[k]), None)
    left, right = (None if k is None else placed[k] for k in (before, after))
    first, last = left[1] if left else 0, right[0] if right else length
    first, last = max(first - TAKEN, 0), min(last + TAKEN, length)
    if last - first <= MAX_WINDOW:
        return [(first, last)]
    found: list[Window] = []
    if before is not None:
        found.append((first, first + _reach(clips[before], clips[i])))
    if after is not None:
        found.append((last - _reach(clips[i], clips[after]), last))
    if found or text.times is None:
        return [(max(low, first), min(high, last)) for low, high in found]
    return [text.during(clips[i].start_s - SLACK_S, clips[i].end_s + SLACK_S)]


def _reach(first: Clip, second: Clip) -> int:
    """Most keys of a text from one clip to the end, or the beginning, of another."""
    return min(int(MAX_RATE * (second.end_s - first.start_s)) + SPARE, MAX_WINDOW)


def _drop_disordered(text: Ints, clips: Sequence[Clip], placed: list[Window | None], keys: Keys) -> None:
    """Of neighbours that are not in order, or mostly in one place, the one that fits less is not there."""
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


def _clash(one: Window | None, other: Window) -> bool:
    assert one is not None
    shared = one[1] - other[0]
    return other[0] < one[0] or 2 * shared > min(one[1] - one[0], other[1] - other[0])


def _match(text: Ints, clip: Clip, window: Window | None, keys: Keys) -> float:
    return agreement(clip.keys, text[slice(*window)], keys) if window and clip.keys is not None else 0.0


def _by_time(text: Text, clips: Sequence[Clip], placed: Sequence[Window | None]) -> list[tuple[int, Found]]:
    """What was spoken while clips that were not transcribed lasted."""
    if text.times is None:
        return []
    known = [(i, text.offset(clip, window)) for i, (clip, window) in enumerate(zip(clips, placed)) if window]
    any_heard = any(clip.keys is not None and clip.keys.size for clip in clips)
    found: list[tuple[int, Found]] = []
    for i, clip in enumerate(clips):
        offset = _offset(i, known) if any_heard else 0.0
        if clip.keys is None and offset is not None:
            window = text.during(clip.start_s + offset, clip.end_s + offset)
            if window[0] < window[1]:
                found.append((i, Found(text=text.spelling(*window), match=None)))
    return found


def _offset(i: int, known: list[tuple[int, float]]) -> float | None:
    """Seconds by which the text is later around a clip; None where it is not known, or changes there."""
    around_it = [next((s for k, s in reversed(known) if k < i), None), next((s for k, s in known if k > i), None)]
    told = [offset for offset in around_it if offset is not None]
    if not told or max(told) - min(told) > SAME_OFFSET_S:
        return None
    return sum(told) / len(told)
