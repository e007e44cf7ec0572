"""Finds the span of a file that a manifest line means, which may depend on the file's duration."""

import os
import wave
from collections.abc import Mapping
from typing import Any

from speechmill.core import guards, processes
from speechmill.core.config import Audio, RunConfig
from speechmill.core.manifest import Span, is_whole_file, stated_span
from speechmill.core.records import RejectedError

FLAC_HEAD_BYTES = 42


def span_of(line: Mapping[str, Any], path: str | None, config: RunConfig) -> Span | None:
    """The span in a manifest line; None for the whole file. `path` is the file, None if it is remote.

    Raises RejectedError(BAD_SPAN) for an impossible span.
    """
    span = stated_span(line)
    if span is None or span[0] or path is None:
        return None if is_whole_file(span, line, None) else span
    return None if is_whole_file(span, line, duration_s(path, config)) else span


def duration_s(path: str, config: RunConfig) -> float | None:
    """Declared duration of a file in seconds; None where it declares none, or cannot be read."""
    if not os.path.isfile(path):
        return None
    try:
        return _by_head(path) or _by_decoder(path, config)
    except (OSError, EOFError, ValueError):
        return None


def _by_head(path: str) -> float | None:
    """Duration of the two most frequent formats without a decoder: WAV, and FLAC (RFC 9639, section 8.2)."""
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
        seconds, _ = processes.result(processes.pool(config.workers).submit(_declared_s, path, config.audio))
    except (RejectedError, OSError, MemoryError, processes.DiedError):
        return None
    return None if seconds is None else float(seconds)


def _declared_s(path: str, limits: Audio) -> float | None:
    from speechmill import audio

    with guards.watchdog(limits.stall_timeout_s), guards.memory_limited(audio.DECODER_BYTES):
        return audio.declared_duration_s(path, limits)
