"""Refines the boundaries between neighbouring clips in a text, jointly, so that no word is lost or taken twice."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from speechmill.text.reference.anchors import Window
from speechmill.text.reference.distance import Costs, beginning, ending, fit
from speechmill.text.reference.places import Clip, Text
from speechmill.text.reference.words import Ints, Keys

REACH = 6  # keys searched on either side of a boundary
SEAM = 12  # largest gap in keys between clips with a joint boundary; more were spoken in a clip that is missing
FASTEST = 25.0  # characters a second: words that do not fit into the gap at this rate were spoken in a clip
# At least this much of a gap is silence: half a second on either side, less the padding of clips.
SILENCE_S = 0.8
UNHEARD, UNSAID = 0.4, 1.2  # cost of a word between clips, if the gap has time for it and if not
SENTENCE, CLAUSE = 0.25, 0.1  # bonus for a boundary at punctuation; less than the cost of a word
LATE, LATEST = 0.15, 0.3  # cost for a second between boundary and the text's time, and its limit
UNEVEN_S = 0.75  # tolerance of the speech rate: it is not even enough to decide about one word
ENDING = 10  # characters at the end of a word that are searched for punctuation
FAR = np.float32(1e6)
_SENTENCE = re.compile(r"[.!?…。！？][\W_]*$")
_CLAUSE = re.compile(r"[,;:—–、，；：-][\W_]*$")


@dataclass(slots=True, kw_only=True)
class _Place:
    """A clip at keys [start, end) of a text, and the costs of beginning and ending at each key of `window`."""

    clip: Clip
    start: int
    end: int
    window: Window
    begins: Costs
    ends: Costs
    offset_s: float | None = None  # by which the text's times are later than the recording's

    def cost(self, costs: Costs, places: Ints) -> Costs:
        """Costs at places of the text, float32[n]; FAR outside the window."""
        inside = (places >= self.window[0]) & (places <= self.window[1])
        return np.where(inside, costs[np.clip(places - self.window[0], 0, costs.size - 1)], FAR)

    def late(self, time_s: float) -> float | None:
        """Convert seconds of the recording to seconds of the text; None without an offset."""
        return None if self.offset_s is None else time_s + self.offset_s


def parted(text: Text, clips: Sequence[Clip], windows: Sequence[Window | None], keys: Keys) -> list[Window | None]:
    """Refine the boundaries of clips by words, neighbours, punctuation and times.

    Args:
        text: The reference text.
        clips: Of a recording, in order of time.
        windows: Keys [start, end) of each clip in the text; None: not in it.
        keys: The spelling of each key.

    Returns:
        The refined windows.
    """
    placed = {i: _place(text, clips[i], window, keys) for i, window in enumerate(windows) if window}
    places = list(placed.values())
    _set_offsets(text, places)
    for before, after in zip([None, *places], [*places, None]):
        if before and after and after.start - before.end <= SEAM:
            before.end, after.start = _seam(text, before, after)
            continue
        if before:
            before.end = _edge(text, before, before.end, before.ends, before.clip.end_s)
        if after:
            after.start = _edge(text, after, after.start, after.begins, after.clip.start_s)
    return [(placed[i].start, placed[i].end) if i in placed else None for i in range(len(windows))]


def _place(text: Text, clip: Clip, window: Window, keys: Keys) -> _Place:
    assert clip.keys is not None
    wide = max(window[0] - 2 * SEAM, 0), min(window[1] + 2 * SEAM, len(text.keys))
    costs = fit(clip.keys, text.keys[slice(*wide)], keys)
    begins, ends = beginning(costs), ending(costs)
    return _Place(clip=clip, start=window[0], end=window[1], window=wide, begins=begins, ends=ends)


def _set_offsets(text: Text, places: list[_Place]) -> None:
    """Set each clip's offset to the median of its own and its neighbours', since a single one may be off by a word."""
    if text.times is None:
        return
    offsets = [text.offset(place.clip, (place.start, place.end)) for place in places]
    for i, place in enumerate(places):
        near = sorted(offsets[max(i - 2, 0) : i + 3])
        place.offset_s = near[len(near) // 2]


def _seam(text: Text, before: _Place, after: _Place) -> tuple[int, int]:
    """End of `before` and start of `after`, two successive clips: the pair of lowest total cost."""
    low, high = sorted((before.end, after.start))
    places = np.arange(max(low - REACH, before.start + 1), min(high + REACH, after.end - 1) + 1)
    if not places.size:
        return before.end, max(before.end, after.start)
    rate = _by_rate(text, places, before, after)
    ends = before.cost(before.ends, places) + _ties(text, places, before.late(before.clip.end_s)) + rate
    begins = after.cost(after.begins, places) + _ties(text, places, after.late(after.clip.start_s)) + rate
    total = ends[:, None] + begins[None, :] + _between(text, places, after.clip.start_s - before.clip.end_s)
    end, start = np.unravel_index(int(total.argmin()), total.shape)
    return int(places[end]), int(places[start])


def _by_rate(text: Text, places: Ints, before: _Place, after: _Place) -> Costs:
    """Cost of each place by speech rate, which should be about equal in both clips; zeros where the text has times."""
    if text.times is not None:
        return np.zeros(places.size, np.float32)
    durations_s = [place.clip.end_s - place.clip.start_s for place in (before, after)]
    first, *at, last = text.starts(np.array([before.start, *places, after.end]))
    at_s = (np.array(at) - first) / max(last - first, 1) * sum(durations_s)
    late_s = np.maximum(np.abs(at_s - durations_s[0]) - UNEVEN_S, 0)
    costs: Costs = np.minimum(LATE / 2 * late_s, LATEST / 2).astype(np.float32)
    return costs


def _between(text: Text, places: Ints, gap_s: float) -> Costs:
    """Cost of leaving out the words between each two places, float32[n, n]; FAR if the second is before the first."""
    words = places[None, :] - places[:, None]
    at = text.starts(places)
    fits = at[None, :] - at[:, None] <= FASTEST * max(gap_s - SILENCE_S, 0.0)
    return np.where(words < 0, FAR, words * np.where(fits, UNHEARD, UNSAID)).astype(np.float32)


def _edge(text: Text, place: _Place, edge: int, costs: Costs, time_s: float) -> int:
    """Best boundary of a clip without a neighbour. Ties go to the place nearest to the current one."""
    places = np.arange(max(edge - REACH, 0), min(edge + REACH, len(text.keys)) + 1)
    places = places[(places > place.start) if costs is place.ends else (places < place.end)]
    if not places.size:
        return edge
    total = place.cost(costs, places) + _ties(text, places, place.late(time_s)) + 1e-3 * np.abs(places - edge)
    return int(places[int(total.argmin())])


def _ties(text: Text, places: Ints, time_s: float | None) -> Costs:
    """Costs that break ties between places with equal words: punctuation and the text's times, float32[n]."""
    costs: Costs = np.array([_pause(text, place) for place in places.tolist()], np.float32)
    if time_s is None or text.times is None:
        return costs
    owners = text.owners[np.clip(places, 0, len(text.owners) - 1)]
    before = text.owners[np.clip(places - 1, 0, None)]
    at = (text.times[owners, 0] + text.times[before, 1]) / 2
    costs += np.minimum(LATE * np.abs(at - time_s), LATEST)
    return costs


def _pause(text: Text, key: int) -> float:
    """Cost of a boundary before a key: negative after punctuation, 1 inside a number that is read as several words."""
    if not 0 < key < len(text.keys):
        return -SENTENCE
    if text.owners[key] == text.owners[key - 1]:
        return 1.0
    word = text.spelling(key - 1, key)[-ENDING:]
    return -SENTENCE if _SENTENCE.search(word) else -CLAUSE if _CLAUSE.search(word) else 0.0
