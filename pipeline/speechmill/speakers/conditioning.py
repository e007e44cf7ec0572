"""Chooses for each clip others of the same speaker, by which a model is told whose voice it should speak in.

They must not give away what is said: never the clip itself, and no neighbour that shares its sentence and its mood
where there is any other.
"""

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice

COUNT = 3
APART_S = 30.0
FEWEST = 8  # of a speaker with more clips the less typical half is left out, for they may be another's


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """A kept clip and whose it is."""

    clip_id: str
    recording_id: str
    start_s: float
    end_s: float
    speaker_id: str
    typicality: float  # how near the clip is to its speaker's mean: the product of their embeddings


def choose(clips: Sequence[Spoken]) -> dict[str, tuple[str, ...]]:
    """Up to COUNT clips for each clip_id; a function of the set of clips alone.

    Of other recordings where the speaker has clips in any, then at least APART_S away, then any other. They are of
    the half of the speaker's clips that is most like the speaker, and spread over it, so that not all clips have the
    same ones. Empty for the only clip of a speaker.
    """
    of_speaker = sorted(clips, key=lambda clip: (clip.speaker_id, clip.clip_id))
    chosen: dict[str, tuple[str, ...]] = {}
    for _, own in groupby(of_speaker, key=lambda clip: clip.speaker_id):
        all_ = list(own)
        pool = Pool(sorted(all_, key=lambda clip: (-clip.typicality, clip.clip_id))[: max(FEWEST, -(-len(all_) // 2))])
        chosen |= {clip.clip_id: tuple(islice(pool.others(clip), COUNT)) for clip in all_}
    return chosen


class Pool:
    """Clips of one speaker, in order of place."""

    def __init__(self, clips: Sequence[Spoken]) -> None:
        self._clips = sorted(clips, key=lambda clip: (clip.recording_id, clip.start_s, clip.clip_id))
        self._starts = [(clip.recording_id, clip.start_s) for clip in self._clips]
        self._ends = [(clip.recording_id, clip.end_s) for clip in self._clips]  # clips do not overlap: in order, too

    def others(self, clip: Spoken) -> Iterator[str]:
        """COUNT or more clips, if there are so many, the best first."""
        recording = clip.recording_id
        itself = bisect_left(self._starts, (recording, clip.start_s))
        is_here = itself < len(self._clips) and self._clips[itself].clip_id == clip.clip_id
        first = bisect_left(self._starts, (recording,))
        last = bisect_left(self._starts, (recording, float("inf")))
        near = bisect_right(self._ends, (recording, clip.start_s - APART_S))
        far = bisect_left(self._starts, (recording, clip.end_s + APART_S))
        seed = int(hashlib.sha256(clip.clip_id.encode()).hexdigest()[:8], 16)
        yield from self._spread([(0, first), (last, len(self._clips))], seed)
        yield from self._spread([(first, near), (far, last)], seed)
        yield from self._spread([(near, itself), (itself + is_here, far)], seed)

    def _spread(self, ranges: Sequence[tuple[int, int]], seed: int) -> Iterator[str]:
        """COUNT clips, or all if they are fewer, evenly over two ranges of places, beginning where `seed` says."""
        (first, middle), (after, last) = ranges
        left = middle - first
        size = left + last - after
        for number in range(min(COUNT, size)):
            at = (seed + number * max(size // COUNT, 1)) % size
            yield self._clips[first + at if at < left else after + at - left].clip_id
