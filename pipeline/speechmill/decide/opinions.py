"""What several opinions on a clip's words come to: whose text it is published with, and how far others agree.

A recogniser's text is doubtful by itself. Another recogniser makes other mistakes, and a publisher's transcript or the
book that is read makes few, but may be of another edition: what two of them say is most likely what was said.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import StrEnum
from typing import Any

from rapidfuzz.distance import Levenshtein

from speechmill.decide.pauses import MARK
from speechmill.text.normal_form import clean, comparable, latin

HUMAN_WINS = 0.9  # edited transcripts, which leave out false starts, agree less

Words = Sequence[Mapping[str, Any]]  # word, start_s, end_s, probability: as the column `words`


class TextSource(StrEnum):
    """Who wrote a clip's text."""

    ASR = "asr"  # the recogniser
    PUBLISHER = "publisher"  # a transcript, subtitles or the book
    MANUAL = "manual"  # somebody, in decisions.jsonl


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The text that a clip is published with. `asr_agreement` is None where nobody else was asked."""

    text: str
    words: Words
    text_source: TextSource
    asr_agreement: float | None


def judge(heard: str, words: Words, language: str | None, *, second: str | None, human: str | None) -> Judged:
    """Weigh what the recogniser `heard` against what a second one and a human say; None: they say nothing.

    A human text wins where it is written as one reads, with case and marks, and agrees with what either recogniser
    heard by at least HUMAN_WINS. The winner's agreement is that with the nearest other opinion.
    """
    if human is not None and is_written(human):
        found = max(agreement(human, other, language) for other in (heard, second) if other is not None)
        if found >= HUMAN_WINS:
            text = clean(human)
            return Judged(
                text=text, words=retimed(text, words), text_source=TextSource.PUBLISHER, asr_agreement=found
            )  # fmt: skip
    others = [agreement(heard, other, language) for other in (second, human) if other is not None]
    return Judged(text=heard, words=words, text_source=TextSource.ASR, asr_agreement=max(others, default=None))


def opinion(heard: Mapping[str, Any] | None, language: str | None) -> str | None:
    """What a second recogniser heard, a row of its transcripts, of a clip in a language; None if it has nothing to say.

    One that failed has not, and one that takes all for a language of its own, without detecting it, not of others.
    """
    if heard is None or heard["error"]:
        return None
    assumed = heard["language"] if heard["language_probability"] is None else None
    return None if assumed not in (None, language) else heard["text"]


def agreement(one: str, other: str, language: str | None) -> float:
    """1 - the edit distance of two texts over the length of the longer, in [0, 1]; 1 where both are empty.

    Only letters and digits of the normal form count: neither case, marks nor spaces, and numbers are words.
    """
    return round(Levenshtein.normalized_similarity(_letters(one, language), _letters(other, language)), 4)


def _letters(text: str, language: str | None) -> str:
    return "".join(filter(str.isalnum, latin(comparable(text, language), guess=True)))


def is_written(text: str) -> bool:
    """Whether a text has marks and, where its script knows two cases, both: many transcripts have neither."""
    has_case = any(map(str.isupper, text)) and any(map(str.islower, text))
    is_caseless = text.upper() == text.lower()
    return (has_case or is_caseless) and MARK.search(text) is not None


def retimed(text: str, words: Words) -> Words:
    """The words of a text with the times of those that were heard.

    Words that were not heard share the time of those in their place by their length, without a probability.
    """
    wanted = text.split()
    found: list[Mapping[str, Any]] = []
    steps = SequenceMatcher(
        None, [_key(word["word"]) for word in words], [_key(word) for word in wanted], autojunk=False
    )
    for tag, first, last, begin, end in steps.get_opcodes():
        here, there = words[first:last], wanted[begin:end]
        if tag == "equal":
            found += [{**word, "word": spelling} for word, spelling in zip(here, there, strict=True)]
            continue
        before = found[-1]["end_s"] if found else 0.0
        start_s, end_s = (here[0]["start_s"], here[-1]["end_s"]) if here else (before, before)
        found += _spread(there, start_s, end_s)
    return found


def _spread(words: Sequence[str], start_s: float, end_s: float) -> Words:
    """Words one after the other in a stretch of time, each as long as its letters are many."""
    ends = [sum(map(len, words[:count])) for count in range(len(words) + 1)]
    times = [round(start_s + (end_s - start_s) * end / max(ends[-1], 1), 2) for end in ends]
    return [
        {"word": word, "start_s": start, "end_s": end, "probability": None}
        for word, start, end in zip(words, times, times[1:], strict=False)
    ]


def _key(word: str) -> str:
    return "".join(filter(str.isalnum, word.lower())) or word
