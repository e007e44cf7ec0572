"""Extracts what is read aloud from plain text: a transcript, or a book of Project Gutenberg."""

import re

from speechmill.text.reference.spoken import prose, without_sounds

_START = re.compile(r"^[ \t]*\*{3}[ \t]*START OF [^\n]*(?:\n[^\n]+)?\*{3}[^\n]*$", re.MULTILINE)
_END = re.compile(
    r"^[ \t]*(?:\*{3}[ \t]*END OF |End of (?:the |this )?Project Gutenberg)", re.MULTILINE | re.IGNORECASE
)
_SMALL_PRINT = re.compile(r"\*END\*? ?THE SMALL PRINT[^\n]*$", re.MULTILINE)  # before 2004
_BROKEN = re.compile(r"(?<=[^\W\d_])-\n[ \t]*(?=[^\W\d_])")
_PIECE = re.compile(r"[^\W\d_]+")
_EMPHASIS = re.compile(r"(?<![^\W_])[_*=~#]{1,4}(?=\w)|(?<=\w)[_*=~]{1,4}(?![^\W_])|(?<=[^\w\s])[_*]{1,4}(?=\s|$)")
_RULE = re.compile(r"^[ \t]*(?:[-=_*#~+.][ \t]?){3,}$", re.MULTILINE)


def spoken_lines(text: str) -> list[str]:
    """Lines that are spoken: without licence, rules, emphasis marks, notes and speaker names."""
    body = _body(text)
    whole = _mended(_EMPHASIS.sub("", _RULE.sub("", body)), is_book=body is not text)
    return prose(without_sounds(whole, subtitles=False).split("\n"))


def _body(text: str) -> str:
    """The text between Project Gutenberg's header and licence, or the whole text."""
    start = _START.search(text) or _SMALL_PRINT.search(text)
    end = _END.search(text, start.end() if start else len(text) // 2)
    if start is None and end is None:
        return text
    return text[start.end() if start else 0 : end.start() if end else len(text)]


def _mended(text: str, *, is_book: bool) -> str:
    """Join words that are hyphenated at the end of a line.

    Project Gutenberg hyphenates none itself: in its books a hyphen stays unless the joined word occurs elsewhere.
    """
    if not _BROKEN.search(text):
        return text
    words = {word.casefold() for word in _PIECE.findall(text)}

    def join(match: re.Match[str]) -> str:
        before, after = _ending(text, match.start()), _PIECE.match(text, match.end())
        joined = f"{before}{after[0] if after else ''}".casefold()
        return "" if joined in words or not is_book else "-"

    return _BROKEN.sub(join, text)


def _ending(text: str, end: int) -> str:
    """The letters directly before an index."""
    start = end
    while start and text[start - 1].isalpha() and end - start < 40:
        start -= 1
    return text[start:end]
