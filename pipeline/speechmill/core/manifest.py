"""What commands read manifests with: their lines, in any encoding, and the keys that name a file or a part of one.

A manifest has an object a line, or is a JSON array of them. Whatever its size, it is read as a stream. The keys are our
own, and those of NeMo and lhotse.
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
MAX_WHOLE_BYTES = 64_000_000  # of an object that has the lines in it, which is read at once
CHUNK = 65_536  # characters
WHOLE = ".json"  # end of the name of a file that may be one object
NAMES = (".jsonl", ".ndjson", WHOLE)  # ends of the names of manifests
LISTS = ("items", "recordings", "data")  # keys that may hold the lines
PATHS = ("path", "audio_filepath", "file", "audio_path", "audio_file")
LHOTSE = {
    "id", "type", "start", "channel", "channel_ids", "sampling_rate", "num_samples", "recording", "sources",
    "supervisions",
}  # fmt: skip
STARTS, END, LENGTH = ("start_s", "offset"), "end_s", "duration"
SPAN_KEYS = (*STARTS, END, LENGTH)
DIGITS = 6  # of a second: below a sample
SAME_S = 0.1  # what durations of one file may differ by: rounding, and what an encoder adds
BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
        (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))  # fmt: skip

Span = tuple[float, float | None]  # seconds; None: to the end


def is_manifest(path: str) -> bool:
    """Whether a file is read as a manifest, by its name."""
    return path.lower().endswith(NAMES)


def plain(line: Mapping[str, Any]) -> dict[str, Any]:
    """A line of lhotse's, a recording or a cut with what is said in it, in plain keys; any other line as it is."""
    recording = line.get("recording", line)
    source = _only(recording.get("sources") if isinstance(recording, dict) else None).get("source")
    if source is None or path_of(line) is not None:
        return dict(line)
    spoken = _only(line.get("supervisions"))
    told = {key: spoken[key] for key in ("text", "speaker", "language") if spoken.get(key) is not None}
    told |= {"path": source} | ({"start_s": line["start"]} if "start" in line else {})
    return {key: value for key, value in line.items() if key not in LHOTSE} | told


def _only(values: object) -> dict[str, Any]:
    """The one object of a list; empty where there is another number of them."""
    return values[0] if isinstance(values, list) and len(values) == 1 and isinstance(values[0], dict) else {}


def path_of(line: Mapping[str, Any]) -> Any:
    """What a line has for the path of its file; None if it has none."""
    return next((line[key] for key in PATHS if key in line), None)


def stated_span(line: Mapping[str, Any]) -> Span | None:
    """The stretch that a line names; None for all of its file.

    Raises RejectedError(BAD_SPAN) for one that cannot be.
    """
    start, end, length = (_first(line, keys) for keys in (STARTS, (END,), (LENGTH,)))
    begin = start or 0.0
    if end is None and length is not None:
        end = round(begin + length, DIGITS)
    if end is not None and end <= begin:
        raise RejectedError(Reason.BAD_SPAN, f"it ends at {end:g} s and begins at {begin:g} s")
    return (begin, end) if begin or end is not None else None


def is_whole(span: Span | None, line: Mapping[str, Any], known_s: float | None) -> bool:
    """Whether a stretch is all of its file, `known_s` seconds long as far as is known.

    NeMo's manifests of utterances state the duration of every file, and those that do no more than that mean all of it.
    """
    if span is None:
        return True
    begin, end = span
    only_length = all(line.get(key) is None for key in (*STARTS, END))
    if begin or end is None or known_s is None:
        return only_length
    return abs(known_s - end) <= SAME_S or (only_length and end > known_s)


def _first(line: Mapping[str, Any], keys: tuple[str, ...]) -> float | None:
    """Seconds at the first of some keys that a line has."""
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
    """Number and value of each line that is not blank, or of each item; an error for one that is no JSON.

    Names of files that are no UTF-8 stand in a manifest as they are, and here as in os.fsdecode. Raises OSError.
    """
    encoding = _encoding(path)
    with open(path, encoding=encoding, errors="surrogateescape" if encoding == "utf-8" else "replace") as text:
        begin = text.read(CHUNK).lstrip("\ufeff \t\r\n")
        text.seek(0)
        items = _whole(path, text) if begin[:1] == "{" and path.lower().endswith(WHOLE) else None
        text.seek(0)
        is_array = re.match(r"\[\s*[{\]]", begin) is not None  # of objects, and no line of a list
        yield from enumerate(items, 1) if items is not None else _array(text) if is_array else _each(text)


def _encoding(path: str) -> str:
    """By byte order mark; without one, by where the zeros are that ASCII has in UTF-16; else UTF-8."""
    with open(path, "rb") as file:
        head = file.read(4)
    if found := next((name for mark, name in BOMS if head.startswith(mark)), None):
        return found
    return "utf-16-le" if head[1:2] == b"\0" else "utf-16-be" if head[:1] == b"\0" else "utf-8"


def _each(text: TextIO) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(iter(lambda: text.readline(MAX_LINE), ""), start=1):
        if line := line.lstrip("\ufeff").strip():
            yield number, _value(line)


def _value(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        return error


def _array(text: TextIO) -> Iterator[tuple[int, Any]]:
    """Items of an array, one at a time; after one that is no JSON the rest cannot be told apart."""
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


def _whole(path: str, text: TextIO) -> list[Any] | None:
    """The lines of one object that has them under a key, or is itself one; None where it is several objects."""
    if os.path.getsize(path) > MAX_WHOLE_BYTES:
        return None
    try:
        told = json.loads(text.read().lstrip("\ufeff"))
    except (ValueError, RecursionError):
        return None
    return next((told[key] for key in LISTS if isinstance(told.get(key), list)), [told])
