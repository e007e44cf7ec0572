"""Index of the identity of all known recordings, so that workers and later runs need not read every artifact."""

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from speechmill.core.build import FETCHED, KNOWN_FILE, Build
from speechmill.core.footers import FetchFooter, IndexFooter
from speechmill.core.ownership import RECORDINGS_FILE
from speechmill.core.records import RECORDINGS, Recording, recording_from, stable_id, to_row
from speechmill.core.store import Store
from speechmill.sources import Stored

READERS = 16  # artifacts read concurrently, which helps with a remote store
FIRST_RUN = 1

Row = dict[str, Any]
Span = tuple[float | None, float | None]  # start and end of a stretch of media in seconds; two None for all
Stamp = tuple[int, int]  # size in bytes and time of change in ns of a local file


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownRecording:
    """Identity of a known recording."""

    recording_id: str
    path: str | None  # of a local file
    stamp: Stamp | None
    sha256: str | None  # of the media; None if they were never read
    span: Span
    aliases: tuple[str, ...]
    first_url: str
    added_in_run: int
    stored: Stored | None = None


def stamp_of(path: str) -> Stamp | None:
    """Size and time of change of a regular file; None for anything else."""
    try:
        facts = os.stat(path)
    except (OSError, ValueError):
        return None
    return (facts.st_size, facts.st_mtime_ns) if stat.S_ISREG(facts.st_mode) else None


def file_aliases(path: str, span: Span = (None, None)) -> tuple[str, ...]:
    """Aliases of a local file or a stretch of it: digests of its path as given, and without links."""
    paths = dict.fromkeys((path, os.path.realpath(path)))
    stretch = () if span == (None, None) else map(repr, span)
    return tuple(stable_id("file", name, *stretch) for name in paths)


def span_of(recording: Recording) -> Span:
    """Start and end of a recording in its media, in seconds; two None for all of them."""
    return recording.start_s, recording.end_s


_INDEX = pa.schema([*RECORDINGS, pa.field("footer", pa.string()), pa.field("version", pa.string())])


def write_index(build: Build, tabulated: Callable[[], pa.Table] | None = None) -> None:
    """Store the index for the workers of a run. Only artifacts that are newer than the stored index are read.

    Args:
        build: The corpus.
        tabulated: Reads what the tables of the corpus have of the index. It is called if an artifact is newer than the
            stored one.
    """
    build.store.write_table(KNOWN_FILE, _index(build, tabulated), IndexFooter(run=_run_number(build.store)))


def recalled(build: Build) -> Iterator[str]:
    """Ids, in the stored index, of the recordings that are recalled if no input lists them."""
    for row in build.store.read(KNOWN_FILE, ["recording_id", "footer"]).to_pylist():
        footer = FetchFooter.from_json(row["footer"])
        if not footer.retry or footer.unlisted:
            yield row["recording_id"]


def read_known(build: Build) -> Iterator[KnownRecording]:
    """All known recordings, read without writing anything."""
    return map(_known, _index(build).to_pylist())


def load_index(build: Build) -> tuple[Iterator[KnownRecording], int]:
    """The index that `write_index` stored, and the number of the run; empty and FIRST_RUN without one."""
    if not build.store.exists(KNOWN_FILE):
        return iter(()), FIRST_RUN
    table, footer = build.store.load(KNOWN_FILE, IndexFooter)
    return map(_known, table.to_pylist()), footer.run


def _index(build: Build, tabulated: Callable[[], pa.Table] | None = None) -> pa.Table:
    """The index by recording_id. Rows are those stored or `tabulated`, or of the artifact if that is newer."""
    versions = {
        entry.name.rpartition("/")[2].removesuffix(".parquet"): entry.version
        for entry in build.store.finished_files(f"work/fetch/{FETCHED}")
    }
    known, before = sorted(versions), _indexed(build.store)
    place = _current(before, versions)
    if tabulated is not None and len(place) < len(known):
        stored = tabulated()
        rows = [at for name, at in _current(stored, versions).items() if name not in place]
        added = stored.take(pa.array(rows, pa.int64()))
        before = pa.concat_tables([before, added.select(_INDEX.names).cast(_INDEX)])
        place = _current(before, versions)
    stale = [name for name in known if name not in place]
    with ThreadPoolExecutor(READERS) as threads:
        fresh = list(threads.map(lambda name: _read(name, versions.get(name), build), stale))
    place |= {name: before.num_rows + at for at, name in enumerate(stale)}
    rows = pa.concat_tables([before, pa.Table.from_pylist(fresh, schema=_INDEX)])
    return rows.take(pa.array([place[name] for name in known], pa.int64()))


def _current(rows: pa.Table, versions: Mapping[str, str]) -> dict[str, int]:
    """Row of each recording whose artifact still has the `version` in the row, by recording_id."""
    stored = zip(rows["recording_id"].to_pylist(), rows["version"].to_pylist(), strict=True)
    return {name: at for at, (name, version) in enumerate(stored) if version == versions.get(name, "")}


def _indexed(store: Store) -> pa.Table:
    """The stored index; without rows if it is absent, damaged or of another version."""
    empty = _INDEX.empty_table()
    if not store.exists(KNOWN_FILE):
        return empty
    try:
        table = store.read(KNOWN_FILE)
    except (OSError, pa.ArrowInvalid):  # damaged: it is made anew
        return empty
    return table if table.schema.equals(_INDEX) else empty


def _read(recording_id: str, version: str | None, build: Build) -> Row:
    """Row of the index of a recording, from its artifact."""
    table, footer = build.store.load(build.fetched(recording_id), FetchFooter)
    row: Row = to_row(recording_from(table.to_pylist()[0]))
    return row | {"recording_id": recording_id, "footer": footer.to_json(), "version": version}


def _known(row: Row) -> KnownRecording:
    recording, footer = recording_from(row), FetchFooter.from_json(row["footer"])
    path = footer.media if footer.is_local else None
    return KnownRecording(
        recording_id=recording.recording_id,
        path=path,
        stamp=footer.stamp,
        sha256=recording.sha256,
        span=span_of(recording),
        aliases=footer.aliases or (file_aliases(path, span_of(recording)) if path else ()),
        first_url=recording.first_url or recording.media_url,
        added_in_run=recording.added_in_run,
        stored=(recording, footer),
    )


def _run_number(store: Store) -> int:
    """Number of a run: one more than that of the published corpus, so that a resumed run has the same number."""
    if not store.exists(RECORDINGS_FILE):
        return FIRST_RUN
    try:
        table = store.read(RECORDINGS_FILE, ["added_in_run"])
    except (OSError, pa.ArrowInvalid):  # damaged, as `verify` says
        return FIRST_RUN
    last = pc.max(table["added_in_run"]).as_py() if "added_in_run" in table.column_names else None
    return (last or FIRST_RUN) + 1
