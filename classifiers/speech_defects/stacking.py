"""Learns what the logits of all defects say about one of them (Wolpert, "Stacked generalization", 1992).

Mixtures that `degrade` makes have their defects one by one, recordings have not: where there is a street, there is a
room and a crowd. So the other logits tell real noise from clean speech better than its own logit alone. And what a
measurement says for certain, that a clip has no sound above a telephone's band, need not be guessed. All this must
come from a network that has not learnt from the recordings, since on what it has learnt from a network is too sure.
"""

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit

from speech_defects import Defect, Float32

RIDGE = 10.0  # on weights of evidence of unit spread: a few hundred recordings tell little more than directions
NARROW = len(Defect)  # column of the evidence that says what the upper band lacks
MEASURED = {Defect.TELEPHONE: (NARROW,)}  # evidence beyond the logits, of the defects that it is about

Sources = npt.NDArray[np.str_]


def stacked(evidence: Float32, labels: Float32, sources: Sources) -> Float32:
    """Weights float32[K] of evidence, none negative, those of the logits of sum 1, by logistic regression.

    Both classes weigh the same, and a source counts by the root of its recordings, since those of one are alike.

    Args:
        evidence: float32[N, K] of clips, the logits of the defects first; see `model.Verdict`.
        labels: float32[N] of one defect: 1, 0, or NaN for clips that are not used.
        sources: Where each clip comes from, str[N].

    Raises:
        ValueError: There are no clips with the defect, or none without.
    """
    is_known = ~np.isnan(labels)
    if len({*labels[is_known].tolist()}) < 2:
        raise ValueError("weights are learnt from clips with and without a defect, of two sources or more each")
    spread = evidence[is_known].std(0) + 1e-6
    present = labels[is_known] == 1
    weights = _weights(present, sources[is_known])
    inputs = np.column_stack([evidence[is_known] / spread, np.ones(present.size)]).astype(np.float64)
    penalty = np.append(np.full(spread.size, RIDGE), 0.0)

    def loss(x: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        z = inputs @ x
        slope = inputs.T @ (weights * (expit(z) - present)) + penalty * x
        return float((weights * (np.logaddexp(0, z) - present * z)).sum() + penalty @ np.square(x) / 2), slope

    bounds = [(0.0, None)] * spread.size + [(None, None)]
    likeliest = minimize(loss, np.zeros(inputs.shape[1]), jac=True, method="L-BFGS-B", bounds=bounds).x[:-1] / spread
    return np.asarray(likeliest / likeliest[: len(Defect)].sum(), np.float32)


def judged_apart(evidence: Float32, labels: Float32, sources: Sources) -> Float32:
    """Scores float32[N] of clips for one defect, those of a source by weights that are `stacked` without it."""
    scores = np.empty(len(labels), np.float32)
    for source in np.unique(sources):
        is_other = sources != source
        weights = stacked(evidence[is_other], labels[is_other], sources[is_other])
        scores[~is_other] = evidence[~is_other] @ weights
    return scores


def admitted(evidence: Float32, defect: Defect) -> Float32:
    """Evidence float32[N, K] with what may not speak of a defect set to 0, which gets no weight."""
    admits = [*range(len(Defect)), *MEASURED.get(defect, ())]
    return np.where(np.isin(np.arange(evidence.shape[1]), admits), evidence, np.float32(0))


def _weights(present: npt.NDArray[np.bool_], sources: Sources) -> npt.NDArray[np.float64]:
    """Weights of clips, float64[N], whose sum is N."""
    _, at, counts = np.unique(sources, return_inverse=True, return_counts=True)
    weights = 1 / np.sqrt(counts[at])
    for side in (present, ~present):
        weights[side] *= present.size / 2 / weights[side].sum()
    return np.asarray(weights)
