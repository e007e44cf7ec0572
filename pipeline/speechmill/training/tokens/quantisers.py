"""Recipe for training a dVAE of mel tokens, and the quantisers that it can use."""

from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from speechmill.tokens.dvae import Sizes

FSQ_LEVELS = {8_192: [8, 8, 8, 4, 4], 4_096: [8, 8, 8, 8], 1_024: [8, 8, 4, 4], 256: [8, 8, 4]}
REVIVE = 0.3  # of a code's even share of the tokens: a code used less is reinitialised
Quantiser = Literal["vq", "rotation", "simvq", "fsq", "none"]


class Recipe(BaseModel):
    """What to train on, and how."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    inputs: tuple[Path, ...] = Field(min_length=1)
    """Corpora, JSONL manifests or folders of audio."""
    test: tuple[Path, ...] = ()
    """More of them, that the finished dVAE is judged on."""
    steps: int = Field(12_000, ge=1)
    """Batches learnt from."""
    batch_size: int = Field(32, ge=1)
    """Crops in a batch."""
    crop_tokens: int = Field(40, ge=8)
    """Length of a crop: 40 tokens are 1.86 s, as TorToiSe's."""
    quantiser: Quantiser = "vq"
    """vq: moving averages; rotation: the same with the rotation trick; simvq; fsq and none are for comparison only."""
    codes: int = Field(8_192, ge=2, le=65_536)
    """Size of the codebook."""
    code_dim: int = Field(64, ge=1)
    """Width of a code."""
    hidden: int = Field(128, ge=8)
    """Width of the first layer; the others are twice as wide."""
    blocks: int = Field(2, ge=0, le=3)
    """Residual blocks on either side."""
    learning_rate: float = Field(1e-3, gt=0)
    """Highest rate; a cosine brings it down to a twentieth."""
    commitment: float = Field(0.25, ge=0)
    """Weight of the encoder's distance from its codes."""
    held_out: float = Field(0.08, ge=0, lt=0.5)
    """Share of the speakers that is only judged on."""
    seed: int = Field(1, ge=0)
    """Draws first weights, crops and the split."""

    @property
    def sizes(self) -> Sizes:
        """Of the dVAE."""
        return Sizes(self.codes, self.code_dim, self.hidden, self.blocks)


def quantiser(recipe: Recipe) -> nn.Module:
    """Make the quantiser: float32[B, T, dim] to quantised float32[B, T, dim], codes int64[B, T] and a loss."""
    from vector_quantize_pytorch import FSQ, SimVQ, VectorQuantize

    module: nn.Module
    if recipe.quantiser == "none":
        return Unquantised()
    if recipe.quantiser == "fsq":
        if recipe.codes not in FSQ_LEVELS:
            raise ValueError(f"fsq has levels for {', '.join(map(str, FSQ_LEVELS))} codes, not for {recipe.codes}")
        module = FSQ(FSQ_LEVELS[recipe.codes], dim=recipe.code_dim)
    elif recipe.quantiser == "simvq":
        module = SimVQ(recipe.code_dim, recipe.codes, rotation_trick=True, commitment_weight=recipe.commitment)
    else:
        share = recipe.batch_size * recipe.crop_tokens / recipe.codes
        module = VectorQuantize(
            recipe.code_dim, recipe.codes, decay=0.99, commitment_weight=recipe.commitment,
            kmeans_init=True, kmeans_iters=8, threshold_ema_dead_code=REVIVE * share,
            rotation_trick=recipe.quantiser == "rotation",
        )  # fmt: skip
    return module


class Unquantised(nn.Module):
    """Passes its input through: the bound for any quantiser of this width."""

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """float32[B, T, dim] to itself, and no codes."""
        return z, torch.zeros(z.shape[:2], dtype=torch.int64, device=z.device)
