"""Extracts the fields of a feed's items and channel, from feedparser's result and from the XML elements.

feedparser tolerates the errors of real feeds. Of repeated elements of the podcast namespace it keeps only the last, so
those are read from the elements themselves.
"""

import calendar
import posixpath
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urljoin
from xml.etree.ElementTree import Element

from speechmill.core.reasons import Reason
from speechmill.core.records import Attachment, Status
from speechmill.fetch import Permit
from speechmill.fetch.consent import rsl, signal_of
from speechmill.fetch.consent.headers import is_rsl
from speechmill.sources import language_tag, plain_text
from speechmill.sources.feeds.slices import ATOM, ITUNES, local_name
from speechmill.sources.licences import CC_URL, by_terms, spdx_of

PODCAST = (
    "{https://podcastindex.org/namespace/1.0}",
    "{https://github.com/Podcastindex-org/podcast-namespace/blob/main/docs/1.0.md}",
)
ATOM_LINK = f"{ATOM}link"
RDF_RESOURCE = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}resource"
SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
MAX_PERSONS, MAX_FILES = 100, 20
SERVICE = "speechmill"  # our id in podcast:block
DURATION = re.compile(r"(?:(?:(\d{1,4}):)?(\d{1,4}):)?(\d{1,7}(?:\.\d{1,9})?)", re.ASCII)


def of_item(entry: Mapping[str, Any], item: Element | None, feed_url: str) -> dict[str, Any]:
    """Fields of a recording from an item; `entry` is feedparser's result for it.

    Among them are `enclosure_bytes`, and `terms`, the RSL documents that it names; None if the channel's apply.
    """
    alternates, page = _alternates(item, feed_url), plain_text(entry.get("link"))
    url = _enclosure(entry, feed_url) or next(iter(alternates), None)
    always = {
        "media_url": url,
        "alternates": tuple(other for other in alternates if other != url),
        "attachments": _attachments(item, feed_url),
        "guid": plain_text(entry.get("id")),
        "page_url": page if page and re.match("https?://", page, re.IGNORECASE) else None,
        "title": plain_text(entry.get("title")),
        "published": _utc(entry.get("published_parsed") or _updated(entry)),
        "declared_duration_s": _duration_s(entry.get("itunes_duration")),
        "enclosure_bytes": _enclosure_bytes(entry),
        "terms": terms_named(item, feed_url) or (() if rsl.strictest(rsl.of_feed(item)) else None),
    }
    before_the_feeds = {"persons": persons(item), "author": plain_text(entry.get("author"))}
    return {
        **always,
        **{name: value for name, value in before_the_feeds.items() if value},
        **says_of_use(item, "item", feed_url),
        **stated_licence(item, "item"),
    }


def of_channel(feed: Mapping[str, Any], channel: Element | None, feed_url: str) -> dict[str, Any]:
    """Fields that items inherit from the channel, without its blocks; `feed` is feedparser's result for it."""
    return {
        "author": plain_text(feed.get("author")),
        "language": language_tag(feed.get("language")),
        "persons": persons(channel),
        **stated_licence(channel, "channel"),
        **generated(channel, "channel", feed_url),
    }


def _enclosure(entry: Mapping[str, Any], feed_url: str) -> str | None:
    """URL of the first enclosure that is declared as audio or video, else of the first, else of media of Media RSS."""
    enclosures = [link for link in entry.get("links", ()) if link.get("rel") == "enclosure" and link.get("href")]
    enclosures.sort(key=lambda link: not _is_audio(link.get("type")))
    found = [link["href"] for link in enclosures]
    found += [media["url"] for media in entry.get("media_content", ()) if media.get("url") and _is_media(media)]
    url = plain_text(found[0]) if found else None
    return url and joined(feed_url, url)


def _enclosure_bytes(entry: Mapping[str, Any]) -> int | None:
    """Declared length of the first enclosure; None if it is missing or zero."""
    lengths = (str(link.get("length")) for link in entry.get("links", ()) if link.get("rel") == "enclosure")
    return next((int(length) for length in lengths if re.fullmatch("[0-9]{1,15}", length, re.ASCII)), 0) or None


def _is_audio(kind: object) -> bool:
    return str(kind).lower().startswith(("audio/", "video/"))


def _is_media(content: Mapping[str, Any]) -> bool:
    """Whether an element of Media RSS is sound or film: by its type, else by its medium."""
    return _is_audio(content["type"]) if content.get("type") else content.get("medium") in ("audio", "video")


def joined(base: str, url: str) -> str:
    """Resolve an address relative to where it stands; in a local feed, a path with `..` resolved."""
    if "://" not in base:
        return url if SCHEME.match(url) else posixpath.normpath(posixpath.join(posixpath.dirname(base), url))
    try:
        return urljoin(base, url)
    except ValueError:
        return url  # fetching reports what is wrong with it


def _updated(entry: Mapping[str, Any]) -> tuple[int, ...] | None:
    # For a missing key, feedparser returns the date of publication, with a warning.
    return entry["updated_parsed"] if "updated_parsed" in entry else None  # noqa: SIM401


def _utc(moment: tuple[int, ...] | None) -> str | None:
    try:
        return datetime.fromtimestamp(calendar.timegm(moment), UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None
    except (ValueError, OverflowError, OSError):
        return None


def _duration_s(value: object) -> float | None:
    """Seconds of an itunes:duration: seconds, m:s or h:m:s. None for other text, or zero."""
    if not (match := DURATION.fullmatch(plain_text(value) or "")):
        return None
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds or None


def _podcast(element: Element | None, name: str) -> list[Element]:
    tags = [f"{namespace}{name}" for namespace in PODCAST]
    return [] if element is None else [child for child in element if child.tag in tags]


def podcast_text(element: Element | None, name: str) -> str | None:
    """Text of the first element of the podcast namespace that has one."""
    return next((text for child in _podcast(element, name) if (text := plain_text(child.text))), None)


def persons(element: Element | None) -> tuple[str, ...]:
    """Names in an element's podcast:person elements."""
    names = (plain_text(child.text) for child in _podcast(element, "person"))
    return tuple(dict.fromkeys(name for name in names if name))[:MAX_PERSONS]


def _alternates(element: Element | None, feed_url: str) -> list[str]:
    """Other addresses of an item's audio, its default first (podcast:alternateEnclosure)."""
    enclosures = [child for child in _podcast(element, "alternateEnclosure") if _is_audio(child.get("type"))]
    enclosures.sort(key=lambda child: child.get("default") != "true")
    sources = (plain_text(source.get("uri")) for child in enclosures for source in _podcast(child, "source"))
    return list(dict.fromkeys(joined(feed_url, uri) for uri in sources if uri))[:MAX_FILES]


def _attachments(element: Element | None, feed_url: str) -> tuple[Attachment, ...]:
    """Transcripts and chapters of an item."""
    attachments = []
    for kind in ("transcript", "chapters"):
        for child in _podcast(element, kind):
            if url := plain_text(child.get("url")):
                language = language_tag(child.get("language"))
                attachments.append(
                    Attachment(
                        kind=kind, url=joined(feed_url, url), type=plain_text(child.get("type")), language=language
                    )
                )
    return tuple(dict.fromkeys(attachments))[:MAX_FILES]


def says_of_use(item: Element | None, where: str, feed_url: str) -> dict[str, Any]:
    """Fields from an item's statements about its use: blocks, terms and AI generation."""
    marked = generated(item, where, feed_url)
    signals = marked.get("consent", ())
    terms = by_rsl(rsl.strictest(rsl.of_feed(item)), where, feed_url)
    blocked = opted_out(block(item, where), feed_url)
    signals += blocked.get("consent", ()) + terms.get("consent", ())
    return {**marked, **terms, **blocked, **({"consent": signals} if signals else {})}


def terms_named(element: Element | None, feed_url: str) -> tuple[str, ...]:
    """Addresses of RSL documents that an element links to as its licence."""
    links = () if element is None else tuple(filter(_names_terms, element))
    urls = (plain_text(link.get("href")) for link in links)
    return tuple(dict.fromkeys(joined(feed_url, url) for url in urls if url))[:MAX_FILES]


def _names_terms(child: Element) -> bool:
    is_licence = local_name(child.tag).lower() == "link" and "license" in (child.get("rel") or "").lower().split()
    return is_licence and is_rsl(child.get("type") or "")


def by_rsl(terms: rsl.Terms | None, where: str, feed_url: str) -> dict[str, Any]:
    """Fields from the RSL terms of an item or a channel; empty where there are none."""
    if terms is None:
        return {}
    if not terms.permits:
        return opted_out(f"RSL of the {where}: {terms.value}", feed_url)
    permit = Permit(signal_of("RSL", terms.value, feed_url), terms.standard)
    return {"status": Status.OK, "reason": None, "reason_detail": None, **by_terms([permit])}


def generated(element: Element | None, where: str, feed_url: str) -> dict[str, Any]:
    """Fields from a statement that the content is, or is not, AI-generated (podcast:txt); empty without one."""
    statements = [
        statement
        for statement in _podcast(element, "txt")
        if (statement.get("purpose") or "").strip().lower() == "ai-content"
    ]
    if not statements:
        return {}
    if not any(_says_yes(statement) for statement in statements):
        return {"ai_generated": False}
    signal = signal_of("podcast:txt", f"ai-content of the {where}: {(statements[0].text or '').strip()[:50]}", feed_url)
    return {"ai_generated": True, "consent": (signal,)}


def block(element: Element | None, where: str) -> str | None:
    """The tag that blocks an element from all directories, or from ours; None if there is none."""
    if element is None:
        return None
    for child in element.findall(f"{ITUNES}block"):
        if _says_yes(child):
            return f"itunes:block of the {where}"
    blocks = {(child.get("id") or "").strip().lower() or None: _says_yes(child) for child in _podcast(element, "block")}
    return f"podcast:block of the {where}" if blocks.get(SERVICE, blocks.get(None, False)) else None


def _says_yes(element: Element) -> bool:
    return (element.text or "").strip().lower() in ("yes", "true", "1")


def opted_out(signal: str | None, feed_url: str) -> dict[str, Any]:
    """Fields of a recording that must not be used because of a feed's statement; empty if there is none."""
    if signal is None:
        return {}
    kind, _, value = signal.partition(" ")
    recorded = signal_of(kind, value, feed_url)
    detail = f"{signal}, seen {recorded.seen[:10]}"
    return {"status": Status.OPTED_OUT, "reason": Reason.OPTED_OUT, "reason_detail": detail, "consent": (recorded,)}


def stated_licence(element: Element | None, where: str) -> dict[str, Any]:
    """Licence fields from the first statement in an element; empty if there is none.

    A statement that is not understood gives `unknown`, whatever the channel or the config say.
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
        if _names_terms(child):
            continue  # RSL terms are read later, before the media
        if child.tag == ATOM_LINK and child.get("rel") == "license" and (url := plain_text(child.get("href"))):
            yield "link rel=license", None, url
        elif local_name(child.tag) == "license" and not child.tag.startswith(PODCAST):
            url = plain_text(child.get(RDF_RESOURCE)) or plain_text(child.text)
            if url:
                yield "license", None, url
