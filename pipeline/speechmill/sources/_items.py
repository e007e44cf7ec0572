"""Reads what an item or the channel of a feed says: from feedparser's fields, and from the elements it does not keep.

feedparser forgives what real feeds do wrong. Of repeated elements of the podcast namespace it keeps the last only, so
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
from speechmill.sources._licences import CC_URL, by_terms, spdx_of
from speechmill.sources._slices import ATOM, ITUNES, local_name

PODCAST = (
    "{https://podcastindex.org/namespace/1.0}",
    "{https://github.com/Podcastindex-org/podcast-namespace/blob/main/docs/1.0.md}",
)
ATOM_LINK = f"{ATOM}link"
RDF_RESOURCE = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}resource"
SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
MAX_PERSONS, MAX_FILES = 100, 20
SERVICE = "speechmill"  # our name where podcast:block names one
DURATION = re.compile(r"(?:(?:(\d{1,4}):)?(\d{1,4}):)?(\d{1,7}(?:\.\d{1,9})?)", re.ASCII)


def of_item(entry: Mapping[str, Any], item: Element | None, feed_url: str) -> dict[str, Any]:
    """Fields of a recording that an item has of its own; `entry` is what feedparser made of it.

    Among them `enclosure_bytes`, and `terms`, the RSL that it names; None if it says nothing, and the channel counts.
    """
    others, page = _alternates(item, feed_url), plain_text(entry.get("link"))
    url = _enclosure(entry, feed_url) or next(iter(others), None)
    always = {
        "media_url": url,
        "alternates": tuple(other for other in others if other != url),
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
        **{name: told for name, told in before_the_feeds.items() if told},
        **says_of_use(item, "item", feed_url),
        **stated_licence(item, "item"),
    }


def of_channel(feed: Mapping[str, Any], channel: Element | None, feed_url: str) -> dict[str, Any]:
    """Fields that the items of a feed have from it, without who blocks them; `feed` is what feedparser made of it."""
    return {
        "author": plain_text(feed.get("author")),
        "language": language_tag(feed.get("language")),
        "persons": persons(channel),
        **stated_licence(channel, "channel"),
        **generated(channel, "channel", feed_url),
    }


def _enclosure(entry: Mapping[str, Any], feed_url: str) -> str | None:
    """URL of the first enclosure that says it is audio or video, else of the first."""
    found = [link for link in entry.get("links", ()) if link.get("rel") == "enclosure" and link.get("href")]
    found.sort(key=lambda link: not _is_audio(link.get("type")))
    url = plain_text(found[0]["href"]) if found else None
    return url and joined(feed_url, url)


def _enclosure_bytes(entry: Mapping[str, Any]) -> int | None:
    """The length that is declared for the first enclosure; None for what is none, or zero."""
    told = (str(link.get("length")) for link in entry.get("links", ()) if link.get("rel") == "enclosure")
    return next((int(length) for length in told if re.fullmatch("[0-9]{1,15}", length, re.ASCII)), 0) or None


def _is_audio(kind: object) -> bool:
    return str(kind).lower().startswith(("audio/", "video/"))


def joined(base: str, url: str) -> str:
    """An address as it is meant where it stands; of a file on this machine the path, with all that leads upwards."""
    if "://" not in base:
        return url if SCHEME.match(url) else posixpath.normpath(posixpath.join(posixpath.dirname(base), url))
    try:
        return urljoin(base, url)
    except ValueError:
        return url  # fetching will say what is wrong with it


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
    tags = [f"{namespace}{name}" for namespace in PODCAST]
    return [] if element is None else [child for child in element if child.tag in tags]


def podcast_text(element: Element | None, name: str) -> str | None:
    """Text of the first element of the podcast namespace that has one."""
    return next((text for child in _podcast(element, name) if (text := plain_text(child.text))), None)


def persons(element: Element | None) -> tuple[str, ...]:
    """Name all of an element's podcast:person."""
    names = (plain_text(child.text) for child in _podcast(element, "person"))
    return tuple(dict.fromkeys(name for name in names if name))[:MAX_PERSONS]


def _alternates(element: Element | None, feed_url: str) -> list[str]:
    """Other addresses of an item's audio, its default first (podcast:alternateEnclosure)."""
    told = [one for one in _podcast(element, "alternateEnclosure") if _is_audio(one.get("type"))]
    told.sort(key=lambda one: one.get("default") != "true")
    sources = (plain_text(source.get("uri")) for one in told for source in _podcast(one, "source"))
    return list(dict.fromkeys(joined(feed_url, uri) for uri in sources if uri))[:MAX_FILES]


def _attachments(element: Element | None, feed_url: str) -> tuple[Attachment, ...]:
    """Every transcript and the chapters of an item."""
    found = []
    for kind in ("transcript", "chapters"):
        for one in _podcast(element, kind):
            if url := plain_text(one.get("url")):
                language = language_tag(one.get("language"))
                found.append(
                    Attachment(
                        kind=kind, url=joined(feed_url, url), type=plain_text(one.get("type")), language=language
                    )
                )
    return tuple(dict.fromkeys(found))[:MAX_FILES]


def says_of_use(item: Element | None, where: str, feed_url: str) -> dict[str, Any]:
    """Fields by what an item says of its use: who may not take it, under which terms, and who made it."""
    marked = generated(item, where, feed_url)
    signals = marked.get("consent", ())
    terms = by_rsl(rsl.strictest(rsl.of_feed(item)), where, feed_url)
    blocked = opted_out(block(item, where), feed_url)
    signals += blocked.get("consent", ()) + terms.get("consent", ())
    return {**marked, **terms, **blocked, **({"consent": signals} if signals else {})}


def terms_named(element: Element | None, feed_url: str) -> tuple[str, ...]:
    """Addresses of RSL documents that an element links to as its licence."""
    links = () if element is None else tuple(filter(_names_terms, element))
    found = (plain_text(link.get("href")) for link in links)
    return tuple(dict.fromkeys(joined(feed_url, url) for url in found if url))[:MAX_FILES]


def _names_terms(child: Element) -> bool:
    is_licence = local_name(child.tag).lower() == "link" and "license" in (child.get("rel") or "").lower().split()
    return is_licence and is_rsl(child.get("type") or "")


def by_rsl(terms: rsl.Terms | None, where: str, feed_url: str) -> dict[str, Any]:
    """Fields by the terms of an item or a channel; empty where there are none."""
    if terms is None:
        return {}
    if not terms.permits:
        return opted_out(f"RSL of the {where}: {terms.value}", feed_url)
    permit = Permit(signal_of("RSL", terms.value, feed_url), terms.standard)
    return {"status": Status.OK, "reason": None, "reason_detail": None, **by_terms([permit])}


def generated(element: Element | None, where: str, feed_url: str) -> dict[str, Any]:
    """Fields of what says itself that a machine made it, or that none did (podcast:txt); empty if it says neither."""
    told = [one for one in _podcast(element, "txt") if (one.get("purpose") or "").strip().lower() == "ai-content"]
    if not told:
        return {}
    if not any(_says_yes(one) for one in told):
        return {"ai_generated": False}
    signal = signal_of("podcast:txt", f"ai-content of the {where}: {(told[0].text or '').strip()[:50]}", feed_url)
    return {"ai_generated": True, "consent": (signal,)}


def block(element: Element | None, where: str) -> str | None:
    """The tag that keeps an element out of every directory, or out of ours; None if there is none."""
    if element is None:
        return None
    for one in element.findall(f"{ITUNES}block"):
        if _says_yes(one):
            return f"itunes:block of the {where}"
    told = {(one.get("id") or "").strip().lower() or None: _says_yes(one) for one in _podcast(element, "block")}
    return f"podcast:block of the {where}" if told.get(SERVICE, told.get(None, False)) else None


def _says_yes(element: Element) -> bool:
    return (element.text or "").strip().lower() in ("yes", "true", "1")


def opted_out(signal: str | None, feed_url: str) -> dict[str, Any]:
    """Fields of what may not be taken, for the reason that a feed gives; empty if there is none."""
    if signal is None:
        return {}
    kind, _, value = signal.partition(" ")
    said = signal_of(kind, value, feed_url)
    detail = f"{signal}, seen {said.seen[:10]}"
    return {"status": Status.OPTED_OUT, "reason": Reason.OPTED_OUT, "reason_detail": detail, "consent": (said,)}


def stated_licence(element: Element | None, where: str) -> dict[str, Any]:
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
        if _names_terms(child):
            continue  # what they permit is known once they are read, before the media
        if child.tag == ATOM_LINK and child.get("rel") == "license" and (url := plain_text(child.get("href"))):
            yield "link rel=license", None, url
        elif local_name(child.tag) == "license" and not child.tag.startswith(PODCAST):
            url = plain_text(child.get(RDF_RESOURCE)) or plain_text(child.text)
            if url:
                yield "license", None, url
