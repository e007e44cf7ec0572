"""Tables and curves of an evaluation from scores of labelled clips.

A baseline is measured exactly as our own scores, with its outputs oriented so that higher is worse.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from speech_defects import Defect
from speech_defects.evaluate import metrics
from speech_defects.evaluate.baselines import Figure
from speech_defects.evaluate.clips import Clip

OURS = "speechmill"
CLEAN_LOSS = 0.03  # share of clean clips rejected per defect, for default thresholds
MOST_ERRORS = 20  # shown per defect
USUAL_RULE = ("DNSMOS OVRL", 3.0)  # lowest accepted score in the best-known pipelines
DET_POINTS = np.logspace(-3, 0, 61)  # false rejects
HISTOGRAM = np.linspace(0, 1, 41)
BUCKETS: dict[Defect, dict[str, tuple[float, ...]]] = {
    Defect.NOISE: {"snr_db": (-10, 0, 5, 10, 15, 20)},
    Defect.MUSIC: {"snr_db": (-10, 0, 5, 10, 15, 20, 25)},
    Defect.OVERLAP: {"overlap_db": (-15, -12, -9, -6, -3, 0, 6), "overlap_s": (0.5, 1, 2, 4, 8, 60)},
    Defect.REVERB: {"c50_db": (-10, 0, 4, 8, 11, 14)},
}

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Plain = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """One output of one tool for each clip, float64[N], unchanged."""

    tool: str
    figure: Figure
    values: Floats

    @property
    def risk(self) -> Floats:
        """The values oriented so that higher is worse."""
        return self.values if self.figure.more_is_worse else -self.values


@dataclass(frozen=True, slots=True)
class Scored:
    """Readable clips with the scores of every tool."""

    clips: list[Clip]
    seconds: Floats
    scores: dict[str, Floats]
    columns: dict[str, Column]
    wall_s: dict[str, float]
    left_out: list[dict[str, str]]

    def labels(self, defect: Defect) -> Floats:
        """Labels 1, 0 or NaN, float64[N]."""
        return np.array([clip.labels[defect] for clip in self.clips], np.float64)

    @property
    def clean(self) -> Flags:
        """Clips without defect, bool[N]."""
        return np.array([clip.is_clean for clip in self.clips], bool)

    @property
    def voices(self) -> list[str]:
        """Groups of clips for confidence intervals: by speaker, else source, else single clips."""
        return [clip.speaker or clip.source or clip.file for clip in self.clips]


def results(scored: Scored, thresholds: Mapping[str, float]) -> Plain:
    """All tables and curves as plain values; NaN means none."""
    clean = scored.clean
    default_thresholds = {
        d: metrics.threshold_for(scored.scores[d][clean], CLEAN_LOSS) if clean.any() else 0.5 for d in Defect
    }
    limits = {defect: float(thresholds.get(defect, default_thresholds[defect])) for defect in Defect}
    flags = {defect: scored.scores[defect] > limits[defect] for defect in Defect}
    return {
        "clips": len(scored.clips),
        "hours": scored.seconds.sum() / 3600,
        "clean": int(clean.sum()),
        "groups": dict(Counter(clip.group for clip in scored.clips)),
        "left_out": scored.left_out,
        "thresholds": limits,
        "thresholds_here": default_thresholds,
        "clean_loss": CLEAN_LOSS,
        "thresholds_are_given": all(defect in thresholds for defect in Defect),
        "defects": {d.value: _defect(scored, d, limits[d]) for d in Defect},
        "models": _models(scored),
        "confusion": _confusion(scored, flags),
        "clean_lost": _clean_lost(scored, flags),
        "rules": _rules(scored, flags),
        "targets": {name: _target(scored, name) for name in ("snr_db", "c50_db")},
        "scores": {"file": [clip.file for clip in scored.clips]}
        | {name: values.round(5) for name, values in scored.scores.items()}
        | {name: column.values.round(5) for name, column in scored.columns.items()},
    }


def _defect(scored: Scored, defect: Defect, limit: float) -> Plain:
    """All figures of our score for one defect."""
    labels, scores, clean = scored.labels(defect), scored.scores[defect], scored.clean
    positive, negative = labels == 1, labels == 0
    is_labelled = positive | negative
    bins = metrics.reliability(scores[is_labelled], positive[is_labelled])
    return {
        "against_clean": metrics.summary(scores[positive], scores[clean]),
        "against_others": metrics.summary(scores[positive], scores[negative]),
        "missed": _share(scores[positive] <= limit),
        "clean_lost": _share(scores[clean] > limit),
        "others_lost": _share(scores[negative] > limit),
        "calibration_error": metrics.calibration_error(bins),
        "reliability": metrics.drawn(bins),
        "histogram": {
            name: np.histogram(np.clip(scores[rows], 0, 1), HISTOGRAM)[0]
            for name, rows in (("clean", clean), ("defect", positive))
        },
        "kept": metrics.drawn(
            metrics.kept_curve(scores[is_labelled], positive[is_labelled], scored.seconds[is_labelled])
        ),
        "buckets": list(_buckets(scored, defect, limit)),
        "errors": _errors(scored, defect, limit),
    }


def _buckets(scored: Scored, defect: Defect, limit: float) -> Iterator[Plain]:
    """Figures of clips with a defect by its level, codec and group, each against all clean clips."""
    positive, scores = scored.labels(defect) == 1, scored.scores[defect]
    for fact, edges in BUCKETS.get(defect, {}).items():
        values = np.array([clip.facts[fact] for clip in scored.clips])
        for low, high in pairwise(edges):
            inside = positive & (values > low) & (values <= high)
            yield _bucket(scores[inside], scores[scored.clean], limit) | {"by": fact, "part": f"{low:g} to {high:g}"}
    for key in ("codec", "group"):
        values = np.array([getattr(clip, key) for clip in scored.clips])
        for part in sorted({*values[positive]} - {""}):
            yield _bucket(scores[positive & (values == part)], scores[scored.clean], limit) | {"by": key, "part": part}


def _bucket(positives: Floats, clean: Floats, limit: float) -> Plain:
    figures = (metrics.roc_auc(positives, clean), metrics.eer(positives, clean))
    return {"clips": len(positives), "auc": figures[0], "eer": figures[1], "missed": _share(positives <= limit)}


def _errors(scored: Scored, defect: Defect, limit: float) -> list[Plain]:
    """Clips on the wrong side of the threshold, furthest first, by the relative distance to 0 or 1."""
    labels, scores = scored.labels(defect), scored.scores[defect]
    missed, lost = (labels == 1) & (scores <= limit), (labels == 0) & (scores > limit)
    depth = np.where(missed, (limit - scores) / max(limit, 1e-9), (scores - limit) / max(1 - limit, 1e-9))
    rows = [i for i in np.argsort(-depth, kind="stable") if missed[i] or lost[i]]
    return [
        {
            "file": clip.file,
            "clip": int(i),  # row of `scores`
            "kind": "missed" if missed[i] else "clean lost" if clip.is_clean else "taken for it",
            "score": scores[i],
            "group": clip.group,
            "has": [d.value for d, label in clip.labels.items() if label == 1],
            "facts": {name: value for name, value in clip.facts.items() if math.isfinite(value)},
        }
        for i, clip in ((i, scored.clips[i]) for i in rows[:MOST_ERRORS])
    ]


def _models(scored: Scored) -> list[Plain]:
    """Ours and every output of every baseline: figures against clean clips for the defects that it indicates."""
    audio_s = scored.seconds.sum()
    ours = {defect: _compared(scored, defect, scored.scores[defect]) for defect in Defect}
    models = [{"name": OURS, "tool": OURS, "defects": ours}]
    for name, column in scored.columns.items():
        defects = {defect: _compared(scored, defect, column.risk) for defect in column.figure.defects}
        models.append({"name": name, "tool": column.tool, "defects": defects})
    return [model | {"x_real_time": audio_s / max(scored.wall_s[str(model["tool"])], 1e-9)} for model in models]


def _compared(scored: Scored, defect: Defect, risk: Floats) -> Plain:
    positive = scored.labels(defect) == 1
    rows = positive | scored.clean
    groups = [voice for voice, is_in in zip(scored.voices, rows) if is_in]
    curve = _det(risk[positive], risk[scored.clean])
    return {
        **metrics.summary(risk[positive], risk[scored.clean]),
        "auc_interval": metrics.interval(metrics.roc_auc, risk[rows], positive[rows], groups=groups),
        "eer_interval": metrics.interval(metrics.eer, risk[rows], positive[rows], groups=groups),
        "det": curve,
    }


def _det(positives: Floats, negatives: Floats) -> list[tuple[float, float]]:
    """Miss at each of DET_POINTS: few points whatever the number of clips."""
    if not len(positives) or not len(negatives):
        return []
    _, false_reject, miss = metrics.roc(positives, negatives)
    at = np.searchsorted(false_reject, DET_POINTS + 1e-12, "right") - 1
    return list(zip(DET_POINTS.tolist(), miss[at].tolist()))


def _confusion(scored: Scored, flags: Mapping[Defect, Flags]) -> dict[str, Plain]:
    """Share of the clips with one defect only, or none, that each score flags, where they are labelled."""
    kinds = {"clean": scored.clean} | {
        d.value: np.array([clip.only_defect is d for clip in scored.clips], bool) for d in Defect
    }
    return {
        kind: {"clips": int(rows.sum())}
        | {d.value: _share(flags[d][rows & np.isfinite(scored.labels(d))]) for d in Defect}
        for kind, rows in kinds.items()
    }


def _clean_lost(scored: Scored, flags: Mapping[Defect, Flags]) -> dict[str, Plain]:
    """Share of clean clips flagged by each score and by any of the five, in total and by group."""
    groups = np.array([clip.group for clip in scored.clips])
    parts = {"all": scored.clean} | {str(g): scored.clean & (groups == g) for g in np.unique(groups[scored.clean])}
    any_flag = np.any([*flags.values()], axis=0)
    return {
        part: {"clips": int(rows.sum()), "any": _share(any_flag[rows])}
        | {defect.value: _share(flags[defect][rows]) for defect in Defect}
        for part, rows in parts.items()
    }


def _rules(scored: Scored, flags: Mapping[Defect, Flags]) -> dict[str, Plain]:
    """Share of clean clips, and of those with each defect, that a filter keeps: our thresholds, and the usual rule."""
    keeps = {"speechmill, five thresholds": ~np.any([*flags.values()], axis=0)}
    name, lowest = USUAL_RULE
    if name in scored.columns:
        keeps[f"{name} ≥ {lowest:.1f}"] = scored.columns[name].values >= lowest
    return {
        rule: {"clean": _share(kept[scored.clean])}
        | {defect.value: _share(kept[scored.labels(defect) == 1]) for defect in Defect}
        for rule, kept in keeps.items()
    }


def _target(scored: Scored, name: str) -> Plain:
    """Errors of an estimate in dB, where the true value is known."""
    truth = np.array([clip.facts[name] for clip in scored.clips])
    estimate = scored.scores.get(name, np.full(len(truth), np.nan))
    is_known = np.isfinite(truth) & np.isfinite(estimate)
    error = estimate[is_known] - truth[is_known]
    varies = is_known.sum() > 2 and truth[is_known].std() > 0 and estimate[is_known].std() > 0
    return {
        "clips": int(is_known.sum()),
        "mean_abs_error_db": float(np.abs(error).mean()) if is_known.any() else math.nan,
        "bias_db": float(error.mean()) if is_known.any() else math.nan,
        "correlation": float(np.corrcoef(estimate[is_known], truth[is_known])[0, 1]) if varies else math.nan,
    }


def _share(flags: Flags) -> float:
    return float(flags.mean()) if len(flags) else math.nan
