"""Reads podcast feeds (RSS or Atom, iTunes and podcast namespaces) and lists of feeds (OPML) from bytes."""

from collections.abc import Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from speechmill.core.reasons import Reason
from speechmill.core.records import RejectedError
from speechmill.fetch.consent import rsl
from speechmill.sources import Listed, failed, left_out, plain_text
from speechmill.sources.feeds.cut_apart import cut_apart, lost_in_words
from speechmill.sources.feeds.encodings import in_utf8, in_utf8_as_well_as_can_be, says_another_encoding
from speechmill.sources.feeds.fields import (
    ATOM_LINK,
    block,
    by_rsl,
    joined,
    of_channel,
    opted_out,
    podcast_text,
    terms_named,
)
from speechmill.sources.feeds.items import Fields, FromChannel, Reading
from speechmill.sources.feeds.repair import DECLARED, NotAFeedError, mended
from speechmill.sources.feeds.slices import ITUNES, Parts, TooMuchError, cut, local_name, tree
from speechmill.sources.feeds.unparsed import refusal_in, terms_in


class Feed:
    """A parsed feed or OPML list of feeds. `url` is its address."""

    def __init__(self, raw: bytes, url: str) -> None:
        """Read the bytes as XML. Raises RejectedError(BAD_FEED)."""
        self.keys: set[int] = set()  # hashes that identify the items, once they were read
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
        """New address of a feed that moved permanently (itunes:new-feed-url)."""
        elements = () if self._channel is None else self._channel.findall(f"{ITUNES}new-feed-url")
        return next((text for element in elements if (text := plain_text(element.text)) and text != self.url), None)

    @property
    def next_page(self) -> str | None:
        """Address of the page with older items (RFC 5005)."""
        links = () if self._channel is None else self._channel.findall(ATOM_LINK)
        links_by_rel = {link.get("rel"): plain_text(link.get("href")) for link in links}
        older = links_by_rel.get("next") or links_by_rel.get("prev-archive")
        return joined(self.url, older) if older else None

    @property
    def page(self) -> str | None:
        """The web page of the feed."""
        if self._channel is None:
            return None
        links = [self._channel.find("link"), *self._channel.findall(ATOM_LINK)]
        urls = (plain_text(link.text) or link.get("href") for link in links if link is not None and _is_page(link))
        return next((url for url in urls if url and url.startswith(("http://", "https://"))), None)

    def recordings(
        self, *, identity: str | None = None, by_feed: Mapping[str, Any] = MappingProxyType({}),
        refused: Mapping[str, Any] = MappingProxyType({}),
    ) -> Iterator[Listed]:  # fmt: skip
        """List the items. What cannot be read of a feed is a row with the reason, the last.

        The feed is identified by its podcast:guid, else by `identity`, else by its address; an item by its guid, or
        without a unique guid as `Identities` says. Of an item listed twice the first is used; items without enclosure
        are left out, and counted in a row.

        Args:
            identity: What identifies the feed if it has no podcast:guid.
            by_feed: Licence fields of items for which the feed states none.
            refused: Fields of all items, where a page that the feed names forbids their use.

        Raises:
            RejectedError: BAD_FEED, where the feed has no readable item.
        """
        reading = Reading(self.url)
        reading.add(self._parts.head, self._root)
        for part in self._parts.slices:
            reading.add(part, tree(part))
        for broken_item in self._parts.broken:
            reading.add_broken(broken_item)
        channel, block_statement, is_clear = self._channel, block(self._channel, "channel"), reading.is_clear()
        if not is_clear:  # it is unknown which items the feed's statements are about
            block_statement = self._may_be_refused()
            if self.speaks_of_licences:
                by_feed, channel = {}, None
        identity = podcast_text(channel, "guid") or identity or self.url
        shared = {"recording_id": identity, "source": "rss", "feed_url": self.url, **by_feed}
        self.keys = reading.keys
        shared |= of_channel(reading.feed, channel, self.url)
        overriding = opted_out(block_statement, self.url) or dict(refused)
        terms_documents = terms_named(self._channel, self.url) if is_clear else self._may_be_named()
        from_channel = FromChannel(
            shared, overriding, partial(self._by_terms, rsl.of_feed(channel)), terms_documents, self.page
        )
        yield from reading.recordings(from_channel)
        others = reading.left_out - (not self._parts.has_end)  # the item in which a feed breaks off has a row below
        if others > 0:
            yield left_out("rss", self.url, reason=Reason.NO_ENCLOSURE, detail=f"items without one: {others}")
        if missing := self._missing(reading.lost):
            yield failed("rss", self.url, reason=Reason.BAD_FEED, detail=missing)

    def _missing(self, lost: list[tuple[int, str]]) -> str:
        """Describe in one line what could not be read of a malformed feed; empty if nothing is missing."""
        words = [lost_in_words(lost, self._parts.items)] if lost else []
        if not self._parts.has_end:
            words.append(f"the feed breaks off in or after its item {self._parts.items}")
        return "; ".join(words)

    def _by_terms(self, contents: list[Element], row: Fields) -> dict[str, Any]:
        """Fields of an item by the RSL terms that the channel has for it, else for the feed."""
        places = [row["media_url"], *filter(None, (row["page_url"], self.url, self.page))]
        return by_rsl(rsl.judge_any(contents, places, self.url), "channel", self.url)

    def _may_be_refused(self) -> str | None:
        """A refusal in any part of the feed, for feeds whose parts cannot be told apart."""
        return next(filter(None, map(refusal_in, self._all_parts())), None)

    def _may_be_named(self) -> tuple[str, ...]:
        """RSL documents named in any part of the feed, for feeds whose parts cannot be told apart."""
        return tuple(dict.fromkeys(url for part in self._all_parts() for url in terms_in(part, self.url)))

    def _all_parts(self) -> list[bytes]:
        return [
            self._parts.head,
            *self._parts.slices,
            *(broken_item.document or b"" for broken_item in self._parts.broken),
        ]


def _parts(raw: bytes) -> Parts:
    """Split a feed; a malformed one is repaired and, if that fails, split at its items' tags."""
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
