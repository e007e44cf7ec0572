"""Reads the log of a run, which may be at work on other machines."""

import json
import time
from collections.abc import Iterator
from typing import Any

from speechmill.core.build import LOG_FILE, LOG_FOLDER
from speechmill.core.filesystem import object_store_errors
from speechmill.core.store import Store

POLL_S = 5.0  # least interval of requests to an object store
EVENT_BYTES = 400  # a usual one; of the end of a file so many are read for each event that is asked for


class Events:
    """Events of a corpus's log, from its current end."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._positions = dict(_files(store))
        self._asked_s = 0.0

    def new(self, *, at_once: bool = True) -> Iterator[dict[str, Any]]:
        """Events since the last call; those of one process in order. `at_once`: however often that is."""
        now = time.monotonic()
        if not self._store.is_local and not at_once and now - self._asked_s < POLL_S:
            return
        self._asked_s = now
        try:
            for name, size in _files(self._store):
                if size > self._positions.get(name, 0):
                    yield from self._read(name)
        except OSError:
            return  # of a server that is busy: the rest comes with the next call
        except object_store_errors():
            return

    def _read(self, name: str) -> Iterator[dict[str, Any]]:
        with self._store.open(name) as file:
            file.seek(self._positions.get(name, 0))
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._positions[name] = self._positions.get(name, 0) + len(line)
                yield json.loads(line)


def last_events(store: Store, count: int) -> list[dict[str, Any]]:
    """The last events of a log, by time."""
    events = []
    for name, size in _files(store)[-count:]:
        with store.open(name) as file:
            file.seek(max(size - max(count, 40) * EVENT_BYTES, 0))
            lines = file.read().decode(errors="replace").splitlines()[-count:]
        events += [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
    return sorted(events, key=lambda event: float(event["time"]))[-count:]


def _files(store: Store) -> list[tuple[str, int]]:
    """Names and sizes in bytes of the files of a log; of an object store in order of their beginning."""
    if store.is_local:
        return [(LOG_FILE, store.size(LOG_FILE))] if store.exists(LOG_FILE) else []
    return [(entry.name, entry.bytes) for entry in store.artifact_files(LOG_FOLDER)]
