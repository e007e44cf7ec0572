"""Parses a web page for `<meta>` tags that reserve it, its licence, its feeds, and RSL that it names or contains.

html.parser takes quadratic time on hostile pages, and raises on some; this parser never goes back.
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
_LONG_REFERENCE = re.compile(r"&#[xX]?[0-9a-fA-F]{9,};?")  # no such character exists, and int() refuses long numbers
_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}  # str.lower may change the length
# Elements whose content is text up to their end tag.
RAW = ("script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes")
FEED_TYPES = ("application/rss+xml", "application/atom+xml", "application/rdf+xml")
MAX_FOUND = 100
MAX_VALUE_CHARS = 10_000

Attributes = dict[str, str]


@dataclass(slots=True)
class Page:
    """Signals of a page: names and values of objections, and its licences."""

    objections: list[tuple[str, str]] = field(default_factory=list)
    licence: str | None = None  # first `rel=license` that is not RSL
    feeds: list[tuple[str, str]] = field(default_factory=list)  # address and title of each feed of the page
    rsl_links: list[str] = field(default_factory=list)
    rsl_texts: list[str] = field(default_factory=list)


def read(page: str, agents: tuple[str, ...]) -> Page:
    """Parse a page. Never raises, whatever its content."""
    result = Page()
    for name, attributes, content in _elements(page):
        if name == "meta" and (objection := _forbids(attributes, agents)) and len(result.objections) < MAX_FOUND:
            result.objections.append(objection)
        elif name == "script" and is_rsl(attributes.get("type", "")) and len(result.rsl_texts) < MAX_FOUND:
            result.rsl_texts.append(content)
        elif name == "link" and _is_feed(attributes) and len(result.feeds) < MAX_FOUND:
            result.feeds.append((attributes.get("href", "").strip(), attributes.get("title", "")))
        elif name in ("a", "link") and "license" in attributes.get("rel", "").lower().split():
            address = attributes.get("href", "").strip()
            if is_rsl(attributes.get("type", "")) and len(result.rsl_links) < MAX_FOUND:
                result.rsl_links.append(address)
            elif not is_rsl(attributes.get("type", "")):
                result.licence = result.licence or address or None
    return result


def _is_feed(attributes: Attributes) -> bool:
    kind = attributes.get("type", "").partition(";")[0].strip().lower()
    is_own = "alternate" in attributes.get("rel", "").lower().split()
    return is_own and kind in FEED_TYPES and bool(attributes.get("href", "").strip())


def _forbids(attributes: Attributes, agents: tuple[str, ...]) -> tuple[str, str] | None:
    content = attributes.get("content", "").strip()
    for key in ("name", "http-equiv", "property"):
        name = attributes.get(key, "").strip().lower()
        if name in ("robots", "x-robots-tag", *agents) and (directive := robots_forbid(content, agents)):
            return f"meta {name}", directive
        if name == "tdm-reservation" and content == "1":
            return "meta tdm-reservation", "1"
    return None


def _elements(page: str) -> Iterator[tuple[str, Attributes, str]]:
    """Yield name and attributes of each start tag, with the content of elements that contain text only."""
    lower, at = page.translate(_LOWER), 0
    ends = dict[str, int]()  # cache of end positions: an absent end is searched for once
    while (at := page.find("<", at)) >= 0:
        if page.startswith("<!--", at):
            found = [end for mark in ("-->", "--!>") if (end := _next(mark, lower, at, ends)) >= 0]
            at = min(found) + 3 if found else at + 4
            continue
        if not (match := _NAME.match(page, at + 1)):
            at += 1
            continue
        name = match[0].lower()
        attributes, at = _attributes(page, match.end())
        content = ""
        if name in RAW:
            end = _next(f"</{name}", lower, at, ends)
            content, at = (page[at:end], end) if end >= 0 else ("", at)
        yield name, attributes, content


def _attributes(page: str, at: int) -> tuple[Attributes, int]:
    """Attributes of a tag, the first of repeated ones, and the index of its end."""
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
    match = pattern.match(page, at)
    return match.end() if match else at


def _next(string: str, lower: str, at: int, ends: dict[str, int]) -> int:
    """str.find with a cache, so that an absent string is searched for once."""
    index = ends.get(string)
    if index is None or 0 <= index < at:
        index = ends[string] = lower.find(string, at)
    return index
