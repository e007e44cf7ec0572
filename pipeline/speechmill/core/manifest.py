"""Reads manifests: lines in any encoding, and the keys that name a file and a span of it.

A manifest has one JSON object per line, or is a JSON array of objects; either is read as a stream. Keys are our own,
NeMo's and lhotse's.
"""

import codecs
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, TextIO

from speechmill.core.reasons import Reason
from speechmill.core.records import RejectedError

MAX_LINE = 1_000_000  # characters
MAX_WHOLE_BYTES = 64_000_000  # of a file that is one object with the items in a list, which is read at once
CHUNK = 65_536  # characters
WHOLE = ".json"  # ending of files that may be one object
NAMES = (".jsonl", ".ndjson", WHOLE)  # endings of manifests
LISTS = ("items", "recordings", "data")  # keys of such an object that may hold the items
PATHS = ("path", "audio_filepath", "file", "audio_path", "audio_file")  # keys of the path
LHOTSE = {
    "id", "type", "start", "channel", "channel_ids", "sampling_rate", "num_samples", "recording", "sources",
    "supervisions",
}  # fmt: skip
STARTS, END, LENGTH = ("start_s", "offset"), "end_s", "duration"
SPAN_KEYS = (*STARTS, END, LENGTH)
DIGITS = 6  # decimals of seconds: finer than a sample
SAME_S = 0.1  # largest difference between durations of one file: rounding, and padding by encoders
BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
        (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))  # fmt: skip

Span = tuple[float, float | None]  # start and end in seconds; None: end of the file


def is_manifest(path: str) -> bool:
    """Whether a file is read as a manifest, by its ending."""
    return path.lower().endswith(NAMES)


def from_lhotse(line: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a recording or cut of lhotse to our keys; copy other lines unchanged."""
    recording = line.get("recording", line)
    source = _single(recording.get("sources") if isinstance(recording, dict) else None).get("source")
    if source is None or path_of(line) is not None:
        return dict(line)
    supervision = _single(line.get("supervisions"))
    converted = {key: supervision[key] for key in ("text", "speaker", "language") if supervision.get(key) is not None}
    converted |= {"path": source} | ({"start_s": line["start"]} if "start" in line else {})
    return {key: value for key, value in line.items() if key not in LHOTSE} | converted


def _single(values: object) -> dict[str, Any]:
    """The object in a list of one; empty for anything else."""
    return values[0] if isinstance(values, list) and len(values) == 1 and isinstance(values[0], dict) else {}


def path_of(line: Mapping[str, Any]) -> Any:
    """Value of the first path key of a line, of any type; None without one."""
    return next((line[key] for key in PATHS if key in line), None)


def stated_span(line: Mapping[str, Any]) -> Span | None:
    """Span in seconds that a line states; None for the whole file.

    Raises RejectedError(BAD_SPAN) for an impossible one.
    """
    start, end, length = (_seconds(line, keys) for keys in (STARTS, (END,), (LENGTH,)))
    begin = start or 0.0
    if end is None and length is not None:
        end = round(begin + length, DIGITS)
    if end is not None and end <= begin:
        raise RejectedError(Reason.BAD_SPAN, f"it ends at {end:g} s and begins at {begin:g} s")
    return (begin, end) if begin or end is not None else None


def is_whole_file(span: Span | None, line: Mapping[str, Any], known_s: float | None) -> bool:
    """Whether a span is the whole file.

    Args:
        span: What `stated_span` returns for the line.
        line: Line of the manifest. NeMo's state a duration for whole files too; a line with nothing but a duration
            means the whole file.
        known_s: Duration of the file in seconds, if known.
    """
    if span is None:
        return True
    begin, end = span
    only_length = all(line.get(key) is None for key in (*STARTS, END))
    if begin or end is None or known_s is None:
        return only_length
    return abs(known_s - end) <= SAME_S or (only_length and end > known_s)


def _seconds(line: Mapping[str, Any], keys: tuple[str, ...]) -> float | None:
    """Seconds under the first of `keys` that a line has; None without one. Raises RejectedError(BAD_SPAN)."""
    key = next((key for key in keys if line.get(key) is not None), None)
    if key is None:
        return None
    value = line[key]
    try:
        seconds = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    except OverflowError:
        seconds = math.nan
    if not math.isfinite(seconds) or seconds < 0:
        raise RejectedError(Reason.BAD_SPAN, f"{key} is {repr(value)[:50]}, not a number of seconds")
    return round(seconds, DIGITS)


def lines(path: str) -> Iterator[tuple[int, Any]]:
    """Number and value of each line that is not blank, or of each item of an array; the error where it is not JSON.

    Bytes that are not UTF-8, as in file names, are decoded as os.fsdecode does. Raises OSError.
    """
    encoding = _encoding(path)
    with open(path, encoding=encoding, errors="surrogateescape" if encoding == "utf-8" else "replace") as text:
        begin = text.read(CHUNK).lstrip("\ufeff \t\r\n")
        text.seek(0)
        items = _whole_items(path, text) if begin[:1] == "{" and path.lower().endswith(WHOLE) else None
        text.seek(0)
        is_array = re.match(r"\[\s*[{\]]", begin) is not None  # an array of objects, not a line that is a list
        yield from enumerate(items, 1) if items is not None else _array_items(text) if is_array else _each_line(text)


def _encoding(path: str) -> str:
    """Encoding by byte order mark; without one, UTF-16 by the zero byte of its first ASCII character; else UTF-8."""
    with open(path, "rb") as file:
        head = file.read(4)
    if encoding := next((name for mark, name in BOMS if head.startswith(mark)), None):
        return encoding
    return "utf-16-le" if head[1:2] == b"\0" else "utf-16-be" if head[:1] == b"\0" else "utf-8"


def _each_line(text: TextIO) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(iter(lambda: text.readline(MAX_LINE), ""), start=1):
        if line := line.lstrip("\ufeff").strip():
            yield number, _value(line)


def _value(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        return error


def _array_items(text: TextIO) -> Iterator[tuple[int, Any]]:
    """Number and value of each item of an array, streamed; ends with the error at the first that is not JSON."""
    decoder, number = json.JSONDecoder(), 1
    buffer = text.read(CHUNK).lstrip("\ufeff \t\r\n")[1:]
    while True:
        buffer = buffer.lstrip(" \t\r\n,")
        try:
            if buffer.startswith("]"):
                return
            value, end = decoder.raw_decode(buffer)
        except (ValueError, RecursionError) as error:
            more = text.read(CHUNK) if len(buffer) < MAX_LINE and isinstance(error, ValueError) else ""
            if not more:
                yield number, error
                return
            buffer += more
            continue
        yield number, value
        number, buffer = number + 1, buffer[end:]


def _whole_items(path: str, text: TextIO) -> list[Any] | None:
    """Items of a file that is one object: the list under one of LISTS, else the object itself.

    None for a file of several objects, and for one that is too large.
    """
    if os.path.getsize(path) > MAX_WHOLE_BYTES:
        return None
    try:
        whole = json.loads(text.read().lstrip("\ufeff"))
    except (ValueError, RecursionError):
        return None
    return next((whole[key] for key in LISTS if isinstance(whole.get(key), list)), [whole])
