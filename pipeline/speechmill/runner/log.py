"""The log of a run: `work/log.jsonl`, one JSON object per line and event, from all processes of the run.

The progress display reads it, so that it works alike with one process and with several.
"""

import json
import logging
import os
import time
from typing import Any

from speechmill.core.build import LOG_FILE
from speechmill.core.store import Store
from speechmill.core.terminal import Printable, printable
from speechmill.core.urls import public_values

log = logging.getLogger("speechmill")


class JsonLines(logging.Handler):
    """Appends events to a file, one write per line, so that lines of several processes do not mix."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o644)

    def emit(self, record: logging.LogRecord) -> None:
        """Write one event."""
        event: dict[str, Any] = {"time": round(time.time(), 3), "level": record.levelname.lower()}
        event |= public_values(getattr(record, "fields", {}) | {"message": record.getMessage()}, printable)
        os.write(self._file, (json.dumps(event, ensure_ascii=False, default=str) + "\n").encode(errors="replace"))

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)
        super().close()


def open_log(store: Store, *, console: bool = False) -> None:
    """Log events of this process to the log of a corpus (local stores only); `console`: warnings to the console too."""
    log.setLevel(logging.INFO)
    log.propagate = False
    path = store.path(LOG_FILE)
    if store.is_local and not any(isinstance(h, JsonLines) and h.path == path for h in log.handlers):
        close_log()
        log.addHandler(JsonLines(store.path_for_append(LOG_FILE)))
    if console:
        handler = logging.StreamHandler()
        handler.setLevel(logging.WARNING)
        handler.setFormatter(Printable("speechmill: %(message)s"))
        log.addHandler(handler)


def close_log() -> None:
    """Close and remove all handlers."""
    for handler in list(log.handlers):
        log.removeHandler(handler)
        handler.close()
