"""Calibrates the network's scores on held-out clips, and derives the default thresholds."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit

from speech_defects import Defect

CLEAN_LOSS = 0.005  # share of clean clips that a default threshold may lose: all five together stay under 3 %
ROUNDING = 0.01


@dataclass(frozen=True, slots=True)
class Calibration:
    """Slope and offset from a defect's logit to a probability, and the threshold above which a clip is rejected."""

    slope: float
    offset: float
    threshold: float


def fit(logits: npt.NDArray[np.float32], labels: npt.NDArray[np.float32]) -> tuple[float, float]:
    """Platt scaling of float32[N] logits to labels 0 and 1, with equal weight of both classes.

    So scores are probabilities where a defect is as frequent as its absence. Targets are Platt's smoothed ones
    (J. Platt, "Probabilistic Outputs for Support Vector Machines", 1999, eq. 11).
    """
    present = labels == 1
    counts = np.array([(~present).sum(), present.sum()], np.float64)
    targets = np.where(present, (counts[1] + 1) / (counts[1] + 2), 1 / (counts[0] + 2))
    weights = np.where(present, 0.5 / counts[1], 0.5 / counts[0])

    def loss(x: npt.NDArray[np.float64]) -> float:
        z = x[0] * logits + x[1]
        return float((weights * (np.logaddexp(0, z) - targets * z)).sum())

    slope, offset = minimize(loss, [1.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-5, "fatol": 1e-9}).x
    return float(slope), float(offset)


def calibrate(
    logits: npt.NDArray[np.float32], labels: npt.NDArray[np.float32], clean_logits: npt.NDArray[np.float32]
) -> dict[Defect, Calibration]:
    """Calibrate float32[N, 5] logits against labels of 1, 0 and NaN; thresholds from float32[M, 5] of clean recordings.

    A threshold is the lowest score, in steps of ROUNDING, that at most CLEAN_LOSS of the clean clips exceed.
    """
    calibrations = {}
    for column, defect in enumerate(Defect):
        is_labelled = ~np.isnan(labels[:, column])
        slope, offset = fit(logits[is_labelled, column], labels[is_labelled, column])
        scores = expit(slope * clean_logits[:, column] + offset)
        limit = np.ceil(np.quantile(scores, 1 - CLEAN_LOSS, method="higher") / ROUNDING) * ROUNDING
        calibrations[defect] = Calibration(slope, offset, float(np.clip(limit, 0.5, 0.99)))
    return calibrations
