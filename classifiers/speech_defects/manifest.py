"""Reads lines of manifests, with our keys, NeMo's and lhotse's: the file, the part of it, and metadata.

speechmill reads the same manifests; this package is independent of it, and so has a reader of its own.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATHS = ("path", "audio_filepath", "file", "audio_path", "audio_file")
STARTS, END, LENGTH = ("start_s", "offset"), "end_s", "duration"
SPEAKERS, LICENCES, SOURCES = ("speaker", "speaker_id"), ("licence", "license"), ("source", "group")
SAME_S = 0.1  # largest difference of durations of one file, by rounding and encoder padding

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Part:
    """A span of a file in seconds; by default all of it. `only_length`: only a duration is stated."""

    start_s: float = 0.0
    end_s: float | None = None
    only_length: bool = False

    def frames(self, total: int, rate: int) -> tuple[int, int]:
        """First sample in a file of `total` samples, and one past the last. Raises ValueError if beyond the file."""
        first, last = round(self.start_s * rate), total if self.end_s is None else round(self.end_s * rate)
        beyond_s = (last - total) / rate
        if self.only_length and beyond_s > -SAME_S:  # most manifests state the length of whole files
            return 0, total
        if (self.start_s and first >= total) or beyond_s > SAME_S:
            raise ValueError(f"ends at {last / rate:g} s, and the file has {total / rate:.3f} s")
        return first, min(last, total)


WHOLE = Part()


def lines(path: Path) -> Iterator[tuple[int, Row]]:
    """Number and keys of each line, or of each object of an array. Raises ValueError naming file and line."""
    raw = path.read_bytes()
    text = raw.decode(json.detect_encoding(raw), "replace").lstrip("\ufeff")
    is_array = re.match(r"\s*\[\s*\{", text) is not None
    for number, line in enumerate([text] if is_array else text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value: Any = json.loads(line)
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
        for at, row in enumerate(value if is_array else [value], start=number):
            if not isinstance(row, dict):
                raise ValueError(f"{path}, line {at}: not a JSON object")
            yield at, _plain(row)


def _plain(line: Row) -> Row:
    """Convert a recording or cut of lhotse to plain keys; other lines are unchanged."""
    recording = line.get("recording", line)
    source = _only(recording.get("sources") if isinstance(recording, dict) else None).get("source")
    if source is None or any(key in line for key in PATHS):
        return line
    speaker = _only(line.get("supervisions")).get("speaker")
    start = {"start_s": line["start"]} if "start" in line else {}
    return line | {"path": source} | start | ({"speaker": speaker} if speaker else {})


def _only(values: object) -> Row:
    """The only object of a list; empty for any other number of objects."""
    return values[0] if isinstance(values, list) and len(values) == 1 and isinstance(values[0], dict) else {}


def path_of(row: Mapping[str, Any]) -> str:
    """The file in a line. Raises ValueError if there is none."""
    path = next((row[key] for key in PATHS if row.get(key)), None)
    if path is None:
        raise ValueError("no 'path'" + (": download the file of the 'url' and name it" if "url" in row else ""))
    if not isinstance(path, str):
        raise ValueError(f"'path' is {json.dumps(path)}, not a text")
    return path


def part_of(row: Mapping[str, Any]) -> Part:
    """The part of its file in a line. Raises ValueError for impossible times."""
    start, end, length = (_seconds(row, keys) for keys in (STARTS, (END,), (LENGTH,)))
    begin = start or 0.0
    until = begin + length if end is None and length is not None else end
    if until is not None and until <= begin:
        raise ValueError(f"it ends at {until:g} s and begins at {begin:g} s")
    return Part(begin, until, only_length=length is not None and start is None and end is None)


def _seconds(row: Mapping[str, Any], keys: tuple[str, ...]) -> float | None:
    key = next((key for key in keys if row.get(key) is not None), None)
    if key is None:
        return None
    value = row[key]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or value < 0:
        raise ValueError(f"'{key}' is {json.dumps(value)}, not a number of seconds")
    return float(value)


def text_of(row: Mapping[str, Any], *keys: str) -> str:
    """Text of the first of some keys that has one; empty if none has. A speaker may be a number."""
    for key in keys:
        value = row.get(key)
        if isinstance(value, int) and key in SPEAKERS:
            return str(value)
        if value is not None and not isinstance(value, str):
            raise ValueError(f"'{key}' is {json.dumps(value)}, not a text")
        if value:
            return value
    return ""


def label_of(row: Mapping[str, Any], key: str) -> float:
    """The label of a defect in a line: 1, 0, or NaN where it is null. Raises ValueError for anything else."""
    if key not in row:
        raise ValueError(f"no '{key}': say 1, 0, or null for not judged")
    value = row[key]
    if value is not None and (isinstance(value, str) or value not in (0, 1)):
        raise ValueError(f"'{key}' is {json.dumps(value)}, not 1, 0 or null")
    return math.nan if value is None else float(value)
