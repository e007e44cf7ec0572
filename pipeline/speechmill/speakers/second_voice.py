"""A second voice within a turn: an interjection, or an end that overlaps, too brief or quiet to be a turn.

Each of two networks misses some: one hears that several speak at once, the other how far a moment sounds like the voice
that it was assigned to, or like another one of the recording. A logistic regression weighs both. Its weights were
fitted on dialogues of 217 readers, as `python -m tests.benchmarks.second_voice` does.
"""

import numpy as np
import numpy.typing as npt

from speechmill.speakers import DIGITS, Float32

COSINES = 4  # of 0.3 s with the step's own voice and with the nearest other one; the same of 0.9 s
NO_OTHER = 0.0  # cosine with another voice where it is lower, or where there is none
LEAST = 1e-4  # probability of overlap: lower ones say no more
NEAR, AROUND = 1, 3  # steps to either side whose overlap is averaged, and whose highest counts
WEIGHTS = (0.489, 0.288, -3.188, 3.057, -0.982, 3.141)  # of the columns of `features`
BIAS = -0.784
LONG = 101  # steps with a voice, of which an interjection is the smaller part
USUAL = -4.6  # log odds of 1 %: what is above it for long is taken off


def likeness(path: npt.NDArray[np.intp], brief: Float32, long: Float32) -> Float32:
    """What the speaker network says of each step, float32[steps, COSINES].

    Args:
        path: intp[steps], voice of each step.
        brief: float32[steps, voices], cosine of the 0.3 s around a step with each voice.
        long: The same of 0.9 s.
    """
    own = np.arange(brief.shape[1]) == path[:, None]
    columns = [
        column
        for cosines in (brief, long)
        for column in (cosines[own], np.where(own, NO_OTHER, cosines).max(axis=1, initial=NO_OTHER))
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def features(overlap: npt.NDArray[np.float64], likeness: Float32) -> npt.NDArray[np.float64]:
    """What the regression weighs, float64[steps, 6]: log odds of overlap nearby and around, and the cosines.

    Args:
        overlap: float[steps], probability that several voices speak at once.
        likeness: float32[steps, COSINES].
    """
    bounded = np.clip(overlap, LEAST, 1 - LEAST)
    padded = np.pad(np.log(bounded / (1 - bounded)), AROUND, mode="edge" if overlap.size else "constant")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * AROUND + 1)[: overlap.size]
    near = windows[:, AROUND - NEAR : AROUND + NEAR + 1].mean(axis=1)
    return np.column_stack([near, windows.max(axis=1), likeness])


def probabilities(overlap: npt.NDArray[np.float64], likeness: Float32) -> Float32:
    """Probability of a second voice in each step, float32[steps]; NaN where the cosines are."""
    log_odds = features(overlap, likeness) @ np.array(WEIGHTS) + BIAS
    is_one = ~np.isnan(log_odds)
    log_odds[is_one] -= _lasting(log_odds[is_one])
    return np.asarray((1 / (1 + np.exp(-log_odds))).round(DIGITS), np.float32)


def _lasting(log_odds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """By how much the median of the steps around each one exceeds what is usual, float64[n]."""
    from scipy.ndimage import median_filter  # slow to import

    if not log_odds.size:
        return log_odds
    median: npt.NDArray[np.float64] = median_filter(log_odds, LONG)  # mirrored at the ends
    return np.maximum(median - USUAL, 0.0)
