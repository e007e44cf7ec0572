"""Reads the items of a feed, slice by slice, and makes recordings of them once all are known.

They are packed until then, because whether a guid identifies an item only the whole feed tells: 100,000 items take the
memory of some hundred, and some bytes each.
"""

import io
import logging
import pickle
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element

from speechmill.core.reasons import Reason
from speechmill.core.records import Recording, RejectedError, stable_id
from speechmill.sources import Listed
from speechmill.sources._identity import Identities
from speechmill.sources._items import (
    of_item,
)
from speechmill.sources._slices import ITEMS, Broken, local_name
from speechmill.sources._unparsed import doubts

ENCLOSED = re.compile(rb"enclosure", re.IGNORECASE)
# What a feed made of hostile bytes was seen to raise inside the parsers, or may.
PARSER_ERRORS = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, AssertionError, RecursionError)
_log = logging.getLogger("speechmill")
Fields = Mapping[str, Any]  # of a recording


@dataclass(frozen=True, slots=True)
class FromChannel:
    """What the items of a feed have from it.

    shared, overriding: fields that those of an item override, or that override them. by_terms: fields of an item by the
    terms that stand in the channel. named, page: addresses of the RSL that the channel names, and of its web page.
    """

    shared: dict[str, Any]
    overriding: dict[str, Any]
    by_terms: Callable[[Fields], dict[str, Any]]
    named: tuple[str, ...]
    page: str | None

    def listed(self, row: dict[str, Any], identity: dict[str, Any]) -> Listed:
        """List an item by its own fields, and what it is known by."""
        terms, recording_id = row.pop("terms"), {"recording_id": identity.pop("recording_id")}
        fields = _joined([self.shared, self.by_terms(row), row, self.overriding])
        terms = self.named if terms is None else terms
        places = (row["media_url"], row["page_url"], self.shared["feed_url"], self.page) if terms else ()
        return Listed(
            recording=Recording(**fields | recording_id), terms=terms, places=tuple(filter(None, places)), **identity
        )


class Reading:
    """What was read of a feed so far; `feed` is what feedparser made of its head.

    `keys` are hashes of what tells items apart, whether they have an enclosure or not; `lost` is which could not be
    read, and why.
    """

    def __init__(self, url: str) -> None:
        self._url, self._packed = url, list[bytes]()
        self.keys, self.lost = set[int](), list[tuple[int, str]]()
        self.feed: Mapping[str, Any] = {}
        self._is_feed, self._is_clear, self._left_out = False, True, 0
        self._identities = Identities()

    def add(self, part: bytes, root: Element | None) -> None:
        """Read the head or, after it, a slice; `root` is the same as XML, if it is. Raises RejectedError(BAD_FEED)."""
        parsed = standard_fields(part, self._url)
        self.feed = self.feed or parsed.feed
        self._is_feed |= bool(parsed.version or parsed.entries)
        items = [] if root is None else [one for one in root.iter() if local_name(one.tag).lower() in ITEMS]
        is_clear = root is not None and len(items) == len(parsed.entries)
        self._is_clear &= is_clear
        pairs = zip(parsed.entries, items if is_clear else [None] * len(parsed.entries), strict=True)
        self._keep([of_item(entry, item, self._url) for entry, item in pairs])

    def add_broken(self, broken: Broken) -> None:
        """Read an item that is no XML. Which words of it are about its licence or block it cannot be told for sure."""
        found = []
        if broken.document is not None:
            try:
                entries = standard_fields(broken.document, self._url).entries
                found = [of_item(entry, None, self._url) for entry in entries]
            except RejectedError:
                pass
        if not any(row["media_url"] for row in found) and ENCLOSED.search(broken.document or b"<enclosure"):
            self.lost.append((broken.number, broken.cause))
            return
        doubtful = doubts(broken.document or b"", self._url)
        self._keep([row | doubtful for row in found])

    def _keep(self, found: list[dict[str, Any]]) -> None:
        self.keys.update(_key(row) for row in found)
        rows = [row for row in found if row["media_url"]]
        self._left_out += len(found) - len(rows)
        for row in rows:
            self._identities.add(row)
        self._packed.append(zlib.compress(pickle.dumps(rows), 1))

    def is_clear(self) -> bool:
        """Whether it is known of each item what the feed says of it.

        Raises RejectedError(BAD_FEED) if this was no feed.
        """
        if not self._is_feed:
            raise RejectedError(Reason.BAD_FEED, "neither RSS nor Atom")
        if self.lost and not self.keys:
            raise RejectedError(
                Reason.BAD_FEED, f"none of its items can be read; item {self.lost[0][0]}: {self.lost[0][1]}"
            )
        if self._left_out:
            _log.info("%s: %d items have no enclosure and are left out", self._url, self._left_out)
        return self._is_clear

    def recordings(self, channel: FromChannel) -> Iterator[Listed]:
        """Yield what was read. Of what is known as the same, the first counts."""
        seen = set[int]()
        while self._packed:
            for row in pickle.loads(zlib.decompress(self._packed.pop(0))):  # noqa: S301 - packed above
                feed = channel.shared["recording_id"]
                identity = self._identities.name(row, feed)
                del row["enclosure_bytes"]
                same = {hash(identity["recording_id"])}
                if identity["former_ids"]:  # without a guid: one enclosure is one item, whatever is said of it
                    same.add(hash(stable_id("rss", feed, row["media_url"])))
                if same & seen:
                    _log.info("%s: %s is listed twice; the first counts", self._url, row["guid"] or row["media_url"])
                    continue
                seen |= same
                yield channel.listed(row, identity)


def standard_fields(part: bytes, url: str) -> Any:
    """Let feedparser read a feed or a slice of one. Raises RejectedError(BAD_FEED)."""
    import feedparser

    base = {"content-location": url} if "://" in url else {}
    try:
        # A file object, because feedparser takes a string, even of bytes, for a path to open first.
        return feedparser.parse(
            io.BytesIO(part), response_headers=base, sanitize_html=False, resolve_relative_uris=False
        )
    except PARSER_ERRORS as error:
        raise RejectedError(Reason.BAD_FEED, f"not readable: {type(error).__name__}") from None


def _key(row: Mapping[str, Any]) -> int:
    """What tells items apart from page to page: not the address of an enclosure, which may be another each time."""
    named = row["guid"] or row["page_url"] or row["title"]
    return hash((row["guid"], row["page_url"], row["title"], row["published"]) if named else row["media_url"])


def _joined(parts: list[Fields]) -> dict[str, Any]:
    """Fields of a recording of which the later count; but terms of use are no licence where another is stated."""
    fields: dict[str, Any] = {}
    for part in parts:
        is_by_terms = (part.get("licence_evidence") or "").startswith("RSL ") and fields.get("licence_evidence")
        consent = (*fields.get("consent", ()), *part.get("consent", ()))
        fields |= {name: value for name, value in part.items() if not (is_by_terms and name.startswith("licence"))}
        fields["consent"] = tuple(dict.fromkeys(consent))
    return fields
