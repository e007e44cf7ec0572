"""CAM++ for inference: normalisations are folded into the convolutions beside them.

The embeddings are those of campplus_network.py to six digits, at about twice the speed. Memory is laid out frame by
frame (channels last), for which oneDNN has its fastest kernels; what a dense block appends is written where the next
layer reads it.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from speechmill.speakers import campplus_network as campplus

TINY = 1e-6
ROWS = 10  # frames in an item of a batch: torch leaves 1 × 1 convolutions to oneDNN from 16 items on


class Folded(nn.Module):
    """See campplus_network.Network, whose weights it takes; `head` and `frames` are its parts before pooling."""

    def __init__(self, network: campplus.Network) -> None:
        super().__init__()
        parts: Any = network.eval().xvector
        self.head = nn.Sequential(
            _fused(network.head.conv1, network.head.bn1),
            nn.ReLU(inplace=True),
            *(_Residual(block) for layer in (network.head.layer1, network.head.layer2) for block in layer),
            _fused(network.head.conv2, network.head.bn2),
            nn.ReLU(inplace=True),
        )
        self.tdnn = _fused(parts.tdnn.linear, parts.tdnn.nonlinear.batchnorm)
        numbers = range(1, len(campplus.BLOCKS) + 1)
        self.blocks = nn.Sequential(
            *(_Block(parts.get_submodule(f"block{at}"), parts.get_submodule(f"transit{at}")) for at in numbers)
        )
        self.out, self.stats, self.dense = parts.out_nonlinear, parts.stats, parts.dense

    def frames(self, features: Tensor) -> Tensor:
        """From features float32[1, F, 80] to what is pooled, float32[1, channels, ceil(F / 2)]."""
        maps = self.head(features.transpose(1, 2)[:, None].contiguous(memory_format=torch.channels_last))
        frames = functional.relu(self.tdnn(maps.flatten(1, 2))[0].T)
        padded = functional.pad(frames, (0, 0, 0, -len(frames) % campplus.SEGMENT))
        pooled: Tensor = self.out(self.blocks((padded, len(frames)))[0][: len(frames)].T[None])
        return pooled

    def forward(self, features: Tensor) -> Tensor:
        """From float32[1, F, 80] to embeddings float32[1, size]."""
        embeddings: Tensor = self.dense(self.stats(self.frames(features)))
        return embeddings


class _Residual(nn.Module):
    def __init__(self, block: Any) -> None:
        super().__init__()
        self.conv1, self.conv2 = _fused(block.conv1, block.bn1), _fused(block.conv2, block.bn2)
        self.shortcut = _fused(*block.shortcut) if len(block.shortcut) else nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        inner: Tensor = self.conv2(self.conv1(maps).relu_())
        return inner.add_(self.shortcut(maps)).relu_()


class _Block(nn.Module):
    """A dense block and its transition, on frames float32[rows, channels] of which the first `count` are real."""

    def __init__(self, block: nn.Module, transit: Any) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Layer(layer) for layer in block.children())
        self.transit = _Pointwise(transit.nonlinear.batchnorm, transit.linear)

    def forward(self, given: tuple[Tensor, int]) -> tuple[Tensor, int]:
        frames, count = given
        first = frames.shape[1]
        grown = frames.new_empty(len(frames), first + campplus.GROWTH * len(self.layers))
        grown[:, :first] = frames
        for at, layer in enumerate(self.layers):
            end = first + campplus.GROWTH * at
            grown[:, end : end + campplus.GROWTH] = layer(grown[:, :end], count)
        return self.transit(grown), count


class _Layer(nn.Module):
    weight: Tensor

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.narrow = _Pointwise(layer.nonlinear1.batchnorm, _fused(layer.linear1, layer.nonlinear2.batchnorm))
        masked = layer.cam_layer
        self.context = nn.ModuleList([masked.linear1, masked.linear2])
        self.register_buffer("weight", _last(masked.linear_local.weight))
        self.dilation = masked.linear_local.dilation[0]

    def forward(self, grown: Tensor, count: int) -> Tensor:
        frames = self.narrow(grown).relu_()
        frames[count:] = 0
        maps, reach = frames.T[None, ..., None], (self.dilation, 0)
        local = functional.conv2d(maps, self.weight, padding=reach, dilation=(self.dilation, 1))[0, ..., 0].T
        segments = local.reshape(-1, campplus.SEGMENT, campplus.GROWTH)
        return segments.mul_(self._mask(frames, count)[:, None]).view(local.shape)

    def _mask(self, frames: Tensor, count: int) -> Tensor:
        """The mask of campplus_network.Masked, float32[segments, GROWTH]."""
        sums = frames.view(-1, campplus.SEGMENT, frames.shape[1]).sum(1)
        lengths = torch.full((len(sums), 1), float(campplus.SEGMENT), device=frames.device)
        lengths[-1] -= len(frames) - count
        first, second = self.context
        near = (sums / lengths + sums.sum(0) / count)[..., None]
        return torch.sigmoid(second(functional.relu(first(near))))[..., 0]


class _Pointwise(nn.Module):
    """Normalisation, ReLU and a convolution of one frame, float32[rows, inputs] to float32[rows, outputs].

    relu(a x + b) = a max(x, -b / a) + b where a > 0, and a min(x, -b / a) + b where a < 0; a and b go into the weights.
    """

    lowest: Tensor
    highest: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(self, norm: Any, linear: Any) -> None:
        super().__init__()
        scale, shift = _affine(norm)
        bend, is_up, endless = -shift / scale, scale > 0, torch.full_like(scale, torch.inf)
        self.register_buffer("lowest", torch.where(is_up, bend, -endless).float())
        self.register_buffer("highest", torch.where(is_up, endless, bend).float())
        weight = linear.weight.detach()[..., 0].double()
        bias = weight @ shift if linear.bias is None else weight @ shift + linear.bias.detach()
        self.register_buffer("weight", _last((weight * scale).float()[..., None]))
        self.register_buffer("bias", bias.float())

    def forward(self, frames: Tensor) -> Tensor:
        bent = torch.clamp(frames, self.lowest, self.highest)
        items = bent.view(-1, ROWS, 1, bent.shape[1]).permute(0, 3, 1, 2)
        outputs = functional.conv2d(items, self.weight, self.bias).permute(0, 2, 3, 1)
        return outputs.reshape(len(frames), -1)


def _affine(norm: Any) -> tuple[Tensor, Tensor]:
    """Factor and offset of a normalisation, float64[channels]; a factor of 0 becomes one that is as good as 0."""
    scale = norm.weight.detach().double() / torch.sqrt(norm.running_var.double() + norm.eps)
    scale = torch.where(scale.abs() < TINY, TINY, scale)
    return scale, norm.bias.detach().double() - scale * norm.running_mean


def _fused(conv: Any, norm: Any) -> Any:
    """A convolution and the normalisation after it as one convolution."""
    fused: Any = fuse_conv_bn_eval(conv.eval(), norm.eval())
    return fused.to(memory_format=torch.channels_last) if "Conv2d" in type(fused).__name__ else fused


def _last(weight: Tensor) -> Tensor:
    """Weights of a convolution over time, float32[outputs, inputs, taps], as of one over rows, channels last."""
    return weight.detach()[..., None].contiguous(memory_format=torch.channels_last)
