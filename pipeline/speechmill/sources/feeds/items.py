"""Parses the items of a feed, slice by slice, and makes recordings of them once all are known.

Items are kept compressed until then, because only the whole feed shows whether a guid is unique: 100,000 items take
the memory of a few hundred, and some bytes each.
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
from speechmill.sources.feeds.fields import (
    of_item,
)
from speechmill.sources.feeds.identity import Identities
from speechmill.sources.feeds.slices import ITEMS, Broken, local_name
from speechmill.sources.feeds.unparsed import cautious_fields

ENCLOSED = re.compile(rb"enclosure", re.IGNORECASE)
# Exceptions that parsers raise, or may raise, on hostile bytes.
PARSER_ERRORS = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, AssertionError, RecursionError)
_log = logging.getLogger("speechmill")
Fields = Mapping[str, Any]  # of a recording


@dataclass(frozen=True, slots=True)
class FromChannel:
    """What the items of a feed inherit from its channel.

    shared: fields that an item's own override. overriding: fields that override an item's own. by_terms: fields of an
    item by the RSL terms in the channel. named: addresses of RSL documents that the channel names. page: its web page.
    """

    shared: dict[str, Any]
    overriding: dict[str, Any]
    by_terms: Callable[[Fields], dict[str, Any]]
    named: tuple[str, ...]
    page: str | None

    def listed(self, row: dict[str, Any], identity: dict[str, Any]) -> Listed:
        """Make a recording of an item's own fields and its identity."""
        terms, recording_id = row.pop("terms"), {"recording_id": identity.pop("recording_id")}
        fields = _joined([self.shared, self.by_terms(row), row, self.overriding])
        terms = self.named if terms is None else terms
        places = (row["media_url"], row["page_url"], self.shared["feed_url"], self.page) if terms else ()
        return Listed(
            recording=Recording(**fields | recording_id), terms=terms, places=tuple(filter(None, places)), **identity
        )


class Reading:
    """The items of a feed read so far; `feed` has feedparser's fields of its head.

    `keys` are hashes that identify items, with or without an enclosure; `lost` has number and fault of each item that
    could not be read; `left_out` counts those without an enclosure.
    """

    def __init__(self, url: str) -> None:
        self._url, self._packed = url, list[bytes]()
        self.keys, self.lost = set[int](), list[tuple[int, str]]()
        self.feed: Mapping[str, Any] = {}
        self._is_feed, self._is_clear, self.left_out = False, True, 0
        self._identities = Identities()

    def add(self, part: bytes, root: Element | None) -> None:
        """Parse the head or, after it, a slice. `root` is its XML tree, None if malformed.

        Raises RejectedError(BAD_FEED).
        """
        parsed = standard_fields(part, self._url)
        self.feed = self.feed or parsed.feed
        self._is_feed |= bool(parsed.version or parsed.entries)
        items = [] if root is None else [element for element in root.iter() if local_name(element.tag).lower() in ITEMS]
        is_clear = root is not None and len(items) == len(parsed.entries)
        self._is_clear &= is_clear
        pairs = zip(parsed.entries, items if is_clear else [None] * len(parsed.entries), strict=True)
        read = [of_item(entry, item, self._url) for entry, item in pairs]
        self.left_out += sum(not row["media_url"] for row in read)
        self._keep(read)

    def add_broken(self, broken: Broken) -> None:
        """Parse an item that is not XML. Its statements about licence and blocking are interpreted cautiously."""
        rows = []
        if broken.document is not None:
            try:
                entries = standard_fields(broken.document, self._url).entries
                rows = [of_item(entry, None, self._url) for entry in entries]
            except RejectedError:
                pass
        if not any(row["media_url"] for row in rows) and ENCLOSED.search(broken.document or b"<enclosure"):
            self.lost.append((broken.number, broken.cause))
            return
        cautious = cautious_fields(broken.document or b"", self._url)
        self._keep([row | cautious for row in rows])

    def _keep(self, items: list[dict[str, Any]]) -> None:
        self.keys.update(_key(row) for row in items)
        rows = [row for row in items if row["media_url"]]
        for row in rows:
            self._identities.add(row)
        self._packed.append(zlib.compress(pickle.dumps(rows), 1))

    def is_clear(self) -> bool:
        """Whether each item's statements could be assigned to it.

        Raises RejectedError(BAD_FEED) if this is no feed.
        """
        if not self._is_feed:
            raise RejectedError(Reason.BAD_FEED, "neither RSS nor Atom")
        if self.lost and not self.keys:
            raise RejectedError(
                Reason.BAD_FEED, f"none of its items can be read; item {self.lost[0][0]}: {self.lost[0][1]}"
            )
        return self._is_clear

    def recordings(self, channel: FromChannel) -> Iterator[Listed]:
        """Yield the recordings. Of duplicates the first is used."""
        seen = set[int]()
        while self._packed:
            for row in pickle.loads(zlib.decompress(self._packed.pop(0))):  # noqa: S301 - packed above
                feed = channel.shared["recording_id"]
                identity = self._identities.name(row, feed)
                del row["enclosure_bytes"]
                same = {hash(identity["recording_id"])}
                if identity["former_ids"]:  # without a guid, items with the same enclosure are duplicates
                    same.add(hash(stable_id("rss", feed, row["media_url"])))
                if same & seen:
                    _log.info("%s: %s is listed twice; the first counts", self._url, row["guid"] or row["media_url"])
                    continue
                seen |= same
                yield channel.listed(row, identity)


def standard_fields(part: bytes, url: str) -> Any:
    """Parse a feed or a slice with feedparser. Raises RejectedError(BAD_FEED)."""
    import feedparser

    base = {"content-location": url} if "://" in url else {}
    try:
        # A file object, because feedparser first tries to open a string, even of bytes, as a path.
        return feedparser.parse(
            io.BytesIO(part), response_headers=base, sanitize_html=False, resolve_relative_uris=False
        )
    except PARSER_ERRORS as error:
        raise RejectedError(Reason.BAD_FEED, f"not readable: {type(error).__name__}") from None


def _key(row: Mapping[str, Any]) -> int:
    """Hash that identifies an item across pages; an enclosure's address is used last, as it may change each time."""
    named = row["guid"] or row["page_url"] or row["title"]
    return hash((row["guid"], row["page_url"], row["title"], row["published"]) if named else row["media_url"])


def _joined(parts: list[Fields]) -> dict[str, Any]:
    """Merge fields, the later taking precedence; but RSL terms do not replace a stated licence."""
    fields: dict[str, Any] = {}
    for part in parts:
        is_by_terms = (part.get("licence_evidence") or "").startswith("RSL ") and fields.get("licence_evidence")
        consent = (*fields.get("consent", ()), *part.get("consent", ()))
        fields |= {name: value for name, value in part.items() if not (is_by_terms and name.startswith("licence"))}
        fields["consent"] = tuple(dict.fromkeys(consent))
    return fields
