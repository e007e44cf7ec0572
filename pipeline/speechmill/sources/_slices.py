"""Cuts the bytes of a feed into its head and slices of its items, so that reading one takes little memory.

A slice is a feed of its own: some of the items, bytes as they were, between the tags that they stood in. What names a
recording or its licence stays; long texts about it are left out. Entities and nesting without end are refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.etree.ElementTree import Element, fromstring

from speechmill.core.reasons import Reason
from speechmill.core.records import RejectedError

CHUNK_BYTES = 64 * 1024
MAX_DEPTH = 200  # XHTML in a description may nest, but not like this
SLICE_ITEMS, SLICE_BYTES = 500, 1_000_000
MAX_PART_BYTES = 5_000_000  # the head, or one item, without its long texts
MAX_TAG_BYTES = 100_000  # what stands around every slice: the head of the XML and the start of the channel
MAX_PARENTS = 20  # elements that hold items; there should be one
FEED_ROOTS = ("rss", "feed", "rdf", "opml")
MAX_OUTLINES = 200_000
ITEMS = ("item", "entry")

ATOM, ITUNES = "{http://www.w3.org/2005/Atom}", "{http://www.itunes.com/dtds/podcast-1.0.dtd}"
# Children of an item that no field of a recording is made of, and that most of its bytes are.
LONG_TEXTS = {
    *("description", f"{ATOM}summary", f"{ATOM}content", "{http://purl.org/rss/1.0/modules/content/}encoded"),
    *(f"{ITUNES}{name}" for name in ("summary", "subtitle", "keywords", "image", "explicit")),
    *(f"{{http://search.yahoo.com/mrss/}}{name}" for name in ("description", "thumbnail", "keywords")),
}


@dataclass(frozen=True, slots=True)
class Broken:
    """An item that is no XML: its number in the feed, why, and a document of it; None for one that is lost."""

    number: int
    cause: str
    document: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a feed was cut into: documents that can each be read alone, and the addresses that an OPML lists.

    `is_xml` is about the head. Only a feed that is not well formed has `broken` items, or no end.
    """

    head: bytes
    slices: list[bytes] = field(default_factory=list)
    outlines: list[str] | None = None
    is_xml: bool = True
    broken: list[Broken] = field(default_factory=list)
    items: int = 0  # of a feed that is not well formed
    has_end: bool = True


def cut(raw: bytes) -> Parts:
    """Cut a feed, or take the addresses out of an OPML.

    Raises RejectedError(BAD_FEED), and ParseError, ValueError or LookupError where it is no XML that expat can read.
    """
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import DefusedXMLParser

    cutter = _Cutter(raw)
    parser = DefusedXMLParser(target=cutter, forbid_entities=True, forbid_external=True)
    cutter.expat = parser.parser
    try:
        for at in range(0, len(raw), CHUNK_BYTES):
            parser.feed(raw[at : at + CHUNK_BYTES])
            cutter.check()
        parser.close()
    except DefusedXmlException:
        raise RejectedError(Reason.BAD_FEED, "declares entities") from None
    return cutter.parts()


def tree(part: bytes) -> Element:
    """Read one of the documents that `cut` made, which has refused entities."""
    return fromstring(part)  # noqa: S314


def address_of(attributes: Mapping[str, str]) -> str | None:
    """Address that an outline of an OPML leads to, whatever the case of its attributes: a feed's, or another OPML's."""
    told = {name.lower(): value for name, value in attributes.items()}
    return told.get("xmlurl") or told.get("url") or None


def is_comment(attributes: Mapping[str, str]) -> bool:
    """Whether an outline, with all in it, is commented out (OPML 2.0)."""
    return any(name.lower() == "iscomment" and value.strip().lower() == "true" for name, value in attributes.items())


def local_name(tag: str) -> str:
    """Name without its namespace."""
    return tag.rpartition("}")[2]


class TooMuchError(ValueError):
    """An item is longer or nested deeper than one may be."""


@dataclass(slots=True, eq=False)
class _Tags:
    """Bytes of the start tag and the end tag of an element that may hold items."""

    start: bytearray = field(default_factory=bytearray)
    end: bytearray = field(default_factory=bytearray)


@dataclass(slots=True)
class _Slice:
    """Items below one element, and that element with all that it is in."""

    around: tuple[_Tags, ...]
    items: bytearray = field(default_factory=bytearray)
    count: int = 0

    @property
    def is_full(self) -> bool:
        return self.count >= SLICE_ITEMS or len(self.items) >= SLICE_BYTES

    def document(self) -> bytes:
        """The slice as XML."""
        start, end = (b"".join(tags.start for tags in self.around), b"".join(tags.end for tags in self.around[::-1]))
        if len(start) + len(end) > MAX_TAG_BYTES:
            raise RejectedError(Reason.BAD_FEED, f"more than {MAX_TAG_BYTES} bytes around its items")
        return start + self.items + end


class _Cutter:
    """What a parser tells of a document. Each tag says where the bytes from there to the next tag belong."""

    expat: Any = None  # knows where in the document a tag is

    def __init__(self, raw: bytes) -> None:
        self._raw, self._since = raw, 0
        self._head, self._slices, self._parents = bytearray(), list[_Slice](), set[_Tags]()
        self._open = [_Tags()]  # the first is what stands before the root
        self._sinks: tuple[bytearray, ...] = (self._head, self._open[0].start)
        self._depth = self._item_depth = self._comment_depth = 0
        self._outlines: list[str] | None = None

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """Note where an element begins."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._too_much(f"nested more than {MAX_DEPTH} deep")
        if self._item_depth:
            if self._depth == self._item_depth + 1:
                self._turn(*(() if tag in LONG_TEXTS else (self._slices[-1].items,)))
        elif self._outlines is None:
            self._start_outside(tag)
        elif local_name(tag).lower() == "outline" and not self._comment_depth:
            self._outline(attributes)

    def end(self, _: str) -> None:
        """Note where an element ends."""
        if self._item_depth:
            if self._depth == self._item_depth:
                self._turn(self._slices[-1].items)
                self._slices[-1].count += 1
                self._item_depth = 0
        elif self._outlines is None:
            self._turn(self._head, self._open.pop().end)
        self._comment_depth = 0 if self._comment_depth == self._depth else self._comment_depth
        self._depth -= 1

    def close(self) -> None:
        """Note the end of the document."""
        self._turn_at(len(self._raw), ())

    def check(self) -> None:
        """Raise RejectedError where a part becomes longer than it may be."""
        waiting = self.expat.CurrentByteIndex - self._since
        if any(len(sink) + waiting > MAX_PART_BYTES for sink in self._sinks):
            raise self._too_much(f"more than {MAX_PART_BYTES} bytes in one item or beside the items")

    def parts(self) -> Parts:
        """Give what was cut, once the document ended."""
        slices = [one.document() for one in self._slices]
        return Parts(head=bytes(self._head), slices=slices, outlines=self._outlines)

    def _too_much(self, detail: str) -> Exception:
        """What to raise: of an item that is too much another reader loses that item alone."""
        return TooMuchError(detail) if self._item_depth else RejectedError(Reason.BAD_FEED, detail)

    def _outline(self, attributes: dict[str, str]) -> None:
        assert self._outlines is not None
        if is_comment(attributes):
            self._comment_depth = self._depth
        elif address := address_of(attributes):
            self._outlines.append(address)
        if len(self._outlines) > MAX_OUTLINES:
            raise RejectedError(Reason.BAD_FEED, f"more than {MAX_OUTLINES} outlines")

    def _start_outside(self, tag: str) -> None:
        name = local_name(tag)
        if self._depth == 1 and name.lower() not in FEED_ROOTS:
            raise ValueError(f"its root is <{name[:40]}>")
        if name.lower() == "opml" and self._depth == 1:
            self._outlines, self._sinks = [], ()  # which is all that matters of it
        elif name.lower() in ITEMS and self._depth > 1:
            self._item_depth = self._depth
            self._turn(self._slice().items)
        else:
            self._open.append(_Tags())
            self._turn(self._head, self._open[-1].start)

    def _slice(self) -> _Slice:
        """Find the slice that the next item goes into."""
        last = self._slices[-1] if self._slices else None
        if last is None or last.is_full or last.around[-1] is not self._open[-1]:
            self._parents.add(self._open[-1])
            if len(self._parents) > MAX_PARENTS:
                raise RejectedError(Reason.BAD_FEED, f"items in more than {MAX_PARENTS} places")
            self._slices.append(_Slice(tuple(self._open)))
        return self._slices[-1]

    def _turn(self, *sinks: bytearray) -> None:
        """Let the bytes from here on go to `sinks`."""
        self._turn_at(self.expat.CurrentByteIndex, sinks)

    def _turn_at(self, position: int, sinks: tuple[bytearray, ...]) -> None:
        for sink in self._sinks:
            sink += self._raw[self._since : position]
        self._since, self._sinks = position, sinks
