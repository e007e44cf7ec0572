"""Chooses conditioning clips: other clips of the same speaker, which tell a TTS model the voice to speak in.

They must not give away the text: never the clip itself, and no neighbour that shares its sentence and mood
where there is another choice.
"""

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice

COUNT = 3
APART_S = 30.0
FEWEST = 8  # above this number of clips, the less typical half is left out, which may be another speaker's


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """A kept clip and its speaker."""

    clip_id: str
    recording_id: str
    start_s: float
    end_s: float
    speaker_id: str
    typicality: float  # cosine of the clip's embedding and its speaker's mean


def choose(clips: Sequence[Spoken]) -> dict[str, tuple[str, ...]]:
    """Choose up to COUNT conditioning clips for each clip_id; depends only on the set of clips.

    Clips of other recordings come first, then clips at least APART_S away, then any other. They are taken from the half
    of the speaker's clips that is most typical, and spread over it, so that not all clips get the same ones. Empty for
    the only clip of a speaker.
    """
    by_speaker = sorted(clips, key=lambda clip: (clip.speaker_id, clip.clip_id))
    chosen: dict[str, tuple[str, ...]] = {}
    for _, group in groupby(by_speaker, key=lambda clip: clip.speaker_id):
        speaker_clips = list(group)
        pool = Pool(
            sorted(speaker_clips, key=lambda clip: (-clip.typicality, clip.clip_id))[
                : max(FEWEST, -(-len(speaker_clips) // 2))
            ]
        )
        chosen |= {clip.clip_id: tuple(islice(pool.others(clip), COUNT)) for clip in speaker_clips}
    return chosen


class Pool:
    """Candidate clips of one speaker, in order of recording and time."""

    def __init__(self, clips: Sequence[Spoken]) -> None:
        self._clips = sorted(clips, key=lambda clip: (clip.recording_id, clip.start_s, clip.clip_id))
        self._starts = [(clip.recording_id, clip.start_s) for clip in self._clips]
        self._ends = [(clip.recording_id, clip.end_s) for clip in self._clips]  # clips do not overlap: in order, too

    def others(self, clip: Spoken) -> Iterator[str]:
        """Clips other than `clip`, the best first; at least COUNT if there are so many."""
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
        """COUNT clips, or all if fewer, spread evenly over two ranges of indices; `seed` determines the first."""
        (first, middle), (after, last) = ranges
        left = middle - first
        size = left + last - after
        for number in range(min(COUNT, size)):
            at = (seed + number * max(size // COUNT, 1)) % size
            yield self._clips[first + at if at < left else after + at - left].clip_id
