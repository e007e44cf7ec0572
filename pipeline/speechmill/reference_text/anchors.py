"""Where clips may be in a text: runs of words that both have once, kept where they are in the same order."""

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from speechmill.reference_text.words import Ints

LENGTHS = (4, 3)  # words of a run; the shorter ones, which chance finds more often, only where no longer one is found
_MIX = np.uint64(0x9E3779B97F4A7C15)  # odd, 2^64 / golden ratio: spreads the numbers of a run over 64 bits

Window = tuple[int, int]  # [first, last) of the text's keys


def windows(heard: Sequence[Ints], text: Ints) -> dict[int, Window]:
    """For each clip that has anchors, by its place in `heard`, the keys of the text among which it must be."""
    for length in LENGTHS if heard else ():
        found: dict[int, list[int]] = {}
        for clip, offset in _anchors(heard, text, length):
            found.setdefault(clip, []).append(offset)
        if found:
            return {clip: around(_median(offsets), len(heard[clip]), len(text)) for clip, offsets in found.items()}
    return {}


def around(first: int, length: int, most: int) -> Window:
    """Window for `length` heard words that begin about `first`: for half as many more to either side, and ten."""
    margin = 10 + length // 2
    return max(first - margin, 0), min(first + length + margin, most)


def _median(values: list[int]) -> int:
    """Median of what is there, so that a run that is elsewhere by chance has no say."""
    return sorted(values)[len(values) // 2]


def _anchors(heard: Sequence[Ints], text: Ints, length: int) -> list[tuple[int, int]]:
    """Clip, and where in the text it would begin, of each run that both have once, in order of both."""
    runs = [_runs(keys, length) for keys in heard]
    clips = np.repeat(np.arange(len(runs)), [one.size for one in runs])
    inside = np.concatenate([np.arange(one.size) for one in runs])
    said, places = _once(np.concatenate(runs))
    written, positions = _once(_runs(text, length))
    _, in_said, in_written = np.intersect1d(said, written, assume_unique=True, return_indices=True)
    order = np.argsort(places[in_said])
    places, positions = places[in_said][order], positions[in_written][order]
    kept = _rising(positions.tolist())
    places, positions = places[kept], positions[kept]
    return list(zip(clips[places].tolist(), (positions - inside[places]).tolist(), strict=True))


def _runs(keys: Ints, length: int) -> npt.NDArray[np.uint64]:
    """A number for each run of `length` keys: equal runs have equal ones, and others as good as never."""
    if len(keys) < length:
        return np.zeros(0, np.uint64)
    mixed = np.zeros(len(keys) - length + 1, np.uint64)
    for i in range(length):
        mixed = (mixed ^ keys[i : i + mixed.size].astype(np.uint64)) * _MIX
        mixed ^= mixed >> np.uint64(29)
    return mixed


def _once(runs: npt.NDArray[np.uint64]) -> tuple[npt.NDArray[np.uint64], Ints]:
    """Runs that are there once, sorted, and where."""
    found, first, count = np.unique(runs, return_index=True, return_counts=True)
    return found[count == 1], first[count == 1].astype(np.int64)


def _rising(values: list[int]) -> list[int]:
    """Places of a longest rising subsequence."""
    tails: list[int] = []  # the lowest value that ends one of each length
    at: list[int] = []  # and its place
    before = [-1] * len(values)
    for i, value in enumerate(values):
        k = bisect_left(tails, value)
        before[i] = at[k - 1] if k else -1
        tails[k : k + 1], at[k : k + 1] = [value], [i]
    found, i = [], at[-1] if at else -1
    while i >= 0:
        found.append(i)
        i = before[i]
    return found[::-1]
