"""Purges removed recordings: deletes every file and log line below `work/` that was made of them."""

import re
from collections.abc import Iterator
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from speechmill.core.build import LOG_FILE, LOG_FOLDER, PURGE_FILE, Build
from speechmill.core.footers import FetchFooter
from speechmill.core.records import Recording, Status, recording_from, to_table
from speechmill.core.removals import RemovalRequest, Removals, removed_row
from speechmill.core.store import Store

DOCUMENT = re.compile(r"work/documents/[0-9a-f]{64}")
# Files that may name or quote a removed recording, and are made again when needed.
CACHES = ("work/compared", "work/feeds", "work/known.parquet", "work/publish", "work/spans", "work/tables", "work/tmp")


def present_recordings(build: Build) -> Iterator[Recording]:
    """Recordings of a corpus that were not removed."""
    for recording_id in build.known_recordings():
        recording = recording_from(build.store.read(build.fetched(recording_id)).to_pylist()[0])
        if recording.status is not Status.REMOVED:
            yield recording


def purge(build: Build) -> None:
    """Delete all files of removed recordings unless that is done; also finishes what a killed `remove` began."""
    store, removals = build.store, Removals.load(build.store)
    if all(request.erased for request in removals.all) and not store.exists(PURGE_FILE):
        return
    contents: dict[RemovalRequest, set[str]] = {request: set(request.contents) for request in removals.all}
    ids: set[str] = set()  # of removed recordings and their contents and media
    texts: set[str] = set()  # in log lines to drop
    rows: dict[str, tuple[pa.Table, tuple[str, ...]]] = {}  # replaced rows, with the hashed aliases of the recording
    documents: dict[bool, set[str]] = {True: set(), False: set()}  # of removed recordings, and of others
    media: dict[bool, set[str | None]] = {True: set(), False: set()}
    for recording in present_recordings(build):
        request, name = removals.match(recording), build.fetched(recording.recording_id)
        documents[request is not None].update(_documents(name, store))
        media[request is not None].add(recording.sha256)
        if request is not None:
            ids.add(recording.recording_id)
            contents[request].update(filter(None, [recording.content_id]))
            names = (recording.title, recording.guid, recording.media_url, recording.first_url, *recording.persons)
            texts |= set(filter(None, names))
            rows[name] = (to_table([removed_row(recording, request)]), store.footer(name, FetchFooter).aliases)
    ids.update(*contents.values(), filter(None, media[True] - media[False]))
    _purge_duplicates(ids, build)
    for name in [*CACHES, *(documents[True] - documents[False]), *_files_of(ids, store)]:
        store.remove(name)
    _purge_log(ids | texts, store)
    for name, (row, aliases) in rows.items():  # last, since a purge that is killed and repeated needs the old rows
        store.write_table(name, row, FetchFooter(aliases=aliases))
    purged = (replace(request, contents=tuple(sorted(contents[request])), erased=True) for request in removals.all)
    Removals(tuple(purged)).save(store)
    store.remove(PURGE_FILE)


def _purge_duplicates(ids: set[str], build: Build) -> None:
    """Drop the matches with clips of removed contents; the next run matches the other clips again."""
    store = build.store
    tables = [store.read(name, ["clip_id"]) for content_id in ids if store.exists(name := build.segments(content_id))]
    clips = pa.concat_tables(tables)["clip_id"].drop_null() if tables else pa.array([], pa.string())
    folder = build.artifact("dedup", "").rpartition("/")[0]
    for leaf in store.names(folder):
        table = store.read(f"{folder}/{leaf}")
        kept = table.filter(pc.invert(pc.is_in(table["duplicate_of"], value_set=clips)))
        if kept.num_rows < table.num_rows:
            store.write_table(f"{folder}/{leaf}", kept)


def _files_of(ids: set[str], store: Store) -> list[str]:
    """Files and folders below `work/` that are named by one of the ids, without the rows of the stage fetch."""
    names = set()
    for entry in store.files("work"):
        parts = entry.name.split("/")
        at = next((at for at, part in enumerate(parts) if part.lstrip(".").partition(".")[0] in ids), None)
        if at is not None and (parts[1] != "fetch" or parts[-1].startswith(".")):
            names.add("/".join(parts[: at + 1]))
    return sorted(names)


def _documents(name: str, store: Store) -> Iterator[str]:
    """Names of a recording's documents, by the footer of its row; other names in it are not ours to delete."""
    return (document for document in store.footer(name, FetchFooter).documents if DOCUMENT.fullmatch(document))


def _purge_log(texts: set[str], store: Store) -> None:
    """Drop the lines of the log that contain one of the texts."""
    pieces = [f"{LOG_FOLDER}/{name}" for name in store.names(LOG_FOLDER)]
    for name in [LOG_FILE] * store.exists(LOG_FILE) + pieces:
        with store.open(name) as old, store.create(name) as new:
            new.writelines(line for line in old if not any(text in line.decode(errors="replace") for text in texts))
