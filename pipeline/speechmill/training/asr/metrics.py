"""What an ASR model got wrong: words, characters, punctuation and case, as counts that add up.

Every figure is a ratio of two sums over clips, so that a source, a whole manifest, and draws of its speakers are
judged by the same few lines.
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
# Spelt in full by one and short by the other: LibriSpeech writes the long ones; `misess` is TorToiSe's.
SAME = {"mr": "mister", "mrs": "missus", "misess": "missus", "dr": "doctor", "ok": "okay"}
FIGURES = {
    "wer": "word errors", "substituted": "words taken for others", "deleted": "words missed",
    "inserted": "words made up", "cer": "character errors",
    "wer_raw": "word errors, raw", "cer_raw": "character errors, raw",
    "f1_full_stop": "full stops, F1", "f1_comma": "commas, F1", "f1_question_mark": "question marks, F1",
    "f1_marks": "all punctuation, F1", "f1_case": "capitals, F1",
}  # fmt: skip
JUDGED = {"f1_full_stop": "full stop", "f1_comma": "comma", "f1_question_mark": "question mark"}
MAJORITY = 0.5  # of a source's texts that have case: then a text of it that shows none has it too
DRAWS = 1_000

_UNSPACED = re.compile(f"[{UNSPACED}]")
_GAP = re.compile(f"(?<=[{UNSPACED}]) | (?=[{UNSPACED}])")
_INNER = re.compile(r"(?<=[^\W_])['’](?=[^\W_])")
APOSTROPHE = "\u02bc"  # a letter by Unicode's word
WIDE = "。｡，、､？！；：।"  # need no space after them
ABBREVIATED = frozenset(texts.ABBREVIATED)

Count = tuple[int, int, int]  # numerator and denominator of a figure, and of how many words, marks or capitals it is
Diff = list[tuple[str, str, str]]  # equal, substitute, delete or insert; words of the reference, and of the hypothesis
Plain = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Spoken:
    """A word as it is spelt, and the kind of mark that follows it."""

    word: str
    mark: str | None


@dataclass(frozen=True, slots=True)
class Written:
    """Whether a reference shows case and punctuation; what it does not show cannot be judged."""

    case: bool
    marks: bool
    caseless: bool = False  # no letter of its script has case

    @property
    def raw(self) -> bool:
        """Whether the text as it stands is what an ASR model should write."""
        return self.marks and (self.case or self.caseless)


@dataclass(frozen=True, slots=True)
class Compared:
    """One clip: counts by figure, where the figure can be told, and the words of both texts side by side."""

    counts: dict[str, Count]
    diff: Diff


# --- words ---


def spoken(text: str) -> list[Spoken]:
    """Words of a text with the marks after them; words are letters, digits and the apostrophes between them."""
    opened = _UNSPACED.sub("\0\\g<0>\0", _INNER.sub(APOSTROPHE, texts.clean(text)))
    runs = [(is_word, "".join(run)) for is_word, run in groupby(opened, key=_is_letter)]
    gaps = [*(run for _, run in runs[1:]), ""]
    found = [(run, gap) for (is_word, run), gap in zip(runs, gaps) if is_word]
    return [Spoken(word, _mark(word, gap, is_last=at == len(found))) for at, (word, gap) in enumerate(found, start=1)]


def _is_letter(character: str) -> bool:
    return character.isalnum() or unicodedata.category(character)[0] == "M"  # Hindi's vowels are marks


def _mark(word: str, gap: str, *, is_last: bool) -> str | None:
    """Of the text between two words; that within a number or an address is no mark, nor that of an abbreviation."""
    if "…" in gap or ".." in gap:
        return ELLIPSIS
    mark = next((c for c in gap if c in KIND_OF), None)
    if mark is None or not (is_last or mark in WIDE or any(c.isspace() for c in gap)):
        return None
    return None if mark == "." and word.lower() in ABBREVIATED else KIND_OF[mark]


def words(text: str, language: str) -> list[str]:
    """Words to be counted: without punctuation and case, numbers as they are read, and in English one spelling.

    English is written as TorToiSe's text is. Other languages keep their letters: in that form `schön` is `schon`.
    """
    plain = texts.comparable(text, language)
    if language == "en" and not _UNSPACED.search(text):
        plain = texts.latin(plain, guess=True)
    return [key(one.word, language) for one in spoken(plain)]


def key(word: str, language: str) -> str:
    """What two words that count as the same have in common."""
    plain = unicodedata.normalize("NFKC", word).casefold().replace(APOSTROPHE, "'")
    if language != "en":
        return plain
    plain = SAME.get(plain, plain)
    return spellings().get(plain, plain)


@lru_cache(maxsize=1)
def spellings() -> Mapping[str, str]:
    """British spellings to American, as Whisper's English normaliser has them; none where its package is not there."""
    try:
        from whisper_normalizer.english import (
            EnglishSpellingNormalizer,
        )
    except ImportError:
        return {}
    found: Mapping[str, str] = EnglishSpellingNormalizer().mapping
    return found


# --- one clip ---


def conventions(references: Sequence[str], sources: Sequence[str]) -> list[Written]:
    """For each reference whether it has case and punctuation: it shows them, or most of its source's do."""
    own = [_shown(text) for text in references]
    of_source: dict[str, list[Written]] = {}
    for source, one in zip(sources, own, strict=True):
        of_source.setdefault(source, []).append(one)
    case = {source: np.mean([one.case for one in all_of_it]) >= MAJORITY for source, all_of_it in of_source.items()}
    marks = {source: np.mean([one.marks for one in all_of_it]) >= MAJORITY for source, all_of_it in of_source.items()}
    return [
        Written(one.case or bool(case[source]), one.marks or bool(marks[source]), one.caseless)
        for source, one in zip(sources, own, strict=True)
    ]


def _shown(text: str) -> Written:
    has = {"lower": any(c.islower() for c in text), "upper": any(c.isupper() for c in text)}
    return Written(all(has.values()), any(one.mark for one in spoken(text)), not any(has.values()))


def compare(reference: str, hypothesis: str, language: str, written: Written) -> Compared:
    """Align two texts and count what differs, for the figures that the reference can tell."""
    wanted, got = words(reference, language), words(hypothesis, language)
    diff, counts = _aligned(wanted, got)
    counts["cer"] = _characters(_joined(wanted), _joined(got))
    if written.raw:
        counts["cer_raw"] = _characters(" ".join(reference.split()), " ".join(hypothesis.split()))
        if not _UNSPACED.search(reference):
            counts["wer_raw"] = _aligned(reference.split(), hypothesis.split())[1]["wer"]
    if written.marks or written.case:
        pairs = _matched(spoken(reference), spoken(hypothesis), language)
        counts |= dict(_marks(pairs)) if written.marks else {}
        counts |= {"f1_case": _case(pairs)} if written.case else {}
    return Compared(counts, diff)


def _aligned(wanted: Sequence[str], got: Sequence[str]) -> tuple[Diff, dict[str, Count]]:
    found = jiwer.process_words(" ".join(wanted), " ".join(got))
    diff = [
        (c.type, " ".join(wanted[c.ref_start_idx : c.ref_end_idx]), " ".join(got[c.hyp_start_idx : c.hyp_end_idx]))
        for c in found.alignments[0]
    ]
    parts = {"substituted": found.substitutions, "deleted": found.deletions, "inserted": found.insertions}
    errors = {"wer": sum(parts.values())} | parts
    return diff, {name: (count, len(wanted), len(wanted)) for name, count in errors.items()}


def _characters(wanted: str, got: str) -> Count:
    found = jiwer.process_characters(wanted, got)
    return found.substitutions + found.deletions + found.insertions, len(wanted), len(wanted)


def _joined(parts: Sequence[str]) -> str:
    """Words with a space between them, but where their script has none."""
    return _GAP.sub("", " ".join(parts))


def _matched(wanted: Sequence[Spoken], got: Sequence[Spoken], language: str) -> list[tuple[Spoken, Spoken]]:
    """Words that both texts have in the same place: nothing else says where a mark or a capital belongs."""
    ours, theirs = (" ".join(key(one.word, language) for one in side) for side in (wanted, got))
    found = jiwer.process_words(ours, theirs)
    return [
        pair
        for c in found.alignments[0]
        if c.type == "equal"
        for pair in zip(wanted[c.ref_start_idx : c.ref_end_idx], got[c.hyp_start_idx : c.hyp_end_idx], strict=True)
    ]


def _marks(pairs: Sequence[tuple[Spoken, Spoken]]) -> Iterator[tuple[str, Count]]:
    marks = [(one.mark, other.mark) for one, other in pairs]
    for name, kind in JUDGED.items():
        yield name, _f1([(one == kind, other == kind) for one, other in marks])
    right = sum(one == other is not None for one, other in marks)
    there, made = (
        sum(side is not None for side in sides) for sides in (zip(*marks, strict=True) if marks else ((), ()))
    )
    yield "f1_marks", (2 * right, there + made, there)  # a mark of the wrong kind is both missed and made up


def _case(pairs: Sequence[tuple[Spoken, Spoken]]) -> Count:
    first = [(one.word[0], other.word[0]) for one, other in pairs]
    return _f1([(one.isupper(), other.isupper()) for one, other in first if one.lower() != one.upper()])


def _f1(pairs: Sequence[tuple[bool, bool]]) -> Count:
    """F1 is 2 TP / (2 TP + FP + FN), which is twice what both have over what each has."""
    there, made = sum(one for one, _ in pairs), sum(other for _, other in pairs)
    return 2 * sum(one and other for one, other in pairs), there + made, there


# --- many clips ---


def figures(counts: Sequence[Mapping[str, Count]], groups: Sequence[str]) -> dict[str, Plain]:
    """Each figure that a clip has: its value, 95 % confidence interval, of how many of what, and of how many clips.

    The interval is by drawing whole groups of clips with replacement (cluster bootstrap, percentile method; Davison
    & Hinkley 1997, section 3.8), the same draws in every call; None where there is one group only.
    """
    _, owner = np.unique(np.asarray(groups), return_inverse=True)
    found = {}
    for name in FIGURES:
        rows = [(at, count[name]) for at, count in enumerate(counts) if name in count]
        over, under, size = np.array([count for _, count in rows], np.float64).reshape(-1, 3).T
        if not under.sum():
            continue
        low, high = _interval(over, under, owner[[at for at, _ in rows]])
        value = float(over.sum() / under.sum())
        found[name] = {"value": value, "low": low, "high": high, "of": int(size.sum()), "clips": len(rows)}
    return found


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
    told = totals[totals[:, 1] > 0]
    low, high = np.percentile(told[:, 0] / told[:, 1], [2.5, 97.5])
    return float(low), float(high)
