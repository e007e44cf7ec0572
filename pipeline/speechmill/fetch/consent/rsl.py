"""Really Simple Licensing 1.0 (https://rslstandard.org/rsl): XML terms, and what they say about training on an address.

A `content` names paths or addresses by a pattern; each `license` in it is an offer. An offer that permits training for
nothing, or for attribution alone, is taken. All else is a refusal: a prohibition, a price, a licence from a server or
for some users or countries only, and terms that permit other uses only.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit
from xml.etree.ElementTree import Element, ParseError, TreeBuilder

from speechmill.fetch.consent.patterns import matches, normal_path, normal_pattern

NAMESPACE = "https://rslstandard.org/rsl"
MARK = "rslstandard.org/rsl"  # part of its namespace in all spellings, also in malformed RSL
RSL, CONTENT = (f"{{{NAMESPACE}}}{name}" for name in ("rsl", "content"))
MAX_DEPTH = 30
MAX_CONTENTS = 10_000
COMMONS = "creativecommons.org/"
TRAINING = {"all", "ai-all", "ai-train", "train-ai", "train-genai"}
FREE = {"free", "attribution"}  # a corpus states title, author and address of every clip


@dataclass(frozen=True, slots=True)
class Terms:
    """What RSL says about training: whether it is permitted, in words, and the address of its standard licence."""

    permits: bool
    value: str
    standard: str | None = None


def read(text: str) -> list[Element] | None:
    """Parse the contents of a document; None where it is not RSL.

    Raises ValueError for RSL that cannot be parsed: then there are unknown terms.
    """
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import DefusedXMLParser

    parser = DefusedXMLParser(target=_Shallow(), forbid_dtd=True, forbid_entities=True, forbid_external=True)
    try:
        parser.feed(text)  # as str, whatever encoding it declares
        root: Element = parser.close()
    except (ParseError, DefusedXmlException, ValueError, LookupError, AssertionError) as error:
        if MARK in text:
            raise ValueError(f"RSL that cannot be read: {type(error).__name__}") from None
        return None
    contents = list(root.iter(CONTENT))
    return contents[:MAX_CONTENTS] if contents or root.tag == RSL else None


def of_feed(element: Element | None) -> list[Element]:
    """Contents in the channel or an item of a feed."""
    return [] if element is None else element.findall(CONTENT)[:MAX_CONTENTS]


def judge(contents: Iterable[Element], url: str, base: str) -> Terms | None:
    """Terms of the contents for an address about training; None where there are none.

    `base` is the address of the document, which its paths belong to. Of the longest matching patterns, any refusal
    counts.
    """
    matching = [
        (len(pattern), content) for content in contents if (pattern := _covering(content, url, base)) is not None
    ]
    longest = max((length for length, _ in matching), default=0)
    return strictest(content for length, content in matching if length == longest)


def judge_any(contents: list[Element], urls: Iterable[str], base: str) -> Terms | None:
    """Like `judge`, by the first of several addresses of a recording that has terms; else a refusal for any address."""
    if terms := next((terms for url in urls if (terms := judge(contents, url, base))), None):
        return terms
    terms = strictest(contents)
    return None if terms is None or terms.permits else terms


def strictest(contents: Iterable[Element]) -> Terms | None:
    """Combine the terms of contents about the same thing; any refusal wins."""
    all_terms = [terms for content in contents if (terms := terms_of(content))]
    return next((terms for terms in all_terms if not terms.permits), all_terms[0] if all_terms else None)


def terms_of(content: Element) -> Terms | None:
    """Terms of one `content` about training."""
    if server := (content.get("server") or "").strip():
        return Terms(permits=False, value=f"licence server {server[:200]}")
    offers = [_Offer(element) for element in content.findall(_tag("license"))]
    if any(offer.prohibits for offer in offers):
        return Terms(permits=False, value="prohibits training")
    if not offers:
        return None
    relevant = [offer for offer in offers if offer.names_training] or [offer for offer in offers if not offer.usages]
    obstacles = [offer.obstacle for offer in relevant]
    if None in obstacles:
        offer_ = relevant[obstacles.index(None)]
        return Terms(permits=True, value=offer_.words, standard=offer_.standard)
    return Terms(permits=False, value=str(obstacles[0]) if obstacles else "permits other uses only")


class _Offer:
    """A `license` element."""

    def __init__(self, element: Element) -> None:
        self.usages = self._tokens(element, "permits", "usage")
        self.prohibits = bool(TRAINING & self._tokens(element, "prohibits", "usage"))
        self.names_training = bool(TRAINING & self.usages)
        self._limits = [
            f"{kind} {sorted(tokens)[0][:50]} only" if name == "permits" else f"not for {kind} {sorted(tokens)[0][:50]}"
            for name in ("permits", "prohibits")
            for kind in ("user", "geo")
            if (tokens := self._tokens(element, name, kind))
        ]
        self._payments = element.findall(_tag("payment"))
        standards = (child for payment in self._payments for child in payment.findall(_tag("standard")))
        self.standard = next((text for payment in standards if (text := (payment.text or "").strip())), None)

    @property
    def obstacle(self) -> str | None:
        """Why the offer cannot be accepted; None if it can."""
        return next(iter([*self._limits, *filter(None, map(_price, self._payments))]), None)

    @property
    def words(self) -> str:
        """Summary of the offer."""
        usages = ",".join(sorted(self.usages & TRAINING)) or "all"
        payments = ",".join(sorted({payment.get("type", "free") for payment in self._payments})) or "free"
        return f"permits {usages}; payment {payments[:100]}" + (f"; {self.standard[:300]}" if self.standard else "")

    @staticmethod
    def _tokens(element: Element, name: str, kind: str) -> set[str]:
        elements = (child for child in element.findall(_tag(name)) if child.get("type", "usage").strip() == kind)
        return {token for child in elements for token in (child.text or "").lower().replace(",", " ").split()}


def _price(payment: Element) -> str | None:
    """What a payment requires beyond attribution. Without a type, it is free if it names only Creative Commons."""
    kind = payment.get("type", "").strip().lower()
    if kind in FREE or (not kind and all(COMMONS in (child.text or "") for child in payment)):
        return None
    return f"payment {kind[:50] or 'of no type'}"


def _covering(content: Element, url: str, base: str) -> str | None:
    """The normalised pattern of a content if it matches an address; an empty pattern matches all."""
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
    """A tag name in RSL's namespace, however the namespace was written."""
    space, _, plain = name.rpartition("}")
    return f"{{{NAMESPACE}}}{plain}" if not space or MARK in space else name


class _Shallow(TreeBuilder):
    """Builds a tree of limited depth."""

    def __init__(self) -> None:
        super().__init__()
        self._depth = 0

    def start(self, tag: Any, attrs: Any, /) -> Element:
        """Handle a start tag. Raises ValueError for one nested too deeply."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ValueError(f"nested more than {MAX_DEPTH} deep")
        return super().start(_tag(tag), attrs)

    def end(self, tag: str, /) -> Element:
        """Handle an end tag."""
        self._depth -= 1
        return super().end(_tag(tag))
