"""Statistics of turns from any speaker model: the embedding of a second around each half second.

The model runs twice over all speech, and its embeddings are averaged, where CAM++ pools frames: slower and less exact.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from speechmill.speakers import Embedder, Float32
from speechmill.speakers.turns import STEP

WINDOW, HOP = 10, 5  # steps


class WindowStatistics:
    """See turns.Statistics."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    def sums(self, wave: Float32) -> Iterator[Float32]:
        """See turns.Statistics."""
        steps = wave.size // STEP
        middles = range(0, steps, HOP)
        firsts = [max(0, min(middle - (WINDOW - HOP) // 2, steps - WINDOW)) for middle in middles]
        padded = np.pad(wave[: steps * STEP], (0, max(0, WINDOW - steps) * STEP))
        rows = self._embedder.embed([padded[first * STEP : (first + WINDOW) * STEP] for first in firsts])
        yield np.repeat(rows, HOP, axis=0)[:steps]

    def embed(self, sums: Float32, steps: npt.NDArray[np.int64]) -> Float32:  # noqa: ARG002
        """See turns.Statistics."""
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        return np.asarray(sums / np.maximum(lengths, np.finfo(np.float32).tiny), np.float32)
