"""Identifies the items of a feed, so that they are recognised when the feed is read again.

A guid does, if it belongs to one enclosure only. Otherwise the address alone does not, since hosts sign it anew
for each reader; then title and date do, else title and length, else the address without its query.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from speechmill.core.records import stable_id

Key = tuple[str, ...]  # the name of a rule and the values it compares
Fields = Mapping[str, Any]


class Identities:
    """The items of one feed. A key shared by several enclosures identifies none, which only the whole feed shows."""

    def __init__(self) -> None:
        self._enclosure_of: dict[int, int] = {}  # hashes: of a key, of its first enclosure
        self._several: set[int] = set()

    def add(self, row: Fields) -> None:
        """Register an item by its fields; `enclosure_bytes` is the declared length of its enclosure."""
        url = hash(row["media_url"])
        for key in (*_by_guid(row), *_without_guid(row)):
            if self._enclosure_of.setdefault(hash(key), url) != url:
                self._several.add(hash(key))

    def keys(self, row: Fields) -> list[Key]:
        """Keys that identify an item, the most reliable first; only those based on its guid if that is unique."""
        by_guid = [key for key in _by_guid(row) if hash(key) not in self._several]
        has_guid = bool(by_guid) and by_guid[0][0] == "guid"
        return by_guid if has_guid else [key for key in _without_guid(row) if hash(key) not in self._several]

    def name(self, row: Fields, feed: str) -> dict[str, Any]:
        """Id of an item, its aliases, and the ids that earlier versions gave it."""
        keys, url = self.keys(row), row["media_url"]
        guid = next((key[1] for key in keys if key[0] == "guid"), None)
        by_url = stable_id("rss", feed, url)
        named = next((key for key in keys if key[0] != "url"), None)
        recording_id = stable_id("rss", feed, guid) if guid else stable_id("rss", feed, *named) if named else by_url
        formers = [by_url, *([stable_id("rss", feed, row["guid"])] if row["guid"] else [])]
        return {
            "recording_id": recording_id,
            "aliases": tuple(stable_id("rss", feed, *key) for key in keys),
            "former_ids": () if guid else tuple(former for former in formers if former != recording_id),
        }


def _by_guid(row: Fields) -> Iterator[Key]:
    guid, url, title, date, length = _normalised(row)
    if guid and _without_query(guid) != _without_query(
        url
    ):  # a guid that is the signed address of the enclosure changes
        yield "guid", guid
        if title and date and length:
            yield "item", title, date, length
        yield "same", url, title, date


def _without_guid(row: Fields) -> Iterator[Key]:
    _, url, title, date, length = _normalised(row)
    path, which = _without_query(url), date or length
    if title and date and length:
        yield "item", title, date, length
    if title and which:
        yield ("dated", title, date) if date else ("sized", title, length)
    yield "url", url, date
    if title:
        yield "file", path.rpartition("/")[2], title, which
    yield "path", path, title, which


def _normalised(row: Fields) -> tuple[str, str, str, str, str]:
    """Guid, address, title, date and length of an item, normalised; empty where missing."""
    title = " ".join(unicodedata.normalize("NFKC", row["title"] or "").casefold().split())
    seconds, size = row["declared_duration_s"], row.get("enclosure_bytes")
    length = f"{round(seconds)} s" if seconds else f"{size} bytes" if size else ""
    return row["guid"] or "", row["media_url"], title, row["published"] or "", length


def _without_query(url: str) -> str:
    """Host and path of an address."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    path = re.sub(r"/{2,}", "/", parts.path)
    return f"{parts.netloc.rpartition('@')[2].lower()}{path}" if parts.netloc or path else url
