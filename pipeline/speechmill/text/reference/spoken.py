"""Removes from transcript lines what is not spoken: speaker names, sounds and songs."""

import re
from collections import Counter
from collections.abc import Callable, Iterable

MAX_NOTE = 200  # characters of a note in brackets; a longer one has no closing bracket
MAX_PREFIX = 150  # characters at the beginning of a line that are searched for a speaker's name
MIN_TIMES = 2  # a name before a colon that occurs once may be part of a sentence: "Remember: ..."
MIN_LINES, MIN_SHARE = 3, 0.2  # of lines that begin with a name or a time in a transcript
# How a note in parentheses begins; all else in parentheses may be spoken.
SOUNDS = (
    r"applau|audience|beep|bell |bells|cheer|chuckl|clap|clears? throat|cough|cross-?talk|crying|exhal|gasp|giggl|groan"
    r"|humming|inaudible|indistinct|inhal|laugh|music|phone ring|paus|silence|sing(?:s|ing)\b|sigh|sniff|sobs|sound of"
    r"|static|theme|unintelligible|upbeat|whisper|whistl"
)
_BRACKETS = re.compile(rf"\[[^\[\]]{{0,{MAX_NOTE}}}\]|\{{\\[^{{}}]{{0,{MAX_NOTE}}}\}}")
_FOOTNOTE = re.compile(r"(?<=\S)\[(?:\d{1,4}|[*†a-z])\]")
_SOUND = re.compile(rf"\((?:{SOUNDS})[^()]{{0,{MAX_NOTE}}}\)|\*(?:{SOUNDS})[^*\n]{{0,{MAX_NOTE}}}\*", re.IGNORECASE)
_SHOUTED = re.compile(rf"\([A-Z][A-Z\d ,.'&-]{{2,{MAX_NOTE}}}\)|^[-– ]*\([^()]{{0,{MAX_NOTE}}}\)\s*$", re.MULTILINE)
_SONG = re.compile(r"[♪♫]+[^♪♫]*[♪♫]+|[♪♫]+[^♪♫\n]*")
_TURN = re.compile(r"\s*(?:»|[-–—](?=\s*\w))[ \t]*")
_CHEVRONS = re.compile(r">>+\s*")  # another speaker, also within a line
_CLOCK = r"[\[(]?\d{1,3}:\d\d(?::\d\d)?(?:[.,]\d{1,3})?[\])]?"
_NAME = (
    r"(?:[^\W\d_a-z][\w.'’&-]{0,30}(?: (?:[^\W\d_a-z][\w.'’&-]{0,30}|\d{1,3}|of|the|de|van|von)){0,3}|speaker ?\d{1,3})"
)
_SPEAKER = re.compile(rf"\s*({_NAME})(?: ?[(\[][^()\[\]]{{0,40}}[)\]])?(?: {_CLOCK})?\s?(?::(?:\s+|$)|：)")
_HEADING = re.compile(rf"\s*(?:{_CLOCK}\s*)?(?:{_NAME}\s*)?(?:{_CLOCK}\s*)?")
_TIME_FIRST = re.compile(rf"\s*{_CLOCK}(?:\s*-+>?\s*{_CLOCK})?(?=\s)[\s:–-]*")


def without_sounds(text: str, *, subtitles: bool) -> str:
    """Remove [Music], (laughs), ♪ songs ♪, footnote marks; in subtitles also (SHOUTED) and lines in parentheses."""
    text = _CHEVRONS.sub("\n", text) if ">>" in text else text
    text = _BRACKETS.sub(" ", _FOOTNOTE.sub("", text)) if "[" in text or "{" in text else text
    text = _SONG.sub(" ", text) if "♪" in text or "♫" in text else text
    text = _SOUND.sub(" ", text) if "(" in text or "*" in text else text
    return _SHOUTED.sub(" ", text) if subtitles and "(" in text else text


def subtitle_speakers(lines: Iterable[str]) -> Callable[[str], str]:
    """Return a function that removes dashes and speaker names from a line of the subtitles `lines`."""
    turns = [_TURN.sub("", line, count=1) if _TURN.match(line) else line for line in lines]
    named = [name for line in turns if (name := _speaker_name(line))]
    counts = Counter(named)
    first = next((_speaker_name(line) for line in turns if line.strip()), None)
    names = {name for name in counts if counts[name] >= MIN_TIMES or name.isupper() or name == first}
    return lambda line: _without_name(_TURN.sub("", line, count=1) if _TURN.match(line) else line, names)


def prose(lines: list[str]) -> list[str]:
    """Lines without speaker names and times, if the text is a transcript; a book stays as it is."""
    enough = max(MIN_LINES, MIN_SHARE * sum(bool(line.strip()) for line in lines))
    headings = [line for line in lines if _is_heading(line)]
    if len(headings) >= MIN_TIMES:
        lines = [line for line in lines if not _is_heading(line)]
    if sum(bool(_TIME_FIRST.match(line[:MAX_PREFIX])) for line in lines) >= enough:
        lines = [line[match.end() :] if (match := _TIME_FIRST.match(line)) else line for line in lines]
    named = Counter(name for line in lines if (name := _speaker_name(line)))
    if sum(named.values()) < enough:
        return lines
    names = {name for name in named if named[name] >= MIN_TIMES or name.isupper()}
    return [_without_name(line, names) for line in lines]


def _speaker_name(line: str) -> str | None:
    match = _SPEAKER.match(line[:MAX_PREFIX])
    return match[1] if match else None


def _without_name(line: str, names: set[str]) -> str:
    match = _SPEAKER.match(line[:MAX_PREFIX])
    return line[match.end() :] if match and match[1] in names else line


def _is_heading(line: str) -> bool:
    """Whether a line is a time, alone or beside a name."""
    return len(line) <= MAX_PREFIX and ":" in line and any(c.isdigit() for c in line) and _fits_heading(line)


def _fits_heading(line: str) -> bool:
    return _HEADING.fullmatch(line) is not None
