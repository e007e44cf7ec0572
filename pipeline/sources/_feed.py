"""Reads the bytes of a podcast feed (RSS 2.0 or Atom, iTunes and podcast namespaces) or of a list of feeds (OPML).

feedparser forgives what real feeds do wrong. Of repeated elements of the podcast namespace it keeps the last
only, so those are read from the same bytes by defusedxml, which also refuses entity bombs.
"""

import calendar
import io
import logging
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any
from urllib.parse import urljoin
from xml.etree.ElementTree import Element, ParseError, TreeBuilder

from pipeline.records import Attachment, Reason, Recording, Rejected, Status, stable_id
from pipeline.sources import Listed, language_tag, plain_text
from pipeline.sources._licences import CC_URL, spdx_of

PODCAST = (
    "{https://podcastindex.org/namespace/1.0}",
    "{https://github.com/Podcastindex-org/podcast-namespace/blob/main/docs/1.0.md}",
)
ITUNES = "{http://www.itunes.com/dtds/podcast-1.0.dtd}"
ATOM_LINK = "{http://www.w3.org/2005/Atom}link"
RDF_RESOURCE = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}resource"
FEED_ROOTS = ("rss", "feed", "RDF", "opml")
ROOT_OF_MALFORMED = re.compile(rb"<(rss|feed|rdf:RDF)[\s>]")
HEAD_BYTES = 4096
MAX_MALFORMED_BYTES = 1_000_000  # the time of feedparser's forgiving parser can grow with the square
MAX_PERSONS, MAX_FILES = 100, 20
SERVICE = "speechmill"  # our name where podcast:block names one
# What may say that a feed is blocked, where its items cannot be told apart.
BLOCKED = re.compile(rb"<(?:itunes|podcast):block[^>]*>\s*(?:yes|true)\s*<", re.IGNORECASE)
MAX_DEPTH = 200  # XHTML in a description may nest, but not like this

DURATION = re.compile(r"(?:(?:(\d{1,4}):)?(\d{1,4}):)?(\d{1,7}(?:\.\d{1,9})?)", re.ASCII)
# What a feed made of hostile bytes was seen to raise inside the parsers, or may.
PARSER_ERRORS = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, AssertionError, RecursionError)
_log = logging.getLogger("speechmill")


class Feed:
    """A feed, or an OPML list of feeds, that was read. `url` is where it was found."""

    def __init__(self, raw: bytes, url: str) -> None:
        """Read the bytes as XML. Raises Rejected(BAD_FEED)."""
        self._raw, self.url, self._tree = raw, url, _tree(raw)
        self._channel = None if self._tree is None else _channel_of(self._tree)

    @property
    def outlines(self) -> list[str] | None:
        """Addresses of the feeds that an OPML document lists; None for a feed."""
        if self._tree is None or _local_name(self._tree) != "opml":
            return None
        named = (plain_text(outline.get("xmlUrl")) for outline in self._tree.iter("outline"))
        return list(dict.fromkeys(urljoin(self.url, name) for name in named if name))

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
        if self._channel is None or b"license" in self._raw or b"licence" in self._raw:
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
        feed, entries = _standard_fields(self._raw, self.url)
        channel, items = self._channel, _items(self._tree, len(entries))
        block = _block(channel, "channel")
        if items is None:  # which items the feed's statements are about cannot be told
            block = "block of the feed or an item" if BLOCKED.search(self._raw) else None
            if b"license" in self._raw:
                by_feed, channel = {}, None
        identity = _podcast_text(channel, "guid") or identity or self.url
        shared = {
            "recording_id": identity, "source": "rss", "feed_url": self.url, "persons": _persons(channel),
            **(_stated_licence(channel, "channel") or by_feed),
        }  # fmt: skip
        pairs = zip(entries, items or [None] * len(entries), strict=True)
        told = (shared | _described(entry, feed) | self._of_item(entry, item, block) for entry, item in pairs)
        listing = [Recording(**one) for one in told if one["media_url"]]
        if len(listing) < len(entries):
            _log.info("%s: %d items have no enclosure and are left out", self.url, len(entries) - len(listing))
        return _identified(listing, identity, self.url)

    def _of_item(self, entry: Mapping[str, Any], item: Element | None, block: str | None) -> dict[str, Any]:
        """Fields that one item has of its own."""
        others = _alternates(item, self.url)
        url = _enclosure(entry, self.url) or next(iter(others), None)
        found = {
            "media_url": url, "alternates": tuple(other for other in others if other != url),
            "attachments": _attachments(item, self.url), "guid": plain_text(entry.get("id")),
            **_stated_licence(item, "item"), **_opted_out(block or _block(item, "item")),
        }  # fmt: skip
        return found | ({"persons": persons} if (persons := _persons(item)) else {})


class _ShallowTree(TreeBuilder):
    """Builds the tree of a document that is nested no deeper than a feed can be."""

    depth = 0

    def start(self, tag: str, attrs: dict[str, str], /) -> Element:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Rejected(Reason.BAD_FEED, f"nested more than {MAX_DEPTH} deep")
        return super().start(tag, attrs)

    def end(self, tag: str, /) -> Element:
        self.depth -= 1
        return super().end(tag)


def _tree(raw: bytes) -> Element | None:
    """The feed as XML, or None where it is not well formed but seems to be a feed."""
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import DefusedXMLParser

    parser = DefusedXMLParser(target=_ShallowTree(), forbid_entities=True, forbid_external=True)
    try:
        parser.feed(raw)
        tree: Element = parser.close()
    except DefusedXmlException:
        raise Rejected(Reason.BAD_FEED, "declares entities") from None
    except (ParseError, ValueError, LookupError) as error:
        if not ROOT_OF_MALFORMED.search(raw[:HEAD_BYTES]) or len(raw) > MAX_MALFORMED_BYTES or b"<!ENTITY" in raw:
            raise Rejected(Reason.BAD_FEED, f"not a feed: {error}"[:200]) from None
        return None
    if _local_name(tree) not in FEED_ROOTS:
        raise Rejected(Reason.BAD_FEED, f"not a feed, its root is <{_local_name(tree)[:40]}>")
    return tree


def _standard_fields(raw: bytes, feed_url: str) -> tuple[Mapping[str, Any], list[Mapping[str, Any]]]:
    import feedparser

    base = {"content-location": feed_url} if "://" in feed_url else {}
    try:
        # A file object, because feedparser takes a string, even of bytes, for a path to open first.
        parsed = feedparser.parse(
            io.BytesIO(raw), response_headers=base, sanitize_html=False, resolve_relative_uris=False
        )
    except PARSER_ERRORS as error:
        raise Rejected(Reason.BAD_FEED, f"not readable: {type(error).__name__}") from None
    if not parsed.version and not parsed.entries:
        raise Rejected(Reason.BAD_FEED, "neither RSS nor Atom")
    return parsed.feed, parsed.entries


def _local_name(element: Element) -> str:
    return element.tag.rpartition("}")[2]


def _channel_of(tree: Element) -> Element:
    return next((child for child in tree if _local_name(child) == "channel"), tree)


def _items(tree: Element | None, count: int) -> list[Element | None] | None:
    """Elements of the items, if they are the `count` that feedparser saw."""
    if tree is None:
        return None
    items: list[Element | None] = [e for e in tree.iter() if _local_name(e) in ("item", "entry")]
    return items if len(items) == count else None


def _is_page(link: Element) -> bool:
    return link.tag != ATOM_LINK or link.get("rel", "alternate") == "alternate"


def _identified(listing: list[Recording], identity: str, feed_url: str) -> Iterator[Listed]:
    enclosures_of = Counter(guid for guid, _ in {(r.guid, r.media_url) for r in listing})
    seen: set[str] = set()
    for recording in listing:
        own = recording.guid if recording.guid and enclosures_of[recording.guid] == 1 else recording.media_url
        recording_id = stable_id("rss", identity, own)
        if recording_id in seen:
            _log.info("%s: %s is listed twice; the first counts", feed_url, own)
        else:
            seen.add(recording_id)
            yield Listed(recording=replace(recording, recording_id=recording_id))


def _enclosure(entry: Mapping[str, Any], feed_url: str) -> str | None:
    """URL of the first enclosure that says it is audio or video, else of the first."""
    found = [link for link in entry.get("links", ()) if link.get("rel") == "enclosure" and link.get("href")]
    found.sort(key=lambda link: not _is_audio(link.get("type")))
    url = plain_text(found[0]["href"]) if found else None
    return url and _joined(feed_url, url)


def _is_audio(kind: object) -> bool:
    return str(kind).lower().startswith(("audio/", "video/"))


def _joined(feed_url: str, url: str) -> str:
    try:
        return urljoin(feed_url, url)
    except ValueError:
        return url  # fetching will say what is wrong with it


def _described(entry: Mapping[str, Any], feed: Mapping[str, Any]) -> dict[str, Any]:
    page = plain_text(entry.get("link"))
    return {
        "page_url": page if page and re.match("https?://", page, re.IGNORECASE) else None,
        "title": plain_text(entry.get("title")),
        "author": plain_text(entry.get("author")) or plain_text(feed.get("author")),
        "language": language_tag(feed.get("language")),
        "published": _utc(entry.get("published_parsed") or _updated(entry)),
        "declared_duration_s": _duration_s(entry.get("itunes_duration")),
    }


def _updated(entry: Mapping[str, Any]) -> tuple[int, ...] | None:
    # Asked for a key that is not there, feedparser answers with the date of publication and a warning.
    return entry["updated_parsed"] if "updated_parsed" in entry else None  # noqa: SIM401


def _utc(moment: tuple[int, ...] | None) -> str | None:
    try:
        return datetime.fromtimestamp(calendar.timegm(moment), UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None
    except (ValueError, OverflowError, OSError):
        return None


def _duration_s(value: object) -> float | None:
    """Seconds of an itunes:duration: seconds, m:s or h:m:s. None for what is none of these, or zero."""
    if not (found := DURATION.fullmatch(plain_text(value) or "")):
        return None
    hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + seconds or None


def _podcast(element: Element | None, name: str) -> list[Element]:
    return [] if element is None else [child for child in element if child.tag in [f"{ns}{name}" for ns in PODCAST]]


def _podcast_text(element: Element | None, name: str) -> str | None:
    return next((text for child in _podcast(element, name) if (text := plain_text(child.text))), None)


def _persons(element: Element | None) -> tuple[str, ...]:
    names = (plain_text(child.text) for child in _podcast(element, "person"))
    return tuple(dict.fromkeys(name for name in names if name))[:MAX_PERSONS]


def _alternates(element: Element | None, feed_url: str) -> list[str]:
    """Other addresses of an item's audio, its default first (podcast:alternateEnclosure)."""
    told = [one for one in _podcast(element, "alternateEnclosure") if _is_audio(one.get("type"))]
    told.sort(key=lambda one: one.get("default") != "true")
    sources = (plain_text(source.get("uri")) for one in told for source in _podcast(one, "source"))
    return list(dict.fromkeys(_joined(feed_url, uri) for uri in sources if uri))[:MAX_FILES]


def _attachments(element: Element | None, feed_url: str) -> tuple[Attachment, ...]:
    """Every transcript and the chapters of an item."""
    found = []
    for kind in ("transcript", "chapters"):
        for one in _podcast(element, kind):
            if url := plain_text(one.get("url")):
                language = language_tag(one.get("language"))
                found.append(
                    Attachment(
                        kind=kind, url=_joined(feed_url, url), type=plain_text(one.get("type")), language=language
                    )
                )
    return tuple(dict.fromkeys(found))[:MAX_FILES]


def _block(element: Element | None, where: str) -> str | None:
    """The tag that keeps an element out of every directory, or out of ours; None if there is none."""
    if element is None:
        return None
    for one in element.findall(f"{ITUNES}block"):
        if _says_yes(one):
            return f"itunes:block of the {where}"
    told = {one.get("id"): _says_yes(one) for one in _podcast(element, "block")}
    return f"podcast:block of the {where}" if told.get(SERVICE, told.get(None, False)) else None


def _says_yes(element: Element) -> bool:
    return (element.text or "").strip().lower() in ("yes", "true")


def _opted_out(signal: str | None) -> dict[str, Any]:
    if signal is None:
        return {}
    detail = f"{signal}, seen {datetime.now(UTC):%Y-%m-%d}"
    return {"status": Status.OPTED_OUT, "reason": Reason.OPTED_OUT, "reason_detail": detail}


def _stated_licence(element: Element | None, where: str) -> dict[str, Any]:
    """Licence fields by the first statement in an element; empty if there is none.

    A statement that is not understood counts as well: it means `unknown`, whatever the channel or the config say.
    """
    for name, text, url in _statements(element):
        spdx, evidence = spdx_of(text) or spdx_of(url), f"{name} of the {where}"
        if spdx is None:
            evidence += f": {(text or url or '')[:200]}"
        return {"licence": spdx or "unknown", "licence_url": url, "licence_evidence": evidence}
    return {}


def _statements(element: Element | None) -> Iterator[tuple[str, str | None, str | None]]:
    """Yield name, text and URL of the elements that state a licence, podcast:license first."""
    for child in _podcast(element, "license"):
        text, url = plain_text(child.text), plain_text(child.get("url"))
        if text or url:
            yield "podcast:license", text, url or (text if text and CC_URL.match(text) else None)
    for child in element if element is not None else ():
        if child.tag == ATOM_LINK and child.get("rel") == "license" and (url := plain_text(child.get("href"))):
            yield "link rel=license", None, url
        elif _local_name(child) == "license" and not child.tag.startswith(PODCAST):
            url = plain_text(child.get(RDF_RESOURCE)) or plain_text(child.text)
            if url:
                yield "license", None, url
