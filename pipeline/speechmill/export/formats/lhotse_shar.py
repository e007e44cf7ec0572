"""Lhotse Shar: `cuts.000000.jsonl` and `recording.000000.tar`, in the same order.

Lhotse takes every file of a folder for a field of its cuts, so each split has a folder of its own. Its own writer
compresses cuts with gzip, whose header has the time: these are plain, so that equal clips give equal bytes.
"""

import io
import json
from collections.abc import Iterator, Mapping
from typing import Any

import soundfile

from speechmill.export.base import Clip, Content, Exported, Exporter, Part

FOLDER = "lhotse_shar"
FACTS = ("recording_id", "licence", "snr_db", "conditioning_clip_ids")


class LhotseShar(Exporter):
    """`lhotse_shar/train/` and `lhotse_shar/validation/`, a thousand cuts a shard."""

    name = "lhotse-shar"
    about = "lhotse_shar/train/cuts.000000.jsonl and recording.000000.tar; read by lhotse, icefall and NeMo"
    loading = '`lhotse.CutSet.from_shar(in_dir="lhotse_shar/train")`; in NeMo `type: lhotse_shar`.'
    kinds = ("flac", "wav")  # lhotse's own reader of Opus wants 48 kHz
    shares_audio = False
    needs_text = False
    columns = (*FACTS, "words")
    clips_per_file = 1_000

    def add(self, clip: Clip, part: Part) -> None:
        """Write a cut, its audio and what the audio is."""
        folder, content = f"{FOLDER}/{clip.split}", part.sound(clip)
        tar = f"{folder}/recording.{part.file_number:06}.tar"
        recording = _recording(clip, content)
        part.member(tar, f"{clip.id}.{part.audio.kind}", content)
        part.member(tar, f"{clip.id}.json", f"{json.dumps(recording)}\n".encode())
        cut = _cut(clip, recording)
        part.line(f"{folder}/cuts.{part.file_number:06}.jsonl", json.dumps(cut, ensure_ascii=False))

    def read_back(self, exported: Exported) -> Iterator[str]:
        """Read cuts and recordings side by side, as LazySharIterator does."""
        for cuts in (name for name in exported.names() if name.endswith(".jsonl")):
            members = exported.members(cuts.replace("/cuts.", "/recording.").replace(".jsonl", ".tar"))
            for line in exported.lines(cuts):
                cut = json.loads(line)
                audio, _ = next(members, ("", None))
                name, content = next(members, ("", io.BytesIO()))
                ids = [cut["id"], audio.partition(".")[0], name.removesuffix(".json")]
                if len({*ids}) > 1 or json.loads(content.read()) != cut["recording"]:
                    raise ValueError(f"{cuts}: {cut['id']}: its recording is not where lhotse reads it")
                yield cut["id"]
            if next(members, None) is not None:
                raise ValueError(f"{cuts}: has fewer cuts than recordings")


def _recording(clip: Clip, content: Content) -> dict[str, Any]:
    """A lhotse Recording whose audio is put in while reading."""
    info = soundfile.info(io.BytesIO(content))
    return {
        "id": clip.id,
        "sources": [{"type": "shar", "channels": [0], "source": ""}],
        "sampling_rate": info.samplerate,
        "num_samples": info.frames,
        "duration": info.frames / info.samplerate,
        "channel_ids": [0],
    }


def _cut(clip: Clip, recording: dict[str, Any]) -> dict[str, Any]:
    """A lhotse MonoCut with one supervision, over all of it."""
    place = {"start": 0.0, "duration": recording["duration"], "channel": 0}
    supervision: dict[str, Any] = {"id": clip.id, "recording_id": clip.id, **place, "text": clip.text}
    supervision |= {"language": clip.language} if clip.language else {}
    supervision |= {"speaker": clip.speaker, "custom": {"normalized_text": clip.normalized}}
    supervision |= {"alignment": {"word": [_aligned(word) for word in clip.row.get("words") or ()]}}
    facts = {name: clip.row[name] for name in FACTS if clip.row.get(name) is not None}
    return {
        "id": clip.id, **place, "supervisions": [supervision], "recording": recording, "custom": facts,
        "type": "MonoCut",
    }  # fmt: skip


def _aligned(word: Mapping[str, Any]) -> list[Any]:
    """A lhotse AlignmentItem: symbol, start, duration, score; times in seconds from the start of the clip.

    >>> _aligned({"word": "yes", "start_s": 0.5, "end_s": 0.75, "probability": 0.9})
    ['yes', 0.5, 0.25, 0.9]
    """
    length = word["end_s"] - word["start_s"]
    return [word["word"], round(word["start_s"], 3), round(length, 3), round(word["probability"] or 0.0, 3)]
