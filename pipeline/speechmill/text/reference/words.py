"""Splits text into words and numbers them, so that a reference text and a hypothesis can be compared."""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from speechmill.core.reasons import Reason
from speechmill.core.records import RejectedError
from speechmill.text.normal_form import clean, comparable

MAX_WORDS = 3_000_000  # ten times the longest novel
MAX_NUMBERS = 5_000  # distinct numbers that are verbalised: each takes up to a millisecond
MAX_NUMBER_CHARACTERS = 20
# Written without spaces: Thai, Lao, Myanmar, Khmer, kana and Chinese characters. Each character is a word.
UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_OPENING = "“‘«„‚「『（《〈【〔［¿¡(\\["
_DASH = "\\-\u2010-\u2015…"
# A character of a script without spaces; or a run without space or dash, so that `good-humoured` is two words.
_WORD = re.compile(
    rf"[{_OPENING}]*[{UNSPACED}](?:(?![{_OPENING}])[^\w\s])*"
    rf"|[{_DASH}]*[^\s{UNSPACED}{_DASH}]+[{_DASH}]*(?:[\"'”’»)\]]+(?=\s|$))?"
    rf"|[{_DASH}]+"
)
_SPOKEN = re.compile(r"[^\W_]|[&%]")
_UNSPOKEN = re.compile(r"[\W_]+")
_COUNTED = re.compile(r"[\d$£€¥%&@+=°]")
_WIDE = re.compile(rf"[{UNSPACED}\u3000-\u303f\uff00-\uffef]")  # with their punctuation
# Spellings of the same word. Whisper writes the short ones, LibriSpeech the long ones.
SAME = {"mr": "mister", "mrs": "missus", "dr": "doctor", "ok": "okay", "misess": "missus", "oh": "o"}

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Text that was spoken from `start_s` to `end_s`, seconds; None where times are unknown."""

    text: str
    start_s: float | None = None
    end_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reference:
    """A reference text as a sequence of words.

    text: the whole text. at: int64[n, 2], start and end index of each word in `text`, punctuation included. times:
    float64[n, 2], start and end of each word in seconds, starts ascending; None where the format has no times.
    """

    text: str
    at: Ints
    times: Floats | None = None

    def __len__(self) -> int:
        return len(self.at)

    def words(self) -> list[str]:
        """Each word in its own spelling."""
        return [self.text[start:end] for start, end in self.at.tolist()]

    def spelling(self, first: int, last: int) -> str:
        """The text of words [first, last), first < last."""
        return self.text[self.at[first, 0] : self.at[last - 1, 1]]


def reference_of(pieces: Iterable[Piece]) -> Reference:
    """Join pieces to a reference text. A piece's time is divided among its words in proportion to their characters.

    Times are kept if every piece has them. Raises RejectedError(BAD_TRANSCRIPT) where there is no word, or too many.
    """
    texts: list[str] = []
    spans: list[tuple[int, int]] = []
    times: list[tuple[float, float]] = []
    at = 0
    for piece in pieces:
        text = clean(piece.text)
        word_spans = _spans(text)
        if not word_spans:
            continue
        gap = "" if not texts or (_WIDE.match(texts[-1][-1]) and _WIDE.match(text)) else " "
        at += len(gap)
        spans += [(at + start, at + end) for start, end in word_spans]
        times += _times(piece, word_spans, len(text))
        texts += [gap, text] if gap else [text]
        at += len(text)
        if len(spans) > MAX_WORDS:
            raise RejectedError(Reason.BAD_TRANSCRIPT, f"more than {MAX_WORDS} words")
    if not spans:
        raise RejectedError(Reason.BAD_TRANSCRIPT, "no words")
    word_times = _ascending(times) if len(times) == len(spans) else None
    return Reference(text="".join(texts), at=np.array(spans, np.int64), times=word_times)


def _spans(text: str) -> list[tuple[int, int]]:
    """Start and end index of each word; punctuation belongs to the word before, at the beginning to the first word."""
    spans: list[tuple[int, int]] = []
    opening = None
    for match in _WORD.finditer(text):
        start, end = match.span()
        if _SPOKEN.search(match[0]):
            spans.append((start if opening is None else opening, end))
            opening = None
        elif spans:
            spans[-1] = (spans[-1][0], end)
        elif opening is None:
            opening = start
        if len(spans) > MAX_WORDS:
            break
    return spans


def _times(piece: Piece, spans: list[tuple[int, int]], length: int) -> Iterator[tuple[float, float]]:
    """Interpolate the start and end of each word, in seconds."""
    if piece.start_s is None or piece.end_s is None:
        return
    rate = (piece.end_s - piece.start_s) / length
    yield from ((piece.start_s + rate * start, piece.start_s + rate * end) for start, end in spans)


def _ascending(times: list[tuple[float, float]]) -> Floats:
    ascending = np.array(times, np.float64)
    ascending[:, 0] = np.maximum.accumulate(ascending[:, 0])
    ascending[:, 1] = np.maximum(ascending[:, 0], ascending[:, 1])
    return ascending


class Keys:
    """Integer keys of words: equal for words that differ only in case and punctuation."""

    def __init__(self) -> None:
        self.spelt: list[str] = []  # by key
        self._numbers: dict[str, int] = {}
        self._of: dict[str, tuple[int, ...]] = {}
        self._counted = 0

    def of(self, words: Iterable[str]) -> tuple[Ints, Ints]:
        """Keys of words, int64[m], and the index of the word that each belongs to, int64[m].

        A number has one key for each word that is spoken.
        """
        keys: list[int] = []
        owners: list[int] = []
        for owner, word in enumerate(words):
            word_keys = self._of.get(word)
            if word_keys is None:
                word_keys = self._of[word] = tuple(self._number(part) for part in self._parts(word))
            keys += word_keys
            owners += [owner] * len(word_keys)
        return np.array(keys, np.int64), np.array(owners, np.int64)

    def joined(self, keys: Ints) -> Ints:
        """For each key but the first, the key of the word that it and the previous one form; -1 if there is none."""
        spelt = [self.spelt[key] for key in keys.tolist()]
        return np.array([self._numbers.get(first + second, -1) for first, second in pairwise(spelt)], np.int64)

    def _number(self, spelt: str) -> int:
        if spelt not in self._numbers:
            self._numbers[spelt] = len(self.spelt)
            self.spelt.append(spelt)
        return self._numbers[spelt]

    def _parts(self, word: str) -> list[str]:
        if _COUNTED.search(word) and len(word) <= MAX_NUMBER_CHARACTERS and self._counted < MAX_NUMBERS:
            self._counted += 1
            read = _UNSPOKEN.split(comparable(word, "en").lower())
            return [SAME.get(part, part) for part in read if part] or [_key(word)]
        return [_key(word)]


def _key(word: str) -> str:
    spelt = _UNSPOKEN.sub("", unicodedata.normalize("NFKC", word).casefold())
    return SAME.get(spelt, spelt) or word


def split(words: Iterable[str]) -> list[str]:
    """Words of a hypothesis, split as reference texts are."""
    return [text[start:end] for text in map(clean, words) for start, end in _spans(text)]
