"""Splits a feed that cannot be repaired as a whole into its items, so that a broken item costs only itself.

Items that are well formed are read as usual; the others are left for a lenient parser, one by one. Takes
time linear in the bytes.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from xml.parsers import expat

from speechmill.core.reasons import Reason
from speechmill.core.records import RejectedError
from speechmill.sources.feeds.repair import DECLARED, NAMESPACES, ROOT, TAG
from speechmill.sources.feeds.slices import MAX_DEPTH, MAX_PART_BYTES, Broken, Parts, address_of, cut

MAX_BROKEN_BYTES = 64 * 1024  # of an item for the lenient parser, whose time can be quadratic
MAX_BARE_BYTES = 1_000_000  # of a feed without items
TOO_DEEP = f"nested more than {MAX_DEPTH} deep"
_LONG = re.compile(
    rb"<((?:(?:itunes|media|atom):)?(?:description|summary|subtitle|keywords)|content:encoded|content)(?=[\s>])"
    rb"[^<>]*(?<!/)>"
)
_FIRST = re.compile(rb"<((?:[A-Za-z_][\w.-]*:)?(?:item|entry))(?=[\s/>])", re.IGNORECASE)
_OUTLINE = re.compile(rb"""<outline(?=[\s/>])""" + TAG, re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Spans:
    """Byte ranges of the items, the bytes outside of them, and the tags around them."""

    start: bytes
    end: bytes
    head: bytes
    items: list[tuple[int, int, bool]]  # start, end, and whether it has an end tag
    close: bytes  # the end tag of an item
    has_end: bool  # whether the document has the end tag of its root


def cut_apart(document: bytes) -> Parts:
    """Split a document that `mended` repaired at the tags of its items.

    Raises RejectedError(BAD_FEED) where nothing of it can be read.

    From an item that is not well formed, long texts without metadata are removed; if that does not help, it is
    broken: left for the lenient parser or, if too long for that, lost.
    """
    root = ROOT.match(document)
    assert root is not None
    if root[1].lower().endswith(b"opml"):
        addresses = (address_of(_attributes(tag[0])) for tag in _OUTLINE.finditer(document))
        return Parts(head=b"", outlines=[address for address in addresses if address])
    spans = _spans(document, root[1])
    if not spans.items:
        if len(document) > MAX_BARE_BYTES:
            raise RejectedError(Reason.BAD_FEED, "not a feed: it is not well formed, and no item begins in it")
        return Parts(head=DECLARED + document, is_xml=False, has_end=spans.has_end)
    whole, broken = bytearray(DECLARED + spans.start), list[Broken]()
    for number, (begin, end, is_closed) in enumerate(spans.items, 1):
        item = document[begin:end]
        if not is_closed or item.count(spans.close) > 1:
            item = item.replace(spans.close, b"") + spans.close
        fault, item = _mended_item(item, spans)
        if fault is None:
            whole += item
        else:
            can_be_tried = len(item) <= MAX_BROKEN_BYTES and fault != TOO_DEEP
            broken.append(Broken(number, fault, DECLARED + spans.start + item + spans.end if can_be_tried else None))
    if len(broken) == len(spans.items) and not any(item_fault.document for item_fault in broken):
        raise RejectedError(
            Reason.BAD_FEED,
            lost_in_words([(item_fault.number, item_fault.cause) for item_fault in broken], len(broken)),
        )
    whole += spans.end
    slices = cut(bytes(whole)).slices
    head = _well_formed_head(spans)
    return Parts(
        head=DECLARED + (head or spans.head), slices=slices, is_xml=head is not None, broken=broken,
        items=len(spans.items), has_end=spans.has_end,
    )  # fmt: skip


def _mended_item(item: bytes, spans: _Spans) -> tuple[str | None, bytes]:
    """The fault of an item, None if it is well formed without its long texts, and the item."""
    if len(item) <= MAX_PART_BYTES and _fault(spans.start, item, spans.end) is None:
        return None, item
    short = _without_long_texts(item)
    if len(short) > MAX_PART_BYTES:
        return f"more than {MAX_PART_BYTES} bytes", short
    return _fault(spans.start, short, spans.end), short


def _spans(document: bytes, root: bytes) -> _Spans:
    first = _FIRST.search(document)
    stop = document.rfind(b"</" + root)
    has_end, stop = stop >= 0, stop if stop >= 0 else len(document)
    if first is None:
        return _Spans(b"", b"", document, [], b"", has_end)
    start, end = _around(document[: first.start()], root)
    items, gaps, at, begin = list[tuple[int, int, bool]](), list[bytes](), 0, -1
    tags = re.compile(rb"<(/?)" + re.escape(first[1]) + rb"(?=[\s/>])[^<>]*>?", re.IGNORECASE)
    for tag in tags.finditer(document, first.start(), stop):
        is_end, is_alone = tag[1] == b"/", tag[0].endswith(b"/>")
        if begin >= 0:  # an item ends at its end tag or at the next start tag
            at = tag.end() if is_end else tag.start()
            items.append((begin, at, is_end))
            begin = -1
        elif is_end:  # a second end tag: the previous one was inside a text of the item
            at = tag.end()
            items[-1] = (items[-1][0], at, True)
        if not is_end:
            gaps.append(document[at : tag.start()])
            begin, at = tag.start(), tag.end()
            if is_alone:
                items.append((begin, at, True))
                begin = -1
    if begin >= 0:
        at = _last_end(document, begin, stop)
        items.append((begin, at, False))
    return _Spans(start, end, b"".join([*gaps, document[at:]]), items, b"</" + first[1] + b">", has_end)


def _last_end(document: bytes, begin: int, stop: int) -> int:
    """End of an item without an end tag: before the end tags of its parents."""
    channel = document.find(b"</channel", begin, stop)
    return channel if channel >= 0 else stop


def _around(before: bytes, root: bytes) -> tuple[bytes, bytes]:
    """Start and end tags of the elements that contain the first item, normalised to a feed's structure."""
    tag = re.match(rb"<" + re.escape(root) + TAG, before)
    start, end = tag[0] if tag else b"", b"</" + root + b">"
    if not start or _fault(start, b"", end) is not None:
        names = "".join(f' xmlns:{prefix}="{url}"' for prefix, url in NAMESPACES.items())
        default = f' xmlns="{NAMESPACES["atom"]}"' if root.lower() == b"feed" else ' version="2.0"'
        start = b"<" + root + (default + names).encode() + b">"
    channel = re.search(rb"<((?:[\w.-]+:)?channel)(?=[\s>])" + TAG, before, re.IGNORECASE)
    if channel and b"</" + channel[1] not in before:
        plain = _fault(start + channel[0], b"", b"</" + channel[1] + b">" + end) is None
        start, end = start + (channel[0] if plain else b"<" + channel[1] + b">"), b"</" + channel[1] + b">" + end
    return start, end


def _well_formed_head(spans: _Spans) -> bytes | None:
    """The bytes outside of the items as a well-formed document; None where that is not possible."""
    open_tags = spans.head.rstrip()
    for head in (open_tags, open_tags + spans.end, open_tags + spans.end.rpartition(b"</")[1]):
        if len(head) <= MAX_PART_BYTES and _fault(b"", head, b"") is None:
            return head
    return None


def _fault(start: bytes, item: bytes, end: bytes) -> str | None:
    """The error of a document; None if it is well formed. It has no DOCTYPE, so it can declare no entities."""
    parser = expat.ParserCreate("utf-8", "}")
    depth = 0

    def begin(_: str, __: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > MAX_DEPTH:
            raise ValueError(TOO_DEEP)

    def finish(_: str) -> None:
        nonlocal depth
        depth -= 1

    if item.count(b"<") > MAX_DEPTH:
        parser.StartElementHandler, parser.EndElementHandler = begin, finish
    try:
        parser.Parse(start)
        parser.Parse(item)
        parser.Parse(end, True)  # noqa: FBT003 - the end
    except expat.ExpatError as error:
        return expat.errors.messages.get(error.code, "not well-formed")
    except ValueError as error:
        return str(error)
    return None


def _without_long_texts(item: bytes) -> bytes:
    """Remove the long texts that contain no metadata, where most wrong markup is."""
    kept, at, missing = list[bytes](), 0, set[bytes]()
    while match := _LONG.search(item, at):
        close = b"</" + match[1] + b">"
        stop = -1 if close in missing else item.find(close, match.end())
        if stop < 0:
            missing.add(close)
            kept.append(item[at : match.end()])
            at = match.end()
            continue
        kept.append(item[at : match.start()])
        at = stop + len(close)
    return b"".join([*kept, item[at:]])


def _attributes(tag: bytes) -> dict[str, str]:
    """Attributes of a tag that is well formed; empty for any other."""
    values = dict[str, str]()
    parser = expat.ParserCreate("utf-8")
    parser.StartElementHandler = lambda _, attributes: values.update(attributes)
    try:
        parser.Parse(tag.rstrip(b"/>") + b"/>", True)  # noqa: FBT003 - the end
    except expat.ExpatError:
        return {}
    return values


def lost_in_words(causes: Iterable[tuple[int, str]], items: int) -> str:
    """Summarise in one line how many items were lost, and why the first ones were."""
    descriptions = [f"item {number}: {cause}" for number, cause in causes]
    more = f", and {len(descriptions) - 3} more" if len(descriptions) > 3 else ""
    return f"{len(descriptions)} of {items} items cannot be read: {'; '.join(descriptions[:3])}{more}"
