"""A consumer's table of token embeddings, in which codes are alike that sound alike."""

from pathlib import Path

import torch
from torch import Tensor, nn

RIDGES = tuple(10.0**power for power in range(-5, 3))


def table_of(path: Path, key: str) -> Tensor:
    """A consumer's token embeddings, float32[rows, width]; nothing in the file is run. Raises ValueError."""
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        state = load_file(path)
    else:
        state = torch.load(path, map_location="cpu", weights_only=True)
    found = state.get(key)
    if not isinstance(found, Tensor) or found.dim() != 2:
        tables = [name for name, value in state.items() if isinstance(value, Tensor) and value.dim() == 2]
        raise ValueError(f"{path.name} has no table {key}; embedding_key may be one of {', '.join(tables[:8])}")
    return found.float()


def foretold_by(inputs: Tensor, outputs: Tensor, weights: Tensor) -> Tensor:
    """What a ridge regression of float32[N, a] on float32[N, b], row by row of such weight, says: float32[N, b].

    The penalty is chosen so that half of the rows foretell the other half best.
    """
    x = nn.functional.pad((inputs - inputs.mean(0)) / inputs.std(), (0, 1), value=1.0).double()
    y, w = outputs.double(), weights.double()[:, None]
    odd = torch.arange(len(x))[:, None] % 2

    def fitted(ridge: float, w: Tensor) -> Tensor:
        gram = x.T @ (w * x)
        penalty = ridge * gram.diagonal().mean() * torch.eye(len(gram))
        found: Tensor = x @ torch.linalg.solve(gram + penalty, x.T @ (w * y))
        return found

    def missed(ridge: float) -> float:
        return float((w * odd * (fitted(ridge, w * (1 - odd)) - y).square()).sum())

    return fitted(min(RIDGES, key=missed), w).float()
