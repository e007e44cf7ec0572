"""CAM++, a D-TDNN with context-aware masking: Wang et al., Interspeech 2023, arXiv:2303.00332.

The network is 3D-Speaker's (github.com/modelscope/3D-Speaker, Apache-2.0), with its names, so that its published
weights fit.
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional

MELS = 80
CHANNELS = 32  # of the maps in front
WIDTH, GROWTH = 128, 32
BLOCKS = ((12, 1), (24, 2), (16, 2))  # layers and dilation of each
SEGMENT = 100  # frames of 20 ms whose mean is the near context


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
