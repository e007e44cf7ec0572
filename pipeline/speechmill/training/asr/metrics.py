"""Errors of an ASR model in words, characters, punctuation and case, as counts that can be summed.

Every figure is a ratio of two sums over clips, so that a source, a whole manifest, and bootstrap samples of its
speakers are scored by the same code.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any

import jiwer
import numpy as np
import numpy.typing as npt

from speechmill.text import normal_form as texts

# Written without spaces: Thai, Lao, Myanmar, Khmer, kana and Chinese characters. Each character is a word.
UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
MARKS = {
    "full stop": ".。｡।۔", "comma": ",，、､،", "question mark": "?？؟", "exclamation mark": "!！", "semicolon": ";；؛",
    "colon": ":：",
}  # fmt: skip
KIND_OF = {mark: kind for kind, marks in MARKS.items() for mark in marks}
ELLIPSIS = "ellipsis"
# Abbreviations and full spellings of the same word: LibriSpeech has the long ones; `misess` is TorToiSe's.
SAME = {"mr": "mister", "mrs": "missus", "misess": "missus", "dr": "doctor", "ok": "okay"}
FIGURES = {
    "wer": "word errors", "substituted": "words taken for others", "deleted": "words missed",
    "inserted": "words made up", "cer": "character errors",
    "wer_raw": "word errors, raw", "cer_raw": "character errors, raw",
    "f1_full_stop": "full stops, F1", "f1_comma": "commas, F1", "f1_question_mark": "question marks, F1",
    "f1_marks": "all punctuation, F1", "f1_case": "capitals, F1",
}  # fmt: skip
JUDGED = {"f1_full_stop": "full stop", "f1_comma": "comma", "f1_question_mark": "question mark"}
MAJORITY = 0.5  # share of a source's texts with case, from which on a text without any is taken to have it too
DRAWS = 1_000

_UNSPACED = re.compile(f"[{UNSPACED}]")
_GAP = re.compile(f"(?<=[{UNSPACED}]) | (?=[{UNSPACED}])")
_INNER = re.compile(r"(?<=[^\W_])['’](?=[^\W_])")
APOSTROPHE = "\u02bc"  # a letter by Unicode's word
WIDE = "。｡，、､？！；：।"  # punctuation that is not followed by a space

Count = tuple[int, int, int]  # numerator and denominator of a figure, and its number of words, marks or capitals
Diff = list[tuple[str, str, str]]  # operation (equal, substitute, delete, insert), reference words, hypothesis words
Plain = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Spoken:
    """A word and the kind of punctuation after it."""

    word: str
    mark: str | None


@dataclass(frozen=True, slots=True)
class Written:
    """Whether a reference has case and punctuation; otherwise they cannot be scored."""

    case: bool
    marks: bool
    caseless: bool = False  # its script has no case

    @property
    def raw(self) -> bool:
        """Whether the unnormalised text can be expected from an ASR model."""
        return self.marks and (self.case or self.caseless)


@dataclass(frozen=True, slots=True)
class Compared:
    """Scores of a clip: counts by figure, as far as the reference allows, and the word alignment."""

    counts: dict[str, Count]
    diff: Diff


# --- words ---


def spoken(text: str) -> list[Spoken]:
    """Words of a text with the punctuation after them; a word is letters, digits and inner apostrophes."""
    opened = _UNSPACED.sub("\0\\g<0>\0", _INNER.sub(APOSTROPHE, texts.clean(text)))
    runs = [(is_word, "".join(run)) for is_word, run in groupby(opened, key=_is_letter)]
    gaps = [*(run for _, run in runs[1:]), ""]
    pairs = [(run, gap) for (is_word, run), gap in zip(runs, gaps) if is_word]
    return [Spoken(word, _mark(word, gap, is_last=at == len(pairs))) for at, (word, gap) in enumerate(pairs, start=1)]


def _is_letter(character: str) -> bool:
    return character.isalnum() or unicodedata.category(character)[0] == "M"  # Hindi's vowels are marks


def _mark(word: str, gap: str, *, is_last: bool) -> str | None:
    """Kind of punctuation in the gap after a word; none inside a number or an address, or after an abbreviation."""
    if "…" in gap or ".." in gap:
        return ELLIPSIS
    mark = next((c for c in gap if c in KIND_OF), None)
    if mark is None or not (is_last or mark in WIDE or any(c.isspace() for c in gap)):
        return None
    return None if mark == "." and word.lower() in texts.abbreviated() else KIND_OF[mark]


def words(text: str, language: str) -> list[str]:
    """Normalised words for scoring: without punctuation and case, numbers verbalised, in English with one spelling.

    English is written as for TorToiSe. Other languages keep their letters: in that form `schön` would be `schon`.
    """
    plain = texts.comparable(text, language)
    if language == "en" and not _UNSPACED.search(text):
        plain = texts.latin(plain, guess=True)
    return [key(item.word, language) for item in spoken(plain)]


def key(word: str, language: str) -> str:
    """Normal form of a word; words that count as equal have the same."""
    plain = unicodedata.normalize("NFKC", word).casefold().replace(APOSTROPHE, "'")
    if language != "en":
        return plain
    plain = SAME.get(plain, plain)
    return spellings().get(plain, plain)


@lru_cache(maxsize=1)
def spellings() -> Mapping[str, str]:
    """British to American spellings, from Whisper's English normaliser; empty if its package is not installed."""
    try:
        from whisper_normalizer.english import (
            EnglishSpellingNormalizer,
        )
    except ImportError:
        return {}
    mapping: Mapping[str, str] = EnglishSpellingNormalizer().mapping
    return mapping


# --- one clip ---


def conventions(references: Sequence[str], sources: Sequence[str]) -> list[Written]:
    """Whether each reference has case and punctuation: it does itself, or most references of its source do."""
    shown = [_shown(text) for text in references]
    shown_by_source: dict[str, list[Written]] = {}
    for source, item in zip(sources, shown, strict=True):
        shown_by_source.setdefault(source, []).append(item)
    case = {source: np.mean([item.case for item in items]) >= MAJORITY for source, items in shown_by_source.items()}
    marks = {source: np.mean([item.marks for item in items]) >= MAJORITY for source, items in shown_by_source.items()}
    return [
        Written(item.case or bool(case[source]), item.marks or bool(marks[source]), item.caseless)
        for source, item in zip(sources, shown, strict=True)
    ]


def _shown(text: str) -> Written:
    has = {"lower": any(c.islower() for c in text), "upper": any(c.isupper() for c in text)}
    return Written(all(has.values()), any(word.mark for word in spoken(text)), not any(has.values()))


def compare(reference: str, hypothesis: str, language: str, written: Written) -> Compared:
    """Align a reference and a hypothesis and count errors, for the figures that the reference allows.

    Args:
        reference: Text of the reference.
        hypothesis: Text of the ASR model.
        language: ISO 639-1 code, for normalisation.
        written: Whether the reference has case and punctuation.
    """
    reference_words, hypothesis_words = words(reference, language), words(hypothesis, language)
    diff, counts = _aligned(reference_words, hypothesis_words)
    counts["cer"] = _characters(_joined(reference_words), _joined(hypothesis_words))
    if written.raw:
        counts["cer_raw"] = _characters(" ".join(reference.split()), " ".join(hypothesis.split()))
        if not _UNSPACED.search(reference):
            counts["wer_raw"] = _aligned(reference.split(), hypothesis.split())[1]["wer"]
    if written.marks or written.case:
        pairs = _matched(spoken(reference), spoken(hypothesis), language)
        counts |= dict(_marks(pairs)) if written.marks else {}
        counts |= {"f1_case": _case(pairs)} if written.case else {}
    return Compared(counts, diff)


def _aligned(reference: Sequence[str], hypothesis: Sequence[str]) -> tuple[Diff, dict[str, Count]]:
    """Word alignment, and counts of word errors by kind."""
    alignment = jiwer.process_words(" ".join(reference), " ".join(hypothesis))
    diff = [
        (
            c.type,
            " ".join(reference[c.ref_start_idx : c.ref_end_idx]),
            " ".join(hypothesis[c.hyp_start_idx : c.hyp_end_idx]),
        )
        for c in alignment.alignments[0]
    ]
    parts = {"substituted": alignment.substitutions, "deleted": alignment.deletions, "inserted": alignment.insertions}
    errors = {"wer": sum(parts.values())} | parts
    return diff, {name: (count, len(reference), len(reference)) for name, count in errors.items()}


def _characters(reference: str, hypothesis: str) -> Count:
    alignment = jiwer.process_characters(reference, hypothesis)
    return alignment.substitutions + alignment.deletions + alignment.insertions, len(reference), len(reference)


def _joined(parts: Sequence[str]) -> str:
    """Join words with spaces, except in scripts without them."""
    return _GAP.sub("", " ".join(parts))


def _matched(reference: Sequence[Spoken], hypothesis: Sequence[Spoken], language: str) -> list[tuple[Spoken, Spoken]]:
    """Words aligned as equal: only there can punctuation and capitals be compared."""
    reference_keys, hypothesis_keys = (
        " ".join(key(word.word, language) for word in side) for side in (reference, hypothesis)
    )
    alignment = jiwer.process_words(reference_keys, hypothesis_keys)
    return [
        pair
        for c in alignment.alignments[0]
        if c.type == "equal"
        for pair in zip(
            reference[c.ref_start_idx : c.ref_end_idx], hypothesis[c.hyp_start_idx : c.hyp_end_idx], strict=True
        )
    ]


def _marks(pairs: Sequence[tuple[Spoken, Spoken]]) -> Iterator[tuple[str, Count]]:
    marks = [(expected.mark, actual.mark) for expected, actual in pairs]
    for name, kind in JUDGED.items():
        yield name, _f1([(expected == kind, actual == kind) for expected, actual in marks])
    right = sum(expected == actual is not None for expected, actual in marks)
    in_reference, in_hypothesis = (
        sum(side is not None for side in sides) for sides in (zip(*marks, strict=True) if marks else ((), ()))
    )
    yield (
        "f1_marks",
        (2 * right, in_reference + in_hypothesis, in_reference),
    )  # a mark of the wrong kind is both a miss and an insertion


def _case(pairs: Sequence[tuple[Spoken, Spoken]]) -> Count:
    first = [(expected.word[0], actual.word[0]) for expected, actual in pairs]
    return _f1(
        [(expected.isupper(), actual.isupper()) for expected, actual in first if expected.lower() != expected.upper()]
    )


def _f1(pairs: Sequence[tuple[bool, bool]]) -> Count:
    """F1 as a count: 2 TP / (2 TP + FP + FN), where the denominator is the positives of reference and hypothesis."""
    in_reference, in_hypothesis = sum(expected for expected, _ in pairs), sum(actual for _, actual in pairs)
    return 2 * sum(expected and actual for expected, actual in pairs), in_reference + in_hypothesis, in_reference


# --- many clips ---


def figures(counts: Sequence[Mapping[str, Count]], groups: Sequence[str]) -> dict[str, Plain]:
    """Each figure with its value, 95 % confidence interval, number of units, and number of clips.

    The interval is by drawing whole groups of clips with replacement (cluster bootstrap, percentile method; Davison
    & Hinkley 1997, section 3.8), the same draws in every call; None where there is only one group.
    """
    _, owner = np.unique(np.asarray(groups), return_inverse=True)
    by_name = {}
    for name in FIGURES:
        rows = [(at, count[name]) for at, count in enumerate(counts) if name in count]
        over, under, size = np.array([count for _, count in rows], np.float64).reshape(-1, 3).T
        if not under.sum():
            continue
        low, high = _interval(over, under, owner[[at for at, _ in rows]])
        value = float(over.sum() / under.sum())
        by_name[name] = {"value": value, "low": low, "high": high, "of": int(size.sum()), "clips": len(rows)}
    return by_name


def _interval(
    over: npt.NDArray[np.float64], under: npt.NDArray[np.float64], owner: npt.NDArray[np.intp]
) -> tuple[float | None, float | None]:
    _, owner = np.unique(owner, return_inverse=True)
    sums = np.stack([np.bincount(owner, weights=part) for part in (over, under)], axis=1)
    if len(sums) < 2:
        return None, None
    rng = np.random.default_rng(0)
    totals = np.stack(
        [np.bincount(rng.integers(len(sums), size=len(sums)), minlength=len(sums)) @ sums for _ in range(DRAWS)]
    )
    valid = totals[totals[:, 1] > 0]
    low, high = np.percentile(valid[:, 0] / valid[:, 1], [2.5, 97.5])
    return float(low), float(high)
