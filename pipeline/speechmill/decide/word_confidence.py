"""How likely each word of a hypothesis is right, by the probabilities that the ASR model gave to it and around it.

A model that is wrong is unsure for several words on end, and sure of single words in between: what it says of a word
is worth more together with what it says around it. Logistic regression, fitted on Whisper tiny.en and base by
`python -m tests.benchmarks.word_confidence`, which prints these weights and what they are worth on other speakers.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LOWEST = 0.01  # probabilities are kept within [LOWEST, 1 - LOWEST]: beyond, they are not reliable
NEAR = 2  # words on either side
DIGITS = 4  # confidences are stored rounded


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Weights of log-odds: of a word's probability, of the mean around it, and of the mean of the clip."""

    bias: float
    own: float
    near: float
    clip: float


WHISPER = Weights(bias=-0.99, own=0.45, near=0.17, clip=1.04)


def word_confidences(probabilities: Sequence[float], weights: Weights = WHISPER) -> list[float]:
    """Probability that each word of a clip is right, in [0, 1], from the words' probabilities in order.

    >>> sure, unsure = word_confidences([0.9] * 9), word_confidences([0.9] * 4 + [0.3] * 5)
    >>> sure[0] > unsure[0] > unsure[-1]
    True
    """
    if not probabilities:
        return []
    odds = features(probabilities) @ np.array([weights.own, weights.near, weights.clip]) + weights.bias
    return [round(1 / (1 + math.exp(-value)), DIGITS) for value in odds.tolist()]


def features(probabilities: Sequence[float]) -> npt.NDArray[np.float64]:
    """Log-odds of each word, of the mean around it, and of the mean of the clip: float64[words, 3]."""
    own = np.asarray(probabilities, np.float64)
    near = [own[max(at - NEAR, 0) : at + NEAR + 1].mean() for at in range(own.size)]
    within = np.clip([own, near, np.full(own.size, own.mean())], LOWEST, 1 - LOWEST)
    odds: npt.NDArray[np.float64] = np.log(within / (1 - within)).T
    return odds
