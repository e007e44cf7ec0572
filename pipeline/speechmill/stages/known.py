"""What a corpus knows its recordings by, as an index: no worker, and no later run, reads every artifact again."""

import json
import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from speechmill.core.build import FETCHED, KNOWN_FILE, Build
from speechmill.core.ownership import RECORDINGS_FILE
from speechmill.core.records import RECORDINGS, Recording, recording_from, stable_id, to_row
from speechmill.core.store import Store
from speechmill.sources import Stored

READERS = 16  # footers that are read at a time, which helps where a store is far away
FIRST_RUN = 1

Row = dict[str, Any]
Span = tuple[float | None, float | None]  # in seconds, of what is a stretch of its media
Stamp = tuple[int, int]  # size in bytes and time of change in ns of a local file


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the corpus knows a recording by."""

    recording_id: str
    path: str | None  # of a local file
    stamp: Stamp | None
    sha256: str | None  # of the media; None where nothing was ever read of them
    span: Span
    aliases: tuple[str, ...]
    first_url: str
    added_in_run: int
    stored: Stored | None = None


def stamp_of(path: str) -> Stamp | None:
    """Size and time of change of a file that can be read again; None where there is none."""
    try:
        facts = os.stat(path)
    except (OSError, ValueError):
        return None
    return (facts.st_size, facts.st_mtime_ns) if stat.S_ISREG(facts.st_mode) else None


def file_aliases(path: str, span: Span = (None, None)) -> tuple[str, ...]:
    """Aliases of a local file, or a stretch of it: its path as it was given, and without links."""
    paths = dict.fromkeys((path, os.path.realpath(path)))
    stretch = () if span == (None, None) else map(repr, span)
    return tuple(stable_id("file", one, *stretch) for one in paths)


def span_of(recording: Recording) -> Span:
    """The stretch of its media that a recording is; two None for all of them."""
    return recording.start_s, recording.end_s


_INDEX = pa.schema([*RECORDINGS, pa.field("footer", pa.string()), pa.field("version", pa.string())])


def write_index(build: Build) -> list[str]:
    """Store what is known, for every worker of a run; returns the ids that the corpus lists by itself.

    Only artifacts are read that were written since the index was.
    """
    rows = list(_rows(build))
    build.store.write_table(KNOWN_FILE, pa.Table.from_pylist(rows, schema=_INDEX), {"run": _run_number(build.store)})
    footers = ((row["recording_id"], json.loads(row["footer"])) for row in rows)
    return [recording_id for recording_id, footer in footers if not footer["retry"] or footer.get("unlisted")]


def read_known(build: Build) -> Iterator[Known]:
    """What is known, read without writing anything."""
    return map(_known, _rows(build))


def load_index(build: Build) -> tuple[Iterator[Known], int]:
    """What `write_index` stored, and the number of the run; nothing and the first where it did not."""
    if not build.store.exists(KNOWN_FILE):
        return iter(()), FIRST_RUN
    table, footer = build.store.load(KNOWN_FILE)
    return map(_known, table.to_pylist()), footer["run"]


def _rows(build: Build) -> Iterator[Row]:
    """Rows of the index in order of recording_id: from the one that is there, as far as nothing was fetched since."""
    versions = {
        entry.name.rpartition("/")[2].removesuffix(".parquet"): entry.version
        for entry in build.store.finished(f"work/fetch/{FETCHED}")
    }
    known = build.known_recordings()
    before = {row["recording_id"]: row for row in _indexed(build.store)}
    stale = [one for one in known if one not in before or before[one]["version"] != versions.get(one)]
    with ThreadPoolExecutor(READERS) as threads:
        fresh = dict(zip(stale, threads.map(lambda one: _read(one, versions.get(one), build), stale), strict=True))
    return (fresh.get(one) or before[one] for one in known)


def _indexed(store: Store) -> list[Row]:
    """Rows of the index of an earlier run; none where there is none of this version."""
    if not store.exists(KNOWN_FILE):
        return []
    try:
        table = store.read(KNOWN_FILE)
    except (OSError, pa.ArrowInvalid):  # damaged: it is made anew
        return []
    rows: list[Row] = table.to_pylist() if table.schema.equals(_INDEX) else []
    return rows


def _read(recording_id: str, version: str | None, build: Build) -> Row:
    table, footer = build.store.load(build.fetched(recording_id))
    row: Row = to_row(recording_from(table.to_pylist()[0]))
    return row | {"recording_id": recording_id, "footer": json.dumps(footer), "version": version}


def _known(row: Row) -> Known:
    recording, footer = recording_from(row), json.loads(row["footer"])
    path = footer.get("media") if footer.get("is_local") else None
    size, mtime_ns = footer.get("size"), footer.get("mtime_ns")
    own = file_aliases(path, span_of(recording)) if path else ()  # none were stored by older versions
    return Known(
        recording_id=recording.recording_id,
        path=path,
        stamp=(size, mtime_ns) if size is not None and mtime_ns is not None else None,
        sha256=recording.sha256,
        span=span_of(recording),
        aliases=tuple(footer.get("aliases") or own),
        first_url=recording.first_url or recording.media_url,
        added_in_run=recording.added_in_run,
        stored=(recording, footer),
    )


def _run_number(store: Store) -> int:
    """Number of a run that adds to what is published: a run that goes on where one was killed has the same."""
    if not store.exists(RECORDINGS_FILE):
        return FIRST_RUN
    try:
        table = store.read(RECORDINGS_FILE)
    except (OSError, pa.ArrowInvalid):  # damaged, as `verify` says
        return FIRST_RUN
    found = pc.max(table["added_in_run"]).as_py() if "added_in_run" in table.column_names else None
    return (found or FIRST_RUN) + 1
