"""Finds who speaks where: the voices of each recording first, then the same voice in other recordings.

Clusters are merged by average linkage on the cosines of their clips (UPGMA). Sums stand for clusters, since the mean
over all pairs of unit vectors is the product of the clusters' means: no matrix of pairs is kept, and a corpus is linked
by the voices of its recordings, without its clips. What a cosine is worth depends on how many speakers there are: one
of two hosts is told by less than one of a thousand readers, among whom some are alike.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from speechmill.core.records import stable_id
from speechmill.speakers import DIGITS, Float32

BLOCK = 1 << 22  # products at a time: 32 MiB

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What the mean cosine c of two clusters is worth, which are each other's nearest among n, by a speaker model.

    They are of one speaker with the odds exp(slope * (c - threshold)) / n.
    """

    threshold: float
    slope: float
    sure: float = 0.9  # two are taken for one speaker from this probability on

    def likely(self, cosine: Floats, clusters: int) -> Floats:
        """Probability that each two nearest neighbours among so many are of one speaker."""
        return np.asarray(1 / (1 + clusters * np.exp(self.slope * (self.threshold - cosine))))

    def least(self, clusters: int) -> float:
        """The mean cosine from which on that is `sure`."""
        return self.threshold + math.log(clusters * self.sure / (1 - self.sure)) / self.slope


# Fitted on one half of the speakers of tests/benchmarks/speakers.py and tested on the other.
CAMPPLUS = Calibration(threshold=0.37, slope=34.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clusters:
    """Clusters of clips, as far as linkage asks."""

    first: tuple[str, ...]  # [k], the smallest clip_id of each, ascending
    sums: Floats  # [k, D], of embeddings in steps of 10^-DIGITS: whole numbers, which add up the same in any order
    counts: Floats  # [k], clips
    pure: Floats  # [k], how many of these are to be expected of one speaker


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaker:
    """A speaker of the corpus. `purity`, in [0, 1], is the share of the clips that is to be expected of one person."""

    speaker_id: str
    purity: float
    clips: int
    mean: Float32  # [D], of length 1


def find_voices(clip_ids: Sequence[str], embeddings: Float32, law: Calibration = CAMPPLUS) -> tuple[Indices, Clusters]:
    """Tell the voices of one recording apart, by float32[n, D] as `Embedder.embed` gives them, in any order.

    Returns the number of each clip's voice, [n], and the voices.
    """
    order = np.argsort(np.asarray(clip_ids, np.str_))
    ones = np.ones(len(order))
    clips = Clusters(
        first=tuple(clip_ids[at] for at in order),
        sums=np.rint(embeddings[order].astype(np.float64) * 10**DIGITS),
        counts=ones,
        pure=ones,
    )
    numbers, voices = _merged(clips, law)
    of_clip = np.empty_like(numbers)
    of_clip[order] = numbers
    return of_clip, voices


def find_speakers(recordings: Iterable[Clusters], law: Calibration = CAMPPLUS) -> list[list[Speaker]]:
    """Find the speakers of a corpus, by the voices of all its recordings, in any order; for each recording its voices'.

    A speaker_id is a hash of the speaker's smallest clip_id: it changes when clusters do.
    """
    voices = list(recordings)
    names = [name for one in voices for name in one.first]
    if not names:
        return [[] for _ in voices]
    order = np.argsort(np.asarray(names, np.str_))
    sums, counts, pure = (
        np.concatenate([getattr(one, part) for one in voices])[order] for part in ("sums", "counts", "pure")
    )
    all_ = Clusters(first=tuple(names[at] for at in order), sums=sums, counts=counts, pure=pure)
    numbers, found = _merged(all_, law)
    speakers = [_speaker(found, at) for at in range(len(found.first))]
    of_voice = iter([speakers[number] for number in numbers[np.argsort(order)]])
    return [[next(of_voice) for _ in one.first] for one in voices]


def _speaker(found: Clusters, at: int) -> Speaker:
    mean = found.sums[at] / np.linalg.norm(found.sums[at])
    return Speaker(
        speaker_id=stable_id("speaker", found.first[at]),
        purity=round(float(found.pure[at] / found.counts[at]), DIGITS),
        clips=int(found.counts[at]),
        mean=mean.astype(np.float32),
    )


def _merged(items: Clusters, law: Calibration) -> tuple[Indices, Clusters]:
    """The number of the cluster that each item is in, and the clusters."""
    sums, counts, pure = items.sums.copy(), items.counts.copy(), items.pure.copy()
    steps = list(link(sums, counts, law))
    into = np.arange(len(counts))
    left = len(counts) - sum(one.size for one, _, _ in steps)
    for one, other, cosine in steps:
        alike = law.likely(cosine, left)
        pure[one] = alike * (pure[one] + pure[other]) + (1 - alike) * np.maximum(pure[one], pure[other])
        into[other] = one
    while (into[into] != into).any():
        into = into[into]
    kept, numbers = np.unique(into, return_inverse=True)
    first = tuple(items.first[at] for at in kept)
    return numbers, Clusters(first=first, sums=sums[kept], counts=counts[kept], pure=pure[kept])


def link(sums: Floats, counts: Floats, law: Calibration) -> Iterator[tuple[Indices, Indices, Floats]]:
    """Add clusters, [k, D] and [k], to each other in place; yields which took which, and their mean cosines.

    Nearest neighbours of each other are merged all at once. That gives the same as one pair after the other (Murtagh,
    "A survey of recent advances in hierarchical clustering algorithms", 1983), since what two become is no nearer to
    a third than the nearer of them was: another's nearest neighbour stays its nearest until it is merged itself. It
    ends at the cosine that the number of clusters which are left asks for, and this falls with them.
    """
    nearest, cosine = np.zeros(len(counts), np.intp), np.zeros(len(counts))
    alive = stale = np.arange(len(counts))
    left = len(counts)
    while alive.size > 1:
        nearest[stale], cosine[stale] = _nearest(sums, counts, stale, alive)
        alive = alive[cosine[alive] >= law.least(1)]
        mutual = alive[(nearest[nearest[alive]] == alive) & (alive < nearest[alive])]
        one = mutual[cosine[mutual] >= law.least(left)]
        if not one.size:
            return
        other = nearest[one]
        sums[one] += sums[other]
        counts[one] += counts[other]
        left -= one.size
        yield one, other, cosine[one]
        alive = np.setdiff1d(alive, other, assume_unique=True)
        stale = alive[np.isin(nearest[alive], np.concatenate([one, other]))]


def _nearest(sums: Floats, counts: Floats, rows: Indices, among: Indices) -> tuple[Indices, Floats]:
    """The nearest other of each of some clusters `among` these, ascending, and the mean cosine of their clips."""
    step = max(1, BLOCK // among.size)
    parts = [rows[at : at + step] for at in range(0, rows.size, step)]
    found = [_nearest_of_block(sums, counts, part, among) for part in parts]
    nearest, cosine = (np.concatenate(side) for side in zip(*found, strict=True))
    return nearest, cosine


def _nearest_of_block(sums: Floats, counts: Floats, rows: Indices, among: Indices) -> tuple[Indices, Floats]:
    cosines = sums[rows] @ sums[among].T
    cosines /= 100.0**DIGITS * counts[rows, None] * counts[among]
    cosines[np.arange(rows.size), np.searchsorted(among, rows)] = -np.inf  # itself
    best = cosines.argmax(axis=1)
    return among[best], cosines[np.arange(rows.size), best]
