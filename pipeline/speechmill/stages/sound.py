"""Sound of a recording, read from its begin to its end, from where an earlier step has put it."""

from collections import deque
from collections.abc import Iterator
from typing import IO, Protocol

import numpy as np

from speechmill.audio import Int16, decode_flac
from speechmill.core.build import Build

ROWS = 4  # passages that are read at a time


class Sound(Protocol):
    """Sound of a recording."""

    def read(self, start: int, end: int) -> Int16:
        """Samples [start, end), int16. No call may begin before an earlier one did."""
        ...


class PcmSound:
    """Sound in a file of int16 PCM."""

    def __init__(self, pcm: IO[bytes]) -> None:
        self._pcm = pcm

    def read(self, start: int, end: int) -> Int16:
        """See Sound."""
        self._pcm.seek(2 * start)
        return np.frombuffer(self._pcm.read(2 * (end - start)), np.int16)


class PassageSound:
    """Sound in the passages of a recording: few are in memory."""

    def __init__(self, content_id: str, build: Build) -> None:
        self._rows = _passages(content_id, build)
        self._held: deque[tuple[int, Int16]] = deque()  # first sample, and samples, of successive passages

    def read(self, start: int, end: int) -> Int16:
        """See Sound. Raises ValueError where no passage has the sound."""
        while self._held and self._held[0][0] + self._held[0][1].size <= start:
            self._held.popleft()
        while not self._held or self._held[-1][0] + self._held[-1][1].size < end:
            if (row := next(self._rows, None)) is None:
                break
            if row[0] + row[1].size > start:
                self._held.append(row)
        parts = [samples[max(start - first, 0) : max(end - first, 0)] for first, samples in self._held]
        sound = np.concatenate([*parts, np.zeros(0, np.int16)])
        if sound.size != end - start:
            raise ValueError(f"samples {start} to {end} are in no passage")
        return sound


def _passages(content_id: str, build: Build) -> Iterator[tuple[int, Int16]]:
    """First sample, and int16[n] samples, of each passage."""
    for batch in build.store.batches(build.artifact("passages", content_id), ["start", "flac"], ROWS):
        for row in batch.to_pylist():
            if row["flac"] is not None:
                yield row["start"], decode_flac(row["flac"])
