"""What a corpus knows its recordings by, as an index: read once a run, so that no worker reads every footer again."""

import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from speechmill.core.build import KNOWN_FILE, Build
from speechmill.core.ownership import RECORDINGS_FILE
from speechmill.core.records import Recording, recording_from, stable_id
from speechmill.core.store import Store

READERS = 16  # footers that are read at a time, which helps where a store is far away
FIRST_RUN = 1

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


_INDEX = pa.schema(
    [
        ("recording_id", pa.string()),
        ("path", pa.binary()),  # a file's name may be any bytes
        ("size", pa.int64()),
        ("mtime_ns", pa.int64()),
        ("sha256", pa.string()),
        ("start_s", pa.float64()),
        ("end_s", pa.float64()),
        ("aliases", pa.list_(pa.string())),
        ("first_url", pa.string()),
        ("added_in_run", pa.int64()),
    ]
)


def write_index(build: Build) -> list[str]:
    """Store what is known, for every worker of a run; returns the ids that the corpus lists by itself."""
    rows, listed = [], []
    for recording, footer in _all(build):
        rows.append(_row(recording, footer))
        if not footer["retry"] or footer.get("unlisted"):
            listed.append(recording.recording_id)
    build.store.write_table(KNOWN_FILE, pa.Table.from_pylist(rows, schema=_INDEX), {"run": _run_number(build.store)})
    return listed


def read_known(build: Build) -> Iterator[Known]:
    """What is known, read without writing anything."""
    return (_known(_row(*one)) for one in _all(build))


def _all(build: Build) -> Iterator[tuple[Recording, dict[str, Any]]]:
    with ThreadPoolExecutor(READERS) as threads:
        yield from threads.map(lambda one: _read(one, build), build.known_recordings())


def load_index(build: Build) -> tuple[Iterator[Known], int]:
    """What `write_index` stored, and the number of the run; nothing and the first where it did not."""
    if not build.store.exists(KNOWN_FILE):
        return iter(()), FIRST_RUN
    table, footer = build.store.load(KNOWN_FILE)
    return map(_known, table.to_pylist()), footer["run"]


def _read(recording_id: str, build: Build) -> tuple[Recording, dict[str, Any]]:
    rows, footer = build.store.load(build.fetched(recording_id))
    return recording_from(rows.to_pylist()[0]), footer


def _row(recording: Recording, footer: dict[str, Any]) -> dict[str, Any]:
    path = footer.get("media") if footer.get("is_local") else None
    return {
        "recording_id": recording.recording_id,
        "path": None if path is None else os.fsencode(path),
        "size": footer.get("size"),
        "mtime_ns": footer.get("mtime_ns"),
        "sha256": recording.sha256,
        "start_s": recording.start_s,
        "end_s": recording.end_s,
        "aliases": footer.get("aliases")
        or list(file_aliases(path, span_of(recording)) if path else ()),  # none by older versions
        "first_url": recording.first_url or recording.media_url,
        "added_in_run": recording.added_in_run,
    }


def _known(row: dict[str, Any]) -> Known:
    has_stamp = row["size"] is not None and row["mtime_ns"] is not None
    return Known(
        recording_id=row["recording_id"],
        path=None if row["path"] is None else os.fsdecode(row["path"]),
        stamp=(row["size"], row["mtime_ns"]) if has_stamp else None,
        sha256=row["sha256"],
        span=(row["start_s"], row["end_s"]),
        aliases=tuple(row["aliases"]),
        first_url=row["first_url"],
        added_in_run=row["added_in_run"],
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
