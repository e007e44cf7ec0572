"""Interprets statements about permission in the bytes of a malformed feed cautiously: in doubt as a refusal."""

import html
import re
from collections.abc import Iterator
from typing import Any

from speechmill.fetch.consent import rsl
from speechmill.fetch.consent.robots import MAX_LICENCES
from speechmill.sources import plain_text
from speechmill.sources.feeds.fields import (
    joined,
    opted_out,
)

# Statements that may block a feed whose items cannot be told apart.
BLOCKED = re.compile(rb"<(?:itunes|podcast):block[^<>]*>\s*(?:yes|true)\s*<", re.IGNORECASE)
GENERATED = re.compile(rb"<podcast:txt\s[^<>]*ai-content[^<>]*>\s*(?:yes|true)\s*<", re.IGNORECASE)
NAMES_TERMS = re.compile(rb"<[^<>]*application/rsl\+xml[^<>]*>", re.IGNORECASE)
HREF = re.compile(rb"""href\s*=\s*["']([^"'<>]{1,2000})""", re.IGNORECASE)


def cautious_fields(item: bytes, url: str) -> dict[str, Any]:
    """Fields of an item whose statements about licence and blocking cannot be assigned to elements."""
    is_licensed = b"license" in item or b"licence" in item
    unknown = {"licence": "unknown", "licence_evidence": "the item is not well formed"} if is_licensed else {}
    marked = {"ai_generated": True} if GENERATED.search(item) else {}
    terms = tuple(terms_in(item, url))
    return unknown | marked | opted_out(refusal_in(item), url) | ({"terms": terms} if terms else {})


def terms_in(part: bytes, url: str) -> Iterator[str]:
    """Addresses of RSL documents that seem to be named in a malformed item or feed."""
    for tag in NAMES_TERMS.findall(part)[:MAX_LICENCES]:
        if match := HREF.search(tag):
            yield joined(url, plain_text(html.unescape(match[1].decode("utf-8", "replace"))) or "")


def refusal_in(part: bytes) -> str | None:
    """The statement in a malformed item or feed that seems to refuse its use; None if there is none."""
    if BLOCKED.search(part):
        return "block of the feed or an item"
    is_refused = rsl.MARK.encode() in part and any(word in part for word in (b"prohibits", b"payment", b"server="))
    return "RSL of the feed or an item" if is_refused else None
