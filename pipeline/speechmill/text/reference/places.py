"""A reference text and clips as integer keys, and conversions between keys, characters and seconds."""

from dataclasses import dataclass

import numpy as np

from speechmill.text.reference.anchors import Window
from speechmill.text.reference.words import Floats, Ints, Keys, Reference


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A clip, seconds of the recording, and the keys of its hypothesis, int64[n]; None: not transcribed."""

    start_s: float
    end_s: float
    keys: Ints | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Text:
    """A reference text as keys, int64[m]; `owners`, int64[m], is the index of the word that each key belongs to."""

    reference: Reference
    keys: Ints
    owners: Ints

    @classmethod
    def of(cls, reference: Reference, keys: Keys) -> "Text":
        """Number the words of a reference text."""
        numbers, owners = keys.of(reference.words())
        return cls(reference=reference, keys=numbers, owners=owners)

    @property
    def times(self) -> Floats | None:
        """Start and end of each word (not key), float64[words, 2] in seconds."""
        return self.reference.times

    def spelling(self, first: int, last: int) -> str:
        """The text of keys [first, last)."""
        return self.reference.spelling(int(self.owners[first]), int(self.owners[last - 1]) + 1)

    def starts(self, places: Ints) -> Ints:
        """Index of the character at which each key's word begins; for the last place, the length of the text."""
        at = self.reference.at[self.owners[np.clip(places, 0, len(self.owners) - 1)], 0]
        return np.where(places < len(self.owners), at, len(self.reference.text))

    def during(self, start_s: float, end_s: float) -> Window:
        """Keys of the words whose middle is in [start_s, end_s)."""
        assert self.times is not None
        middles = self.times.mean(axis=1)
        inside = np.flatnonzero((middles >= start_s) & (middles < end_s))
        if not inside.size:
            return 0, 0
        first, last = np.searchsorted(self.owners, [inside[0], inside[-1] + 1])
        return int(first), int(last)

    def offset(self, clip: Clip, window: Window) -> float:
        """Seconds by which the text's times are later than those of a clip at `window`."""
        assert self.times is not None
        first, last = self.owners[window[0]], self.owners[window[1] - 1]
        return float(self.times[first, 0] - clip.start_s + self.times[last, 1] - clip.end_s) / 2
