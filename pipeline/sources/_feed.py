"""Reads the bytes of a podcast feed (RSS or Atom, iTunes and podcast namespaces) or of a list of feeds (OPML).

A feed is read slice by slice and its recordings are packed until all are known, because whether a guid identifies an
item only the whole feed tells: 100,000 items take the memory of some hundred, and some bytes each.
"""

import io
import logging
import pickle
import re
import zlib
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import urljoin
from xml.etree.ElementTree import Element, ParseError

from pipeline.records import Reason, Recording, Rejected, stable_id
from pipeline.sources import Listed, plain_text
from pipeline.sources._encodings import in_utf8
from pipeline.sources._items import ATOM_LINK, block, of_channel, of_item, opted_out, podcast_text
from pipeline.sources._slices import ITEMS, ITUNES, Parts, cut, local_name, tree

ROOT_OF_MALFORMED = re.compile(rb"<(rss|feed|rdf:RDF)[\s>]")
HEAD_BYTES = 4096
MAX_MALFORMED_BYTES = 1_000_000  # the time of feedparser's forgiving parser can grow with the square
# What may say that a feed is blocked, where its items cannot be told apart.
BLOCKED = re.compile(rb"<(?:itunes|podcast):block[^>]*>\s*(?:yes|true)\s*<", re.IGNORECASE)
# What a feed made of hostile bytes was seen to raise inside the parsers, or may.
PARSER_ERRORS = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, AssertionError, RecursionError)
_log = logging.getLogger("speechmill")


class Feed:
    """A feed, or an OPML list of feeds, that was read. `url` is where it was found."""

    def __init__(self, raw: bytes, url: str) -> None:
        """Read the bytes as XML. Raises Rejected(BAD_FEED)."""
        self.url, self._parts = url, _parts(raw)
        self._root = tree(self._parts.head) if self._parts.is_xml and self._parts.outlines is None else None
        below = () if self._root is None else self._root
        self._channel = next((child for child in below if local_name(child.tag) == "channel"), self._root)
        self._speaks_of_licences = b"license" in raw or b"licence" in raw

    @property
    def outlines(self) -> list[str] | None:
        """Addresses of the feeds that an OPML document lists; None for a feed."""
        if self._parts.outlines is None:
            return None
        names = (plain_text(address) for address in self._parts.outlines)
        return list(dict.fromkeys(urljoin(self.url, name) for name in names if name))

    @property
    def moved_to(self) -> str | None:
        """Where the feed says that it moved for good (itunes:new-feed-url)."""
        told = () if self._channel is None else self._channel.findall(f"{ITUNES}new-feed-url")
        return next((text for one in told if (text := plain_text(one.text)) and text != self.url), None)

    @property
    def next_page(self) -> str | None:
        """Address of the page with older items (RFC 5005)."""
        links = () if self._channel is None else self._channel.findall(ATOM_LINK)
        told = {link.get("rel"): plain_text(link.get("href")) for link in links}
        older = told.get("next") or told.get("prev-archive")
        return urljoin(self.url, older) if older else None

    @property
    def page(self) -> str | None:
        """The web page of the feed, if a licence may be looked for there: the feed itself states none anywhere."""
        if self._channel is None or self._speaks_of_licences:
            return None
        links = [self._channel.find("link"), *self._channel.findall(ATOM_LINK)]
        told = (plain_text(link.text) or link.get("href") for link in links if link is not None and _is_page(link))
        return next((url for url in told if url and url.startswith(("http://", "https://"))), None)

    def recordings(
        self, *, identity: str | None = None, by_feed: Mapping[str, Any] = MappingProxyType({})
    ) -> Iterator[Listed]:
        """List the items; `by_feed` are licence fields of those for which the feed states none.

        The feed is known by its podcast:guid, else by `identity`, else by its address; an item by its guid, or one
        without, or whose guid stands at several enclosures, by its enclosure's URL. Of an item listed twice the first
        counts; one without enclosure is left out. Raises Rejected(BAD_FEED).
        """
        reading = _Reading(self.url)
        reading.add(self._parts.head, self._root)
        for part in self._parts.slices:
            reading.add(part, tree(part))
        channel, blocked, is_clear = self._channel, block(self._channel, "channel"), reading.is_clear()
        if not is_clear:  # which items the feed's statements are about cannot be told
            blocked = "block of the feed or an item" if self._says_it_is_blocked() else None
            if self._speaks_of_licences:
                by_feed, channel = {}, None
        identity = podcast_text(channel, "guid") or identity or self.url
        shared = {"recording_id": identity, "source": "rss", "feed_url": self.url, **by_feed}
        return reading.recordings(shared | of_channel(reading.feed, channel), opted_out(blocked))

    def _says_it_is_blocked(self) -> bool:
        return any(BLOCKED.search(part) for part in (self._parts.head, *self._parts.slices))


class _Reading:
    """What was read of a feed so far; `feed` is what feedparser made of its head."""

    def __init__(self, url: str) -> None:
        self._url, self._packed = url, list[bytes]()
        self.feed: Mapping[str, Any] = {}
        self._is_feed, self._is_clear, self._left_out = False, True, 0
        self._enclosure_of, self._several = dict[int, int](), set[int]()  # hashes: of a guid, of one of its enclosures

    def add(self, part: bytes, root: Element | None) -> None:
        """Read the head or, after it, a slice; `root` is the same as XML, if it is. Raises Rejected(BAD_FEED)."""
        parsed = standard_fields(part, self._url)
        self.feed = self.feed or parsed.feed
        self._is_feed |= bool(parsed.version or parsed.entries)
        items = [] if root is None else [one for one in root.iter() if local_name(one.tag).lower() in ITEMS]
        is_clear = root is not None and len(items) == len(parsed.entries)
        self._is_clear &= is_clear
        pairs = zip(parsed.entries, items if is_clear else [None] * len(parsed.entries), strict=True)
        rows = [row for entry, item in pairs if (row := of_item(entry, item, self._url))["media_url"]]
        self._left_out += len(parsed.entries) - len(rows)
        for row in rows:
            guid, url = hash(row["guid"]), hash(row["media_url"])
            if self._enclosure_of.setdefault(guid, url) != url:
                self._several.add(guid)
        self._packed.append(zlib.compress(pickle.dumps(rows), 1))

    def is_clear(self) -> bool:
        """Whether it is known of each item what the feed says of it. Raises Rejected(BAD_FEED) if this was no feed."""
        if not self._is_feed:
            raise Rejected(Reason.BAD_FEED, "neither RSS nor Atom")
        if self._left_out:
            _log.info("%s: %d items have no enclosure and are left out", self._url, self._left_out)
        return self._is_clear

    def recordings(self, shared: dict[str, Any], overriding: dict[str, Any]) -> Iterator[Listed]:
        """Yield what was read. Of what is known as the same, the first counts."""
        seen = set[int]()
        while self._packed:
            for row in pickle.loads(zlib.decompress(self._packed.pop(0))):  # noqa: S301 - packed above
                own = row["guid"] if row["guid"] and hash(row["guid"]) not in self._several else row["media_url"]
                recording_id = stable_id("rss", shared["recording_id"], own)
                if hash(recording_id) in seen:
                    _log.info("%s: %s is listed twice; the first counts", self._url, own)
                    continue
                seen.add(hash(recording_id))
                yield Listed(recording=Recording(**{**shared, **row, **overriding, "recording_id": recording_id}))


def standard_fields(part: bytes, url: str) -> Any:
    """Let feedparser read a feed or a slice of one. Raises Rejected(BAD_FEED)."""
    import feedparser

    base = {"content-location": url} if "://" in url else {}
    try:
        # A file object, because feedparser takes a string, even of bytes, for a path to open first.
        return feedparser.parse(
            io.BytesIO(part), response_headers=base, sanitize_html=False, resolve_relative_uris=False
        )
    except PARSER_ERRORS as error:
        raise Rejected(Reason.BAD_FEED, f"not readable: {type(error).__name__}") from None


def _parts(raw: bytes, *, is_recoded: bool = False) -> Parts:
    """Cut a feed; one that is not well formed but seems to be a feed is all head, and no XML."""
    try:
        return cut(raw)
    except (ParseError, ValueError, LookupError) as error:
        if not is_recoded and (recoded := in_utf8(raw)):
            return _parts(recoded, is_recoded=True)
        if not ROOT_OF_MALFORMED.search(raw[:HEAD_BYTES]) or len(raw) > MAX_MALFORMED_BYTES or b"<!ENTITY" in raw:
            raise Rejected(Reason.BAD_FEED, f"not a feed: {error}"[:200]) from None
        return Parts(raw, is_xml=False)


def _is_page(link: Element) -> bool:
    return link.tag != ATOM_LINK or link.get("rel", "alternate") == "alternate"
