"""Lists LibriSpeech and Libri-Light with licence, reader and book: `librilight:FOLDER`.

A plain folder in these layouts is read with its texts and speakers as well, but without the licence and the text of
the book, since nothing states that it is one of these corpora.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from speechmill.core.config import Input, RunConfig
from speechmill.core.config_errors import ConfigError
from speechmill.core.known_corpora import Row, indexes
from speechmill.core.records import Recording, stable_id
from speechmill.core.store import Store
from speechmill.sources import Listed, plain_text, rest_of
from speechmill.sources.api import authors_of, book_text, language_of
from speechmill.sources.files.places import place_of
from speechmill.sources.files.recording import stated_text


def check(source: Input) -> None:
    """Raise ConfigError if there is no such folder."""
    folder = place_of(rest_of(source.address, "librilight"))
    if not os.path.isdir(folder):
        raise ConfigError(f"inputs: no such folder: {plain_text(folder)}; give that of LibriSpeech or Libri-Light")


def list_recordings(source: Input, config: RunConfig, store: Store) -> Iterator[Listed]:  # noqa: ARG001
    """List the utterances of LibriSpeech or the recordings of Libri-Light below a folder, sorted."""
    check(source)
    root = Path(place_of(rest_of(source.address, "librilight")))
    for folder, folders, names in os.walk(root):
        folders.sort()
        stated = _stated(folder, names)
        for name in sorted(name for name in names if name.endswith(".flac")):
            path = Path(folder, name)
            row, index = stated.get(name, ({}, ""))
            fields = _of_librispeech(path, row, index) if "text" in row else _of_librilight(path, names)
            if source.licence:
                fields |= {"licence": source.licence, "licence_evidence": "inputs.licence"}
            below = path.relative_to(root).as_posix()
            recording = Recording(
                recording_id=stable_id("librilight", *path.parts[-3:]), source="librilight", media_url=below, **fields
            )
            yield Listed(recording=recording, media_path=os.path.abspath(path))


def _stated(folder: str, names: list[str]) -> dict[str, tuple[Row, str]]:
    """Row and index name of each file in a folder's indexes, by file name."""
    rows = [(os.path.basename(path), row) for path, layout in indexes(folder, names) for _, row in layout.rows(path)]
    return {row["path"]: (row, index) for index, row in rows if isinstance(row, dict)}


def _of_librispeech(path: Path, row: Row, index: str) -> dict[str, Any]:
    """Fields of an utterance of LibriSpeech."""
    return {
        "title": path.stem,
        "persons": (f"LibriVox reader {row['speaker']}",),
        "language": "en",
        "attachments": tuple(stated_text(row, index, "en")),
        "licence": "CC-BY-4.0",
        "licence_url": "https://creativecommons.org/licenses/by/4.0/",
        "licence_evidence": "LibriSpeech's LICENSE.TXT",
    }


def _of_librilight(path: Path, names: list[str]) -> dict[str, Any]:
    """Fields of a recording of Libri-Light, from its JSON file if there is one."""
    try:
        content = json.loads(path.with_suffix(".json").read_bytes()) if f"{path.stem}.json" in names else {}
    except (OSError, ValueError, RecursionError):
        content = {}
    metadata: dict[str, Any] = content if isinstance(content, dict) else {}
    book: dict[str, Any] = metadata["book_meta"] if isinstance(metadata.get("book_meta"), dict) else {}
    reader = plain_text(str(metadata.get("speaker") or ""))
    return {
        "title": " – ".join(filter(None, (plain_text(book.get("title")), plain_text(path.stem)))),
        "author": authors_of(book),
        "persons": (f"LibriVox reader {reader}",) if reader else (),
        "language": language_of(book.get("language")) or "en",
        "page_url": plain_text(book.get("url_librivox")),
        "attachments": book_text(book),
        "licence": "CC-PDDC",
        "licence_evidence": "LibriVox dedicates its recordings to the public domain",
    }
