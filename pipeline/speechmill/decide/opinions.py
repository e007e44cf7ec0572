"""Chooses the text of a clip from hypothesis, cross-check and reference text, and measures their agreement.

A hypothesis alone is not reliable. A second ASR model makes other mistakes, and a publisher's transcript or book has
few, but may be another edition: a text that two of them agree on is most likely correct.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import StrEnum
from itertools import accumulate
from typing import Any

from speechmill.decide.pauses import MARK
from speechmill.text.normal_form import clean, letters

MIN_REFERENCE_AGREEMENT = 0.9  # edited transcripts, which omit false starts, agree less

Words = Sequence[Mapping[str, Any]]  # word, start_s, end_s, probability: as in the column `words`


class TextSource(StrEnum):
    """Who wrote a clip's text."""

    ASR = "asr"  # the ASR model
    PUBLISHER = "publisher"  # a transcript, subtitles or the book
    MANUAL = "manual"  # a manual decision in decisions.jsonl


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenText:
    """The text of a clip. `asr_agreement` and `words[].agreement` are None if there is no other text."""

    text: str
    words: Words
    text_source: TextSource
    asr_agreement: float | None


def choose_text(
    hypothesis: str, words: Words, language: str | None, *, cross_check: str | None, reference: str | None
) -> ChosenText:
    """Choose the text of a clip.

    The reference text is chosen if it has case and punctuation, and agrees with the hypothesis or the cross-check by at
    least MIN_REFERENCE_AGREEMENT; else the hypothesis is.

    Args:
        hypothesis: Text of the ASR model.
        words: Words of the hypothesis with their times.
        language: ISO 639-1 code of the hypothesis.
        cross_check: Text of a second ASR model; None without one.
        reference: Reference text of the publisher; None without one.

    Returns:
        The text, with the agreement with the nearest other text.
    """
    if reference is not None and is_cased_and_punctuated(reference):
        best = max(agreement(reference, other, language) for other in (hypothesis, cross_check) if other is not None)
        if best >= MIN_REFERENCE_AGREEMENT:
            text = clean(reference)
            return _compared(
                text, with_word_times(text, words), TextSource.PUBLISHER, (hypothesis, cross_check), language
            )
    return _compared(hypothesis, words, TextSource.ASR, (cross_check, reference), language)


def _compared(
    text: str, words: Words, source: TextSource, others: tuple[str | None, ...], language: str | None
) -> ChosenText:
    """A text with its agreement, and that of its words, with the nearest of other texts."""
    known = [(agreement(text, other, language), other) for other in others if other is not None]
    best, nearest = max(known, key=lambda pair: pair[0], default=(None, None))
    if nearest is not None:
        agreements = word_agreements([word["word"] for word in words], nearest, language)
        words = [{**word, "agreement": value} for word, value in zip(words, agreements, strict=True)]
    return ChosenText(text=text, words=words, text_source=source, asr_agreement=best)


def word_agreements(words: Sequence[str], other: str, language: str | None) -> list[float | None]:
    """Share of each word's letters that another text has in the same place; None for a word without letters.

    >>> word_agreements(["He", "sat", "still."], "He sits still", "en")
    [1.0, 0.6667, 1.0]
    """
    from rapidfuzz.distance import Levenshtein  # here, as below: most commands compare no texts

    own = [letters(word, language) for word in words]
    ends = list(accumulate(map(len, own)))
    steps = Levenshtein.opcodes("".join(own), letters(other, language))
    is_equal = [step.tag == "equal" for step in steps for _ in range(step.src_end - step.src_start)]
    return [
        round(sum(is_equal[end - len(word) : end]) / len(word), 4) if word else None
        for word, end in zip(own, ends, strict=True)
    ]


def cross_check_text(transcript: Mapping[str, Any] | None, language: str | None) -> str | None:
    """Text of a row of the cross-check for a clip in a language; None if it cannot be compared.

    That is so if the model failed, or assumed another language without detecting it.
    """
    if transcript is None or transcript["error"]:
        return None
    assumed = transcript["language"] if transcript["language_probability"] is None else None
    return None if assumed not in (None, language) else transcript["text"]


def agreement(text: str, other: str, language: str | None) -> float:
    """1 - edit distance of two texts / length of the longer, in [0, 1]; 1 if both are empty.

    Compares only letters and digits of the normal form: no case, punctuation or spaces, and numbers as words.
    """
    from rapidfuzz.distance import Levenshtein

    return round(Levenshtein.normalized_similarity(letters(text, language), letters(other, language)), 4)


def is_cased_and_punctuated(text: str) -> bool:
    """Whether a text has punctuation and, if its script has case, both cases: many transcripts have neither."""
    has_case = any(map(str.isupper, text)) and any(map(str.islower, text))
    is_caseless = text.upper() == text.lower()
    return (has_case or is_caseless) and MARK.search(text) is not None


def with_word_times(text: str, words: Words) -> Words:
    """Give the words of a text the times of the equal words of a hypothesis, `words`.

    Words that differ share the time of the hypothesis words in their place by length, with probability None.
    """
    wanted = text.split()
    timed: list[Mapping[str, Any]] = []
    steps = SequenceMatcher(
        None, [_key(word["word"]) for word in words], [_key(word) for word in wanted], autojunk=False
    )
    for tag, first, last, begin, end in steps.get_opcodes():
        here, there = words[first:last], wanted[begin:end]
        if tag == "equal":
            timed += [{**word, "word": spelling} for word, spelling in zip(here, there, strict=True)]
            continue
        before = timed[-1]["end_s"] if timed else 0.0
        start_s, end_s = (here[0]["start_s"], here[-1]["end_s"]) if here else (before, before)
        timed += _spread(there, start_s, end_s)
    return timed


def _spread(words: Sequence[str], start_s: float, end_s: float) -> Words:
    """Spread words over a stretch of time, in proportion to their numbers of characters."""
    ends = [sum(map(len, words[:count])) for count in range(len(words) + 1)]
    times = [round(start_s + (end_s - start_s) * end / max(ends[-1], 1), 2) for end in ends]
    return [
        {"word": word, "start_s": start, "end_s": end, "probability": None}
        for word, start, end in zip(words, times, times[1:], strict=False)
    ]


def _key(word: str) -> str:
    """Letters and digits of a word in lower case, to compare words by."""
    return "".join(filter(str.isalnum, word.lower())) or word
