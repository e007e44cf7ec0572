"""Cache of hosts' signals for a day: parsed in memory, unparsed in `work/hosts/`."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar
from xml.etree.ElementTree import Element

from speechmill.core.store import Store
from speechmill.fetch.consent import rsl
from speechmill.fetch.consent.robots import Robots
from speechmill.fetch.consent.signals import CRAWLING, PARSER_ERRORS, Words
from speechmill.fetch.consent.tdm import Reservations

ROBOTS, AI, TDMREP = FILES = ("/robots.txt", "/ai.txt", "/.well-known/tdmrep.json")
MAX_FILE_BYTES = 512_000  # RFC 9309 2.5: at least 500 KiB of robots.txt count
MAX_AGE_S = 24 * 3600.0  # RFC 9309 2.4: do not use an older copy


class Rules:
    """Parsed rule files of a host; `when` in seconds since 1970."""

    def __init__(self, stored: dict[str, Any], *, agents: tuple[str, ...]) -> None:
        files, self._origin, self.when = stored["files"], str(stored["origin"]), float(stored["when"])
        self.robots, self._ai = (Robots(files.get(path, ""), agents) for path in (ROBOTS, AI))
        self._tdm = Reservations(files.get(TDMREP, ""), self._origin)

    def against(self, path: str) -> Iterator[Words]:
        """Signals against fetching a path, with its query."""
        if line := self.robots.disallows(path):
            yield CRAWLING, line, f"{self._origin}{ROBOTS}"
        if line := self._ai.disallows(path):
            yield "ai.txt", line, f"{self._origin}{AI}"
        for name, value in self.robots.forbids_training(path):
            yield name, value, f"{self._origin}{ROBOTS}"
        if (where := self._tdm.reserves(path)) is not None:
            yield "tdmrep.json", f"reserves {where}", f"{self._origin}{TDMREP}"


class Document:
    """A parsed RSL document; `fault` says why it cannot be parsed."""

    def __init__(self, stored: dict[str, Any]) -> None:
        self.when, self.fault = float(stored["when"]), ""
        self.contents: list[Element] = []
        try:
            self.contents = rsl.read(str(stored["text"])) or []
        except ValueError as error:
            self.fault = str(error)


Kept = TypeVar("Kept", Rules, Document)
_memory: dict[tuple[str, ...], Any] = {}
_locks: dict[tuple[str, ...], threading.Lock] = {}
_locks_lock = threading.Lock()


def remembered(
    key: tuple[str, ...], store: Store, ask: Callable[[], dict[str, Any]], read: Callable[[dict[str, Any]], Kept]
) -> Kept:
    """Get something from memory, from the store, or by `ask`; only what can be parsed is stored.

    Args:
        key: Name in the store, then what else determines how it is parsed.
        store: Of the run.
        ask: Fetches it.
        read: Parses it.
    """
    with _lock_of((store.root, *key)):
        kept: Kept | None = _memory.get((store.root, *key)) or _stored(key[0], store, read)
        if kept is None or not 0 <= time.time() - kept.when < MAX_AGE_S:
            fetched = ask() | {"when": time.time()}
            kept = read(fetched)
            store.write_json(key[0], fetched)
        _memory[store.root, *key] = kept
    return kept


def text_of(raw: bytes | None) -> str:
    """Decode a file, up to its last complete line."""
    raw = raw or b""
    if len(raw) >= MAX_FILE_BYTES:
        raw = raw[: raw.rfind(b"\n") + 1] or raw
    return decoded(raw)


def decoded(raw: bytes) -> str:
    """Decode a text in UTF-8 or UTF-16, with or without a byte order mark."""
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return raw.decode("utf-16", "replace")
    bare = {b"\0": "utf-16-be"}.get(raw[:1]) or {b"\0": "utf-16-le"}.get(raw[1:2])
    return raw.decode(bare or "utf-8-sig", "replace")


def _lock_of(key: tuple[str, ...]) -> threading.Lock:
    with _locks_lock:
        return _locks.setdefault(key, threading.Lock())


def _stored(name: str, store: Store, read: Callable[[dict[str, Any]], Kept]) -> Kept | None:
    """What an earlier run stored; None where it cannot be parsed."""
    try:
        stored = store.read_json(name)
        return read(stored) if stored else None
    except PARSER_ERRORS:
        return None
