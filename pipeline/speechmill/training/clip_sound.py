"""Reads the audio of reference clips, at the sample rate of ASR models.

A clip that cannot be used raises RejectedError, since one broken file should not end an evaluation.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import soundfile
import soxr

from speechmill.asr import SAMPLE_RATE_HZ
from speechmill.core.reasons import Reason
from speechmill.core.records import RejectedError
from speechmill.training.inputs import Clip

LONGEST_S = 30.0  # Whisper's window: it would ignore the rest of a longer clip
Float32 = npt.NDArray[np.float32]


def length_s(clip: Clip) -> float:
    """Duration in seconds by the header. Raises RejectedError where the header shows that `sound` would."""
    with _opened(clip) as file:
        first, last = clip.frames(file)
        return float((last - first) / file.samplerate)


def sound(clip: Clip) -> Float32:
    """Read a clip: float32[n] at 16 kHz in [-1, 1], channels averaged, shorter than LONGEST_S. Raises RejectedError."""
    with _opened(clip) as file:
        (first, last), rate = clip.frames(file), file.samplerate
        file.seek(first)
        wave = file.read(last - first, dtype="float32", always_2d=True).mean(axis=1)
    _check_length(len(wave) / rate)  # the header of some formats only estimates it
    if not np.isfinite(wave).all():
        raise RejectedError(Reason.NOT_FINITE, "has samples that are not numbers")
    return np.asarray(np.clip(soxr.resample(wave, rate, SAMPLE_RATE_HZ), -1, 1), np.float32)


@contextmanager
def _opened(clip: Clip) -> Iterator[soundfile.SoundFile]:
    if not clip.path.is_file():
        raise RejectedError(Reason.NOT_FOUND, "no such file")
    try:
        with soundfile.SoundFile(clip.path if clip.row is None else io.BytesIO(_stored(clip.path, *clip.row))) as file:
            first, last = clip.frames(file)
            _check_length((last - first) / file.samplerate)
            yield file
    except soundfile.LibsndfileError as error:  # its text without the path, which is private
        raise RejectedError(Reason.NOT_AUDIO, error.error_string) from None
    except OSError as error:
        raise RejectedError(Reason.FORBIDDEN, error.strerror or "cannot be read") from None


def _check_length(seconds: float) -> None:
    if seconds >= LONGEST_S:
        detail = f"{seconds:.2f} s long: an ASR model takes less than {LONGEST_S:g} s; cut it, and its text"
        raise RejectedError(Reason.TOO_LONG, detail)
    if seconds <= 0:
        raise RejectedError(Reason.EMPTY, "no samples")


def _stored(shard: Path, group: int, row: int) -> bytes:
    data: bytes = _sounds(shard, group)[row].as_py()
    return data


@lru_cache(maxsize=1)  # clips are read in the order of their rows
def _sounds(shard: Path, group: int) -> Any:
    return pq.ParquetFile(shard).read_row_group(group, ["audio.bytes"])["audio"].combine_chunks().field("bytes")
