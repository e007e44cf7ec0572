"""Clips whose words are known, to train and judge ASR models by: what lists them.

What is wrong with a line of a manifest is said before any sound is read.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from speechmill.core.manifest import PATHS, Span, is_whole, lines, plain, stated_span
from speechmill.core.records import Rejected

HIFITTS, HIFITTS_TRAIN = "*_manifest_*.json", "*_manifest_*_train.json"
COLUMNS = (  # of a corpus, without the sound
    *("clip_id", "recording_id", "speaker_id", "title", "language", "licence", "text"),
    *("reference_text", "reference_match"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A clip and what is said in it. `row` is its row group and its row there, where `path` is a shard."""

    file: str
    path: Path
    row: tuple[int, int] | None = None
    span: Span | None = None  # what is heard of the file; None: all of it
    only_length: bool = True  # whether that is no more than a length, which most manifests state of whole files
    text: str
    source: str
    speaker: str = ""
    language: str | None = None
    licence: str | None = None  # SPDX id, where one is stated


@dataclass(frozen=True, slots=True, kw_only=True)
class References:
    """Clips with texts, what they are from, and how many others had no text."""

    kind: str  # manifest, corpus, librispeech, libritts, hifitts or ljspeech
    name: str
    clips: tuple[Clip, ...]
    without_text: int = 0

    def limited(self, clips: int | None) -> "References":
        """So many clips, from all over; None: all."""
        count = len(self.clips) if clips is None else min(clips, len(self.clips))
        kept = tuple(self.clips[at * len(self.clips) // count] for at in range(count))
        return References(kind=self.kind, name=self.name, clips=kept, without_text=self.without_text)


def read(path: Path, *, published: bool = True) -> References:
    """Read what clips there are.

    A line of a JSONL manifest is an object with `file` (relative to the manifest), `text` or `transcript`, and where
    known `source` or `group`, `speaker`, `language` and `licence`; other keys are let be. A folder is a corpus of
    speechmill's, or is laid out as LibriSpeech (`*.trans.txt`), LibriTTS (`*.normalized.txt`), HiFi-TTS (its
    `*_manifest_*_train.json`; another one is named itself) or LJSpeech (`metadata.csv`). Of a corpus there are the
    publishers' texts that were found in what was heard; if not `published`, the texts of all its clips, whoever wrote
    them. Raises ValueError that names line and key, or OSError.
    """
    if path.is_dir():
        found = _folder(path, published=published)
    elif path.match(HIFITTS):
        found = _hifitts(path.parent, [path])
    else:
        found = _manifest(path)
    if not found.clips:
        raise ValueError(f"{path} has no clip with a text")
    return found


# --- what names them ---


def _folder(path: Path, *, published: bool) -> References:
    if shards := sorted((path / "data").glob("*.parquet")):
        return _corpus(path, shards, published=published)
    if lists := sorted(path.rglob("*.trans.txt")):
        return _librispeech(path, lists)
    if texts := sorted(path.rglob("*.normalized.txt")):
        return _libritts(path, texts)
    if manifests := sorted(path.glob(HIFITTS_TRAIN)):
        return _hifitts(path, manifests)
    if (path / "metadata.csv").is_file():
        return _ljspeech(path)
    raise ValueError(
        f"{path} is neither a JSONL manifest, nor a corpus, nor laid out as LibriSpeech, LibriTTS, HiFi-TTS or LJSpeech"
    )


def _manifest(path: Path) -> References:
    found = _lines(path, lambda row: _clip(row, path))
    clips = tuple(clip for clip in found if clip)
    return References(kind="manifest", name=path.name, clips=clips, without_text=len(found) - len(clips))


def _lines(path: Path, make: Callable[[Any], Clip | None]) -> list[Clip | None]:
    """What is made of each line of JSON."""
    found = []
    for number, line in lines(str(path)):
        try:
            if isinstance(line, Exception):
                raise line
            found.append(make(line))
        except (ValueError, RecursionError, Rejected) as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
    return found


def _clip(row: Any, manifest: Path) -> Clip | None:
    """A line; None where nobody says what is spoken. An empty text says that nothing is."""
    row = plain(row) if isinstance(row, dict) else row
    keys = ("text", "transcript", "source", "group", "speaker", "language", "licence")
    text, transcript, source, group, speaker, language, licence = (_text(row, key) for key in keys)
    file = next((_text(row, key) for key in PATHS if row.get(key)), None)
    if not file:
        raise ValueError("no 'path'")
    said = transcript if text is None else text
    if said is None:
        return None
    return Clip(
        file=file, path=manifest.parent / file, text=said, source=source or group or manifest.name,
        speaker=speaker or "", language=_language(language), licence=licence, span=stated_span(row),
        only_length=is_whole(stated_span(row), row, None),
    )  # fmt: skip


def _text(row: Any, key: str) -> str | None:
    if not isinstance(row, dict):
        raise ValueError("not a JSON object")
    value = row.get(key)
    if isinstance(value, int) and key == "speaker":  # as many number them
        return str(value)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"'{key}' is {json.dumps(value)}, not a text")
    return value


def _language(tag: str | None) -> str | None:
    """ISO 639-1 of a BCP 47 tag."""
    return tag.replace("_", "-").split("-")[0].lower() if tag else None


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
                language=_language(row.get("language")), licence=row.get("licence"),
            )  # fmt: skip


def _librispeech(path: Path, lists: list[Path]) -> References:
    lines = [(one, line) for one in lists for line in one.read_text(encoding="utf-8").splitlines() if line.strip()]
    return References(kind="librispeech", name=path.name, clips=tuple(_utterance(*line, path) for line in lines))


def _utterance(listed: Path, line: str, folder: Path) -> Clip:
    """A line is `19-198-0000 NORTHANGER ABBEY`: speaker, chapter, number, and what is said; the sound is beside it."""
    name, _, text = line.partition(" ")
    path = listed.with_name(f"{name}.flac")
    file, speaker = str(path.relative_to(folder)), name.partition("-")[0]
    return Clip(file=file, path=path, text=text.strip(), source=folder.name, speaker=speaker, language="en")


def _libritts(path: Path, texts: list[Path]) -> References:
    """A text is beside its sound, in folders of speakers and, within them, of chapters."""
    clips = tuple(
        Clip(
            file=str(wave.relative_to(path)), path=wave, text=text.read_text(encoding="utf-8").strip(),
            source=path.name, speaker=text.parent.parent.name, language="en",
        )
        for text in texts
        for wave in [text.with_name(text.name.replace(".normalized.txt", ".wav"))]
    )  # fmt: skip
    return References(kind="libritts", name=path.name, clips=clips)


def _hifitts(path: Path, manifests: list[Path]) -> References:
    """A manifest is named by its reader, as `92_manifest_clean_train.json`; one of its texts is cased and spelt out."""
    found = [clip for one in manifests for clip in _lines(one, partial(_reading, path=path, speaker=one.name))]
    clips = tuple(clip for clip in found if clip)
    return References(kind="hifitts", name=path.name, clips=clips, without_text=len(found) - len(clips))


def _reading(row: Any, path: Path, speaker: str) -> Clip | None:
    file, text = _text(row, "audio_filepath"), _text(row, "text_normalized")
    if not file:
        raise ValueError("no 'audio_filepath'")
    if text is None:
        return None
    return Clip(
        file=file, path=path / file, text=text, source=path.name, speaker=speaker.partition("_")[0], language="en"
    )


def _ljspeech(path: Path) -> References:
    """A line is `LJ001-0001|as printed|as read`: chapter and number, and its texts."""
    rows = [
        line.split("|") for line in (path / "metadata.csv").read_text(encoding="utf-8").splitlines() if line.strip()
    ]
    clips = tuple(
        Clip(
            file=f"wavs/{row[0]}.wav", path=path / "wavs" / f"{row[0]}.wav", text=row[-1],
            source=row[0].partition("-")[0], language="en",
        )
        for row in rows
    )  # fmt: skip
    return References(kind="ljspeech", name=path.name, clips=clips)
