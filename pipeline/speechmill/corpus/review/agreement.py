"""How far people agree with the thresholds: precision and recall as judged so far, with 95 % intervals.

A threshold is right about a clip that it rejects if people rejected it too: by a word about that very defect, by
another text where the threshold tests texts, or by `drop` without a word why. Such a drop is held against no threshold
that let the clip pass, for its fault may be another one. Who keeps a clip denies all defects that nobody named.
"""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from scipy.stats import binomtest  # a second to load: here, and not when the first decision is waited for

from speechmill.core.manual import ManualDecisions
from speechmill.corpus.review.clips import Clips, Threshold

Verdicts = Mapping[str, bool]  # by clip_id: whether the clip is bad


def agreement(clips: Clips, people: ManualDecisions, *, among: Collection[str] | None = None) -> dict[str, Any]:
    """Compare the decisions of the models with those of people.

    Args:
        clips: The clips, as the models decided about them.
        people: What people decided.
        among: Ids of clips to count; all by default. Only figures over clips that were drawn at random are estimates
            for the whole corpus.

    Returns:
        `judged`: clips with a decision; `keep`: precision and recall of keeping; `thresholds`: for each its key,
        reason, precision and recall. A rate has `right`, `of`, and `share`, `low` and `high` in [0, 1], None if `of`
        is 0.
    """
    wanted = people.clip_ids.intersection(clips.row)
    if among is not None:
        wanted = wanted.intersection(among)
    ids = np.array(sorted(wanted), np.str_)
    rows = np.array([clips.row[clip_id] for clip_id in ids.tolist()], np.int64)
    kept = ids[clips.kept[rows]].tolist()
    good = {clip_id: not is_bad for clip_id, is_bad in _overall(people).items() if clip_id in wanted}
    return {
        "judged": len(wanted),
        "keep": _rates(kept, good),
        "thresholds": [
            {
                "threshold": one.key,
                "reason": one.reason,
                **_of_threshold(one, set(ids[clips.margins[rows, at] < 0].tolist()), people, wanted),
            }
            for at, one in enumerate(clips.thresholds)
        ],
    }


def _of_threshold(
    threshold: Threshold, rejected: Collection[str], people: ManualDecisions, wanted: Collection[str]
) -> dict[str, Any]:
    verdicts = _verdicts(threshold, people, rejected)
    return _rates(rejected, {clip_id: is_bad for clip_id, is_bad in verdicts.items() if clip_id in wanted})


def _overall(people: ManualDecisions) -> Verdicts:
    """Whether people want each clip out of the corpus."""
    named = _with_defect(people)
    verdicts = dict.fromkeys(people.kept | people.texts.keys(), False)
    return verdicts | dict.fromkeys(named - people.kept, True) | dict.fromkeys(people.dropped, True)


def _verdicts(threshold: Threshold, people: ManualDecisions, rejected: Collection[str]) -> Verdicts:
    """Whether people say of each clip that a threshold has to reject it; clips that they left open are absent."""
    unnamed = people.dropped - _with_defect(people)
    verdicts = dict.fromkeys(people.kept, False) | dict.fromkeys(unnamed.intersection(rejected), True)
    if threshold.is_of_words:
        verdicts |= dict.fromkeys(people.texts, True)
    verdicts.update(people.defects.get(threshold.reason, {}))
    return verdicts


def _with_defect(people: ManualDecisions) -> set[str]:
    """Ids of clips of which people named a defect."""
    return {clip_id for by_clip in people.defects.values() for clip_id, is_there in by_clip.items() if is_there}


def _rates(found: Collection[str], truth: Verdicts) -> dict[str, Any]:
    """Precision and recall of the clips that were `found`, by those for which `truth` is true."""
    judged = [clip_id for clip_id in found if clip_id in truth]
    wanted = [clip_id for clip_id, is_so in truth.items() if is_so]
    right = sum(truth[clip_id] for clip_id in judged)
    return {"precision": rate(right, len(judged)), "recall": rate(right, len(wanted))}


def rate(right: int, of: int) -> dict[str, Any]:
    """A share with its 95 % interval by Wilson's score, which holds for few clips and near 0 and 1 too.

    >>> {name: round(value, 3) for name, value in rate(8, 10).items()}
    {'right': 8, 'of': 10, 'share': 0.8, 'low': 0.49, 'high': 0.943}
    """
    if of == 0:
        return {"right": 0, "of": 0, "share": None, "low": None, "high": None}
    interval = binomtest(right, of).proportion_ci(0.95, method="wilson")
    low, high = (float(np.clip(value, 0, 1)) for value in (interval.low, interval.high))
    return {"right": right, "of": of, "share": right / of, "low": low, "high": high}
