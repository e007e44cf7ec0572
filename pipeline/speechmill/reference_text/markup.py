"""HTML to lines of text, in one pass over tags; the library's parser takes the square of the time on hostile pages."""

import html
import re
from collections.abc import Iterator

# What nobody reads aloud. Without an end tag, only the first two take the rest of the page with them.
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
    """Whether a text has the tags of HTML."""
    return _PAGE.search(text[:SNIFFED]) is not None


def unescape(text: str) -> str:
    """Character references, `&amp;`, as characters."""
    return html.unescape(_LONG_REFERENCE.sub(" ", text)) if "&" in text else text


def lines_of(page: str) -> list[str]:
    """Lines of text in a page, one a paragraph; within `pre` as they are."""
    return unescape("".join(_texts(page, page.translate(_LOWER)))).split("\n")


def _texts(page: str, lower: str) -> Iterator[str]:
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
    """Name of the tag at a `<` and where it ends; None and the next character where there is no tag."""
    if lower.startswith("<!--", at) and (end := _find("-->", lower, at, ends)) >= 0:
        return "", end + 3
    found = _NAME.match(lower, at + 1)
    if found is None and not lower.startswith(("<!", "<?"), at):
        return None, at + 1
    end = _find(">", lower, at, ends)
    return found[0] if found else "", len(lower) if end < 0 else end + 1


def _end_of(name: str, lower: str, at: int, ends: dict[str, int]) -> int:
    """Where an element ends, which began before `at`."""
    end = _find(f"</{name}", lower, at, ends)
    if end < 0:
        return len(lower) if name in RAW else at
    close = _find(">", lower, end, ends)
    return len(lower) if close < 0 else close + 1


def _find(what: str, lower: str, at: int, ends: dict[str, int]) -> int:
    """As str.find, but what is not there, or far, is not looked for again and again."""
    known = ends.get(what)
    if known is None or 0 <= known < at:
        known = ends[what] = lower.find(what, at)
    return known
