"""Really Simple Licensing 1.0 (https://rslstandard.org/rsl): terms in XML, and what they say of training on an address.

A `content` names paths or addresses by a pattern; each `license` in it is an offer. One that permits training for
nothing, or for credit alone, is taken. All else is a no: a prohibition, a price, a licence that is given by a server or
to some users or countries only, and terms that permit other uses and not this one.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit
from xml.etree.ElementTree import Element, ParseError, TreeBuilder

from speechmill.fetch.consent.patterns import matches, normal_path, normal_pattern

NAMESPACE = "https://rslstandard.org/rsl"
MARK = "rslstandard.org/rsl"  # in its namespace, however that is written, and in what cannot be read
RSL, CONTENT = (f"{{{NAMESPACE}}}{name}" for name in ("rsl", "content"))
MAX_DEPTH = 30
MAX_CONTENTS = 10_000
COMMONS = "creativecommons.org/"
TRAINING = {"all", "ai-all", "ai-train", "train-ai", "train-genai"}
FREE = {"free", "attribution"}  # a corpus names title, author and address of every clip


@dataclass(frozen=True, slots=True)
class Terms:
    """What RSL says of training: whether it is permitted, in words, and the address of a standard licence in it."""

    permits: bool
    value: str
    standard: str | None = None


def read(text: str) -> list[Element] | None:
    """Contents of a document; None where it is no RSL.

    Raises ValueError for RSL that cannot be read: somebody has terms, and nobody can say which.
    """
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import DefusedXMLParser

    parser = DefusedXMLParser(target=_Shallow(), forbid_dtd=True, forbid_entities=True, forbid_external=True)
    try:
        parser.feed(text)  # as text, whatever encoding it declares
        root: Element = parser.close()
    except (ParseError, DefusedXmlException, ValueError, LookupError, AssertionError) as error:
        if MARK in text:
            raise ValueError(f"RSL that cannot be read: {type(error).__name__}") from None
        return None
    found = list(root.iter(CONTENT))
    return found[:MAX_CONTENTS] if found or root.tag == RSL else None


def of_feed(element: Element | None) -> list[Element]:
    """Contents that stand in the channel or an item of a feed."""
    return [] if element is None else element.findall(CONTENT)[:MAX_CONTENTS]


def judge(contents: Iterable[Element], url: str, base: str) -> Terms | None:
    """What the contents for an address say of training; None where they say nothing of it.

    base: address of the document, which paths in it belong to. Of the longest patterns that match, any no counts.
    """
    found = [(len(pattern), one) for one in contents if (pattern := _covering(one, url, base)) is not None]
    longest = max((length for length, _ in found), default=0)
    return strictest(one for length, one in found if length == longest)


def judge_any(contents: list[Element], urls: Iterable[str], base: str) -> Terms | None:
    """As `judge`, by the first of several addresses of one thing that something is said of; else a no of any counts."""
    if terms := next((terms for url in urls if (terms := judge(contents, url, base))), None):
        return terms
    terms = strictest(contents)
    return None if terms is None or terms.permits else terms


def strictest(contents: Iterable[Element]) -> Terms | None:
    """What contents say that are all about the same, whatever their address; any no counts."""
    said = [terms for one in contents if (terms := terms_of(one))]
    return next((terms for terms in said if not terms.permits), said[0] if said else None)


def terms_of(content: Element) -> Terms | None:
    """What one `content` says of training on what it is for."""
    if server := (content.get("server") or "").strip():
        return Terms(permits=False, value=f"licence server {server[:200]}")
    offers = [_Offer(one) for one in content.findall(_tag("license"))]
    if any(offer.prohibits for offer in offers):
        return Terms(permits=False, value="prohibits training")
    if not offers:
        return None
    named = [offer for offer in offers if offer.names_training] or [offer for offer in offers if not offer.usages]
    obstacles = [offer.obstacle for offer in named]
    if None in obstacles:
        taken = named[obstacles.index(None)]
        return Terms(permits=True, value=taken.words, standard=taken.standard)
    return Terms(permits=False, value=str(obstacles[0]) if obstacles else "permits other uses only")


class _Offer:
    """One `license`."""

    def __init__(self, element: Element) -> None:
        self.usages = self._tokens(element, "permits", "usage")
        self.prohibits = bool(TRAINING & self._tokens(element, "prohibits", "usage"))
        self.names_training = bool(TRAINING & self.usages)
        self._limits = [
            f"{kind} {sorted(told)[0][:50]} only" if name == "permits" else f"not for {kind} {sorted(told)[0][:50]}"
            for name in ("permits", "prohibits")
            for kind in ("user", "geo")
            if (told := self._tokens(element, name, kind))
        ]
        self._payments = element.findall(_tag("payment"))
        standards = (child for one in self._payments for child in one.findall(_tag("standard")))
        self.standard = next((text for one in standards if (text := (one.text or "").strip())), None)

    @property
    def obstacle(self) -> str | None:
        """What keeps us from taking the offer."""
        return next(iter([*self._limits, *filter(None, map(_price, self._payments))]), None)

    @property
    def words(self) -> str:
        """The offer in words."""
        usages = ",".join(sorted(self.usages & TRAINING)) or "all"
        payments = ",".join(sorted({one.get("type", "free") for one in self._payments})) or "free"
        return f"permits {usages}; payment {payments[:100]}" + (f"; {self.standard[:300]}" if self.standard else "")

    @staticmethod
    def _tokens(element: Element, name: str, kind: str) -> set[str]:
        told = (one for one in element.findall(_tag(name)) if one.get("type", "usage").strip() == kind)
        return {token for one in told for token in (one.text or "").lower().replace(",", " ").split()}


def _price(payment: Element) -> str | None:
    """What a payment asks for beyond credit. Without a type, it is free if it names nothing but Creative Commons."""
    kind = payment.get("type", "").strip().lower()
    if kind in FREE or (not kind and all(COMMONS in (child.text or "") for child in payment)):
        return None
    return f"payment {kind[:50] or 'of no type'}"


def _covering(content: Element, url: str, base: str) -> str | None:
    """The pattern of a content if it is for an address; an empty one is for whatever has these terms."""
    pattern = (content.get("url") or "").strip()
    if not pattern:
        return ""
    try:
        place, wanted = urlsplit(urljoin(base, pattern)), urlsplit(url)
        if not _is_host(place.hostname or "", wanted.hostname or "") or place.port != wanted.port:
            return None
    except ValueError:
        return None
    path = normal_pattern((place.path or "/") + (f"?{place.query}" if place.query else ""))
    target = normal_path((wanted.path or "/") + (f"?{wanted.query}" if wanted.query else ""))
    return path if matches(path, target) else None


def _is_host(pattern: str, host: str) -> bool:
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern


def _tag(name: str) -> str:
    """A name as elements of RSL have it, whatever was written for the namespace."""
    space, _, plain = name.rpartition("}")
    return f"{{{NAMESPACE}}}{plain}" if not space or MARK in space else name


class _Shallow(TreeBuilder):
    """Builds a tree, as long as it is shallow."""

    def __init__(self) -> None:
        super().__init__()
        self._depth = 0

    def start(self, tag: Any, attrs: Any, /) -> Element:
        """Note where an element begins. Raises ValueError for one too deep."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ValueError(f"nested more than {MAX_DEPTH} deep")
        return super().start(_tag(tag), attrs)

    def end(self, tag: str, /) -> Element:
        """Note where an element ends."""
        self._depth -= 1
        return super().end(_tag(tag))
