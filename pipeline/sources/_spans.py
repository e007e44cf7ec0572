"""Stretches of a file that a line of a manifest names: our `start_s` and `end_s`, NeMo's `offset` and `duration`.

NeMo's manifests of utterances state the duration of every file, which is then no stretch but all of it.
"""

import math
import os
import wave
from collections.abc import Mapping
from typing import Any

from pipeline import isolate
from pipeline.config import RunConfig
from pipeline.records import Reason, Rejected

STARTS, ENDS, LENGTH = ("start_s", "offset", "start"), ("end_s", "end"), "duration"
KEYS = {*STARTS, *ENDS, LENGTH}
DIGITS = 6  # of a second: below a sample
SAME_S = 0.1  # what durations of one file may differ by: rounding, and what an encoder adds
FLAC_HEAD_BYTES = 42

Span = tuple[float, float | None]  # seconds; None: to the end


def span_of(told: Mapping[str, Any], path: str | None, config: RunConfig) -> Span | None:
    """The stretch that a line names; None for all of its file, of which `path` is that on this machine.

    Raises Rejected(BAD_SPAN) for one that cannot be.
    """
    start, end, length = (_first(told, keys) for keys in (STARTS, ENDS, (LENGTH,)))
    if start is None and end is None and length is None:
        return None
    begin = start[1] if start else 0.0
    if end is None and length is not None:
        end = (length[0], round(begin + length[1], DIGITS))
    if end is not None and end[1] <= begin:
        raise Rejected(Reason.BAD_SPAN, f"it ends at {end[1]:g} s and begins at {begin:g} s")
    if begin or end is None:
        return (begin, end[1] if end else None) if begin else None
    known = None if path is None else duration_s(path, config)
    is_only_length = start is None and end[0] == LENGTH
    if known is None:
        return None if is_only_length else (begin, end[1])
    is_whole = abs(known - end[1]) <= SAME_S or (is_only_length and end[1] > known)
    return None if is_whole else (begin, end[1])


def _first(told: Mapping[str, Any], keys: tuple[str, ...]) -> tuple[str, float] | None:
    """The first of some keys that a line has, and its seconds."""
    key = next((key for key in keys if told.get(key) is not None), None)
    if key is None:
        return None
    value = told[key]
    try:
        seconds = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    except OverflowError:
        seconds = math.nan
    if not math.isfinite(seconds) or seconds < 0:
        raise Rejected(Reason.BAD_SPAN, f"{key} is {repr(value)[:50]}, not a number of seconds")
    return key, round(seconds, DIGITS)


def duration_s(path: str, config: RunConfig) -> float | None:
    """Seconds that a file declares; None where it declares none, or cannot be read."""
    if not os.path.isfile(path):
        return None
    try:
        return _by_head(path) or _by_decoder(path, config)
    except (OSError, EOFError, ValueError):
        return None


def _by_head(path: str) -> float | None:
    """Of the two formats that most manifests name, without a decoder: WAV, and FLAC (RFC 9639, section 8.2)."""
    with open(path, "rb") as file:
        head = file.read(FLAC_HEAD_BYTES)
        if head[:4] == b"fLaC" and len(head) == FLAC_HEAD_BYTES:
            rate, samples = int.from_bytes(head[18:21], "big") >> 4, int.from_bytes(head[21:26], "big") & (2**36 - 1)
            return samples / rate if rate and samples else None
        if head[:4] != b"RIFF":
            return None
        file.seek(0)
        try:
            with wave.open(file) as sound:
                return sound.getnframes() / sound.getframerate() if sound.getframerate() else None
        except wave.Error:
            return None


def _by_decoder(path: str, config: RunConfig) -> float | None:
    try:
        found, _ = isolate.result(isolate.pool(config.workers).submit(_declared_s, path, config))
    except (Rejected, OSError, MemoryError, isolate.Died):
        return None
    return None if found is None else float(found)


def _declared_s(path: str, config: RunConfig) -> float | None:
    from pipeline.audio import Decoding

    with open(path, "rb") as file, isolate.watchdog(config.audio.stall_timeout):
        decoding = Decoding(file, config.audio.sample_rate, config.audio)
        next(iter(decoding), None)  # the first second, which is as little as there is
        return decoding.declared_duration_s
