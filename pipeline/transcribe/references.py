"""Clips whose words are known, to judge a recogniser by: what names them, and their sound.

What is wrong with a line of a manifest is said before anything is heard; a recording that cannot be used is Rejected
alone, since one broken file should not end an evaluation.
"""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import soundfile
import soxr

from pipeline.records import Reason, Rejected
from pipeline.transcribe import SAMPLE_RATE_HZ

LONGEST_S = 30.0  # what Whisper hears at once: of a longer clip it would leave out the rest
COLUMNS = ("clip_id", "recording_id", "title", "language", "reference_text", "reference_match")  # without the sound

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A clip and what is said in it. `row` is its row group and its row there, where `path` is a shard."""

    file: str
    path: Path
    row: tuple[int, int] | None = None
    text: str
    source: str
    speaker: str = ""
    language: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class References:
    """Clips with texts, what they are from, and how many others had no text."""

    kind: str  # manifest, corpus or librispeech
    name: str
    clips: tuple[Clip, ...]
    without_text: int = 0

    def limited(self, clips: int | None) -> "References":
        """So many clips, from all over; None: all."""
        count = len(self.clips) if clips is None else min(clips, len(self.clips))
        kept = tuple(self.clips[at * len(self.clips) // count] for at in range(count))
        return References(kind=self.kind, name=self.name, clips=kept, without_text=self.without_text)


def read(path: Path) -> References:
    """Read what clips there are.

    A line of a JSONL manifest is an object with `file` (relative to the manifest), `text` or `transcript`, and where
    known `source` or `group`, `speaker` and `language`; other keys are let be. A folder is a corpus of speechmill's,
    whose publishers' texts were found in what was heard, or has LibriSpeech's `*.trans.txt`. Raises ValueError that
    names line and key, or OSError.
    """
    if path.is_dir():
        shards = sorted((path / "data").glob("*.parquet"))
        found = _corpus(path, shards) if shards else _librispeech(path)
    else:
        found = _manifest(path)
    if not found.clips:
        raise ValueError(f"{path} has no clip with a text")
    return found


# --- what names them ---


def _manifest(path: Path) -> References:
    clips, without_text = [], 0
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip():
            try:
                clip = _clip(json.loads(line), path)
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: {error}") from None
            clips += [clip] if clip else []
            without_text += clip is None
    return References(kind="manifest", name=path.name, clips=tuple(clips), without_text=without_text)


def _clip(row: Any, manifest: Path) -> Clip | None:
    """A line; None where nobody says what is spoken. An empty text says that nothing is."""
    if not isinstance(row, dict):
        raise ValueError("not a JSON object")
    keys = ("file", "text", "transcript", "source", "group", "speaker", "language")
    file, text, transcript, source, group, speaker, language = (_text(row, key) for key in keys)
    if not file:
        raise ValueError("no 'file'")
    said = transcript if text is None else text
    if said is None:
        return None
    return Clip(
        file=file, path=manifest.parent / file, text=said, source=source or group or manifest.name,
        speaker=speaker or "", language=_language(language),
    )  # fmt: skip


def _text(row: dict[str, Any], key: str) -> str | None:
    value = row.get(key)
    if isinstance(value, int) and key == "speaker":  # as many number them
        return str(value)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"'{key}' is {json.dumps(value)}, not a text")
    return value


def _language(tag: str | None) -> str | None:
    """ISO 639-1 of a BCP 47 tag."""
    return tag.replace("_", "-").split("-")[0].lower() if tag else None


def _corpus(path: Path, shards: list[Path]) -> References:
    if "reference_match" not in pq.read_schema(shards[0]).names:
        raise ValueError(f"{path} has no reference_match: no publisher's text was found for its clips")
    rows = [(row, clip) for shard in shards for row, clip in _rows(shard)]
    clips = tuple(clip for row, clip in rows if row["reference_match"] is not None)
    return References(kind="corpus", name=path.name, clips=clips, without_text=len(rows) - len(clips))


def _rows(shard: Path) -> Iterator[tuple[dict[str, Any], Clip]]:
    """Rows of a shard without sound. The recording stands for a speaker whom nobody named."""
    file = pq.ParquetFile(shard)
    columns = [name for name in COLUMNS if name in file.schema_arrow.names]  # `language` needs transcripts
    for group in range(file.num_row_groups):
        for at, row in enumerate(file.read_row_group(group, columns).to_pylist()):
            yield row, Clip(
                file=f"{row['clip_id']}.flac", path=shard, row=(group, at), text=row["reference_text"] or "",
                source=row["title"] or row["recording_id"], speaker=row["recording_id"],
                language=_language(row.get("language")),
            )  # fmt: skip


def _librispeech(path: Path) -> References:
    lists = sorted(path.rglob("*.trans.txt"))
    if not lists:
        raise ValueError(f"{path} is neither a JSONL manifest, nor a corpus, nor a folder with *.trans.txt in it")
    lines = [(one, line) for one in lists for line in one.read_text(encoding="utf-8").splitlines() if line.strip()]
    return References(kind="librispeech", name=path.name, clips=tuple(_utterance(*line, path) for line in lines))


def _utterance(listed: Path, line: str, folder: Path) -> Clip:
    """A line is `19-198-0000 NORTHANGER ABBEY`: speaker, chapter, number, and what is said; the sound is beside it."""
    name, _, text = line.partition(" ")
    path = listed.with_name(f"{name}.flac")
    file, speaker = str(path.relative_to(folder)), name.partition("-")[0]
    return Clip(file=file, path=path, text=text.strip(), source=folder.name, speaker=speaker, language="en")


# --- their sound ---


def sound(clip: Clip) -> Float32:
    """float32[n] at 16 kHz in [-1, 1], channels mixed, shorter than LONGEST_S. Raises Rejected."""
    if not clip.path.is_file():
        raise Rejected(Reason.NOT_FOUND, "no such file")
    try:
        with soundfile.SoundFile(clip.path if clip.row is None else io.BytesIO(_stored(clip.path, *clip.row))) as file:
            _check_length(file.frames / file.samplerate)
            wave, rate = file.read(dtype="float32", always_2d=True).mean(axis=1), file.samplerate
    except soundfile.LibsndfileError as error:  # its text without the path, which is nobody's business
        raise Rejected(Reason.NOT_AUDIO, error.error_string) from None
    except OSError as error:
        raise Rejected(Reason.FORBIDDEN, error.strerror or "cannot be read") from None
    _check_length(len(wave) / rate)  # of some formats the header only guesses
    if not np.isfinite(wave).all():
        raise Rejected(Reason.NOT_FINITE, "has samples that are not numbers")
    return np.asarray(np.clip(soxr.resample(wave, rate, SAMPLE_RATE_HZ), -1, 1), np.float32)


def _check_length(seconds: float) -> None:
    if seconds >= LONGEST_S:
        detail = f"{seconds:.2f} s long: a recogniser hears {LONGEST_S:g} s; cut it, and its text"
        raise Rejected(Reason.TOO_LONG, detail)
    if seconds <= 0:
        raise Rejected(Reason.EMPTY, "no samples")


def _stored(shard: Path, group: int, row: int) -> bytes:
    found: bytes = _sounds(shard, group)[row].as_py()
    return found


@lru_cache(maxsize=1)  # clips come in the order of their rows
def _sounds(shard: Path, group: int) -> Any:
    return pq.ParquetFile(shard).read_row_group(group, ["audio.bytes"])["audio"].combine_chunks().field("bytes")
