"""Token embeddings of a consumer model, in which codes with similar sound are near each other."""

from pathlib import Path

import torch
from torch import Tensor, nn

RIDGES = tuple(10.0**power for power in range(-5, 3))


def table_of(path: Path, key: str) -> Tensor:
    """Load a consumer's token embeddings, float32[rows, width], without running code. Raises ValueError."""
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        state = load_file(path)
    else:
        state = torch.load(path, map_location="cpu", weights_only=True)
    table = state.get(key)
    if not isinstance(table, Tensor) or table.dim() != 2:
        tables = [name for name, value in state.items() if isinstance(value, Tensor) and value.dim() == 2]
        raise ValueError(f"{path.name} has no table {key}; embedding_key may be one of {', '.join(tables[:8])}")
    return table.float()


def foretold_by(inputs: Tensor, outputs: Tensor, weights: Tensor) -> Tensor:
    """Predictions of a weighted ridge regression of outputs float32[N, b] on inputs float32[N, a]: float32[N, b].

    The penalty is chosen by how well one half of the rows predicts the other. `weights`, float32[N], are of the rows.
    """
    x = nn.functional.pad((inputs - inputs.mean(0)) / inputs.std(), (0, 1), value=1.0).double()
    y, w = outputs.double(), weights.double()[:, None]
    odd = torch.arange(len(x))[:, None] % 2

    def fitted(ridge: float, w: Tensor) -> Tensor:
        gram = x.T @ (w * x)
        penalty = ridge * gram.diagonal().mean() * torch.eye(len(gram))
        prediction: Tensor = x @ torch.linalg.solve(gram + penalty, x.T @ (w * y))
        return prediction

    def error_of(ridge: float) -> float:
        return float((w * odd * (fitted(ridge, w * (1 - odd)) - y).square()).sum())

    return fitted(min(RIDGES, key=error_of), w).float()
