"""Writes labelled clips as FLAC files with a manifest, for `evaluate`.

Synthetic clips have exact labels and all levels; unmodified recordings show whether training on
synthetic clips generalises.
"""

import json
import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from speech_defects import FRAME, RATE, Defect, Float32
from speech_defects.degrade import levels
from speech_defects.degrade.degrader import Degrader
from speech_defects.degrade.scene import OVERLAP_S, Labelled, lasting
from speech_defects.degrade.takes import Shelf, Sources, Take
from speech_defects.workers import worker_pool

MANIFEST = "manifest.jsonl"
CHUNK = 50  # clips per task of a worker
LONGEST_S, SHORTEST_S = 20.0, 1.0  # of pieces of unmodified recordings
CONVERSATION_S = 5.0

Progress = Callable[[int, int], None]


def write(
    sources: Sources, folder: Path, *, count: int, seconds: tuple[float, float], seed: int, workers: int,
    progress: Progress = lambda _done, _total: None,
) -> Path:  # fmt: skip
    """Write `count` synthetic clips, and all recordings unmodified; returns the path of the manifest.

    Unmodified speech is labelled clean, telephone speech as telephone, conversations as overlap by their RTTM;
    unknown labels are null.

    Args:
        sources: Recordings.
        folder: Folder to write to.
        count: Number of synthetic clips.
        seconds: Shortest and longest length of them.
        seed: Of the random draws.
        workers: Processes.
        progress: Called with the number of clips done, and of all.
    """
    (folder / "clips").mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    make = partial(_synthetic, sources, folder, seed, seconds)
    tasks = [(first, min(CHUNK, count - first)) for first in range(0, count, CHUNK)]
    with worker_pool(max(1, min(workers, len(tasks)))) as pool:
        for batch_rows in pool.map(make, *zip(*tasks)):
            rows += batch_rows
            progress(len(rows), count)
    rows += _unmodified(sources, folder)
    text = "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows)
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    return folder / MANIFEST


def _synthetic(
    sources: Sources, folder: Path, seed: int, seconds: tuple[float, float], first: int, count: int
) -> list[dict[str, Any]]:
    degrader = Degrader(sources, seed)
    rows = []
    for index in range(first, first + count):
        length = float(np.random.default_rng([seed, index, 0]).uniform(*seconds))
        rows.append(_row(folder, f"made-{index:06}", degrader.clip(index, round(length, 2)), "made"))
    return rows


def _unmodified(sources: Sources, folder: Path) -> Iterator[dict[str, Any]]:
    """Unmodified recordings, cut to the length of clips."""
    shelf = Shelf(sources)
    unknown = dict.fromkeys(Defect, math.nan)
    for take, wave, number in _pieces(shelf, sources.speech, LONGEST_S):
        yield _as_found(folder, take, number, wave, dict.fromkeys(Defect, 0.0), "clean")
    for take, wave, number in _pieces(shelf, sources.telephone, LONGEST_S):
        yield _as_found(folder, take, number, wave, unknown | {Defect.TELEPHONE: 1.0}, "telephone")
    for take, wave, number in _pieces(shelf, sources.overlap, CONVERSATION_S):
        if take.rttm is None:
            continue
        frames = levels.frames_in(len(wave))
        first = round(number * CONVERSATION_S * RATE / FRAME)
        both = (take.voices(first, frames) > 1).sum() * FRAME / RATE
        labels = unknown | {Defect.OVERLAP: lasting(float(both), OVERLAP_S)}
        yield _as_found(folder, take, number, wave, labels, "conversation") | {"overlap_s": round(float(both), 2)}


def _pieces(shelf: Shelf, takes: tuple[Take, ...], seconds: float) -> Iterator[tuple[Take, Float32, int]]:
    for take in takes:
        wave = shelf.wave(take)
        length = round(seconds * RATE)
        for number, start in enumerate(range(0, len(wave), length)):
            piece = wave[start : start + length]
            if len(piece) >= SHORTEST_S * RATE:
                yield take, piece, number


def _as_found(
    folder: Path, take: Take, number: int, wave: Float32, labels: dict[Defect, float], kind: str
) -> dict[str, Any]:
    facts = {"speaker": take.speaker, "source": take.source}
    clip = Labelled(wave, labels, np.zeros((3, 0), np.uint8), math.nan, math.nan, facts)
    return _row(folder, f"{kind}-{take.source}-{take.name}-{number}", clip, f"{kind}: {take.source}")


def _row(folder: Path, name: str, clip: Labelled, group: str) -> dict[str, Any]:
    """Write a clip; returns its manifest line."""
    file = f"clips/{name}.flac"
    soundfile.write(folder / file, clip.wave, RATE, subtype="PCM_16")
    numbers = {"snr_db": clip.snr_db, "c50_db": clip.c50_db}
    numbers |= {key: float(clip.facts[key]) for key in ("overlap_db", "overlap_s") if key in clip.facts}
    labels = {defect.value: None if math.isnan(label) else int(label) for defect, label in clip.defects.items()}
    rounded_numbers = {key: round(value, 2) for key, value in numbers.items() if math.isfinite(value)}
    texts = {key: clip.facts[key] for key in ("speaker", "source", "codec", "hard_negative") if clip.facts.get(key)}
    return {"file": file, **labels, **rounded_numbers, **texts, "group": group}
