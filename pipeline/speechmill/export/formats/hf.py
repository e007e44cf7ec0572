"""Hugging Face's audiofolder: audio files, and `metadata.jsonl` in the folder of each split.

Columns are texts and one number, the same in every line: datasets takes their types from the first lines, and reads
texts that are dates, as titles may be, as times. All columns with their types are in the corpus itself, which datasets
reads as it is. Metadata may name files of its own folder only, so that audio is not shared with other formats.
"""

import json
from collections.abc import Iterator
from pathlib import PurePosixPath

from speechmill.export.base import Clip, Exported, Exporter, Part

FOLDER, METADATA = "hf", "metadata.jsonl"
TEXTS = ("recording_id", "licence", "licence_url", "author", "source_url")


class HuggingFace(Exporter):
    """`hf/train/metadata.jsonl` and `hf/train/00000/<id>.flac`, a folder of audio for each shard of the corpus."""

    name = "hf"
    about = "hf/train/metadata.jsonl with audio files; read by Hugging Face datasets as audiofolder"
    loading = '`datasets.load_dataset("audiofolder", data_dir="hf")` gives `train` and `validation`.'
    kinds = ("flac", "wav", "opus")
    shares_audio = False
    needs_text = False

    def add(self, clip: Clip, part: Part) -> None:
        """Write the audio and a line."""
        name = f"{part.number:05}/{clip.id}.{part.audio.kind}"
        folder = f"{FOLDER}/{clip.split}"
        part.file(f"{folder}/{name}", part.sound(clip))
        texts = {"text": clip.text, "text_normalized": clip.normalized, "speaker_id": clip.speaker}
        texts |= {"language": clip.language or ""} | {column: clip.row.get(column) or "" for column in TEXTS}
        line = {"file_name": name, "clip_id": clip.id, "duration": float(round(clip.seconds, 3))} | texts
        part.line(f"{folder}/{METADATA}", json.dumps(line, ensure_ascii=False))

    def read_back(self, exported: Exported) -> Iterator[str]:
        """Take each line whose file is there."""
        for metadata in exported.names():
            folder = metadata.removesuffix(f"/{METADATA}")
            lines = 0
            for line in exported.lines(metadata):
                row = json.loads(line)
                if PurePosixPath(row["file_name"]).stem != row["clip_id"]:
                    raise ValueError(f"{metadata}: {row['clip_id']}: names the file of another clip")
                lines += 1
                yield row["clip_id"]
            files = sum(1 for _ in exported.walk(folder)) - 1
            if files != lines:
                raise ValueError(f"{metadata}: has {lines} lines for {files} files of audio")
