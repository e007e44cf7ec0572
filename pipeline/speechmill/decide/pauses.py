"""Whether a text has its marks where the speaker pauses: evidence for its punctuation that needs no second reader."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import Any

PAUSE_S = 0.35  # how late a word must come; tests/benchmarks/doubts.py tells marks that were moved by it
MARK = re.compile(r"[.,;:!?…–—。｡、，､؟،؛।۔！？；：]")
_EDGES = re.compile(r"^[\W_]+|[\W_]+$")


def pause_agreement(words: Sequence[Mapping[str, Any]], text: str) -> float | None:
    """How well marks and pauses inside a clip agree: the F1 of the boundaries with both, in [0, 1].

    A boundary lies between two neighbouring words (`word`, `start_s`, `end_s`) and has a mark where `text` has one
    there. It has a pause where the second word begins PAUSE_S or more later than the first one's letters take at the
    clip's own tempo, its median. Ends of words count for nothing: Whisper gives the time of a pause to the mark that
    it wrote there, so that its gaps agree with its marks by their making. None where there is neither mark nor pause,
    or a word is not found in the text.
    """
    placed = list(_placed(words, text))
    if len(placed) < len(words):
        return None
    marks = [MARK.search(text, end, start) is not None for (_, end), (start, _) in pairwise(placed)]
    pauses = _pauses(words)
    if not any(marks) and not any(pauses):
        return None
    return 2 * sum(map(min, marks, pauses)) / (sum(marks) + sum(pauses))


def _placed(words: Sequence[Mapping[str, Any]], text: str) -> Iterator[tuple[int, int]]:
    """Where each word stands in the text, without the marks around it; ends with the first that is not there."""
    at = 0
    for word in words:
        letters = _EDGES.sub("", word["word"]) or word["word"]
        start = text.find(letters, at)
        if start < 0:
            return
        at = start + len(letters)
        yield start, at


def _pauses(words: Sequence[Mapping[str, Any]]) -> list[bool]:
    steps = [
        (after["start_s"] - word["start_s"], 1 + len(_EDGES.sub("", word["word"]))) for word, after in pairwise(words)
    ]
    tempo = median(seconds / characters for seconds, characters in steps) if steps else 0.0
    return [seconds - tempo * characters >= PAUSE_S for seconds, characters in steps]
