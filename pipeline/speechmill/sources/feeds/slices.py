"""Splits the bytes of a feed into its head and slices of items, so that reading it takes little memory.

A slice is a feed of its own: some of the items, byte for byte, inside the tags that contain them. Fields of a
recording and its licence are kept; long texts are removed. Entities and unbounded nesting are refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.etree.ElementTree import Element, fromstring

from speechmill.core.reasons import Reason
from speechmill.core.records import RejectedError

CHUNK_BYTES = 64 * 1024
MAX_DEPTH = 200  # deeper than any real XHTML in a description
SLICE_ITEMS, SLICE_BYTES = 500, 1_000_000
MAX_PART_BYTES = 5_000_000  # the head, or one item, without its long texts
MAX_TAG_BYTES = 100_000  # around every slice: XML declaration and start of the channel
MAX_PARENTS = 20  # elements that hold items; there should be one
FEED_ROOTS = ("rss", "feed", "rdf", "opml")
MAX_OUTLINES = 200_000
ITEMS = ("item", "entry")

ATOM, ITUNES = "{http://www.w3.org/2005/Atom}", "{http://www.itunes.com/dtds/podcast-1.0.dtd}"
# Children of an item with most of its bytes and no field of a recording.
LONG_TEXTS = {
    *("description", f"{ATOM}summary", f"{ATOM}content", "{http://purl.org/rss/1.0/modules/content/}encoded"),
    *(f"{ITUNES}{name}" for name in ("summary", "subtitle", "keywords", "image", "explicit")),
    *(f"{{http://search.yahoo.com/mrss/}}{name}" for name in ("description", "thumbnail", "keywords")),
}


@dataclass(frozen=True, slots=True)
class Broken:
    """An item that is malformed XML: its number in the feed, the fault, and the item as a document; None if lost."""

    number: int
    cause: str
    document: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts of a feed: documents that can each be parsed alone, and the addresses in an OPML.

    `is_xml` is about the head. Only a malformed feed has `broken` items, or no end.
    """

    head: bytes
    slices: list[bytes] = field(default_factory=list)
    outlines: list[str] | None = None
    is_xml: bool = True
    broken: list[Broken] = field(default_factory=list)
    items: int = 0  # of a malformed feed
    has_end: bool = True


def cut(raw: bytes) -> Parts:
    """Split a feed, or extract the addresses of an OPML.

    Raises RejectedError(BAD_FEED), and ParseError, ValueError or LookupError for XML that expat cannot read.
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
    """Parse a document made by `cut`, which refuses entities."""
    return fromstring(part)  # noqa: S314


def address_of(attributes: Mapping[str, str]) -> str | None:
    """Address of an OPML outline, whatever the case of its attributes: of a feed or of another OPML."""
    lowered = {name.lower(): value for name, value in attributes.items()}
    return lowered.get("xmlurl") or lowered.get("url") or None


def is_comment(attributes: Mapping[str, str]) -> bool:
    """Whether an outline, with its children, is commented out (OPML 2.0)."""
    return any(name.lower() == "iscomment" and value.strip().lower() == "true" for name, value in attributes.items())


def local_name(tag: str) -> str:
    """Tag name without its namespace."""
    return tag.rpartition("}")[2]


class TooMuchError(ValueError):
    """Raised for an item that is too long or nested too deeply."""


@dataclass(slots=True, eq=False)
class _Tags:
    """Start tag and end tag of an element that may contain items."""

    start: bytearray = field(default_factory=bytearray)
    end: bytearray = field(default_factory=bytearray)


@dataclass(slots=True)
class _Slice:
    """Items of one element, and the elements that contain it."""

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
    """Parser target that assigns the bytes from each tag to the next one to a part."""

    expat: Any = None  # the parser, for the position of a tag in the document

    def __init__(self, raw: bytes) -> None:
        self._raw, self._since = raw, 0
        self._head, self._slices, self._parents = bytearray(), list[_Slice](), set[_Tags]()
        self._open = [_Tags()]  # the first is for what precedes the root
        self._sinks: tuple[bytearray, ...] = (self._head, self._open[0].start)
        self._depth = self._item_depth = self._comment_depth = 0
        self._outlines: list[str] | None = None

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """Handle a start tag."""
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
        """Handle an end tag."""
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
        """Handle the end of the document."""
        self._turn_at(len(self._raw), ())

    def check(self) -> None:
        """Raise RejectedError where a part becomes too long."""
        waiting = self.expat.CurrentByteIndex - self._since
        if any(len(sink) + waiting > MAX_PART_BYTES for sink in self._sinks):
            raise self._too_much(f"more than {MAX_PART_BYTES} bytes in one item or beside the items")

    def parts(self) -> Parts:
        """The parts, once the document has ended."""
        slices = [slice_.document() for slice_ in self._slices]
        return Parts(head=bytes(self._head), slices=slices, outlines=self._outlines)

    def _too_much(self, detail: str) -> Exception:
        """The error to raise: one that costs only the item if it is inside an item."""
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
        """The slice that the next item goes into."""
        last = self._slices[-1] if self._slices else None
        if last is None or last.is_full or last.around[-1] is not self._open[-1]:
            self._parents.add(self._open[-1])
            if len(self._parents) > MAX_PARENTS:
                raise RejectedError(Reason.BAD_FEED, f"items in more than {MAX_PARENTS} places")
            self._slices.append(_Slice(tuple(self._open)))
        return self._slices[-1]

    def _turn(self, *sinks: bytearray) -> None:
        """Append the bytes from here on to `sinks`."""
        self._turn_at(self.expat.CurrentByteIndex, sinks)

    def _turn_at(self, position: int, sinks: tuple[bytearray, ...]) -> None:
        for sink in self._sinks:
            sink += self._raw[self._since : position]
        self._since, self._sinks = position, sinks
