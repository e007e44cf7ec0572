"""Detects defects in speech clips: noise, music, telephone quality, overlapped voices, reverberation.

Arrays in, floats out. The package knows nothing of recordings, Parquet or Beam, so that it can be used and
evaluated on its own.
"""

import hashlib
from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
WEIGHTS = Path(__file__).parent / "weights" / "defects.safetensors"
SCORES_VERSION = 1  # raise when features or pooling change the scores of the same weights
OVERLAP_VERSION = 1  # the same for the windows and the pooling of adapters.py


RATE = 16_000  # Hz: sample rate of all models
FRAME = 640  # samples of a frame: 25 frames a second
SHORTEST_S, LONGEST_S = 0.5, 60.0  # of a clip that is scored


class Defect(StrEnum):
    """What makes a clip unfit for training. A clip may have several."""

    NOISE = "noise"
    MUSIC = "music"
    TELEPHONE = "telephone"
    OVERLAP = "overlap"
    REVERB = "reverb"


class NoWeightsError(Exception):
    """Raised where there are no trained weights."""


class Span(NamedTuple):
    """Where in a clip a defect is detected."""

    start_s: float
    end_s: float
    kind: Defect


class Judgement(NamedTuple):
    """What a scorer finds in N clips."""

    scores: Mapping[str, Float32]
    """See `Scorer.score`."""
    spans: Sequence[Sequence[Span]]
    """For each clip where its defects are, in order of time; none in a clip with samples that are not finite."""


class Scorer(Protocol):
    """Scores clips for every defect."""

    profile: str
    """Hash of weights, features and code version: scores with equal profiles are comparable."""

    def score(self, waves: Sequence[Float32], sample_rate: int) -> Mapping[str, Float32]:
        """Score float32[T] waves in [-1, 1], 0.5 to 60 s long.

        Returns float32[N] arrays: for each Defect the probability in [0, 1] that it is present, and the
        regressions `snr_db` and `c50_db`. A clip's result does not depend on the others.
        """
        ...

    def judge(self, waves: Sequence[Float32], sample_rate: int) -> Judgement:
        """Score waves as `score` does, at the same cost, and say where in each the defects are."""
        ...


def profile(*, weights: Path = WEIGHTS, overlap: Path | None = None) -> str:
    """Hash of a scorer's weight files and code version. Raises NoWeightsError where a file is missing."""
    scorer_profile = hashlib.sha256(f"{SCORES_VERSION}:".encode() + _content(weights)).hexdigest()[:16]
    return scorer_profile if overlap is None else profile_with(scorer_profile, _content(overlap))


def profile_with(scorer_profile: str, checkpoint: bytes) -> str:
    """Profile of a scorer whose overlap is detected by another model."""
    return hashlib.sha256(f"{OVERLAP_VERSION}:{scorer_profile}:".encode() + checkpoint).hexdigest()[:16]


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise NoWeightsError(f"no defect models at {path}: {error.strerror}") from None


@lru_cache(maxsize=2)
def load(*, device: str = "auto", weights: Path = WEIGHTS, overlap: Path | None = None) -> Scorer:
    """Load the defect models, once a process.

    Args:
        device: `auto`, `cpu` or `cuda`.
        weights: A file of weights; by default those of the package.
        overlap: A pyannote segmentation checkpoint that detects overlap instead.

    Returns:
        A scorer of float32[T] waves in [-1, 1]; T is 0.5 to 60 s at any sampling rate.

    Raises:
        NoWeightsError: A file is missing.
        ValueError: A file is of another kind.

    >>> import numpy as np
    >>> import speech_defects
    >>> scorer = speech_defects.load(device="cpu")
    >>> noise = np.random.default_rng(1).normal(0, 0.1, 32_000).astype(np.float32)
    >>> scores = scorer.score([noise, noise[:16_000]], 16_000)
    >>> scores["noise"].shape, scores["snr_db"].dtype
    ((2,), dtype('float32'))
    >>> bool(scores["noise"][0] > 0.5)
    True
    """
    profile(weights=weights, overlap=overlap)  # reports a missing file before torch is imported
    from speech_defects.scorer import NetworkScorer

    scorer: Scorer = NetworkScorer(weights, device)
    if overlap is not None:
        from speech_defects.adapters import OverlapFromPyannote

        scorer = OverlapFromPyannote(scorer, overlap, device)
    return scorer
