"""Speaker clustering: within each recording first, then across recordings.

Clusters are merged by average linkage on the cosines of their clips (UPGMA). Each cluster is kept as a sum, since the
mean over all pairs of unit vectors is the product of the clusters' means: no matrix of pairs is kept, and a corpus is
clustered by the speakers of its recordings, without its clips. The meaning of a cosine depends on the number of
speakers: two hosts are separated at a lower cosine than a thousand readers, of whom some sound alike.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from speechmill.core.config import Speakers as Settings
from speechmill.core.records import stable_id
from speechmill.speakers import DIGITS, Float32

BLOCK = 1 << 22  # products at a time: 32 MiB

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Score calibration of a speaker model: the meaning of the mean cosine c of two mutually nearest clusters among n.

    The odds that they are one speaker are exp(slope * (c - threshold)) / n.
    """

    threshold: float
    slope: float
    sure: float = 0.9  # probability from which two clusters are merged

    def likely(self, cosine: Floats, clusters: int) -> Floats:
        """Probability, of the shape of `cosine`, that two nearest neighbours among `clusters` are one speaker."""
        return np.asarray(1 / (1 + clusters * np.exp(self.slope * (self.threshold - cosine))))

    def least(self, clusters: int) -> float:
        """Lowest mean cosine at which the probability reaches `sure`."""
        return self.threshold + math.log(clusters * self.sure / (1 - self.sure)) / self.slope


# Fitted on one half of the speakers of tests/benchmarks/speakers.py and tested on the other.
CAMPPLUS = Calibration(threshold=0.37, slope=34.0)


def calibration_of(settings: Settings) -> Calibration:
    """The calibration that a config states, or else that of CAM++."""
    if settings.threshold is None or settings.slope is None:
        return CAMPPLUS
    return Calibration(threshold=settings.threshold, slope=settings.slope)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clusters:
    """Clusters of clips, with the sums that linkage needs."""

    first: tuple[str, ...]  # [k], smallest clip_id of each cluster, ascending
    sums: Floats  # [k, D], of embeddings in steps of 10^-DIGITS: whole numbers, whose sum is exact in any order
    counts: Floats  # [k], clips
    pure: Floats  # [k], expected number of clips of the main speaker


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaker:
    """A speaker of the corpus. `purity`, in [0, 1], is the expected share of its clips that are one person's."""

    speaker_id: str
    purity: float
    clips: int
    mean: Float32  # [D], of length 1


def cluster_clips(
    clip_ids: Sequence[str], embeddings: Float32, calibration: Calibration = CAMPPLUS
) -> tuple[Indices, Clusters]:
    """Cluster the clips of one recording by speaker, from float32[n, D] of `Embedder.embed`, in any order.

    Returns the cluster of each clip, [n], and the clusters.
    """
    order = np.argsort(np.asarray(clip_ids, np.str_))
    ones = np.ones(len(order))
    clips = Clusters(
        first=tuple(clip_ids[at] for at in order),
        sums=np.rint(embeddings[order].astype(np.float64) * 10**DIGITS),
        counts=ones,
        pure=ones,
    )
    numbers, clusters = _merged(clips, calibration)
    cluster_of_clip = np.empty_like(numbers)
    cluster_of_clip[order] = numbers
    return cluster_of_clip, clusters


def cluster_speakers(recordings: Iterable[Clusters], calibration: Calibration = CAMPPLUS) -> list[list[Speaker]]:
    """Cluster the speakers of all recordings, in any order; for each recording the speaker of each of its clusters.

    A speaker_id is a hash of the speaker's smallest clip_id: it changes when clusters do.
    """
    by_recording = list(recordings)
    names = [name for clusters in by_recording for name in clusters.first]
    if not names:
        return [[] for _ in by_recording]
    order = np.argsort(np.asarray(names, np.str_))
    sums, counts, pure = (
        np.concatenate([getattr(clusters, part) for clusters in by_recording])[order]
        for part in ("sums", "counts", "pure")
    )
    items = Clusters(first=tuple(names[at] for at in order), sums=sums, counts=counts, pure=pure)
    numbers, merged = _merged(items, calibration)
    speakers = [_speaker(merged, at) for at in range(len(merged.first))]
    speaker_of_cluster = iter([speakers[number] for number in numbers[np.argsort(order)]])
    return [[next(speaker_of_cluster) for _ in clusters.first] for clusters in by_recording]


def _speaker(clusters: Clusters, at: int) -> Speaker:
    mean = clusters.sums[at] / np.linalg.norm(clusters.sums[at])
    return Speaker(
        speaker_id=stable_id("speaker", clusters.first[at]),
        purity=round(float(clusters.pure[at] / clusters.counts[at]), DIGITS),
        clips=int(clusters.counts[at]),
        mean=mean.astype(np.float32),
    )


def _merged(items: Clusters, calibration: Calibration) -> tuple[Indices, Clusters]:
    """Index of the cluster that each item ends up in, and the clusters."""
    sums, counts, pure = items.sums.copy(), items.counts.copy(), items.pure.copy()
    steps = list(link(sums, counts, calibration))
    into = np.arange(len(counts))
    remaining = len(counts) - sum(kept_clusters.size for kept_clusters, _, _ in steps)
    for kept_clusters, absorbed, cosine in steps:
        probability = calibration.likely(cosine, remaining)
        pure[kept_clusters] = probability * (pure[kept_clusters] + pure[absorbed]) + (1 - probability) * np.maximum(
            pure[kept_clusters], pure[absorbed]
        )
        into[absorbed] = kept_clusters
    while (into[into] != into).any():
        into = into[into]
    kept, numbers = np.unique(into, return_inverse=True)
    first = tuple(items.first[at] for at in kept)
    return numbers, Clusters(first=first, sums=sums[kept], counts=counts[kept], pure=pure[kept])


def link(sums: Floats, counts: Floats, calibration: Calibration) -> Iterator[tuple[Indices, Indices, Floats]]:
    """Merge clusters in place by average linkage, all mutually nearest pairs at once.

    Merging all mutually nearest pairs gives the same result as one pair after the other (Murtagh, "A survey of recent
    advances in hierarchical clustering algorithms", 1983), since a merged cluster is no nearer to a third than the
    nearer of its two parts was: nearest neighbours stay nearest until they are merged themselves. The cosine at
    which merging stops depends on the number of remaining clusters, and falls with it.

    Args:
        sums: float64[k, D], sum of the embeddings of each cluster.
        counts: float64[k], number of clips of each cluster.
        calibration: Of the speaker model.

    Yields:
        Indices of clusters that absorb, indices of those absorbed, and their mean cosines, [m] each.
    """
    nearest, cosine = np.zeros(len(counts), np.intp), np.zeros(len(counts))
    alive = stale = np.arange(len(counts))
    remaining = len(counts)
    while alive.size > 1:
        nearest[stale], cosine[stale] = _nearest(sums, counts, stale, alive)
        alive = alive[cosine[alive] >= calibration.least(1)]
        mutual = alive[(nearest[nearest[alive]] == alive) & (alive < nearest[alive])]
        kept = mutual[cosine[mutual] >= calibration.least(remaining)]
        if not kept.size:
            return
        absorbed = nearest[kept]
        sums[kept] += sums[absorbed]
        counts[kept] += counts[absorbed]
        remaining -= kept.size
        yield kept, absorbed, cosine[kept]
        alive = np.setdiff1d(alive, absorbed, assume_unique=True)
        stale = alive[np.isin(nearest[alive], np.concatenate([kept, absorbed]))]


def _nearest(sums: Floats, counts: Floats, rows: Indices, among: Indices) -> tuple[Indices, Floats]:
    """Nearest other cluster `among` these (ascending) for each of `rows`, and the mean cosine of their clips."""
    step = max(1, BLOCK // among.size)
    parts = [rows[at : at + step] for at in range(0, rows.size, step)]
    blocks = [_nearest_of_block(sums, counts, part, among) for part in parts]
    nearest, cosine = (np.concatenate(side) for side in zip(*blocks, strict=True))
    return nearest, cosine


def _nearest_of_block(sums: Floats, counts: Floats, rows: Indices, among: Indices) -> tuple[Indices, Floats]:
    cosines = sums[rows] @ sums[among].T
    cosines /= 100.0**DIGITS * counts[rows, None] * counts[among]
    cosines[np.arange(rows.size), np.searchsorted(among, rows)] = -np.inf  # itself
    best = cosines.argmax(axis=1)
    return among[best], cosines[np.arange(rows.size), best]
