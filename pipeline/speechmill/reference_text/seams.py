"""Where one clip's words end and the next one's begin: decided for both at once, so that none is lost or had twice."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from speechmill.reference_text.anchors import Window
from speechmill.reference_text.distance import Costs, beginning, ending, fit
from speechmill.reference_text.places import Clip, Text
from speechmill.reference_text.words import Ints, Keys

REACH = 6  # keys around an edge among which it is looked for
SEAM = 12  # keys between two clips that are looked at together; more were spoken in a clip that is not here
FASTEST = 25.0  # characters a second: what cannot be spoken so between two clips was spoken in one of them
# Of a gap between clips silence takes so much at least: half a second at either side, without the edges of clips.
SILENCE_S = 0.8
UNHEARD, UNSAID = 0.4, 1.2  # cost of a word between clips: of one for which there is time, and of one for which not
SENTENCE, CLAUSE = 0.25, 0.1  # how much better a clip ends where the text pauses; less than any word costs
LATE, LATEST = 0.15, 0.3  # cost of a second between a clip's edge and the text's time, and its limit
UNEVEN_S = 0.75  # where neither pauses nor words decide, but speech is never even enough to decide about one word
ENDING = 10  # characters of a word in which a mark of a pause is looked for
FAR = np.float32(1e6)
_SENTENCE = re.compile(r"[.!?…。！？][\W_]*$")
_CLAUSE = re.compile(r"[,;:—–、，；：-][\W_]*$")


@dataclass(slots=True, kw_only=True)
class _Place:
    """A clip at keys [start, end) of a text, and costs of its beginning and ending at each key of `window`."""

    clip: Clip
    start: int
    end: int
    window: Window
    begins: Costs
    ends: Costs
    offset_s: float | None = None  # of the text's times

    def cost(self, costs: Costs, places: Ints) -> Costs:
        """Costs at places of the text, of which none is outside the window."""
        inside = (places >= self.window[0]) & (places <= self.window[1])
        return np.where(inside, costs[np.clip(places - self.window[0], 0, costs.size - 1)], FAR)

    def late(self, time_s: float) -> float | None:
        """A time of the recording in the text's time."""
        return None if self.offset_s is None else time_s + self.offset_s


def parted(text: Text, clips: Sequence[Clip], windows: Sequence[Window | None], keys: Keys) -> list[Window | None]:
    """Move the edges of clips, which are in order, to where neighbours, pauses and times put them."""
    placed = {i: _place(text, clips[i], window, keys) for i, window in enumerate(windows) if window}
    places = list(placed.values())
    _set_offsets(text, places)
    for one, other in zip([None, *places], [*places, None]):
        if one and other and other.start - one.end <= SEAM:
            one.end, other.start = _seam(text, one, other)
            continue
        if one:
            one.end = _edge(text, one, one.end, one.ends, one.clip.end_s)
        if other:
            other.start = _edge(text, other, other.start, other.begins, other.clip.start_s)
    return [(placed[i].start, placed[i].end) if i in placed else None for i in range(len(windows))]


def _place(text: Text, clip: Clip, window: Window, keys: Keys) -> _Place:
    assert clip.keys is not None
    wide = max(window[0] - 2 * SEAM, 0), min(window[1] + 2 * SEAM, len(text.keys))
    costs = fit(clip.keys, text.keys[slice(*wide)], keys)
    begins, ends = beginning(costs), ending(costs)
    return _Place(clip=clip, start=window[0], end=window[1], window=wide, begins=begins, ends=ends)


def _set_offsets(text: Text, places: list[_Place]) -> None:
    """Each clip's own may be wrong by a word: the middle one of it and its neighbours."""
    if text.times is None:
        return
    told = [text.offset(one.clip, (one.start, one.end)) for one in places]
    for i, one in enumerate(places):
        near = sorted(told[max(i - 2, 0) : i + 3])
        one.offset_s = near[len(near) // 2]


def _seam(text: Text, one: _Place, other: _Place) -> tuple[int, int]:
    """Where `one` ends and `other` begins, which come one after the other: at the least cost of both and between."""
    low, high = sorted((one.end, other.start))
    places = np.arange(max(low - REACH, one.start + 1), min(high + REACH, other.end - 1) + 1)
    if not places.size:
        return one.end, max(one.end, other.start)
    rate = _by_rate(text, places, one, other)
    ends = one.cost(one.ends, places) + _ties(text, places, one.late(one.clip.end_s)) + rate
    begins = other.cost(other.begins, places) + _ties(text, places, other.late(other.clip.start_s)) + rate
    total = ends[:, None] + begins[None, :] + _between(text, places, other.clip.start_s - one.clip.end_s)
    end, start = np.unravel_index(int(total.argmin()), total.shape)
    return int(places[end]), int(places[start])


def _by_rate(text: Text, places: Ints, one: _Place, other: _Place) -> Costs:
    """Cost of each place where texts have no times: both clips are spoken about equally fast."""
    if text.times is not None:
        return np.zeros(places.size, np.float32)
    lasts = [place.clip.end_s - place.clip.start_s for place in (one, other)]
    first, *at, last = text.starts(np.array([one.start, *places, other.end]))
    at_s = (np.array(at) - first) / max(last - first, 1) * sum(lasts)
    late_s = np.maximum(np.abs(at_s - lasts[0]) - UNEVEN_S, 0)
    found: Costs = np.minimum(LATE / 2 * late_s, LATEST / 2).astype(np.float32)
    return found


def _between(text: Text, places: Ints, gap_s: float) -> Costs:
    """Cost of the words from each place to each other that is not before it, left between two clips."""
    words = places[None, :] - places[:, None]
    at = text.starts(places)
    fits = at[None, :] - at[:, None] <= FASTEST * max(gap_s - SILENCE_S, 0.0)
    return np.where(words < 0, FAR, words * np.where(fits, UNHEARD, UNSAID)).astype(np.float32)


def _edge(text: Text, one: _Place, at: int, costs: Costs, time_s: float) -> int:
    """An edge without a neighbour; of equals the one that fitted before."""
    places = np.arange(max(at - REACH, 0), min(at + REACH, len(text.keys)) + 1)
    places = places[(places > one.start) if costs is one.ends else (places < one.end)]
    if not places.size:
        return at
    total = one.cost(costs, places) + _ties(text, places, one.late(time_s)) + 1e-3 * np.abs(places - at)
    return int(places[int(total.argmin())])


def _ties(text: Text, places: Ints, time_s: float | None) -> Costs:
    """What speaks for and against an edge at each place, where words alone do not decide: pauses and times."""
    found: Costs = np.array([_pause(text, place) for place in places.tolist()], np.float32)
    if time_s is None or text.times is None:
        return found
    owners = text.owners[np.clip(places, 0, len(text.owners) - 1)]
    before = text.owners[np.clip(places - 1, 0, None)]
    at = (text.times[owners, 0] + text.times[before, 1]) / 2
    found += np.minimum(LATE * np.abs(at - time_s), LATEST)
    return found


def _pause(text: Text, place: int) -> float:
    """Cost of an edge before a key: less at the end of a sentence, too much inside a number that is read as words."""
    if not 0 < place < len(text.keys):
        return -SENTENCE
    if text.owners[place] == text.owners[place - 1]:
        return 1.0
    word = text.spelling(place - 1, place)[-ENDING:]
    return -SENTENCE if _SENTENCE.search(word) else -CLAUSE if _CLAUSE.search(word) else 0.0
