"""Reads subtitles: SubRip, WebVTT and SBV in one lenient reader.

Libraries raise on, or silently drop, what players show: srt keeps tags, webvtt-py loses a cue with a
comma or an hour over 99, pysubs2 reads hour 100 as 0.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from speechmill.core.reasons import Reason
from speechmill.core.records import RejectedError

_TIME = r"(?:(\d{1,6}):)?(\d{1,3}):(\d{1,2})(?:[.,](\d{1,9}))?"
# A comma instead of an arrow is YouTube's SBV.
_TIMING = re.compile(rf"\s*{_TIME}(?:\s*-{{1,3}}>\s*|,(?=\d{{1,6}}:\d\d:\d\d\.\d)){_TIME}(?:\s.*)?$")
_INDEX = re.compile(r"\s*\d{1,9}\s*$")
_BLOCK = re.compile(r"(?:NOTE|STYLE|REGION)(?:\s|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cue:
    """Lines that are shown from `start_s` to `end_s`, seconds; markup is still in them."""

    start_s: float
    end_s: float
    text: str


def has_cues(text: str) -> bool:
    """Whether the text has a line of subtitle timing."""
    return text.lstrip().startswith("WEBVTT") or any(
        _TIMING.match(line) for line in text.split("\n") if ":" in line and ("->" in line or "," in line)
    )


def cues(text: str) -> list[Cue]:
    """Read subtitles, in order of time. Raises RejectedError(BAD_TRANSCRIPT) where there are none."""
    sorted_cues = sorted(
        _cues(text.split("\n"), strict=text.lstrip().startswith("WEBVTT")), key=lambda cue: cue.start_s
    )
    if not sorted_cues:
        raise RejectedError(Reason.BAD_TRANSCRIPT, "no subtitles")
    return sorted_cues


def seconds(hours: str | None, minutes: str, whole: str, part: str | None) -> float:
    """Convert the digits of a time to seconds.

    Args:
        hours: None or empty for 0.
        minutes: Digits.
        whole: Whole seconds.
        part: Digits after the decimal point; None or empty for 0.
    """
    return int(hours or 0) * 3600 + int(minutes) * 60 + float(f"{whole}.{part or 0}")


def _cues(lines: list[str], *, strict: bool) -> Iterator[Cue]:
    """Parse cues; with `strict`, an empty line ends a cue, as in WebVTT."""
    matched = ((i, _TIMING.match(line)) for i, line in enumerate(lines) if ":" in line)
    timings = [(i, match) for i, match in matched if match]
    ends = [*(i for i, _ in timings[1:]), len(lines)][: len(timings)]
    for (i, timing), end in zip(timings, ends, strict=True):
        digits = timing.groups()
        payload = _payload(lines[i + 1 : end], strict=strict, is_last=end == len(lines))
        start_s = seconds(*digits[:4])
        yield Cue(start_s=start_s, end_s=max(seconds(*digits[4:]), start_s), text="\n".join(payload))


def _payload(lines: list[str], *, strict: bool, is_last: bool) -> list[str]:
    """Text lines of a cue, out of all lines before the next timing: without cue number, cue name, notes and styles."""
    lines = lines[next((i for i, line in enumerate(lines) if line.strip()), len(lines)) :]
    if strict and "" in lines:
        return lines[: lines.index("")]
    if not is_last and lines and _INDEX.match(lines[-1]):
        lines = lines[:-1]
    return [line for line in lines if not (strict and _BLOCK.match(line))]
