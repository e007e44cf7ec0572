"""Deletes all that was made of what tombstones name, so that no byte of it is left below `work/`."""

import re
from collections.abc import Iterator
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from speechmill.core.build import ERASE_FILE, LOG_FILE, Build
from speechmill.core.records import Recording, Status, recording_from, to_table
from speechmill.core.removals import Tombstone, Tombstones, row_of
from speechmill.core.store import Store

DOCUMENT = re.compile(r"work/documents/[0-9a-f]{64}")
# What may name a removed recording or quote it, and is made again when it is needed.
CACHES = ("work/feeds", "work/known.parquet", "work/publish", "work/spans", "work/tables", "work/tmp")


def present(build: Build) -> Iterator[Recording]:
    """Recordings that the corpus knows, but for those that were removed."""
    for recording_id in build.known_recordings():
        recording = recording_from(build.store.read(build.fetched(recording_id)).to_pylist()[0])
        if recording.status is not Status.REMOVED:
            yield recording


def erase(build: Build) -> None:
    """Delete what is left of removed recordings, unless it is done already: a killed `remove` is finished so."""
    store, removed = build.store, Tombstones.load(build.store)
    if all(stone.erased for stone in removed.all) and not store.exists(ERASE_FILE):
        return
    contents: dict[Tombstone, set[str]] = {stone: set(stone.contents) for stone in removed.all}
    gone: set[str] = set()
    traces: set[str] = set()
    rows: dict[str, tuple[pa.Table, list[str]]] = {}  # with what the recording is known by, in hashes
    documents: dict[bool, set[str]] = {True: set(), False: set()}  # of removed recordings, and of others
    media: dict[bool, set[str | None]] = {True: set(), False: set()}
    for recording in present(build):
        stone, name = removed.against(recording), build.fetched(recording.recording_id)
        documents[stone is not None].update(_documents(name, store))
        media[stone is not None].add(recording.sha256)
        if stone is not None:
            gone.add(recording.recording_id)
            contents[stone].update(filter(None, [recording.content_id]))
            names = (recording.title, recording.guid, recording.media_url, recording.first_url, *recording.persons)
            traces |= set(filter(None, names))
            rows[name] = (to_table([row_of(recording, stone)]), store.footer(name).get("aliases", []))
    gone.update(*contents.values(), filter(None, media[True] - media[False]))
    _forget_repeats(gone, build)
    for name in [*CACHES, *(documents[True] - documents[False]), *_files_of(gone, store)]:
        store.remove(name)
    _forget_in_log(gone | traces, store)
    for name, (row, aliases) in rows.items():  # last: whoever finishes for us must find what was made of it
        store.write_table(name, row, {"retry": False, "aliases": aliases})
    found = (replace(stone, contents=tuple(sorted(contents[stone])), erased=True) for stone in removed.all)
    Tombstones(tuple(found)).save(store)
    store.remove(ERASE_FILE)


def _forget_repeats(ids: set[str], build: Build) -> None:
    """Let no clip be a repetition of one that is gone; whether it repeats another the next run finds out."""
    store = build.store
    found = [store.read(name, ["clip_id"]) for one in ids if store.exists(name := build.segments(one))]
    clips = pa.concat_tables(found)["clip_id"].drop_null() if found else pa.array([], pa.string())
    folder = build.artifact("dedup", "").rpartition("/")[0]
    for leaf in store.names(folder):
        table = store.read(f"{folder}/{leaf}")
        kept = table.filter(pc.invert(pc.is_in(table["duplicate_of"], value_set=clips)))
        if kept.num_rows < table.num_rows:
            store.write_table(f"{folder}/{leaf}", kept, {"retry": False})


def _files_of(ids: set[str], store: Store) -> list[str]:
    """Files and folders below `work/` that are named by one of the ids, but for the rows that say what was removed."""
    found = set()
    for entry in store.files("work"):
        parts = entry.name.split("/")
        at = next((at for at, part in enumerate(parts) if part.lstrip(".").partition(".")[0] in ids), None)
        if at is not None and (parts[1] != "fetch" or parts[-1].startswith(".")):
            found.add("/".join(parts[: at + 1]))
    return sorted(found)


def _documents(name: str, store: Store) -> Iterator[str]:
    """Names of the documents of a recording; others that its footer may give are not ours to delete."""
    return (found for found in store.footer(name).get("documents", ()) if DOCUMENT.fullmatch(found))


def _forget_in_log(words: set[str], store: Store) -> None:
    """Drop the lines of the log with one of the words in them."""
    if not store.exists(LOG_FILE):
        return
    with store.open(LOG_FILE) as old, store.create(LOG_FILE) as new:
        new.writelines(line for line in old if not any(word in line.decode(errors="replace") for word in words))
