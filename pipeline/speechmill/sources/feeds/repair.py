"""Repairs malformed XML of feeds in time linear in the bytes, so that a wrong character costs nothing.

What is still malformed is split into items by `_cut_apart`.
"""

import html.entities
import re
from collections.abc import Iterator

from speechmill.core.reasons import Reason
from speechmill.core.records import RejectedError

DECLARED = b'<?xml version="1.0" encoding="utf-8"?>'  # so that feedparser does not guess
PROLOG_BYTES = 64 * 1024
MAX_PREFIXES = 100
ROOT = re.compile(rb"<((?:[A-Za-z_][\w.-]*:)?(?:rss|feed|rdf|opml))(?=[\s>/])", re.IGNORECASE)
PAGE = re.compile(rb"<(?:!doctype\s+)?html[\s>]", re.IGNORECASE)
_ENTITY = re.compile(rb"<!ENTITY", re.IGNORECASE)
_SPECIAL = re.compile(rb"<!\[CDATA\[|<!--|<\?|<!")
_ENDS = {b"<![CDATA[": b"]]>", b"<!--": b"-->", b"<?": b"?>", b"<!": b">"}
_WRONG = re.compile(
    rb"&(?!(?:amp|lt|gt|quot|apos);)(?:(#[0-9]{1,8}|#[xX][0-9A-Fa-f]{1,7}|[A-Za-z][A-Za-z0-9]{1,31});)?"
    rb"|<(?![A-Za-z_/\x80-\xff])|\]\]>|[\x00-\x08\x0b\x0c\x0e-\x1f]|\xef\xbf[\xbe\xbf]"
)
_ESCAPES = {b"&": b"&amp;", b"<": b"&lt;", b">": b"&gt;", b"]]>": b"]]&gt;"}
_MARKUP = re.compile(rb"[&<>]|[\x00-\x08\x0b\x0c\x0e-\x1f]|\xef\xbf[\xbe\xbf]")
TAG = rb"""(?:[^<>"']|"[^"<]*"|'[^'<]*')*>"""
_PREFIX = re.compile(rb"""</?([A-Za-z_][\w.-]*):|\s([A-Za-z_][\w.-]*):[\w.-]+\s*=\s*["']""")
_DECLARED = re.compile(rb"""\sxmlns:([\w.-]+)\s*=""")
NAMESPACES = {
    "atom": "http://www.w3.org/2005/Atom", "content": "http://purl.org/rss/1.0/modules/content/",
    "creativeCommons": "http://backend.userland.com/creativeCommonsRssModule",
    "dc": "http://purl.org/dc/elements/1.1/", "itunes": "http://www.itunes.com/dtds/podcast-1.0.dtd",
    "media": "http://search.yahoo.com/mrss/", "podcast": "https://podcastindex.org/namespace/1.0",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#", "rsl": "https://rslstandard.org/rsl",
}  # fmt: skip


class NotAFeedError(ValueError):
    """Raised for a document without the root of a feed or a list of feeds."""


def mended(document: bytes, *, with_namespaces: bool = True) -> bytes:
    """Repair a document in UTF-8: afterwards it begins with its root and contains only elements and plain text.

    Comments, instructions and bytes around the root are removed; CDATA and HTML entities become text; forbidden
    characters are removed, bare markup characters escaped, and undeclared prefixes get a namespace.
    Raises NotAFeedError, and RejectedError(BAD_FEED) for a document that declares entities.
    """
    root = ROOT.search(document, 0, PROLOG_BYTES)
    before = document[: root.start()] if root else document[:PROLOG_BYTES]
    if _ENTITY.search(before):
        raise RejectedError(Reason.BAD_FEED, "declares entities")
    if root is None or PAGE.search(before):
        raise NotAFeedError("neither RSS, Atom nor OPML begins in it")
    close = document.rfind(b"</" + root[1])
    end = document.find(b">", close) + 1 if close >= 0 else 0
    whole = b"".join(_pieces(document[root.start() : end or len(document)]))
    return _with_namespaces(whole) if with_namespaces else whole


def _pieces(document: bytes) -> Iterator[bytes]:
    """Yield a document piece by piece, without CDATA sections, comments, instructions and declarations."""
    at, missing = 0, set[bytes]()
    while match := _SPECIAL.search(document, at):
        yield _WRONG.sub(_righted, document[at : match.start()])
        kind = match[0]
        stop = -1 if kind in missing else document.find(_ENDS[kind], match.end())
        if stop < 0:  # without an end it is text
            missing.add(kind)
            yield b"&lt;"
            at = match.start() + 1
            continue
        if kind == b"<![CDATA[":
            yield _MARKUP.sub(_escaped, document[match.end() : stop])
        at = stop + len(_ENDS[kind])
    yield _WRONG.sub(_righted, document[at:])


def _escaped(match: re.Match[bytes]) -> bytes:
    return _ESCAPES.get(match[0], b"")


def _righted(match: re.Match[bytes]) -> bytes:
    """Replacement for a character or entity that XML does not allow; empty for a forbidden character."""
    if match[1] is None:
        return _ESCAPES.get(match[0], b"")
    name = match[1].decode()
    if name.startswith("#"):
        number = int(name[2:], 16) if name[1] in "xX" else int(name[1:])
        return match[0] if _may_be(number) else b""
    letters = html.entities.html5.get(f"{name};")
    return (
        b"&amp;" + match[0][1:]
        if letters is None
        else "".join(f"&#{ord(character)};" for character in letters).encode()
    )


def _may_be(number: int) -> bool:
    """Whether XML 1.0 allows a character (section 2.2)."""
    if number < 0x20:
        return number in (0x9, 0xA, 0xD)
    return number <= 0xD7FF or 0xE000 <= number <= 0xFFFD or 0x10000 <= number <= 0x10FFFF


def _with_namespaces(document: bytes) -> bytes:
    """Declare at the root all prefixes that are used and not declared there.

    Raises NotAFeedError without a root.
    """
    root = ROOT.match(document)
    if root is None:  # its first tag was malformed
        raise NotAFeedError("neither RSS, Atom nor OPML begins in it")
    tag = document[: document.find(b">") + 1]
    used = {match[1] or match[2] for match in _PREFIX.finditer(document)}
    unknown = sorted(used - set(_DECLARED.findall(tag)) - {b"xml", b"xmlns"})[:MAX_PREFIXES]
    if not unknown:
        return document
    declarations = "".join(
        f' xmlns:{prefix}="{_namespace(prefix)}"' for prefix in (undeclared.decode("ascii") for undeclared in unknown)
    )
    return document[: root.end()] + declarations.encode() + document[root.end() :]


def _namespace(prefix: str) -> str:
    return NAMESPACES.get(prefix, f"urn:undeclared:{prefix}")
