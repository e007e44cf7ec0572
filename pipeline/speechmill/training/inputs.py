"""Reads the inputs of training and evaluation: clips in a manifest, or a folder in the layout of a known corpus.

A line is interpreted as in a run. A faulty line is reported before any audio is read.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import soundfile

from speechmill.core.known_corpora import SPLITS, Layout, indexes_below, layout_of
from speechmill.core.languages import language_code
from speechmill.core.manifest import SAME_S, Span, from_lhotse, is_manifest, is_whole_file, lines, path_of, stated_span
from speechmill.core.reasons import Reason
from speechmill.core.records import RejectedError

SPEECH = "speech"  # the `kind` of lines with speech, where a manifest also has noises and rooms
TEXTS = ("text", "transcript")
SPEAKERS, LICENCES, LANGUAGES = ("speaker", "speaker_id"), ("licence", "license"), ("language", "lang")
SOURCES = ("source", "group")


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A clip and its text. `row` is row group and row of the clip, where `path` is a shard."""

    file: str
    path: Path
    row: tuple[int, int] | None = None
    span: Span | None = None  # of the clip in the file; None: the whole file
    only_length: bool = True  # whether the span is only a duration, as most manifests state for whole files
    text: str = ""
    has_text: bool = True  # False without a reference; an empty text means that nothing is spoken
    source: str
    speaker: str = ""
    language: str | None = None  # ISO 639-1
    licence: str | None = None  # SPDX id, where one is stated

    def frames(self, file: soundfile.SoundFile) -> tuple[int, int]:
        """First sample of the clip in its file, and one past the last.

        Raises RejectedError where it is not in the file.
        """
        if self.span is None:
            return 0, file.frames
        (start_s, end_s), rate = self.span, file.samplerate
        first, last = round(start_s * rate), file.frames if end_s is None else round(end_s * rate)
        beyond_s = (last - file.frames) / rate
        if self.only_length and beyond_s > -SAME_S:
            return 0, file.frames
        if first >= file.frames or beyond_s > SAME_S:
            raise RejectedError(
                Reason.BAD_SPAN, f"ends at {last / rate:g} s, and the file has {file.frames / rate:.3f} s"
            )
        return first, min(last, file.frames)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clips:
    """Clips and their input."""

    kind: str  # manifest, or the names of layouts in speechmill.core.known_corpora
    name: str
    clips: tuple[Clip, ...]


def shards(path: Path) -> list[Path]:
    """Parquet files of a speechmill corpus, sorted; empty for any other path."""
    return sorted((path / "data").glob("*.parquet"))


def read(path: Path) -> Clips | None:
    """Read the clips of a manifest, an index of a known corpus, or a folder with such indexes.

    Of a folder, the corpus's development and test splits are left out: to use one, name its index. None for a
    folder without an index, and for a file that is neither. Raises ValueError that names the line, or OSError.
    """
    path.stat()  # one that is not there is told so
    if path.is_dir():
        indexes = list(indexes_below(str(path)))
        clips = [clip for index, layout in indexes for clip in _clips(Path(index), layout, path)]
        kind = ", ".join(dict.fromkeys(layout.name for _, layout in indexes))
        return Clips(kind=kind, name=path.name, clips=tuple(clips)) if indexes else None
    layout = layout_of(str(path))
    if layout is None and not is_manifest(str(path)):
        return None
    kind = layout.name if layout else "manifest"
    return Clips(kind=kind, name=path.name, clips=tuple(_clips(path, layout, path)))


def _clips(index: Path, layout: Layout | None, named: Path) -> Iterator[Clip]:
    """Clips of a manifest, or of an index of a known layout; `named` is the input: the index or a folder above it."""
    for number, line in layout.rows(str(index)) if layout else lines(str(index)):
        try:
            if isinstance(line, Exception):
                raise line
            if not isinstance(line, dict):
                raise ValueError("not a JSON object")
            if line.get("kind", SPEECH) == SPEECH and (named == index or line.get("split") not in SPLITS):
                yield clip_of(line, index, named)
        except (ValueError, RecursionError, RejectedError) as error:
            raise ValueError(f"{index}, line {number}: {error}") from None


def clip_of(line: dict[str, Any], index: Path, named: Path | None = None) -> Clip:
    """The clip in a line of a manifest, or of an index of a known corpus.

    Args:
        line: Its keys and values.
        index: The file that has the line; paths are relative to its folder.
        named: The input, if that is a folder with the index in it.

    Raises:
        ValueError: Keys are missing or have invalid values.
        RejectedError: BAD_SPAN, for impossible times.
    """
    row, named = from_lhotse(line), named or index
    path = path_of(row)
    if not isinstance(path, str) or not path:
        raise ValueError("no 'path'" + (": download the file of the 'url' and name it" if "url" in row else ""))
    file = index.parent / Path(path).expanduser()
    text, language, span = _text(row, TEXTS), _text(row, LANGUAGES), stated_span(row)
    return Clip(
        file=path if named == index else os.path.relpath(file, named), path=file,
        text=text or "", has_text=text is not None, span=span, only_length=is_whole_file(span, row, None),
        source=_text(row, SOURCES) or named.name,
        speaker=_text(row, SPEAKERS) or "", language=base_language(language), licence=_text(row, LICENCES),
    )  # fmt: skip


def _text(row: dict[str, Any], keys: tuple[str, ...]) -> str | None:
    """The first of some keys that has a text."""
    for key in keys:
        value = row.get(key)
        if isinstance(value, int) and keys is SPEAKERS:  # many corpora number speakers
            return str(value)
        if value is not None and not isinstance(value, str):
            raise ValueError(f"'{key}' is {json.dumps(value)}, not a text")
        if value is not None:
            return value
    return None


def base_language(tag: str | None) -> str | None:
    """ISO 639-1 code of a BCP 47 tag or a language name; for anything else, the part before its first hyphen."""
    return (language_code(tag) or tag.replace("_", "-").split("-")[0].lower()) if tag else None
