"""Recordings as one long array of samples for training: from folders, corpora and manifests."""

import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import soundfile
import soxr
from speech_defects.degrade.takes import share

from speechmill.core.records import RejectedError
from speechmill.tokens import mel
from speechmill.training.inputs import Clip, shards
from speechmill.training.inputs import read as read_clips

SUFFIXES = {".flac", ".mp3", ".ogg", ".opus", ".wav"}
SAMPLES_FILE, SPANS_FILE = "sound.i16", "sound.json"
Int16 = npt.NDArray[np.int16]
Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Span:
    """A recording in the samples: its speaker, first sample, and one past the last."""

    speaker: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Sound:
    """Concatenated recordings: int16[n] at 22,050 Hz, and the place of each."""

    samples: Int16
    spans: tuple[Span, ...]

    @property
    def hours(self) -> float:
        """Length of all recordings."""
        return sum(span.last - span.first for span in self.spans) / mel.RATE / 3_600

    def wave(self, span: Span) -> Float32:
        """One recording: float32[n] in [-1, 1]."""
        return self.samples[span.first : span.last].astype(np.float32) / np.float32(32_768)

    def limited(self, recordings: int | None) -> "Sound":
        """At most `recordings` recordings, evenly spaced over the input; None: all."""
        count = len(self.spans) if recordings is None else min(recordings, len(self.spans))
        return Sound(self.samples, tuple(self.spans[at * len(self.spans) // count] for at in range(count)))

    def split(self, held_out: float, seed: int) -> tuple["Sound", "Sound"]:
        """Split by speaker into training and a share of about `held_out` of the speakers for validation."""
        kept = [span for span in self.spans if share(seed, span.speaker) < held_out]
        learnt = [span for span in self.spans if share(seed, span.speaker) >= held_out]
        return Sound(self.samples, tuple(learnt)), Sound(self.samples, tuple(kept))


def collect(inputs: Sequence[Path], folder: Path, progress: Callable[[str], None]) -> Sound:
    """Decode all recordings of `inputs` into two files of `folder`, or use the existing files.

    An input is a speechmill corpus, a manifest, a folder in the layout of a known corpus or an index of one,
    or a folder of audio, in which each subfolder is a speaker. Raises ValueError or OSError that names what
    cannot be used.
    """
    files = [file for path in inputs for file in _files(path)]
    if not files:
        raise ValueError(f"no recordings in {', '.join(map(str, inputs))}")
    names = (" ".join(map(str, (file.path, file.path.stat().st_size, *(file.span or ())))) for file in files)
    listed = hashlib.sha256("\n".join(names).encode()).hexdigest()
    index = folder / SPANS_FILE
    if not index.exists() or json.loads(index.read_text(encoding="utf-8"))["listed"] != listed:
        _decode(files, folder, listed, progress)
    spans = tuple(Span(*span) for span in json.loads(index.read_text(encoding="utf-8"))["spans"])
    return Sound(np.memmap(folder / SAMPLES_FILE, np.int16, "r"), spans)


def _files(path: Path) -> list[Clip]:
    """Files of an input, or spans of them; of a corpus its shards, which contain the speakers."""
    if corpus_shards := shards(path):
        return [_file(shard, path, "") for shard in corpus_shards]
    if listed := read_clips(path):
        return [replace(clip, speaker=clip.speaker or Path(clip.file).stem) for clip in listed.clips]
    if not path.is_dir():
        raise ValueError(f"{path} is neither a folder, nor a corpus, nor a JSONL manifest")
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
    return [_file(file, path, str(file.parent.relative_to(path))) for file in files]


def _file(path: Path, named: Path, speaker: str) -> Clip:
    return Clip(file=str(path.relative_to(named)), path=path, source=named.name, speaker=speaker, has_text=False)


def _decode(files: Sequence[Clip], folder: Path, listed: str, progress: Callable[[str], None]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    spans, at = [], 0
    with (folder / SAMPLES_FILE).open("wb") as out:
        for number, clip in enumerate(files, start=1):
            try:
                for speaker, wave in _waves(clip):
                    out.write(np.clip(np.round(wave * 32_767), -32_768, 32_767).astype("<i2").tobytes())
                    spans.append((speaker, at, at + len(wave)))
                    at += len(wave)
            except (soundfile.SoundFileError, RejectedError) as error:
                raise ValueError(f"{clip.path}: {error}") from None
            progress(f"decode: {number} of {len(files)} files, {at / mel.RATE / 3_600:.1f} h")
    unfinished = folder / f"{SPANS_FILE}.tmp"
    unfinished.write_text(json.dumps({"listed": listed, "spans": spans}), encoding="utf-8")
    os.replace(unfinished, folder / SPANS_FILE)


def _waves(clip: Clip) -> Iterator[tuple[str, Float32]]:
    """Decode a file, or all clips of a shard, whose recording is used as speaker."""
    if clip.path.suffix != ".parquet":
        yield clip.speaker, read(clip.path, clip)
        return
    for batch in pq.ParquetFile(clip.path).iter_batches(64, columns=["recording_id", "audio"]):
        for row in batch.to_pylist():
            yield row["recording_id"], read(io.BytesIO(row["audio"]["bytes"]))


def read(file: Path | io.BytesIO, clip: Clip | None = None) -> Float32:
    """Decode the first channel of a file, or of a clip in it: float32[n] at 22,050 Hz.

    Raises soundfile.SoundFileError, and RejectedError for a clip that is not in the file.
    """
    with soundfile.SoundFile(file) as sound:
        first, last = clip.frames(sound) if clip else (0, sound.frames)
        sound.seek(first)
        wave = sound.read(last - first, dtype="float32", always_2d=True)
        return np.asarray(soxr.resample(np.ascontiguousarray(wave[:, 0]), sound.samplerate, mel.RATE), np.float32)
