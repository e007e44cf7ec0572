"""HTML to lines of text in one pass over the tags; html.parser takes quadratic time on hostile pages."""

import html
import re
from collections.abc import Iterator

# Elements that are not read aloud. Without an end tag, only the first two hide the rest of the page.
UNREAD = (
    "script", "style", "head", "title", "nav", "header", "footer", "aside", "form", "button", "select", "noscript",
    "template", "svg", "iframe", "textarea", "sup", "figure", "time", "cite",
)  # fmt: skip
RAW = ("script", "style")
BREAKS = frozenset((
    "address", "article", "blockquote", "br", "caption", "center", "dd", "details", "div", "dl", "dt", "h1", "h2", "h3",
    "h4", "h5", "h6", "hr", "li", "main", "ol", "p", "pre", "section", "summary", "table", "tbody", "td", "th", "tr",
    "ul",
))  # fmt: skip
_NAME = re.compile(r"/?[A-Za-z][A-Za-z0-9]{0,20}")
_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}  # str.lower may change the length
_LONG_REFERENCE = re.compile(r"&#[xX]?[0-9a-fA-F]{9,};?")  # no character has it, and int() refuses long ones
_PAGE = re.compile(r"<!doctype html|<html[\s>]|</(?:p|div|cite|time|body|span|tt)\s*>|<(?:p|br)\s*/?>", re.IGNORECASE)
SNIFFED = 100_000  # characters at the beginning of a page that show that it is one


def is_page(text: str) -> bool:
    """Whether a text contains HTML tags."""
    return _PAGE.search(text[:SNIFFED]) is not None


def unescape(text: str) -> str:
    """Replace character references such as `&amp;`."""
    return html.unescape(_LONG_REFERENCE.sub(" ", text)) if "&" in text else text


def lines_of(page: str) -> list[str]:
    """Lines of text of a page, one for each paragraph; lines within `pre` stay as they are."""
    return unescape("".join(_texts(page, page.translate(_LOWER)))).split("\n")


def _texts(page: str, lower: str) -> Iterator[str]:
    """Text between the tags, with a line feed for each break and without elements that are not read aloud."""
    unread = [name for name in UNREAD if name != "cite" or "<time" in lower or ":</cite" in lower]
    ends: dict[str, int] = {}
    at, is_pre = 0, False
    while at < len(page):
        tag = page.find("<", at)
        text = page[at:] if tag < 0 else page[at:tag]
        yield text if is_pre else text.replace("\n", " ")
        if tag < 0:
            return
        name, at = _tag(lower, tag, ends)
        if name is None:
            yield "<"
        elif name in unread:
            at = _end_of(name, lower, at, ends)
        elif name.lstrip("/") in BREAKS:
            yield "\n"
            is_pre = name == "pre" or (is_pre and name != "/pre")


def _tag(lower: str, at: int, ends: dict[str, int]) -> tuple[str | None, int]:
    """Name of the tag at `at` and the index after it; None and the next index where there is no tag."""
    if lower.startswith("<!--", at) and (end := _find("-->", lower, at, ends)) >= 0:
        return "", end + 3
    match = _NAME.match(lower, at + 1)
    if match is None and not lower.startswith(("<!", "<?"), at):
        return None, at + 1
    end = _find(">", lower, at, ends)
    return match[0] if match else "", len(lower) if end < 0 else end + 1


def _end_of(name: str, lower: str, at: int, ends: dict[str, int]) -> int:
    """Index after the element `name`, which began before `at`."""
    end = _find(f"</{name}", lower, at, ends)
    if end < 0:
        return len(lower) if name in RAW else at
    close = _find(">", lower, end, ends)
    return len(lower) if close < 0 else close + 1


def _find(needle: str, lower: str, at: int, ends: dict[str, int]) -> int:
    """str.find with a cache, so that a string which is absent or far away is not searched for repeatedly."""
    index = ends.get(needle)
    if index is None or 0 <= index < at:
        index = ends[needle] = lower.find(needle, at)
    return index
