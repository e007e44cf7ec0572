"""Who speaks in a clip: an embedding of its voice, and what follows from all of them.

`load` gives what embeds clips; `clusters` finds the speakers of a corpus, `conditioning` other clips of the same one,
`split` recordings that may be held out.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

import numpy as np
import numpy.typing as npt

from speechmill.core.build import speaker_files

SAMPLE_RATE_HZ = 16_000
DIGITS = 4  # embeddings are stored rounded

Float32 = npt.NDArray[np.float32]


class Embedder(Protocol):
    """A loaded speaker model."""

    def embed(self, waves: Sequence[Float32]) -> Float32:
        """Embed one or more float32[T] waves in [-1, 1] at 16 kHz, of a quarter of a second or more (else ValueError).

        Returns float32[n, D], rows of length 1 rounded to DIGITS: the nearer two voices, the higher the
        product of their rows. A clip goes through the network alone, at its own length, so that nothing but its own
        samples decides its row.
        """
        ...


@lru_cache(maxsize=1)  # once a process
def load(model: str, device: str) -> Embedder:
    """Load a speaker model on `device`, cpu or cuda: `campplus`, a file of CAM++ weights, or a folder with ECAPA-TDNN.

    Raises ConfigError or ModuleNotFoundError where a package is missing, OSError or ValueError for another file.
    """
    weights, *settings = speaker_files(model)
    if settings:
        from speechmill.speakers import ecapa

        return ecapa.load(weights, settings[0], device)
    from speechmill.speakers import campplus

    return campplus.load(weights, device)
