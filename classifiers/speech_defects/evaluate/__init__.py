"""Evaluates a scorer, and baselines, on clips with known defects.

The labels are the manifest's only: nothing here depends on how a model was made, so that ours and others
are measured alike.
"""

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from speech_defects import RATE, Defect, Float32, Scorer
from speech_defects.evaluate import report
from speech_defects.evaluate.baselines import BASELINES
from speech_defects.evaluate.clips import Clip, UnreadableError, read_manifest, read_wave
from speech_defects.evaluate.tables import OURS, Column, Floats, Plain, Scored, results

JSON_FILE, PAGE_FILE = "defects.json", "defects.html"
BATCH = 32

Progress = Callable[[int, int], None]
"""Called with the clips done and the clips in all."""
Judge = Callable[[Sequence[Float32]], Mapping[str, Float32]]


def evaluate(
    manifest: Path,
    output: Path,
    *,
    scorer: Scorer,
    thresholds: Mapping[str, float] | None = None,
    baselines: Sequence[str] = (),
    progress: Progress = lambda _done, _total: None,
    limit: int | None = None,
) -> Plain:
    """Score the clips of a manifest and write defects.json and defects.html.

    Args:
        manifest: See `clips.read_manifest`.
        output: Folder to write to.
        scorer: Our classifiers.
        thresholds: By defect; by default those that lose `tables.CLEAN_LOSS` of the clean clips here.
        baselines: Names in `baselines.BASELINES`; one whose packages are missing is left out and reported.
        progress: Called with the number of clips done, and of all clips.
        limit: Use so many clips, evenly spaced over the manifest.

    Returns:
        The content of defects.json.

    Raises:
        ValueError: A manifest or name is wrong, or no clip can be scored.
    """
    if unknown := sorted({*baselines} - BASELINES.keys()):
        raise ValueError(f"no baseline named {', '.join(unknown)}; there are {', '.join(BASELINES)}")
    clips = read_manifest(manifest)
    if limit and limit < len(clips):
        clips = [clips[i] for i in np.linspace(0, len(clips) - 1, limit).round().astype(int)]
    judges, missing = load_judges(scorer, baselines)
    facts = {"manifest": manifest.name, "profile": getattr(scorer, "profile", ""), "missing": missing}
    return publish(score(clips, judges, progress), output, thresholds or {}, facts | {"packages": _versions(judges)})


def publish(scored: Scored, output: Path, thresholds: Mapping[str, float], facts: Mapping[str, Any]) -> Plain:
    """Write defects.json and defects.html of scored clips; returns the content of the former.

    `facts` are the manifest's name, the scorer's `profile`, `missing` baselines with the reason, and `packages`.
    """
    figures: Plain = _plain(results(scored, thresholds)) | dict(facts)
    output.mkdir(parents=True, exist_ok=True)
    (output / JSON_FILE).write_text(json.dumps(figures, allow_nan=False) + "\n", encoding="utf-8")
    (output / PAGE_FILE).write_text(report.render(figures, _sounds(figures, scored)), encoding="utf-8")
    return figures


def _sounds(figures: Plain, scored: Scored) -> dict[int, str]:
    """Sound of each clip that is listed as an error, as `report.mp3`, by its index."""
    listed = {error["clip"] for defect in figures["defects"].values() for error in defect["errors"]}
    clips = [(at, scored.clips[at]) for at in sorted(listed)]
    return {at: report.mp3(read_wave(clip.path, clip.part)) for at, clip in clips}


# --- scoring ---


def load_judges(scorer: Scorer, baselines: Sequence[str]) -> tuple[dict[str, Judge], dict[str, str]]:
    """The tools by name, ours first, and why others could not be loaded."""
    judges: dict[str, Judge] = {OURS: lambda waves: scorer.score(waves, RATE)}
    missing = {}
    for name in dict.fromkeys(baselines):
        try:
            judges[name] = _clip_by_clip(BASELINES[name].load())
        except ImportError as error:
            missing[name] = str(error)
    return judges, missing


def _clip_by_clip(measure: Callable[[Float32], Mapping[str, float]]) -> Judge:
    def judge(waves: Sequence[Float32]) -> dict[str, Float32]:
        figures = [measure(wave) for wave in waves]
        return {name: np.array([figure[name] for figure in figures], np.float32) for name in figures[0]}

    return judge


def score(clips: Sequence[Clip], judges: Mapping[str, Judge], progress: Progress) -> Scored:
    """Score clips with every tool, in batches; unreadable clips, and those with NaN from ours, are left out."""
    readable: list[Clip] = []
    seconds: list[float] = []
    left_out: list[dict[str, str]] = []
    scores_by_tool: dict[str, list[Mapping[str, Float32]]] = {name: [] for name in judges}
    wall_s = dict.fromkeys(judges, 0.0)
    for batch in _read(clips, left_out, progress):
        readable += [clip for clip, _ in batch]
        waves = [wave for _, wave in batch]
        seconds += [len(wave) / RATE for wave in waves]
        for name, judge in judges.items():
            start = time.perf_counter()
            scores_by_tool[name].append(judge(waves))
            wall_s[name] += time.perf_counter() - start
    if not readable:
        raise ValueError(f"none of {len(clips)} clips can be read, e.g. {left_out[0]['file']}: {left_out[0]['why']}")
    tables = {name: _joined(parts) for name, parts in scores_by_tool.items()}
    is_scored = np.all(np.isfinite([tables[OURS][defect] for defect in Defect]), axis=0)
    left_out += [
        {"file": clip.file, "why": "got no score"}
        for clip, has_score in zip(readable, is_scored.tolist())
        if not has_score
    ]
    columns = {
        key: Column(name, BASELINES[name].figures[key], values[is_scored])
        for name, table in tables.items()
        if name != OURS
        for key, values in table.items()
    }
    kept = [clip for clip, has_score in zip(readable, is_scored.tolist()) if has_score]
    our_scores = {key: values[is_scored] for key, values in tables[OURS].items()}
    return Scored(kept, np.array(seconds)[is_scored], our_scores, columns, wall_s, left_out)


def _read(
    clips: Sequence[Clip], left_out: list[dict[str, str]], progress: Progress
) -> Iterator[list[tuple[Clip, Float32]]]:
    """Batches of clips with their audio; unreadable ones are added to `left_out`. Reports progress after each batch."""
    for start in range(0, len(clips), BATCH):
        batch = []
        for clip in clips[start : start + BATCH]:
            try:
                batch.append((clip, read_wave(clip.path, clip.part)))
            except UnreadableError as error:
                left_out.append({"file": clip.file, "why": str(error)})
        if batch:
            yield batch
        progress(min(start + BATCH, len(clips)), len(clips))


def _joined(parts: Sequence[Mapping[str, Float32]]) -> dict[str, Floats]:
    return {key: np.concatenate([np.asarray(part[key], np.float64) for part in parts]) for key in parts[0]}


def _versions(judges: Mapping[str, Judge]) -> dict[str, str]:
    names = {package for judge in judges if judge != OURS for package in BASELINES[judge].packages}
    versions = {}
    for name in sorted(names):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "unknown"
    return versions


def _plain(value: Any) -> Any:
    """Convert to JSON values: lists for arrays, and null for numbers that are not finite."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value
