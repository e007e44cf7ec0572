"""Agreement of punctuation with pauses of the speaker: a test of punctuation that needs no second text."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import Any

PAUSE_S = 0.35  # delay of a word after a pause; chosen by detection of moved marks in tests/benchmarks/doubts.py
MARK = re.compile(r"[.,;:!?…–—。｡、，､؟،؛।۔！？；：]")
_EDGES = re.compile(r"^[\W_]+|[\W_]+$")


def pause_agreement(words: Sequence[Mapping[str, Any]], text: str) -> float | None:
    """F1 score, in [0, 1], of punctuation marks against pauses at the boundaries between words.

    `words` have `word` and `start_s`. A boundary has a mark if `text` has one between its words, and a pause if the
    second word starts at least PAUSE_S later than expected from the length of the first word and the clip's median
    tempo. Ends of words are ignored: Whisper assigns the time of a pause to the mark that it wrote there, so that gaps
    would always agree with marks.

    Returns:
        The score; None without marks and pauses, or if a word is not in the text.
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
    """Start and end of each word in the text, without punctuation around it; stops at the first that is missing."""
    at = 0
    for word in words:
        letters = _EDGES.sub("", word["word"]) or word["word"]
        start = text.find(letters, at)
        if start < 0:
            return
        at = start + len(letters)
        yield start, at


def _pauses(words: Sequence[Mapping[str, Any]]) -> list[bool]:
    """Whether each boundary has a pause, bool[words - 1]."""
    steps = [
        (after["start_s"] - word["start_s"], 1 + len(_EDGES.sub("", word["word"]))) for word, after in pairwise(words)
    ]
    tempo = median(seconds / characters for seconds, characters in steps) if steps else 0.0
    return [seconds - tempo * characters >= PAUSE_S for seconds, characters in steps]
