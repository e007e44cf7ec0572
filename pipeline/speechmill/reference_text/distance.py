"""How well heard words fit a stretch of a text, word by word: costs of beginning and of ending at each place of it."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from speechmill.reference_text.words import Ints, Keys

MAX_COMPARED = 40_000  # pairs of words whose letters are compared; in longer stretches words are equal or not
ALIKE = 0.5  # of the letters that two words must share to be taken for one misheard
DISCOUNT = 0.5  # how much less a misheard word costs, at most, than another one

Costs = npt.NDArray[np.float32]
Marks = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fit:
    """What it costs to take each heard word for each word of the text; all arrays are [heard, text].

    other: float32, 0 for equal words, 1 for others, less where letters are alike. joined: the text has this heard
    word and the one before it as one (`to day`). parted: it has the heard word as this word and the one before it.
    """

    other: Costs
    joined: Marks
    parted: Marks

    def until(self, end: int) -> "Fit":
        """The same for the text's first words."""
        return Fit(other=self.other[:, :end], joined=self.joined[:, :end], parted=self.parted[:, :end])

    def turned(self) -> "Fit":
        """The same from the last word to the first."""
        joined, parted = np.zeros_like(self.joined), np.zeros_like(self.parted)
        joined[1:] = self.joined[:0:-1, ::-1]
        parted[:, 1:] = self.parted[::-1, :0:-1]
        return Fit(other=self.other[::-1, ::-1], joined=joined, parted=parted)


def fit(heard: Ints, text: Ints, keys: Keys, *, by_letters: bool = True) -> Fit:
    """Compare heard words with those of a text. Letters count if asked for, and where it is not too much."""
    other: Costs = (heard[:, None] != text[None, :]).astype(np.float32)
    joined, parted = np.zeros(other.shape, np.bool_), np.zeros(other.shape, np.bool_)
    joined[1:] = keys.joined(heard)[:, None] == text[None, :]
    parted[:, 1:] = heard[:, None] == keys.joined(text)[None, :]
    if by_letters and other.size <= MAX_COMPARED:
        shared = _alike([keys.spelt[key] for key in heard.tolist()], [keys.spelt[key] for key in text.tolist()])
        other *= np.where(shared >= ALIKE, 1 - DISCOUNT * shared, 1)
    return Fit(other=other, joined=joined, parted=parted)


def ending(fit: Fit, *, begun: bool = False) -> Costs:
    """Cost of the best fit of all heard words that ends before each place, float32[text + 1].

    It may begin anywhere for nothing; or, if `begun`, at the first place. A word more or less costs 1.
    """
    places = np.arange(fit.other.shape[1] + 1, dtype=np.float32)
    row = places if begun else np.zeros_like(places)
    before = row
    for other, joined, parted in zip(fit.other, fit.joined, fit.parted, strict=True):
        best = row + 1
        best[1:] = np.minimum(best[1:], row[:-1] + other)
        best[1:] = np.where(joined, np.minimum(best[1:], before[:-1]), best[1:])
        best[2:] = np.where(parted[1:], np.minimum(best[2:], row[:-2]), best[2:])
        before, row = row, np.minimum.accumulate(best - places) + places
    return row


def beginning(fit: Fit, *, ended: bool = False) -> Costs:
    """As `ending`, of the best fit that begins at each place, and ends anywhere or, if `ended`, at the last place."""
    return ending(fit.turned(), begun=ended)[::-1]


def agreement(heard: Ints, text: Ints, keys: Keys) -> float:
    """Share of words that agree, 0 to 1: 1 - edit distance / the length of the longer."""
    longest = max(len(heard), len(text))
    if not longest:
        return 0.0
    distance = float(ending(fit(heard, text, keys, by_letters=False), begun=True)[-1])
    return round(1 - distance / longest, 4)


def _alike(heard: list[str], text: list[str]) -> Costs:
    """Share of the longer word's letters that the other has too, in any order, float32[heard, text]."""
    letters = sorted({letter for word in (*heard, *text) for letter in word})
    if len(letters) > 64:  # no alphabet: its characters are words themselves
        return np.zeros((len(heard), len(text)), np.float32)
    left, right = (_letters(words, letters) for words in (heard, text))
    shared: Costs = np.zeros((len(heard), len(text)), np.float32)
    for i in range(len(letters)):
        shared += np.minimum(left[:, None, i], right[None, :, i])
    shared /= np.maximum(np.maximum(left.sum(1)[:, None], right.sum(1)[None, :]), 1)
    return shared


def _letters(words: list[str], letters: list[str]) -> Costs:
    counts = [Counter(word) for word in words]
    return np.array([[count[letter] for letter in letters] for count in counts], np.float32).reshape(-1, len(letters))
