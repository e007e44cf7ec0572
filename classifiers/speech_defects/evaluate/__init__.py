"""Measures a scorer, and baselines beside it, on clips whose defects are known.

What counts as right is the manifest's word alone: nothing here knows how a model was made, so that ours and those
of others are measured alike.
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
    """Score the clips of a manifest (see `clips.read_manifest`) and save defects.json and defects.html in `output`.

    `baselines` are names of `baselines.BASELINES`; one whose packages are missing is left out and named. `limit`
    takes so many clips from all over the manifest. Where there are no `thresholds`, they are those that lose
    `tables.CLEAN_LOSS` of the clean clips here. Returns what defects.json holds. Raises ValueError for a manifest
    or a name that is wrong, or where no clip can be scored.
    """
    if unknown := sorted({*baselines} - BASELINES.keys()):
        raise ValueError(f"no baseline named {', '.join(unknown)}; there are {', '.join(BASELINES)}")
    clips = read_manifest(manifest)
    if limit and limit < len(clips):
        clips = [clips[i] for i in np.linspace(0, len(clips) - 1, limit).round().astype(int)]
    judges, missing = load_judges(scorer, baselines)
    scored = score(clips, judges, progress)
    found: Plain = _plain(results(scored, thresholds or {}))
    found |= {"manifest": manifest.name, "profile": getattr(scorer, "profile", ""), "missing": missing}
    found["packages"] = _versions(judges)
    output.mkdir(parents=True, exist_ok=True)
    (output / JSON_FILE).write_text(json.dumps(found, allow_nan=False) + "\n", encoding="utf-8")
    (output / PAGE_FILE).write_text(report.render(found), encoding="utf-8")
    return found


# --- scoring ---


def load_judges(scorer: Scorer, baselines: Sequence[str]) -> tuple[dict[str, Judge], dict[str, str]]:
    """The tools by name, ours first, and why others could not be loaded."""
    judges: dict[str, Judge] = {OURS: lambda waves: scorer.score(waves, RATE)}
    missing = {}
    for name in dict.fromkeys(baselines):
        try:
            judges[name] = _one_by_one(BASELINES[name].load())
        except ImportError as error:
            missing[name] = str(error)
    return judges, missing


def _one_by_one(measure: Callable[[Float32], Mapping[str, float]]) -> Judge:
    def judge(waves: Sequence[Float32]) -> dict[str, Float32]:
        found = [measure(wave) for wave in waves]
        return {name: np.array([one[name] for one in found], np.float32) for name in found[0]}

    return judge


def score(clips: Sequence[Clip], judges: Mapping[str, Judge], progress: Progress) -> Scored:
    """Score clips with every tool, a batch at a time; what cannot be read, or gets NaN from ours, is left out."""
    heard: list[Clip] = []
    seconds: list[float] = []
    left_out: list[dict[str, str]] = []
    said: dict[str, list[Mapping[str, Float32]]] = {name: [] for name in judges}
    wall_s = dict.fromkeys(judges, 0.0)
    for batch in _read(clips, left_out, progress):
        heard += [clip for clip, _ in batch]
        waves = [wave for _, wave in batch]
        seconds += [len(wave) / RATE for wave in waves]
        for name, judge in judges.items():
            start = time.perf_counter()
            said[name].append(judge(waves))
            wall_s[name] += time.perf_counter() - start
    if not heard:
        raise ValueError(f"none of {len(clips)} clips can be read, e.g. {left_out[0]['file']}: {left_out[0]['why']}")
    tables = {name: _joined(parts) for name, parts in said.items()}
    fine = np.all(np.isfinite([tables[OURS][defect] for defect in Defect]), axis=0)
    left_out += [
        {"file": clip.file, "why": "got no score"} for clip, is_fine in zip(heard, fine.tolist()) if not is_fine
    ]
    columns = {
        key: Column(name, BASELINES[name].figures[key], values[fine])
        for name, table in tables.items()
        if name != OURS
        for key, values in table.items()
    }
    kept = [clip for clip, is_fine in zip(heard, fine.tolist()) if is_fine]
    ours = {key: values[fine] for key, values in tables[OURS].items()}
    return Scored(kept, np.array(seconds)[fine], ours, columns, wall_s, left_out)


def _read(
    clips: Sequence[Clip], left_out: list[dict[str, str]], progress: Progress
) -> Iterator[list[tuple[Clip, Float32]]]:
    """Batches of clips with their sound; what cannot be read is noted. Reports after a batch has been used."""
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
    found = {}
    for name in sorted(names):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found


def _plain(value: Any) -> Any:
    """As JSON has it: no arrays, and null for what is not a number."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(one) for one in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value
