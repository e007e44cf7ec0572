"""The log of a run: `work/log.jsonl`, one JSON object per line and event, from all processes of the run.

The progress display reads it, so that it works alike with one process and with several. On object stores, which cannot
append, each process writes files of its own in `work/log/`.
"""

import json
import logging
import os
import sys
import threading
import time
import uuid
from typing import Any

from speechmill.core.build import LOG_FILE, LOG_FOLDER
from speechmill.core.filesystem import object_store_errors
from speechmill.core.store import Store
from speechmill.core.terminal import Printable, printable
from speechmill.core.urls import public_values

FLUSH_S = 2.0
MAX_PIECE_BYTES = 500_000  # a piece is written anew while it grows
log = logging.getLogger("speechmill")


def _line(record: logging.LogRecord) -> bytes:
    event: dict[str, Any] = {"time": round(time.time(), 3), "level": record.levelname.lower()}
    event |= public_values(getattr(record, "fields", {}) | {"message": record.getMessage()}, printable)
    return (json.dumps(event, ensure_ascii=False, default=str) + "\n").encode(errors="replace")


class JsonLines(logging.Handler):
    """Appends events to a file, one write per line, so that lines of several processes do not mix."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o644)

    def emit(self, record: logging.LogRecord) -> None:
        """Write one event."""
        os.write(self._file, _line(record))

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)
        super().close()


class JsonPieces(logging.Handler):
    """Collects events, and writes them every FLUSH_S to an object of their own, which grows up to MAX_PIECE_BYTES."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.path = store.path(LOG_FOLDER)
        self._store, self._closing = store, threading.Event()
        self._writing = threading.Lock()
        self._begin()
        threading.Thread(target=self._flush_often, daemon=True).start()

    def _begin(self) -> None:
        """Begin a piece. Names sort by the time of their beginning."""
        self._name = f"{LOG_FOLDER}/{time.time_ns():016x}{uuid.uuid4().hex[:16]}.jsonl"
        self._lines, self._written = bytearray(), 0

    def emit(self, record: logging.LogRecord) -> None:
        """Collect one event."""
        self._lines += _line(record)

    def flush(self) -> None:
        """Write the piece if it has grown. What cannot be written now is written later."""
        with self._writing:
            with self.lock or threading.RLock():
                name, content = self._name, bytes(self._lines)
            if len(content) == self._written:
                return
            try:
                with self._store.create(name) as file:
                    file.write(content)
            except OSError:
                return
            except object_store_errors():
                return
            with self.lock or threading.RLock():
                self._written = len(content)
                if self._written > MAX_PIECE_BYTES:
                    rest = self._lines[self._written :]
                    self._begin()
                    self._lines += rest

    def _flush_often(self) -> None:
        while not self._closing.wait(FLUSH_S):
            self.flush()

    def close(self) -> None:
        """Write what is left."""
        self._closing.set()
        self.flush()
        super().close()


class _Console(logging.StreamHandler[Any]):
    """Standard error as it is when a message comes: the live view takes its place, and prints messages above itself."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> Any:
        """The present standard error."""
        return sys.stderr


def log_listed(recordings: int, expected_s: float) -> None:
    """Log how much was listed, by which the live view knows the end.

    Args:
        recordings: Number of them.
        expected_s: Expected seconds of audio in them.
    """
    fields = {"listed": recordings, "expected_s": round(expected_s, 1)}
    log.info("listed %d recordings", recordings, extra={"fields": fields})


def open_log(store: Store, *, console: bool = False) -> None:
    """Log events of this process to the log of a corpus; `console`: warnings to the console too."""
    log.setLevel(logging.INFO)
    log.propagate = False
    path = store.path(LOG_FILE if store.is_local else LOG_FOLDER)
    if not any(isinstance(h, JsonLines | JsonPieces) and h.path == path for h in log.handlers):
        close_log()
        log.addHandler(JsonLines(store.path_for_append(LOG_FILE)) if store.is_local else JsonPieces(store))
    if console:
        handler = _Console()
        handler.setLevel(logging.WARNING)
        handler.setFormatter(Printable("speechmill: %(message)s"))
        log.addHandler(handler)


def close_log() -> None:
    """Close and remove all handlers."""
    for handler in list(log.handlers):
        log.removeHandler(handler)
        handler.close()


def flush_log() -> None:
    """Write what is collected: a worker of a cluster may be ended at any time after its bundle."""
    for handler in log.handlers:
        handler.flush()
