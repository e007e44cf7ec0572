"""The discrete VAE between mel spectrograms and tokens, in the layout of TorToiSe's `dvae.pth`.

TorToiSe, XTTS and IndexTTS share the class (DL-Art-School's `DiscreteVAE`) and differ in sizes, which follow from the
shapes of a checkpoint. Models trained here are saved in the same layout, so that their loaders read them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

STRIDE = 4  # mel frames a token: two layers of stride 2
LAYERS = 2
OLD_LOSS = "discrete_loss."  # counters that XTTS keeps of a loss nobody uses
# vector-quantize-pytorch holds the codebook transposed, with a head axis, under names of its own.
OTHER_CODEBOOK = "codebook._codebook."


@dataclass(frozen=True, slots=True)
class Sizes:
    """Layer sizes, as the shapes of a checkpoint give them."""

    codes: int = 8_192
    code_dim: int = 512
    hidden: int = 512  # of the first layer; the second has twice as many
    blocks: int = 3
    bins: int = 80


class WrongCheckpointError(ValueError):
    """Raised for a file without a dVAE of a known layout; the message names the keys."""


class Block(nn.Module):
    """A residual block without normalisation."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv1d(width, width, 3, padding=1), nn.ReLU(),
            nn.Conv1d(width, width, 3, padding=1), nn.ReLU(),
            nn.Conv1d(width, width, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """float[B, width, T] to the same."""
        return self.net(x) + x  # type: ignore[no-any-return]


class Doubled(nn.Module):
    """Upsampling by two frames for one, then a convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """float[B, inputs, T] to float[B, outputs, 2 T]."""
        return self.conv(functional.interpolate(x, scale_factor=2.0, mode="nearest"))  # type: ignore[no-any-return]


class Codebook(nn.Module):
    """The codebook: code k is column k of `embed`, float[dim, codes]; the other buffers hold its moving averages."""

    embed: Tensor
    cluster_size: Tensor
    embed_avg: Tensor

    def __init__(self, codes: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("embed", torch.randn(dim, codes))
        self.register_buffer("cluster_size", torch.zeros(codes))
        self.register_buffer("embed_avg", self.embed.clone())

    def distances(self, z: Tensor) -> Tensor:
        """Squared distances, less |z|², of float[N, dim] to all codes: float[N, codes]."""
        embed = self.embed.to(z)
        return torch.addmm(embed.square().sum(0), z, embed, alpha=-2)


class DVAE(nn.Module):
    """Encoder, codebook and decoder. Mel spectrograms are normalised ones, see mel.log_mel."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        wide = 2 * sizes.hidden
        self.encoder = nn.Sequential(
            nn.Sequential(nn.Conv1d(sizes.bins, sizes.hidden, 3, stride=2, padding=1), nn.ReLU()),
            nn.Sequential(nn.Conv1d(sizes.hidden, wide, 3, stride=2, padding=1), nn.ReLU()),
            *(Block(wide) for _ in range(sizes.blocks)),
            nn.Conv1d(wide, sizes.code_dim, 1),
        )
        self.codebook = Codebook(sizes.codes, sizes.code_dim)
        self.decoder = nn.Sequential(
            nn.Conv1d(sizes.code_dim, wide, 1),
            *(Block(wide) for _ in range(sizes.blocks)),
            nn.Sequential(Doubled(wide, wide), nn.ReLU()),
            nn.Sequential(Doubled(wide, sizes.hidden), nn.ReLU()),
            nn.Conv1d(sizes.hidden, sizes.bins, 1),
        )

    def decode(self, codes: Tensor) -> Tensor:
        """Normalised mel spectrogram float[B, bins, 4 T] of codes int64[B, T]."""
        return self.decoder(functional.embedding(codes, self.codebook.embed.T).transpose(1, 2))  # type: ignore[no-any-return]


def from_state(state: Mapping[str, Tensor]) -> DVAE:
    """Build the dVAE that a state dict holds, in any known layout. Raises WrongCheckpointError."""
    tensors = {key: tensor for key, tensor in _unwrapped(state).items() if not key.startswith(OLD_LOSS)}
    tensors = _with_plain_codebook(tensors)
    model = DVAE(_sizes(tensors))
    wanted = model.state_dict()
    wrong = {
        "missing": wanted.keys() - tensors.keys(),
        "unknown": tensors.keys() - wanted.keys(),
        "of another shape": {key for key in wanted.keys() & tensors.keys() if wanted[key].shape != tensors[key].shape},
    }
    if any(wrong.values()):
        problems = (f"{problem}: {', '.join(sorted(keys)[:8])}" for problem, keys in wrong.items() if keys)
        raise WrongCheckpointError(f"not a dVAE of a known layout; {'; '.join(problems)}")
    model.load_state_dict({key: tensor.float() for key, tensor in tensors.items()})
    return model.eval()


def load(path: Path) -> DVAE:
    """Read a `.pth` or `.safetensors` file without running code in it. Raises WrongCheckpointError or OSError."""
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            state = load_file(path)
        except SafetensorError as error:
            raise WrongCheckpointError(f"{path.name} is no safetensors file: {error}") from None
        return from_state(state)
    import pickle

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        cause = next(iter(str(error).splitlines()), "it is empty")
        raise WrongCheckpointError(f"{path.name} holds more than weights, or none: {cause}") from None
    if not isinstance(state, Mapping):
        raise WrongCheckpointError(f"{path.name} holds a {type(state).__name__}, not a state dict")
    return from_state(state)


def save(model: DVAE, path: Path) -> None:
    """Write a `.pth` or `.safetensors` file in TorToiSe's layout, in half precision, which loaders convert back."""
    state = {key: tensor.detach().cpu().half().contiguous() for key, tensor in model.state_dict().items()}
    if path.suffix == ".safetensors":
        from safetensors.torch import save_file

        save_file(state, path)
    else:
        torch.save(state, path)


def _unwrapped(state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The state dict inside a trainer's checkpoint."""
    inner = state.get("model", state.get("state_dict"))
    return inner if isinstance(inner, Mapping) else state


def _with_plain_codebook(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    if f"{OTHER_CODEBOOK}embed" not in state:
        return dict(state)
    plain = {key: tensor for key, tensor in state.items() if not key.startswith(OTHER_CODEBOOK)}
    embed, average, size = (state.get(OTHER_CODEBOOK + key) for key in ("embed", "embed_avg", "cluster_size"))
    if embed is None or embed.dim() != 3 or embed.shape[0] != 1:
        raise WrongCheckpointError(
            f"{OTHER_CODEBOOK}embed is of shape {tuple(embed.shape) if embed is not None else None}"
        )
    plain["codebook.embed"] = embed[0].T.contiguous()
    plain["codebook.embed_avg"] = (embed if average is None else average)[0].T.contiguous()
    plain["codebook.cluster_size"] = torch.ones(embed.shape[1]) if size is None else size.reshape(-1)
    return plain


def _sizes(state: Mapping[str, Tensor]) -> Sizes:
    first, embed = state.get("encoder.0.0.weight"), state.get("codebook.embed")
    if first is None or embed is None or first.dim() != 3 or embed.dim() != 2:
        raise WrongCheckpointError(
            f"no encoder.0.0.weight and codebook.embed among {', '.join(sorted(map(str, state))[:8]) or 'no keys'}"
        )
    layers = sum(bool(re.fullmatch(r"encoder\.\d+\.0\.weight", key)) for key in state)
    if layers != LAYERS:
        raise WrongCheckpointError(f"{layers} strided layers, where mel tokens of {STRIDE} frames have {LAYERS}")
    blocks = sum(bool(re.fullmatch(r"encoder\.\d+\.net\.0\.weight", key)) for key in state)
    return Sizes(
        codes=embed.shape[1], code_dim=embed.shape[0], hidden=first.shape[0], blocks=blocks, bins=first.shape[1]
    )
