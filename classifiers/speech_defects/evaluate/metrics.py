"""Metrics of how well a score separates clips with a defect from clips without.

Written here, not taken from a library, so that ties, thresholds and exclusions are the same everywhere: a
clip is flagged where its score is *above* a threshold, and a higher score means a likelier defect.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Flags = npt.NDArray[np.bool_]

FALSE_REJECTS = (0.01, 0.02, 0.05)
CALIBRATION_BINS = 15
BOOTSTRAP_DRAWS = 200
MOST_POINTS = 200  # of a plotted curve


@dataclass(frozen=True, slots=True)
class Bin:
    """Clips of similar score: their number, mean score and share with the defect."""

    clips: int
    score: float
    share: float


@dataclass(frozen=True, slots=True)
class Kept:
    """What remains at a threshold: hours, and the share of them with the defect, in [0, 1]."""

    threshold: float
    hours: float
    defect: float


def roc_auc(positives: Floats, negatives: Floats) -> float:
    """Probability that a positive scores above a negative, a tie counting half; NaN if either is empty.

    Equal to the area under the ROC curve: Hanley & McNeil 1982, "The meaning and use of the area under a receiver
    operating characteristic (ROC) curve".
    """
    if not len(positives) or not len(negatives):
        return float("nan")
    ordered = np.sort(negatives)
    below, upto = (np.searchsorted(ordered, positives, side) for side in ("left", "right"))
    return float((below + upto).mean() / (2 * len(negatives)))


def roc(positives: Floats, negatives: Floats) -> tuple[Floats, Floats, Floats]:
    """False rejects and misses in [0, 1] at every distinct threshold, highest first.

    Returns (thresholds, false_reject, miss), float64[K] each. The first flags nothing, the last (-inf) everything.
    """
    thresholds = np.append(np.unique(np.concatenate([positives, negatives]))[::-1], -np.inf).astype(np.float64)
    above = [len(x) - np.searchsorted(np.sort(x), thresholds, "right") for x in (negatives, positives)]
    return thresholds, above[0] / max(len(negatives), 1), 1 - above[1] / max(len(positives), 1)


def eer(positives: Floats, negatives: Floats) -> float:
    """Equal error rate in [0, 1], where misses equal false rejects, interpolated between two thresholds.

    NaN if either is empty.
    """
    if not len(positives) or not len(negatives):
        return float("nan")
    _, false_reject, miss = roc(positives, negatives)
    gap = miss - false_reject
    after = int(np.argmax(gap <= 0))  # the first threshold flags nothing: never the crossing itself
    part = gap[after - 1] / (gap[after - 1] - gap[after])
    return float(false_reject[after - 1] + part * (false_reject[after] - false_reject[after - 1]))


def threshold_for(clean: Floats, loss: float) -> float:
    """The lowest threshold that flags at most a share `loss` in [0, 1) of clean clips.

    Raises ValueError if there are none, or if a score is not a number.
    """
    if not len(clean) or not np.isfinite(clean).all():
        raise ValueError("a threshold needs the scores of clean clips, and all of them finite")
    ordered = np.sort(clean)
    may_lose = int(np.floor(loss * len(ordered) + 1e-9))  # 0.03 * 100 is 2.9999...
    return float(ordered[len(ordered) - 1 - may_lose])


def miss_at(positives: Floats, negatives: Floats, *, false_reject: float) -> float:
    """Share of positives missed at a false-reject rate of at most `false_reject`; NaN if either is empty."""
    if not len(positives) or not len(negatives):
        return float("nan")
    return float((positives <= threshold_for(negatives, false_reject)).mean())


def interval(
    figure: Callable[[Floats, Floats], float],
    scores: Floats,
    is_positive: Flags,
    *,
    groups: Sequence[str],
    draws: int = BOOTSTRAP_DRAWS,
) -> tuple[float, float]:
    """95 % confidence interval of a metric, by drawing whole groups of clips with replacement.

    Clips of one speaker are similar, so drawing single clips would give too narrow an interval (cluster bootstrap,
    percentile method; Davison & Hinkley 1997, section 3.8). The draws are the same in every call.

    Args:
        figure: Metric of the scores of positives and of negatives.
        scores: float[N].
        is_positive: bool[N].
        groups: Group of each clip.
        draws: Number of bootstrap samples.

    Returns:
        Lower and upper bound; NaN where the metric has no value.
    """
    _, owner = np.unique(np.asarray(groups), return_inverse=True)
    members = np.split(np.argsort(owner, kind="stable"), np.cumsum(np.bincount(owner))[:-1])
    rng = np.random.default_rng(0)
    values = []
    for _ in range(draws):
        rows = np.concatenate([members[i] for i in rng.integers(len(members), size=len(members))])
        values.append(figure(scores[rows][is_positive[rows]], scores[rows][~is_positive[rows]]))
    if not np.isfinite(values).any():
        return float("nan"), float("nan")
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)


def reliability(scores: Floats, is_positive: Flags, bins: int = CALIBRATION_BINS) -> list[Bin]:
    """Bins of about equally many clips, lowest scores first, for a reliability plot; equal scores share a bin."""
    if not len(scores):
        return []
    starts = np.unique(np.sort(scores)[np.arange(bins) * len(scores) // bins])
    owner = np.searchsorted(starts, scores, "right")
    members = (np.flatnonzero(owner == i) for i in np.unique(owner))
    return [Bin(len(rows), float(scores[rows].mean()), float(is_positive[rows].mean())) for rows in members]


def calibration_error(bins: Sequence[Bin]) -> float:
    """Expected calibration error in [0, 1]: mean over clips of |score - share with the defect| of their bin.

    Nixon et al. 2019, "Measuring calibration in deep learning" (adaptive bins). Valid for the mix of clips that
    it was measured on. NaN without clips.
    """
    clips = sum(bin_.clips for bin_ in bins)
    return sum(bin_.clips * abs(bin_.score - bin_.share) for bin_ in bins) / clips if clips else float("nan")


def kept_curve(scores: Floats, is_positive: Flags, seconds: Floats, *, points: int = MOST_POINTS) -> list[Kept]:
    """Hours kept against the share of them with the defect, from the strictest threshold to none.

    A threshold keeps clips with at most that score.

    Args:
        scores: float[N].
        is_positive: bool[N].
        seconds: float[N], lengths of the clips.
        points: Largest number of points.
    """
    order = np.argsort(scores, kind="stable")
    ordered, hours = scores[order], np.cumsum(seconds[order]) / 3600
    defective_hours = np.cumsum(np.where(is_positive, seconds, 0.0)[order]) / 3600
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], [True] * (len(ordered) > 0)))
    ends = ends[np.unique(np.linspace(0, len(ends) - 1, min(points, len(ends))).round().astype(int))]
    return [Kept(float(ordered[i]), float(hours[i]), float(defective_hours[i] / hours[i])) for i in ends]


def summary(positives: Floats, negatives: Floats) -> dict[str, float | int | dict[str, float]]:
    """Counts, AUC, EER and the miss at each of FALSE_REJECTS, as plain values for JSON."""
    return {
        "positives": len(positives),
        "negatives": len(negatives),
        "auc": roc_auc(positives, negatives),
        "eer": eer(positives, negatives),
        "miss_at": {f"{rate:g}": miss_at(positives, negatives, false_reject=rate) for rate in FALSE_REJECTS},
    }


def drawn(points: Sequence[Bin] | Sequence[Kept]) -> list[dict[str, float]]:
    """Points of a curve as plain values for JSON."""
    return [asdict(point) for point in points]
