"""Clips whose words are known, to train and measure ASR models by: what lists them.

What is wrong with a line of a manifest is said before any sound is read.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from speechmill.training import inputs
from speechmill.training.inputs import Clip, base_language

KNOWN = "LibriSpeech, LibriTTS, HiFi-TTS, LJSpeech or Common Voice"
COLUMNS = (  # of a corpus, without the sound
    *("clip_id", "recording_id", "speaker_id", "title", "language", "licence", "text"),
    *("reference_text", "reference_match"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class References:
    """Clips with texts, what they are from, and how many others had no text."""

    kind: str  # corpus, manifest, or the name of a layout
    name: str
    clips: tuple[Clip, ...]
    without_text: int = 0

    def limited(self, clips: int | None) -> "References":
        """So many clips, from all over; None: all."""
        count = len(self.clips) if clips is None else min(clips, len(self.clips))
        kept = tuple(self.clips[at * len(self.clips) // count] for at in range(count))
        return References(kind=self.kind, name=self.name, clips=kept, without_text=self.without_text)


def read(path: Path, *, published: bool = True) -> References:
    """Read which clips of an input have a text.

    Args:
        path: a manifest, a folder in the layout of a known corpus, an index of one, or a corpus of speechmill's.
        published: of such a corpus, whether to take the publishers' texts that were found by what an ASR model wrote;
            otherwise the texts of all its clips, whoever wrote them.

    Raises:
        ValueError: naming line and key, where one is wrong, and where no clip has a text.
        OSError: where a file cannot be read.
    """
    if of_corpus := inputs.shards(path):
        found = _corpus(path, of_corpus, published=published)
    elif stated := inputs.read(path):
        clips = tuple(clip for clip in stated.clips if clip.has_text)
        without_text = len(stated.clips) - len(clips)
        found = References(kind=stated.kind, name=stated.name, clips=clips, without_text=without_text)
    else:
        raise ValueError(f"{path} is neither a JSONL manifest, nor a corpus, nor laid out as {KNOWN}")
    if not found.clips:
        raise ValueError(f"{path} has no clip with a text")
    return found


def _corpus(path: Path, shards: list[Path], *, published: bool) -> References:
    text, known = ("reference_text", "reference_match") if published else ("text", "text")
    if known not in pq.read_schema(shards[0]).names:
        said = "publisher's text was found for its clips" if published else "transcripts were made"
        raise ValueError(f"{path} has no {known}: no {said}")
    rows = [(row, clip) for shard in shards for row, clip in _rows(shard, text)]
    clips = tuple(clip for row, clip in rows if row[known] is not None)
    return References(kind="corpus", name=path.name, clips=clips, without_text=len(rows) - len(clips))


def _rows(shard: Path, text: str) -> Iterator[tuple[dict[str, Any], Clip]]:
    """Rows of a shard without sound. The recording stands for a speaker whom nobody named."""
    file = pq.ParquetFile(shard)
    columns = [name for name in COLUMNS if name in file.schema_arrow.names]  # some need transcripts, or speakers
    for group in range(file.num_row_groups):
        for at, row in enumerate(file.read_row_group(group, columns).to_pylist()):
            yield row, Clip(
                file=f"{row['clip_id']}.flac", path=shard, row=(group, at), text=row[text] or "",
                source=row["title"] or row["recording_id"], speaker=row.get("speaker_id") or row["recording_id"],
                language=base_language(row.get("language")), licence=row.get("licence"),
            )  # fmt: skip
