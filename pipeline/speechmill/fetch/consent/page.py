"""What a web page says of itself: `<meta>` tags that reserve it, its licence, and RSL that it names or holds.

The library's parser takes the square of the time on hostile pages, and raises on some; this one reads on from where it
is, never back.
"""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from speechmill.fetch.consent.headers import is_rsl, robots_forbid

_NAME = re.compile(r"[A-Za-z][^\s/>]*")
_BETWEEN = re.compile(r"[\s/]*")
_KEY = re.compile(r"[^\s/>=]+|=")
_EQUALS = re.compile(r"\s*=\s*")
_PLAIN = re.compile(r"[^\s>]*")
_LONG_REFERENCE = re.compile(r"&#[xX]?[0-9a-fA-F]{9,};?")  # no character has it, and int() refuses long ones
_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}  # str.lower may change the length
# Elements whose content is no markup, up to their end tag.
RAW = ("script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes")
FEED_TYPES = ("application/rss+xml", "application/atom+xml", "application/rdf+xml")
MAX_FOUND = 100
MAX_VALUE_CHARS = 10_000

Attributes = dict[str, str]


@dataclass(slots=True)
class Page:
    """Names and values of what forbids to learn from a page, and addresses and texts of its licences."""

    objections: list[tuple[str, str]] = field(default_factory=list)
    licence: str | None = None  # the first `rel=license` that is no RSL
    feeds: list[tuple[str, str]] = field(default_factory=list)  # address and title of each that is linked as its own
    rsl_links: list[str] = field(default_factory=list)
    rsl_texts: list[str] = field(default_factory=list)


def read(page: str, agents: tuple[str, ...]) -> Page:
    """Read a page. Never raises, whatever the page is made of."""
    found = Page()
    for name, attributes, content in _elements(page):
        if name == "meta" and (no := _forbids(attributes, agents)) and len(found.objections) < MAX_FOUND:
            found.objections.append(no)
        elif name == "script" and is_rsl(attributes.get("type", "")) and len(found.rsl_texts) < MAX_FOUND:
            found.rsl_texts.append(content)
        elif name == "link" and _is_feed(attributes) and len(found.feeds) < MAX_FOUND:
            found.feeds.append((attributes.get("href", "").strip(), attributes.get("title", "")))
        elif name in ("a", "link") and "license" in attributes.get("rel", "").lower().split():
            address = attributes.get("href", "").strip()
            if is_rsl(attributes.get("type", "")) and len(found.rsl_links) < MAX_FOUND:
                found.rsl_links.append(address)
            elif not is_rsl(attributes.get("type", "")):
                found.licence = found.licence or address or None
    return found


def _is_feed(attributes: Attributes) -> bool:
    kind = attributes.get("type", "").partition(";")[0].strip().lower()
    is_own = "alternate" in attributes.get("rel", "").lower().split()
    return is_own and kind in FEED_TYPES and bool(attributes.get("href", "").strip())


def _forbids(attributes: Attributes, agents: tuple[str, ...]) -> tuple[str, str] | None:
    name = (attributes.get("name") or attributes.get("http-equiv", "")).strip().lower()
    content = attributes.get("content", "").strip()
    if name in ("robots", "x-robots-tag", *agents) and (no := robots_forbid(content, agents)):
        return f"meta {name}", no
    return ("meta tdm-reservation", "1") if name == "tdm-reservation" and content == "1" else None


def _elements(page: str) -> Iterator[tuple[str, Attributes, str]]:
    """Yield name and attributes of each start tag, with the content of those that hold no markup."""
    lower, at = page.translate(_LOWER), 0
    ends = dict[str, int]()  # where each end that was looked for is: not looked for again where there is none
    while (at := page.find("<", at)) >= 0:
        if page.startswith("<!--", at):
            end = _next("-->", lower, at, ends)
            at = end + 3 if end >= 0 else at + 4
            continue
        if not (found := _NAME.match(page, at + 1)):
            at += 1
            continue
        name = found[0].lower()
        attributes, at = _attributes(page, found.end())
        content = ""
        if name in RAW:
            end = _next(f"</{name}", lower, at, ends)
            content, at = (page[at:end], end) if end >= 0 else ("", at)
        yield name, attributes, content


def _attributes(page: str, at: int) -> tuple[Attributes, int]:
    """Attributes of a tag and where it ends; of equal ones the first counts."""
    attributes: Attributes = {}
    while True:
        at = _end(_BETWEEN, page, at)
        if not (key := _KEY.match(page, at)):
            return attributes, at + 1
        at, value = key.end(), ""
        if key[0] != "=" and (equals := _EQUALS.match(page, at)):
            value, at = _value(page, equals.end())
        if len(attributes) < MAX_FOUND:
            attributes.setdefault(key[0].lower(), html.unescape(_LONG_REFERENCE.sub(" ", value)))


def _value(page: str, at: int) -> tuple[str, int]:
    quote = page[at : at + 1]
    if quote in ("'", '"'):
        end = page.find(quote, at + 1)
        end = len(page) if end < 0 else end
        return page[at + 1 : min(end, at + 1 + MAX_VALUE_CHARS)], end + 1
    end = _end(_PLAIN, page, at)
    return page[at : min(end, at + MAX_VALUE_CHARS)], end


def _end(pattern: re.Pattern[str], page: str, at: int) -> int:
    found = pattern.match(page, at)
    return found.end() if found else at


def _next(what: str, lower: str, at: int, ends: dict[str, int]) -> int:
    """As str.find, but what is not there is looked for once."""
    known = ends.get(what)
    if known is None or 0 <= known < at:
        known = ends[what] = lower.find(what, at)
    return known
