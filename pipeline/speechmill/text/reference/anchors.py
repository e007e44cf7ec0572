"""Finds where clips may be in a reference text: by word n-grams that occur once in both, in the same order."""

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from speechmill.text.reference.words import Ints

LENGTHS = (4, 3)  # words of an n-gram; the shorter, which match by chance more often, only where no longer one matches
_MIX = np.uint64(0x9E3779B97F4A7C15)  # odd, 2^64 / golden ratio: spreads the hashes of n-grams over 64 bits

Window = tuple[int, int]  # [first, last) of the text's keys


def windows(hypotheses: Sequence[Ints], text: Ints) -> dict[int, Window]:
    """Window of reference keys that must contain each clip, by the clip's index; only clips with anchors.

    `hypotheses` are the clips' keys, int64[n] each, in order of time; `text` the reference's keys, int64[m].
    """
    for length in LENGTHS if hypotheses else ():
        offsets_of_clip: dict[int, list[int]] = {}
        for clip, offset in _anchors(hypotheses, text, length):
            offsets_of_clip.setdefault(clip, []).append(offset)
        if offsets_of_clip:
            return {
                clip: around(_median(offsets), len(hypotheses[clip]), len(text))
                for clip, offsets in offsets_of_clip.items()
            }
    return {}


def around(first: int, length: int, most: int) -> Window:
    """Window for a clip of `length` words that begins near key `first`: a margin of half its length and ten keys."""
    margin = 10 + length // 2
    return max(first - margin, 0), min(first + length + margin, most)


def _median(values: list[int]) -> int:
    """Upper median, which an n-gram that matches elsewhere by chance does not move."""
    return sorted(values)[len(values) // 2]


def _anchors(hypotheses: Sequence[Ints], text: Ints, length: int) -> list[tuple[int, int]]:
    """Clip index, and the key at which that clip would begin, of each n-gram that occurs once in both, in order."""
    ngrams = [_ngrams(keys, length) for keys in hypotheses]
    clips = np.repeat(np.arange(len(ngrams)), [hashes.size for hashes in ngrams])
    inside = np.concatenate([np.arange(hashes.size) for hashes in ngrams])
    spoken, places = _unique_ngrams(np.concatenate(ngrams))
    written, positions = _unique_ngrams(_ngrams(text, length))
    _, in_spoken, in_written = np.intersect1d(spoken, written, assume_unique=True, return_indices=True)
    order = np.argsort(places[in_spoken])
    places, positions = places[in_spoken][order], positions[in_written][order]
    kept = _longest_rising(positions.tolist())
    places, positions = places[kept], positions[kept]
    return list(zip(clips[places].tolist(), (positions - inside[places]).tolist(), strict=True))


def _ngrams(keys: Ints, length: int) -> npt.NDArray[np.uint64]:
    """Hashes of all n-grams of `length` keys, uint64[n - length + 1]."""
    if len(keys) < length:
        return np.zeros(0, np.uint64)
    hashes = np.zeros(len(keys) - length + 1, np.uint64)
    for i in range(length):
        hashes = (hashes ^ keys[i : i + hashes.size].astype(np.uint64)) * _MIX
        hashes ^= hashes >> np.uint64(29)
    return hashes


def _unique_ngrams(hashes: npt.NDArray[np.uint64]) -> tuple[npt.NDArray[np.uint64], Ints]:
    """Hashes that occur once, sorted, and their indices."""
    values, first, count = np.unique(hashes, return_index=True, return_counts=True)
    return values[count == 1], first[count == 1].astype(np.int64)


def _longest_rising(values: list[int]) -> list[int]:
    """Indices of a longest rising subsequence."""
    tails: list[int] = []  # the lowest value that ends a subsequence of each length
    at: list[int] = []  # and its index
    before = [-1] * len(values)
    for i, value in enumerate(values):
        k = bisect_left(tails, value)
        before[i] = at[k - 1] if k else -1
        tails[k : k + 1], at[k : k + 1] = [value], [i]
    indices, i = [], at[-1] if at else -1
    while i >= 0:
        indices.append(i)
        i = before[i]
    return indices[::-1]
