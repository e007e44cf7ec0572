"""Reference clips: other clips of the speaker, in the same export, that a model may listen to.

A clip's `conditioning_clip_ids` may be of any shard, and options or limits may leave them out. So the plan puts every
clip that is taken into a SQLite file, which all processes read: memory stays bounded.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from typing import NamedTuple

COLUMN = "conditioning_clip_ids"


class TakenClip(NamedTuple):
    """A clip that at least one format takes."""

    id: str
    split: str
    seconds: float
    text: str
    formats: str
    """Names of the formats that take it, between blanks: ` f5-tts piper `."""


class TakenClips:
    """The clips of an export by id, in a file."""

    def __init__(self, path: str) -> None:
        self._path = path

    def create(self) -> None:
        """Make the file, empty."""
        with closing(sqlite3.connect(self._path)) as database:
            database.execute("create table clips (id text primary key, split, seconds, text, formats) without rowid")

    def add(self, clips: Iterable[TakenClip]) -> None:
        """Add clips."""
        with closing(sqlite3.connect(self._path)) as database, database:
            database.executemany("insert or replace into clips values (?, ?, ?, ?, ?)", clips)

    def find(self, clip_ids: Sequence[str]) -> list[TakenClip]:
        """Clips by id, in this order; those that nobody takes are missing."""
        marks = ", ".join("?" * len(clip_ids))
        with closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True)) as database:
            rows = database.execute(f"select * from clips where id in ({marks})", list(clip_ids))  # noqa: S608
            taken = {row[0]: TakenClip(*row) for row in rows}
        return [taken[clip_id] for clip_id in clip_ids if clip_id in taken]
