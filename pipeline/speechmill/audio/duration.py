"""Duration that a local file declares, by its head or by a decoder in another process, which may crash or hang."""

import os
import wave

from speechmill.audio.decoding import declared_duration_s
from speechmill.audio.opening import DECODER_BYTES
from speechmill.core import guards, processes
from speechmill.core.config import Audio, RunConfig
from speechmill.core.records import RejectedError

FLAC_HEAD_BYTES = 42


def duration_s(path: str, config: RunConfig) -> float | None:
    """Declared duration of a file in seconds; None where it declares none, or cannot be read."""
    if not os.path.isfile(path):
        return None
    try:
        return duration_by_head(path) or _by_decoder(path, config)
    except (OSError, EOFError, ValueError):
        return None


def duration_by_head(path: str) -> float | None:
    """Duration in seconds that a head of WAV or FLAC (RFC 9639, section 8.2) declares; None for other files.

    No decoder is needed. Raises OSError, EOFError or ValueError for a file that cannot be read.
    """
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
    with guards.watchdog(limits.stall_timeout_s), guards.memory_limited(DECODER_BYTES):
        return declared_duration_s(path, limits)
