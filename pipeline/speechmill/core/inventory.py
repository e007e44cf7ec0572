"""Which of some files a store has, and what they are now.

On an object store that is known from a listing of their folders, of which a request says a thousand names, while to
ask for each file takes two requests. On a local disk each file is looked at, which costs nothing.
"""

import os
import stat
from collections.abc import Collection, Mapping
from typing import Any

from speechmill.core.filesystem import Entry
from speechmill.core.store import Store

Facts = dict[str, Any]  # of a file: bytes, sha256, and when it was written: on local disks mtime_ns, else version


def entries(store: Store, names: Collection[str]) -> dict[str, Entry | None]:
    """The present ones of some files by name; None for what is no file, such as a folder.

    Raises OutsideError as methods of `Store` do.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = Store(folder)
    ...     store.write_text("one.txt", "1")
    ...     {name: entry.bytes for name, entry in entries(store, ["one.txt", "two.txt"]).items()}
    {'one.txt': 1}
    """
    return dict(_local(store, names) if store.is_local else _remote(store, names))


def with_versions(store: Store, files: Mapping[str, Facts]) -> dict[str, Facts]:
    """Facts of published files, on an object store with the present version of each, by which no file need be read."""
    present = {} if store.is_local else entries(store, list(files))
    versions = {name: {"version": entry.version} for name, entry in present.items() if entry}
    return {name: facts | versions.get(name, {}) for name, facts in files.items()}


def facts_of(store: Store, name: str) -> Facts:
    """Size in bytes and SHA-256 of a file; on a local disk also the time of its last write, in nanoseconds."""
    times = {"mtime_ns": os.stat(store.path(name)).st_mtime_ns} if store.is_local else {}
    return {"bytes": store.size(name), "sha256": store.sha256(name), **times}


def is_written_then(facts: Facts, entry: Entry, store: Store) -> bool:
    """Whether a file was not written since its facts were taken; not known of facts that have no time or version."""
    if store.is_local:
        return facts.get("mtime_ns") == os.stat(store.path(entry.name)).st_mtime_ns
    return facts.get("version") == entry.version


def _local(store: Store, names: Collection[str]) -> list[tuple[str, Entry | None]]:
    found = list[tuple[str, Entry | None]]()
    for name in names:
        try:
            facts = os.stat(store.path(name))
        except (FileNotFoundError, NotADirectoryError):
            continue
        found.append((name, Entry.local(name, facts) if stat.S_ISREG(facts.st_mode) else None))
    return found


def _remote(store: Store, names: Collection[str]) -> list[tuple[str, Entry | None]]:
    store.fs.invalidate_cache()
    paths = {store.path(name): name for name in names}
    found = list[tuple[str, Entry | None]]()
    for folder in sorted({path.rpartition("/")[0] for path in paths}):
        try:
            listing = store.fs.ls(folder, detail=True)
        except (FileNotFoundError, NotADirectoryError):
            continue
        found += [
            (name, Entry.remote(name, facts))
            for facts in listing
            if facts["type"] == "file" and (name := paths.get(facts["name"])) is not None
        ]
    return found
