"""Lists clips with reference texts, to train and evaluate ASR models.

A faulty line of a manifest is reported before any audio is read.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from speechmill.training import inputs
from speechmill.training.inputs import Clip, base_language

KNOWN = "LibriSpeech, LibriTTS, HiFi-TTS, LJSpeech or Common Voice"
COLUMNS = (  # of a corpus, without the audio
    *("clip_id", "recording_id", "speaker_id", "title", "language", "licence", "text"),
    *("reference_text", "reference_match"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class References:
    """Clips with texts, their input, and the number of clips without a text."""

    kind: str  # corpus, manifest, or the name of a layout
    name: str
    clips: tuple[Clip, ...]
    without_text: int = 0

    def limited(self, clips: int | None) -> "References":
        """At most `clips` clips, evenly spaced over the input; None: all."""
        count = len(self.clips) if clips is None else min(clips, len(self.clips))
        kept = tuple(self.clips[at * len(self.clips) // count] for at in range(count))
        return References(kind=self.kind, name=self.name, clips=kept, without_text=self.without_text)


def read(path: Path, *, published: bool = True) -> References:
    """Read the clips of an input that have a text.

    Args:
        path: A manifest, a folder in the layout of a known corpus, an index of one, or a speechmill corpus.
        published: For a speechmill corpus, whether to take the reference texts that were matched to ASR hypotheses;
            otherwise the texts of all its clips.

    Raises:
        ValueError: A line or key is wrong, and named; or no clip has a text.
        OSError: A file cannot be read.
    """
    if corpus_shards := inputs.shards(path):
        references = _corpus(path, corpus_shards, published=published)
    elif listed := inputs.read(path):
        clips = tuple(clip for clip in listed.clips if clip.has_text)
        without_text = len(listed.clips) - len(clips)
        references = References(kind=listed.kind, name=listed.name, clips=clips, without_text=without_text)
    else:
        raise ValueError(f"{path} is neither a JSONL manifest, nor a corpus, nor laid out as {KNOWN}")
    if not references.clips:
        raise ValueError(f"{path} has no clip with a text")
    return references


def _corpus(path: Path, shards: list[Path], *, published: bool) -> References:
    text, column = ("reference_text", "reference_match") if published else ("text", "text")
    if column not in pq.read_schema(shards[0]).names:
        missing = "publisher's text was found for its clips" if published else "transcripts were made"
        raise ValueError(f"{path} has no {column}: no {missing}")
    rows = [(row, clip) for shard in shards for row, clip in _rows(shard, text)]
    clips = tuple(clip for row, clip in rows if row[column] is not None)
    return References(kind="corpus", name=path.name, clips=clips, without_text=len(rows) - len(clips))


def _rows(shard: Path, text: str) -> Iterator[tuple[dict[str, Any], Clip]]:
    """Rows of a shard without audio. The recording is used as speaker where there is none."""
    file = pq.ParquetFile(shard)
    columns = [name for name in COLUMNS if name in file.schema_arrow.names]  # some need transcripts, or speakers
    for group in range(file.num_row_groups):
        for at, row in enumerate(file.read_row_group(group, columns).to_pylist()):
            yield row, Clip(
                file=f"{row['clip_id']}.flac", path=shard, row=(group, at), text=row[text] or "",
                source=row["title"] or row["recording_id"], speaker=row.get("speaker_id") or row["recording_id"],
                language=base_language(row.get("language")), licence=row.get("licence"),
            )  # fmt: skip
