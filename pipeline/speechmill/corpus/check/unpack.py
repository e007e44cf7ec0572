"""Writes what a check needs: a manifest for the run, sounds out of archives, and a list of all items.

Nothing of the corpus that is checked is changed. A sound from an archive gets a name of ours: names in archives are
foreign.
"""

import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from speechmill.core import atomic
from speechmill.corpus.check.items import Item
from speechmill.runner.statusline import StatusLine
from speechmill.sources import plain_text

MANIFEST_FILE, ITEMS_FILE, SOUNDS = "manifest.jsonl", "items.jsonl", "sounds"
FOLDER_FILES = 1_000
SUFFIXES = {b"fLaC": ".flac", b"RIFF": ".wav", b"OggS": ".ogg", b"ID3\x03": ".mp3", b"ID3\x04": ".mp3"}  # first bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """An item as it is kept while its corpus is checked."""

    id: str
    """Its id in the corpus, on one line, and with a number where it is not the first of that id."""
    split: str | None
    speaker: str | None
    text: str | None
    language: str | None
    path: str | None
    fault: str | None


def unpack(found: Iterator[Item], output: str, line: StatusLine) -> None:
    """Write the manifest, the list of items and the sounds, below the folder `output`."""
    names: Counter[str] = Counter()
    with _new(output, MANIFEST_FILE) as manifest, _new(output, ITEMS_FILE) as listed:
        for number, item in enumerate(found):
            line(f"reading the corpus: {number + 1} items")
            id_ = _unique(plain_text(item.id) or f"item {number}", names)
            path = item.path if item.sound is None else _stored(item.sound, number, output)
            listed.write(_line({name: getattr(item, name) for name in LISTED} | {"id": id_, "path": path}))
            if item.fault is None:
                values = {"text": item.text, "speaker": item.speaker, "language": item.language, **item.span}
                known = {name: value for name, value in values.items() if value is not None}
                manifest.write(_line({"path": path, "title": id_} | known))


LISTED = tuple(Listed.__dataclass_fields__)


def read_items(output: str) -> Iterator[Listed]:
    """The items that `unpack` listed, in order."""
    with open(os.path.join(output, ITEMS_FILE), encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            yield Listed(**json.loads(line))


def _new(output: str, name: str) -> Any:
    """A file that appears when it is complete."""
    return atomic.atomic_write(os.path.join(output, name), new=False, private=False)


def _line(values: dict[str, Any]) -> bytes:
    return f"{json.dumps(values)}\n".encode()


def _unique(id_: str, names: Counter[str]) -> str:
    names[id_] += 1
    return id_ if names[id_] == 1 else f"{id_} ({names[id_]})"


def _stored(sound: bytes, number: int, output: str) -> str:
    """Path of the file with a sound; a file that has it already is left as it is, so that nothing is made again."""
    folder = os.path.join(output, SOUNDS, f"{number // FOLDER_FILES:05}")
    path = os.path.join(folder, f"{number:08}{SUFFIXES.get(sound[:4], '.audio')}")
    os.makedirs(folder, exist_ok=True)
    if not _has(path, sound):
        with atomic.atomic_write(path, new=False, private=False) as file:
            file.write(sound)
    return os.path.abspath(path)


def _has(path: str, sound: bytes) -> bool:
    if not os.path.isfile(path) or os.path.getsize(path) != len(sound):
        return False
    with open(path, "rb") as file:
        return file.read() == sound
