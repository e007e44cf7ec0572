"""Labelled clips for the evaluation of a scorer: their manifest, and their audio.

A manifest has a line for each clip. A faulty line is reported with its number and key before anything is
scored; an unreadable recording is only left out, since one broken file should not end an evaluation.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from speech_defects import LONGEST_S, RATE, SHORTEST_S, Defect, Float32, manifest
from speech_defects.manifest import WHOLE, Part

FACTS = ("snr_db", "c50_db", "overlap_db", "overlap_s")


class UnreadableError(Exception):
    """Raised for a clip without usable audio; the message says why."""


@dataclass(frozen=True, slots=True)
class Clip:
    """A labelled clip. Labels are 1, 0 or NaN (unlabelled), facts NaN where unknown."""

    file: str
    path: Path
    labels: dict[Defect, float]
    facts: dict[str, float]
    source: str
    speaker: str
    group: str
    codec: str
    language: str = ""
    part: Part = WHOLE  # of the file

    @property
    def is_clean(self) -> bool:
        """Whether it has no defect, and no unlabelled one."""
        return all(label == 0 for label in self.labels.values())

    @property
    def only_defect(self) -> Defect | None:
        """The defect of a clip with exactly one; others may be unlabelled."""
        present = [defect for defect, label in self.labels.items() if label == 1]
        return present[0] if len(present) == 1 else None


def read_manifest(path: Path) -> list[Clip]:
    """Read a manifest of labelled clips.

    A line is an object with `path` (relative to the manifest), each Defect (1, 0, or null for "not judged"),
    `source` and `speaker`, and if known FACTS (numbers), the times of a part of the file, `group`, `codec` and
    `language`; other keys are ignored. Raises ValueError that names line and key, or OSError.
    """
    clips = []
    for number, row in manifest.lines(path):
        try:
            clips.append(_clip(row, path.parent))
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
    if not clips:
        raise ValueError(f"{path} names no clips")
    return clips


def _clip(row: manifest.Row, folder: Path) -> Clip:
    file = manifest.path_of(row)
    labels = {defect: manifest.label_of(row, defect.value) for defect in Defect}
    facts = {name: _number(row, name) for name in FACTS}
    source, speaker = manifest.text_of(row, "source"), manifest.text_of(row, *manifest.SPEAKERS)
    group, codec = manifest.text_of(row, "group"), manifest.text_of(row, "codec")
    language, part = manifest.text_of(row, "language"), manifest.part_of(row)
    return Clip(file, folder / file, labels, facts, source, speaker, group or source, codec, language, part)


def _number(row: dict[str, Any], key: str) -> float:
    value = row.get(key)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise ValueError(f"'{key}' is {json.dumps(value)}, not a number or null")
    return math.nan if value is None else float(value)


def read_wave(path: Path, part: Part = WHOLE) -> Float32:
    """Read a file or a part of it: float32[T] at 16 kHz in [-1, 1], channels averaged. Raises UnreadableError."""
    import soundfile
    import soxr

    if not path.is_file():
        raise UnreadableError("no such file")
    try:
        with soundfile.SoundFile(path) as file:
            (first, last), rate = part.frames(file.frames, file.samplerate), file.samplerate
            file.seek(first)
            wave = file.read(last - first, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:  # its text without the path, which is private
        raise UnreadableError(error.error_string) from error
    except ValueError as error:
        raise UnreadableError(str(error)) from None
    mono = wave.mean(axis=1)
    seconds = len(mono) / rate
    if not SHORTEST_S <= seconds <= LONGEST_S:
        raise UnreadableError(f"{seconds:.2f} s long, not {SHORTEST_S:g} to {LONGEST_S:g} s")
    if not np.isfinite(mono).all():
        raise UnreadableError("has samples that are not numbers")
    return np.asarray(np.clip(soxr.resample(mono, rate, RATE), -1, 1), np.float32)
