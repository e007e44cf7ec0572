"""Learns what the logits of all defects say about one of them (Wolpert, "Stacked generalization", 1992).

Mixtures that `degrade` makes have their defects one by one, recordings have not: where there is a street, there is a
room and a crowd. So the other logits tell real noise from clean speech better than its own logit alone. They must
come from a network that has not learnt from the recordings, since on what it has learnt from a network is too sure.
"""

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from speech_defects import Float32

RIDGE = 10.0  # on weights of logits of unit spread: a few hundred recordings tell little more than directions


def stacked(logits: Float32, labels: Float32, sources: npt.NDArray[np.str_]) -> Float32:
    """Weights float32[5] of the logits, of sum 1, by logistic regression of one defect's labels.

    Both classes weigh the same, and a source counts by the root of its recordings, since those of one are alike.

    Args:
        logits: float32[N, 5] of clips.
        labels: float32[N] of one defect: 1, 0, or NaN for clips that are not used.
        sources: Where each clip comes from, str[N].
    """
    is_known = ~np.isnan(labels)
    spread = logits[is_known].std(0) + 1e-6
    present = labels[is_known] == 1
    weights = _weights(present, sources[is_known])
    inputs = np.column_stack([logits[is_known] / spread, np.ones(present.size)]).astype(np.float64)

    def loss(x: npt.NDArray[np.float64]) -> float:
        z = inputs @ x
        return float((weights * (np.logaddexp(0, z) - present * z)).sum() + RIDGE / 2 * np.square(x[:-1]).sum())

    found = minimize(loss, np.zeros(inputs.shape[1]), method="BFGS").x[:-1] / spread
    return np.asarray(found / found.sum(), np.float32)


def _weights(present: npt.NDArray[np.bool_], sources: npt.NDArray[np.str_]) -> npt.NDArray[np.float64]:
    """Weights of clips, float64[N], whose sum is N."""
    _, at, counts = np.unique(sources, return_inverse=True, return_counts=True)
    weights = 1 / np.sqrt(counts[at])
    for side in (present, ~present):
        weights[side] *= present.size / 2 / weights[side].sum()
    return np.asarray(weights)
