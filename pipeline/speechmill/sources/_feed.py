"""Reads the bytes of a podcast feed (RSS or Atom, iTunes and podcast namespaces) or of a list of feeds (OPML)."""

from collections.abc import Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from speechmill.core.reasons import Reason
from speechmill.core.records import RejectedError
from speechmill.fetch.consent import rsl
from speechmill.sources import Listed, failed, plain_text
from speechmill.sources._cut_apart import cut_apart, lost_in_words
from speechmill.sources._encodings import in_utf8, in_utf8_as_well_as_can_be, says_another_encoding
from speechmill.sources._feed_items import Fields, FromChannel, Reading
from speechmill.sources._items import (
    ATOM_LINK,
    block,
    by_rsl,
    joined,
    of_channel,
    opted_out,
    podcast_text,
    terms_named,
)
from speechmill.sources._repair import DECLARED, NotAFeedError, mended
from speechmill.sources._slices import ITUNES, Parts, TooMuchError, cut, local_name, tree
from speechmill.sources._unparsed import refusal_in, terms_in


class Feed:
    """A feed, or an OPML list of feeds, that was read. `url` is where it was found."""

    def __init__(self, raw: bytes, url: str) -> None:
        """Read the bytes as XML. Raises RejectedError(BAD_FEED)."""
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
        Raises RejectedError(BAD_FEED) where that is all of it.
        """
        reading = Reading(self.url)
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
        by_channel = FromChannel(shared, overriding, partial(self._by_terms, rsl.of_feed(channel)), named, self.page)
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
        return next(filter(None, map(refusal_in, self._all_parts())), None)

    def _may_be_named(self) -> tuple[str, ...]:
        """Terms that the feed or an item of it names, where it cannot be told which."""
        return tuple(dict.fromkeys(url for part in self._all_parts() for url in terms_in(part, self.url)))

    def _all_parts(self) -> list[bytes]:
        return [self._parts.head, *self._parts.slices, *(one.document or b"" for one in self._parts.broken)]


def _parts(raw: bytes) -> Parts:
    """Cut a feed; one that is not well formed is mended, and if that does not help taken apart."""
    parts, fault = _cut(in_utf8_as_well_as_can_be(raw) if says_another_encoding(raw) else raw)
    if parts is None and (recoded := in_utf8(raw)):
        parts, fault = _cut(recoded)
    if parts is not None:
        return parts
    try:
        document = mended(in_utf8_as_well_as_can_be(raw), with_namespaces=not isinstance(fault, TooMuchError))
    except NotAFeedError:
        raise RejectedError(Reason.BAD_FEED, f"not a feed: {fault}"[:200]) from None
    if not isinstance(fault, TooMuchError):
        parts, fault = _cut(document)
    return parts or cut_apart(document)


def _cut(document: bytes) -> tuple[Parts | None, Exception | None]:
    is_undeclared = document.startswith(b"<") and not document.startswith(b"<?") and b"\0" not in document[:4]
    try:
        return cut(DECLARED + document if is_undeclared else document), None
    except (ParseError, ValueError, LookupError) as error:
        return None, error


def _is_page(link: Element) -> bool:
    return link.tag != ATOM_LINK or link.get("rel", "alternate") == "alternate"
