"""Reads a reference text in any format, detected by content, since declared types and names are often wrong."""

import json
import math
import re
from collections.abc import Iterable, Iterator
from typing import Any

from speechmill.core.reasons import Reason
from speechmill.core.records import RejectedError
from speechmill.text.reference.captions import spoken
from speechmill.text.reference.cues import Cue, cues, has_cues
from speechmill.text.reference.decode import decode
from speechmill.text.reference.markup import is_page, lines_of
from speechmill.text.reference.prose import spoken_lines
from speechmill.text.reference.words import Piece, Reference, reference_of

_UTTERANCE = re.compile(r"\d{1,6}-\d{1,6}-\d{4,5}")
_UTTERANCE_LINE = re.compile(rf"({_UTTERANCE.pattern})[ \t]+(\S.*)")
_HTML_TYPES, _HTML_NAMES = ("text/html", "application/xhtml"), (".html", ".htm", ".xhtml")
_JSON_TYPES, _JSON_NAMES = ("application/json", "text/json"), (".json",)
# Names of a segment's fields in the podcast namespace, and in the output of Whisper and others.
STARTS, ENDS, BODIES = ("startTime", "start"), ("endTime", "end"), ("body", "text", "word")


def read(raw: bytes, media_type: str | None, name: str) -> Reference:
    """Read a transcript, subtitles or a book: SubRip, WebVTT, JSON, HTML, plain text or LibriSpeech's `.trans.txt`.

    Args:
        raw: The file.
        media_type: The declared type; it decides only where the content does not.
        name: Address, path or title of the text or of the recording. For a LibriSpeech chapter it must contain the id
            of the utterance, as in `19-198-0003`; only that line is read.

    Raises:
        RejectedError: BAD_TRANSCRIPT, where there is no text.
    """
    text = decode(raw, media_type)
    return reference_of(_pieces(text, (media_type or "").casefold(), name))


def _pieces(text: str, media_type: str, name: str) -> Iterable[Piece]:
    begin = text.lstrip()[:1]
    if begin in ("{", "[") and (segments := _json(text)) is not None:
        return spoken(_timed(segments)) if _has_times(segments) else _untimed(segments)
    if begin == "{" and (media_type.startswith(_JSON_TYPES) or name.casefold().endswith(_JSON_NAMES)):
        raise RejectedError(Reason.BAD_TRANSCRIPT, "JSON that cannot be read")
    if begin != "<" and has_cues(text):
        return spoken(cues(text))
    if (lines := _utterances(text)) is not None:
        return _utterance(lines, name)
    if is_page(text) or media_type.startswith(_HTML_TYPES) or name.casefold().endswith(_HTML_NAMES):
        text = "\n".join(lines_of(text))
    return (Piece(text=line) for line in spoken_lines(text))


def _utterances(text: str) -> dict[str, str] | None:
    """Lines of a LibriSpeech transcript by utterance id; None unless all lines have an id."""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if not _UTTERANCE_LINE.fullmatch(lines[0]):
        return None
    matches = [match for line in lines if (match := _UTTERANCE_LINE.fullmatch(line))]
    return {match[1]: match[2] for match in matches} if len(matches) == len(lines) else None


def _utterance(lines: dict[str, str], name: str) -> list[Piece]:
    named = [utterance for utterance in _UTTERANCE.findall(name) if utterance in lines]
    if not named:
        raise RejectedError(Reason.BAD_TRANSCRIPT, f"no line for {name[:200]!r}")
    return [Piece(text=lines[named[-1]])]


def _json(text: str) -> list[dict[str, Any]] | None:
    """Segments of a transcript in JSON; None where the text is not JSON."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, dict):
        value = next((value[key] for key in ("segments", "transcript", "results", "words") if key in value), None)
    segments = [segment for segment in value if isinstance(segment, dict)] if isinstance(value, list) else []
    with_text = [segment for segment in segments if isinstance(_first(segment, BODIES), str)]
    if not with_text:
        raise RejectedError(Reason.BAD_TRANSCRIPT, "JSON without segments")
    return _whole_words(with_text)


def _whole_words(segments: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Join parts of words: where most segments begin with a space, those without one continue the previous segment."""
    bodies = [str(_first(segment, BODIES)) for segment in segments]
    if 2 * sum(body.startswith(" ") for body in bodies) < len(bodies):
        return segments
    joined: list[tuple[list[str], dict[str, Any]]] = []
    for segment, body in zip(segments, bodies):
        if joined and not body.startswith((" ", "\n")):
            joined[-1][0].append(body)
            joined[-1][1]["end"] = _first(segment, ENDS)
        else:
            joined.append(([body], {"start": _first(segment, STARTS), "end": _first(segment, ENDS)}))
    return [times | {"body": "".join(parts)} for parts, times in joined]


def _has_times(segments: list[dict[str, Any]]) -> bool:
    return all(_seconds(_first(segment, STARTS)) is not None for segment in segments)


def _timed(segments: list[dict[str, Any]]) -> list[Cue]:
    return sorted(_cues(segments), key=lambda cue: cue.start_s)


def _cues(segments: list[dict[str, Any]]) -> Iterator[Cue]:
    """Cues of timed segments; a segment without an end lasts until the next begins."""
    starts = [_seconds(_first(segment, STARTS)) or 0.0 for segment in segments]
    for segment, start_s, next_s in zip(segments, starts, [*starts[1:], starts[-1]], strict=True):
        end_s = _seconds(_first(segment, ENDS))
        yield Cue(start_s=start_s, end_s=max(next_s if end_s is None else end_s, start_s), text=_body(segment))


def _untimed(segments: list[dict[str, Any]]) -> Iterator[Piece]:
    lines = "\n".join(_body(segment) for segment in segments)
    return (Piece(text=line) for line in spoken_lines(lines))


def _body(segment: dict[str, Any]) -> str:
    """The text of a segment, without the characters that `decode` removes and JSON can escape."""
    return str(_first(segment, BODIES)).replace("\ue000", " ").replace("\r", "\n")


def _first(segment: dict[str, Any], names: tuple[str, ...]) -> Any:
    return next((segment[name] for name in names if name in segment), None)


def _seconds(value: object) -> float | None:
    """A number of seconds, given as number or text; None for other values."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return None
    return seconds if math.isfinite(seconds) and 0 <= seconds < 1e9 else None
