"""Lists the episodes of a podcast feed (RSS 2.0 or Atom, iTunes and podcast namespaces).

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
from pathlib import Path
from typing import Any
from urllib.parse import urljoin
from xml.etree.ElementTree import Element, ParseError, TreeBuilder

from pipeline.config import ConfigError, Input, RunConfig
from pipeline.fetch import MAX_FEED_BYTES, get_document
from pipeline.records import Reason, Recording, Rejected, stable_id
from pipeline.sources import Listed, language_tag, plain_text, rest_of
from pipeline.store import Store

PODCAST = (
    "{https://podcastindex.org/namespace/1.0}",
    "{https://github.com/Podcastindex-org/podcast-namespace/blob/main/docs/1.0.md}",
)
ATOM_LINK = "{http://www.w3.org/2005/Atom}link"
RDF_RESOURCE = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}resource"
FEED_ROOTS = ("rss", "feed", "RDF")
ROOT_OF_MALFORMED = re.compile(rb"<(rss|feed|rdf:RDF)[\s>]")
HEAD_BYTES = 4096
MAX_MALFORMED_BYTES = 1_000_000  # the time of feedparser's forgiving parser can grow with the square
MAX_PERSONS = 100
MAX_DEPTH = 200  # XHTML in a description may nest, but not like this

# The ids that podcast:license uses, by their lower-case slugs.
CC_IDS = [f"CC-BY{kind}-{version}" for kind in ("", "-SA", "-NC", "-NC-SA", "-ND", "-NC-ND") for version in
          ("1.0", "2.0", "2.5", "3.0", "4.0")]  # fmt: skip
OTHER_IDS = ["CC0-1.0", "CC-PDM-1.0", "CC-PDDC", "Apache-2.0", "MIT", "Unlicense", "ODC-By-1.0", "ODbL-1.0", "PDDL-1.0"]
SPDX = {spdx.lower(): spdx for spdx in (*CC_IDS, *OTHER_IDS)}
CC_URL = re.compile(
    r"(?:https?:)?//(?:www\.)?creativecommons\.org/(?:"
    r"licenses/(?P<kind>by(?:-nc|-nd|-sa)*)/(?P<version>\d\.\d)(?:/(?P<place>[a-z]{2,4})(?![\w.]))?"
    r"|(?P<zero>publicdomain/zero/1\.0)|(?P<mark>publicdomain/mark/1\.0)|(?P<old>licenses/publicdomain))(?![\w.])",
    re.IGNORECASE | re.ASCII,
)
URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
DURATION = re.compile(r"(?:(?:(\d{1,4}):)?(\d{1,4}):)?(\d{1,7}(?:\.\d{1,9})?)", re.ASCII)
# What a feed made of hostile bytes was seen to raise inside the parsers, or may.
PARSER_ERRORS = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, AssertionError, RecursionError)
_log = logging.getLogger("speechmill")


def check(source: Input) -> None:
    """Raise ConfigError if a feed given by path is not there."""
    address = rest_of(source.address, "rss")
    if not URL.match(address) and not Path(address).is_file():
        raise ConfigError(f"inputs: no such file: {plain_text(address)}; give the URL or the path of a feed")


def list_recordings(source: Input, config: RunConfig, store: Store) -> Iterator[Listed]:
    """List the episodes of a feed given by URL or, after `rss:`, by local path.

    Raises Rejected if it cannot be had or read, ConfigError if a local file is missing.
    """
    address = rest_of(source.address, "rss")
    if URL.match(address):
        return read_feed(get_document(address, store, config.fetch), address, source.licence)
    check(source)
    path = Path(address)
    if path.stat().st_size > MAX_FEED_BYTES:
        raise Rejected(Reason.TOO_BIG, f"a feed of more than {MAX_FEED_BYTES} bytes")
    return read_feed(path.read_bytes(), path.name, source.licence)


def read_feed(raw: bytes, feed_url: str, licence: str | None = None) -> Iterator[Listed]:
    """Read a feed's bytes; `licence` is the SPDX id of items for which the feed states none.

    An item is known by its guid; one without, or whose guid stands at several enclosures, by its enclosure's
    URL. Of an item listed twice the first counts; one without enclosure is left out. Raises Rejected(BAD_FEED).
    """
    tree = _tree(raw)
    feed, entries = _standard_fields(raw, feed_url)
    channel, items = _elements(tree, len(entries))
    if items is None and b"license" in raw:
        licence, channel = None, None  # which items the feed's statements are about cannot be told
    identity = _podcast_text(channel, "guid") or feed_url
    by_feed = _stated_licence(channel, "channel") or _by_input(licence)
    persons = _persons(channel)
    listing = [
        Recording(
            recording_id=identity,
            source="rss",
            media_url=url,
            feed_url=feed_url,
            guid=plain_text(entry.get("id")),
            persons=_persons(item) or persons,
            **_described(entry, feed),
            **(_stated_licence(item, "item") or by_feed),
        )
        for entry, item in zip(entries, items or [None] * len(entries), strict=True)
        if (url := _enclosure(entry, feed_url))
    ]
    if len(listing) < len(entries):
        _log.info("%s: %d items have no enclosure and are left out", feed_url, len(entries) - len(listing))
    return _identified(listing, identity, feed_url)


def spdx_of(text: str | None) -> str | None:
    """SPDX id that a slug, an id or a Creative Commons URL means; None if it is not known."""
    if not text:
        return None
    if text.lower() in SPDX:
        return SPDX[text.lower()]
    if not (found := CC_URL.match(text)):
        return None
    if found["kind"]:
        parts = set(found["kind"].lower().split("-"))
        kind = "".join(f"-{part.upper()}" for part in ("nc", "sa", "nd") if part in parts)
        spdx = f"CC-BY{kind}-{found['version']}"
        # Not all of the many national versions are on the SPDX list.
        return f"LicenseRef-{spdx}-{found['place'].upper()}" if found["place"] else spdx
    return "CC0-1.0" if found["zero"] else "CC-PDM-1.0" if found["mark"] else "CC-PDDC"


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


def _elements(tree: Element | None, count: int) -> tuple[Element | None, list[Element | None] | None]:
    """Element of the channel, and those of the items if they are the `count` that feedparser saw."""
    if tree is None:
        return None, None
    channel = next((child for child in tree if _local_name(child) == "channel"), tree)
    items: list[Element | None] = [e for e in tree.iter() if _local_name(e) in ("item", "entry")]
    return channel, items if len(items) == count else None


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
    found.sort(key=lambda link: not str(link.get("type")).lower().startswith(("audio/", "video/")))
    url = plain_text(found[0]["href"]) if found else None
    try:
        return url and urljoin(feed_url, url)
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


def _by_input(licence: str | None) -> dict[str, Any]:
    return {"licence": licence, "licence_evidence": "inputs.licence"} if licence else {}


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
