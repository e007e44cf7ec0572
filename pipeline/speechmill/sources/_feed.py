"""Reads the bytes of a podcast feed (RSS or Atom, iTunes and podcast namespaces) or of a list of feeds (OPML).

A feed is read slice by slice and its recordings are packed until all are known, because whether a guid identifies an
item only the whole feed tells: 100,000 items take the memory of some hundred, and some bytes each.
"""

import html
import io
import logging
import pickle
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from speechmill.core.records import Reason, Recording, Rejected, stable_id
from speechmill.fetch.consent import rsl
from speechmill.fetch.consent.robots import MAX_LICENCES
from speechmill.sources import Listed, failed, plain_text
from speechmill.sources._encodings import in_utf8, in_utf8_as_well_as_can_be, says_another_encoding
from speechmill.sources._identity import Identities
from speechmill.sources._items import (
    ATOM_LINK,
    block,
    by_rsl,
    joined,
    of_channel,
    of_item,
    opted_out,
    podcast_text,
    terms_named,
)
from speechmill.sources._repair import DECLARED, NotAFeed, cut_apart, lost_in_words, mended
from speechmill.sources._slices import ITEMS, ITUNES, Broken, Parts, TooMuch, cut, local_name, tree

# What may say that a feed is blocked, where its items cannot be told apart.
BLOCKED = re.compile(rb"<(?:itunes|podcast):block[^<>]*>\s*(?:yes|true)\s*<", re.IGNORECASE)
GENERATED = re.compile(rb"<podcast:txt\s[^<>]*ai-content[^<>]*>\s*(?:yes|true)\s*<", re.IGNORECASE)
NAMES_TERMS = re.compile(rb"<[^<>]*application/rsl\+xml[^<>]*>", re.IGNORECASE)
HREF = re.compile(rb"""href\s*=\s*["']([^"'<>]{1,2000})""", re.IGNORECASE)
ENCLOSED = re.compile(rb"enclosure", re.IGNORECASE)
# What a feed made of hostile bytes was seen to raise inside the parsers, or may.
PARSER_ERRORS = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, AssertionError, RecursionError)
_log = logging.getLogger("speechmill")

Fields = Mapping[str, Any]  # of a recording


class Feed:
    """A feed, or an OPML list of feeds, that was read. `url` is where it was found."""

    def __init__(self, raw: bytes, url: str) -> None:
        """Read the bytes as XML. Raises Rejected(BAD_FEED)."""
        self.keys: set[int] = set()  # hashes of what tells its items apart, once they were read
        self.url, self._parts = url, _parts(raw)
        self._root = tree(self._parts.head) if self._parts.is_xml and self._parts.outlines is None else None
        below = () if self._root is None else self._root
        self._channel = next((child for child in below if local_name(child.tag).lower() == "channel"), self._root)
        self.speaks_of_licences = b"license" in raw or b"licence" in raw

    @property
    def outlines(self) -> list[str] | None:
        """Addresses of the feeds that an OPML document lists; None for a feed."""
        if self._parts.outlines is None:
            return None
        names = (plain_text(address) for address in self._parts.outlines)
        return list(dict.fromkeys(joined(self.url, name) for name in names if name))

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
        return joined(self.url, older) if older else None

    @property
    def page(self) -> str | None:
        """The web page of the feed."""
        if self._channel is None:
            return None
        links = [self._channel.find("link"), *self._channel.findall(ATOM_LINK)]
        told = (plain_text(link.text) or link.get("href") for link in links if link is not None and _is_page(link))
        return next((url for url in told if url and url.startswith(("http://", "https://"))), None)

    def recordings(
        self, *, identity: str | None = None, by_feed: Mapping[str, Any] = MappingProxyType({}),
        refused: Mapping[str, Any] = MappingProxyType({}),
    ) -> Iterator[Listed]:  # fmt: skip
        """List the items; `by_feed` are licence fields of those for which the feed states none.

        `refused` are fields of all, where something that the feed names forbids to take them.

        The feed is known by its podcast:guid, else by `identity`, else by its address; an item by its guid, or one
        without, or whose guid stands at several enclosures, as `Identities` says. Of an item listed twice the first
        counts; one without enclosure is left out. What cannot be read of a feed is a row with the reason, the last.
        Raises Rejected(BAD_FEED) where that is all of it.
        """
        reading = _Reading(self.url)
        reading.add(self._parts.head, self._root)
        for part in self._parts.slices:
            reading.add(part, tree(part))
        for one in self._parts.broken:
            reading.add_broken(one)
        channel, blocked, is_clear = self._channel, block(self._channel, "channel"), reading.is_clear()
        if not is_clear:  # which items the feed's statements are about cannot be told
            blocked = self._may_be_refused()
            if self.speaks_of_licences:
                by_feed, channel = {}, None
        identity = podcast_text(channel, "guid") or identity or self.url
        shared = {"recording_id": identity, "source": "rss", "feed_url": self.url, **by_feed}
        self.keys = reading.keys
        shared |= of_channel(reading.feed, channel, self.url)
        overriding = opted_out(blocked, self.url) or dict(refused)
        named = terms_named(self._channel, self.url) if is_clear else self._may_be_named()
        by_channel = _ByChannel(shared, overriding, partial(self._by_terms, rsl.of_feed(channel)), named, self.page)
        yield from reading.recordings(by_channel)
        if missing := self._missing(reading.lost):
            yield failed("rss", self.url, reason=Reason.BAD_FEED, detail=missing)

    def _missing(self, lost: list[tuple[int, str]]) -> str:
        """What of a feed that is not well formed could not be read, in one line; empty if nothing."""
        words = [lost_in_words(lost, self._parts.items)] if lost else []
        if not self._parts.has_end:
            words.append(f"the feed breaks off in or after its item {self._parts.items}")
        return "; ".join(words)

    def _by_terms(self, contents: list[Element], row: Fields) -> dict[str, Any]:
        """Fields of an item by the terms that the channel has for it, else for the feed; else any no counts."""
        places = [row["media_url"], *filter(None, (row["page_url"], self.url, self.page))]
        return by_rsl(rsl.judge_any(contents, places, self.url), "channel", self.url)

    def _may_be_refused(self) -> str | None:
        """What refuses the feed or an item of it, where it cannot be told which."""
        return next(filter(None, map(_refusal_in, self._all_parts())), None)

    def _may_be_named(self) -> tuple[str, ...]:
        """Terms that the feed or an item of it names, where it cannot be told which."""
        return tuple(dict.fromkeys(url for part in self._all_parts() for url in _terms_in(part, self.url)))

    def _all_parts(self) -> list[bytes]:
        return [self._parts.head, *self._parts.slices, *(one.document or b"" for one in self._parts.broken)]


@dataclass(frozen=True, slots=True)
class _ByChannel:
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


class _Reading:
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
        """Read the head or, after it, a slice; `root` is the same as XML, if it is. Raises Rejected(BAD_FEED)."""
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
            except Rejected:
                pass
        if not any(row["media_url"] for row in found) and ENCLOSED.search(broken.document or b"<enclosure"):
            self.lost.append((broken.number, broken.cause))
            return
        doubts = _doubts(broken.document or b"", self._url)
        self._keep([row | doubts for row in found])

    def _keep(self, found: list[dict[str, Any]]) -> None:
        self.keys.update(_key(row) for row in found)
        rows = [row for row in found if row["media_url"]]
        self._left_out += len(found) - len(rows)
        for row in rows:
            self._identities.add(row)
        self._packed.append(zlib.compress(pickle.dumps(rows), 1))

    def is_clear(self) -> bool:
        """Whether it is known of each item what the feed says of it. Raises Rejected(BAD_FEED) if this was no feed."""
        if not self._is_feed:
            raise Rejected(Reason.BAD_FEED, "neither RSS nor Atom")
        if self.lost and not self.keys:
            raise Rejected(Reason.BAD_FEED, f"none of its items can be read; item {self.lost[0][0]}: {self.lost[0][1]}")
        if self._left_out:
            _log.info("%s: %d items have no enclosure and are left out", self._url, self._left_out)
        return self._is_clear

    def recordings(self, channel: _ByChannel) -> Iterator[Listed]:
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


def _parts(raw: bytes) -> Parts:
    """Cut a feed; one that is not well formed is mended, and if that does not help taken apart."""
    parts, fault = _cut(in_utf8_as_well_as_can_be(raw) if says_another_encoding(raw) else raw)
    if parts is None and (recoded := in_utf8(raw)):
        parts, fault = _cut(recoded)
    if parts is not None:
        return parts
    try:
        document = mended(in_utf8_as_well_as_can_be(raw), with_namespaces=not isinstance(fault, TooMuch))
    except NotAFeed:
        raise Rejected(Reason.BAD_FEED, f"not a feed: {fault}"[:200]) from None
    if not isinstance(fault, TooMuch):
        parts, fault = _cut(document)
    return parts or cut_apart(document)


def _cut(document: bytes) -> tuple[Parts | None, Exception | None]:
    is_undeclared = document.startswith(b"<") and not document.startswith(b"<?") and b"\0" not in document[:4]
    try:
        return cut(DECLARED + document if is_undeclared else document), None
    except (ParseError, ValueError, LookupError) as error:
        return None, error


def _key(row: Mapping[str, Any]) -> int:
    """What tells items apart from page to page: not the address of an enclosure, which may be another each time."""
    named = row["guid"] or row["page_url"] or row["title"]
    return hash((row["guid"], row["page_url"], row["title"], row["published"]) if named else row["media_url"])


def _doubts(item: bytes, url: str) -> dict[str, Any]:
    """Fields of an item whose words about its licence, and whether it is blocked, cannot be matched to elements."""
    is_licensed = b"license" in item or b"licence" in item
    unknown = {"licence": "unknown", "licence_evidence": "the item is not well formed"} if is_licensed else {}
    marked = {"ai_generated": True} if GENERATED.search(item) else {}
    terms = tuple(_terms_in(item, url))
    return unknown | marked | opted_out(_refusal_in(item), url) | ({"terms": terms} if terms else {})


def _terms_in(part: bytes, url: str) -> Iterator[str]:
    """Addresses of RSL documents that seem to be named in bytes that may be no XML."""
    for tag in NAMES_TERMS.findall(part)[:MAX_LICENCES]:
        if found := HREF.search(tag):
            yield joined(url, plain_text(html.unescape(found[1].decode("utf-8", "replace"))) or "")


def _refusal_in(part: bytes) -> str | None:
    """What seems to refuse an item or a feed, in bytes that are no XML."""
    if BLOCKED.search(part):
        return "block of the feed or an item"
    is_refused = rsl.MARK.encode() in part and any(word in part for word in (b"prohibits", b"payment", b"server="))
    return "RSL of the feed or an item" if is_refused else None


def _joined(parts: list[Fields]) -> dict[str, Any]:
    """Fields of a recording of which the later count; but terms of use are no licence where another is stated."""
    fields: dict[str, Any] = {}
    for part in parts:
        is_by_terms = (part.get("licence_evidence") or "").startswith("RSL ") and fields.get("licence_evidence")
        consent = (*fields.get("consent", ()), *part.get("consent", ()))
        fields |= {name: value for name, value in part.items() if not (is_by_terms and name.startswith("licence"))}
        fields["consent"] = tuple(dict.fromkeys(consent))
    return fields


def _is_page(link: Element) -> bool:
    return link.tag != ATOM_LINK or link.get("rel", "alternate") == "alternate"
