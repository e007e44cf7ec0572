"""Word-level edit distance between a hypothesis and stretches of a reference text, at each start and end."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from speechmill.text.reference.words import Ints, Keys

MAX_COMPARED = 40_000  # pairs of words whose letters are compared; in longer stretches words are equal or not
ALIKE = 0.5  # share of letters that make two words a likely misrecognition of each other
DISCOUNT = 0.5  # largest reduction of the substitution cost for a likely misrecognition

Costs = npt.NDArray[np.float32]
Marks = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fit:
    """Substitution costs between hypothesis and reference; all arrays are [hypothesis words, reference words].

    other: float32, 0 for equal words, 1 for others, less where letters are alike. joined: the reference has this word
    of the hypothesis and the previous one as one word (`to day`). parted: the hypothesis has this word of the reference
    and the previous one as one word.
    """

    other: Costs
    joined: Marks
    parted: Marks

    def until(self, end: int) -> "Fit":
        """The costs for the first `end` words of the reference."""
        return Fit(other=self.other[:, :end], joined=self.joined[:, :end], parted=self.parted[:, :end])

    def turned(self) -> "Fit":
        """The costs of both sequences reversed."""
        joined, parted = np.zeros_like(self.joined), np.zeros_like(self.parted)
        joined[1:] = self.joined[:0:-1, ::-1]
        parted[:, 1:] = self.parted[::-1, :0:-1]
        return Fit(other=self.other[::-1, ::-1], joined=joined, parted=parted)


def fit(hypothesis: Ints, text: Ints, keys: Keys, *, by_letters: bool = True) -> Fit:
    """Compute substitution costs of hypothesis keys int64[n] and reference keys int64[m].

    Args:
        hypothesis: Keys of the hypothesis.
        text: Keys of the reference text.
        keys: The spelling of each key.
        by_letters: Whether similar letters lower the cost; only where n × m is at most MAX_COMPARED.
    """
    other: Costs = (hypothesis[:, None] != text[None, :]).astype(np.float32)
    joined, parted = np.zeros(other.shape, np.bool_), np.zeros(other.shape, np.bool_)
    joined[1:] = keys.joined(hypothesis)[:, None] == text[None, :]
    parted[:, 1:] = hypothesis[:, None] == keys.joined(text)[None, :]
    if by_letters and other.size <= MAX_COMPARED:
        shared = _shared_letters(
            [keys.spelt[key] for key in hypothesis.tolist()], [keys.spelt[key] for key in text.tolist()]
        )
        other *= np.where(shared >= ALIKE, 1 - DISCOUNT * shared, 1)
    return Fit(other=other, joined=joined, parted=parted)


def ending(fit: Fit, *, begun: bool = False) -> Costs:
    """Lowest edit cost of the whole hypothesis against a stretch that ends before each place, float32[m + 1].

    The stretch may begin anywhere at no cost or, if `begun`, at the first word only. An insertion or deletion costs 1.
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
    """Like `ending` for stretches that begin at each place and end anywhere or, if `ended`, at the last word."""
    return ending(fit.turned(), begun=ended)[::-1]


def agreement(hypothesis: Ints, text: Ints, keys: Keys) -> float:
    """Word agreement, 0 to 1: 1 - edit distance / length of the longer sequence."""
    longest = max(len(hypothesis), len(text))
    if not longest:
        return 0.0
    distance = float(ending(fit(hypothesis, text, keys, by_letters=False), begun=True)[-1])
    return round(1 - distance / longest, 4)


def _shared_letters(hypothesis: list[str], text: list[str]) -> Costs:
    """Share of the longer word's letters that the other word has too, in any order, float32[n, m]."""
    letters = sorted({letter for word in (*hypothesis, *text) for letter in word})
    if len(letters) > 64:  # no alphabet: its characters are words themselves
        return np.zeros((len(hypothesis), len(text)), np.float32)
    left, right = (_letters(words, letters) for words in (hypothesis, text))
    shared: Costs = np.zeros((len(hypothesis), len(text)), np.float32)
    for i in range(len(letters)):
        shared += np.minimum(left[:, None, i], right[None, :, i])
    shared /= np.maximum(np.maximum(left.sum(1)[:, None], right.sum(1)[None, :]), 1)
    return shared


def _letters(words: list[str], letters: list[str]) -> Costs:
    """Count of each letter in each word, float32[words, letters]."""
    counts = [Counter(word) for word in words]
    return np.array([[count[letter] for letter in letters] for count in counts], np.float32).reshape(-1, len(letters))
