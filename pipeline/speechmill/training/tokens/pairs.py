"""Pairs of spectrograms and tokens, for recovering an encoder: read once, kept as two long arrays."""

import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import torch
from speech_defects.degrade.takes import share

from speechmill.core.manifest import is_manifest, lines
from speechmill.core.records import RejectedError
from speechmill.tokens import mel
from speechmill.tokens.dvae import STRIDE
from speechmill.tokens.encode import SAMPLES, TAIL
from speechmill.training.inputs import clip_of, shards
from speechmill.training.tokens.sound import read

MELS_FILE, TOKENS_FILE, SPANS_FILE = "mels.f32", "tokens.u16", "pairs.json"
TAIL_FRAMES = 28  # kept after a clip's last token, for its receptive field
SILENT = float(np.log(mel.FLOOR))

Float32 = npt.NDArray[np.float32]
Uint16 = npt.NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class Clip:
    """Place of a pair: speaker, first token, number of tokens, first frame. Frames: 4 a token, and TAIL_FRAMES."""

    speaker: str
    first: int
    tokens: int
    frame: int

    @property
    def frames(self) -> int:
        """Number of frames."""
        return STRIDE * self.tokens + TAIL_FRAMES


@dataclass(frozen=True, slots=True)
class Pairs:
    """Spectrograms in nats, float32[frames, 80], and tokens, uint16[tokens], one clip after the other."""

    mels: Float32
    tokens: Uint16
    clips: tuple[Clip, ...]

    @property
    def hours(self) -> float:
        """Length of all clips."""
        return sum(clip.tokens for clip in self.clips) * SAMPLES / mel.RATE / 3_600

    def limited(self, hours: float | None) -> "Pairs":
        """Clips of about `hours` hours, in an order that mixes speakers; None: all."""
        if hours is None:
            return self
        kept, tokens_left = [], hours * 3_600 * mel.RATE / SAMPLES
        for clip in sorted(self.clips, key=lambda clip: hashlib.sha256(f"{clip.first}".encode()).digest()):
            if tokens_left <= 0:
                break
            kept.append(clip)
            tokens_left -= clip.tokens
        return Pairs(self.mels, self.tokens, tuple(kept))

    def split(self, held_out: float, seed: int) -> tuple["Pairs", "Pairs"]:
        """Split by speaker into training and a share of about `held_out` of the speakers for validation."""
        parts: tuple[list[Clip], list[Clip]] = ([], [])
        for clip in self.clips:
            parts[share(seed, clip.speaker) < held_out].append(clip)
        learnt, kept = (Pairs(self.mels, self.tokens, tuple(part)) for part in parts)
        return learnt, kept

    def of(self, clip: Clip) -> tuple[Float32, Uint16]:
        """One pair: float32[frames, 80] and uint16[tokens]."""
        return self.mels[clip.frame : clip.frame + clip.frames], self.tokens[clip.first : clip.first + clip.tokens]


def collect(inputs: Sequence[Path], folder: Path, progress: Callable[[str], None]) -> Pairs:
    """Read all pairs of `inputs` into files of `folder`, or use the existing files.

    An input is a speechmill corpus, or a JSONL manifest: a line for each clip with `mel_tokens`, the list itself
    or a .npy file, `speaker`, and either `path`, a recording or with times a part of it, or `mel`, a .npy file of
    float32[80, frames] in nats.
    Raises ValueError or OSError that names what cannot be used.
    """
    listed = hashlib.sha256("\n".join(f"{path} {path.stat().st_mtime_ns}" for path in inputs).encode()).hexdigest()
    index = folder / SPANS_FILE
    if not index.exists() or json.loads(index.read_text(encoding="utf-8"))["listed"] != listed:
        _write(inputs, folder, listed, progress)
    clips = tuple(Clip(*clip) for clip in json.loads(index.read_text(encoding="utf-8"))["clips"])
    if not clips:
        raise ValueError(f"no pairs in {', '.join(map(str, inputs))}")
    mels = np.memmap(folder / MELS_FILE, np.float32, "r").reshape(-1, mel.BINS)
    return Pairs(mels, np.memmap(folder / TOKENS_FILE, np.uint16, "r"), clips)


def _write(inputs: Sequence[Path], folder: Path, listed: str, progress: Callable[[str], None]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    clips, token, frame = [], 0, 0
    with (folder / MELS_FILE).open("wb") as mels, (folder / TOKENS_FILE).open("wb") as tokens:
        for speaker, logs, codes in (pair for path in inputs for pair in _pairs(path)):
            frames = STRIDE * len(codes) + TAIL_FRAMES
            silent = np.full((max(0, frames - len(logs)), mel.BINS), SILENT, np.float32)
            mels.write(np.concatenate([logs[:frames], silent]).astype("<f4").tobytes())
            tokens.write(codes.astype("<u2").tobytes())
            clips.append((speaker, token, len(codes), frame))
            token, frame = token + len(codes), frame + frames
            progress(f"pairs: {len(clips)} clips, {token * SAMPLES / mel.RATE / 3_600:.1f} h")
    unfinished = folder / f"{SPANS_FILE}.tmp"
    unfinished.write_text(json.dumps({"listed": listed, "clips": clips}), encoding="utf-8")
    os.replace(unfinished, folder / SPANS_FILE)


def _pairs(path: Path) -> Iterator[tuple[str, Float32, Uint16]]:
    """Speaker, spectrogram float32[frames, 80] and tokens of each pair."""
    if is_manifest(str(path)):
        for number, line in lines(str(path)):
            try:
                if isinstance(line, Exception):
                    raise line
                yield _pair_of(line, path)
            except (KeyError, TypeError, ValueError, RecursionError, RejectedError) as error:
                raise ValueError(f"{path}, line {number}: {type(error).__name__}: {error}") from None
        return
    corpus_shards = shards(path)
    if not corpus_shards:
        raise ValueError(f"{path} is neither a corpus nor a JSONL manifest of pairs")
    for shard in corpus_shards:
        for batch in pq.ParquetFile(shard).iter_batches(64, columns=["recording_id", "audio", "mel_tokens"]):
            for row in batch.to_pylist():
                codes = np.array(row["mel_tokens"], np.uint16)
                yield row["recording_id"], spectrogram(read(io.BytesIO(row["audio"]["bytes"]))), codes


def _pair_of(entry: dict[str, Any], manifest: Path) -> tuple[str, Float32, Uint16]:
    """Speaker, spectrogram float32[frames, 80] and tokens uint16[tokens] of a manifest line."""
    tokens, folder = entry["mel_tokens"], manifest.parent
    codes = np.load(folder / tokens) if isinstance(tokens, str) else np.array(tokens)
    if codes.ndim != 1 or not len(codes) or codes.min() < 0 or codes.max() >= 2**16:
        raise ValueError("mel_tokens are no list of codes from 0 on")
    if "mel" in entry:
        logs = np.load(folder / entry["mel"]).T
        if logs.ndim != 2 or logs.shape[1] != mel.BINS:
            raise ValueError(f"{entry['mel']} is of shape {logs.T.shape}, not ({mel.BINS}, frames)")
    else:
        clip = clip_of(entry, manifest)
        logs = spectrogram(read(clip.path, clip))
    if abs(len(logs) - STRIDE * len(codes)) > TAIL // mel.HOP + STRIDE:
        raise ValueError(f"{len(codes)} tokens do not go with {len(logs)} frames, four a token")
    return str(entry.get("speaker", "")), np.asarray(logs, np.float32), codes.astype(np.uint16)


def spectrogram(wave: Float32) -> Float32:
    """Log-mel spectrogram in nats, float32[frames, 80], of a wave and TAIL zeros, the context of its last token."""
    padded = torch.from_numpy(np.pad(wave.clip(-1, 1), (0, TAIL)))[None]
    logs: Float32 = mel.log_mel(mel.mirrored(padded), torch.ones(mel.BINS))[0].T.numpy()
    return logs
