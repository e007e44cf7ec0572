"""What a word is and when two are the same, so that a publisher's spelling can be compared with what was heard."""

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

MAX_WORDS = 3_000_000  # ten times the longest novel; what has more is no text that anybody reads aloud
MAX_NUMBERS = 5_000  # different ones that are read as words: each takes up to a millisecond
MAX_NUMBER_CHARACTERS = 20
# Written without spaces: Thai, Lao, Myanmar, Khmer, kana and Chinese characters. Each character is a word.
UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_OPENING = "“‘«„‚「『（《〈【〔［¿¡(\\["
_DASH = "\\-\u2010-\u2015…"
# A character of a script without spaces; or what has no space, up to a dash, so that `good-humoured` is two words.
_WORD = re.compile(
    rf"[{_OPENING}]*[{UNSPACED}](?:(?![{_OPENING}])[^\w\s])*"
    rf"|[{_DASH}]*[^\s{UNSPACED}{_DASH}]+[{_DASH}]*(?:[\"'”’»)\]]+(?=\s|$))?"
    rf"|[{_DASH}]+"
)
_SPOKEN = re.compile(r"[^\W_]|[&%]")
_UNSPOKEN = re.compile(r"[\W_]+")
_COUNTED = re.compile(r"[\d$£€¥%&@+=°]")
_WIDE = re.compile(rf"[{UNSPACED}\u3000-\u303f\uff00-\uffef]")  # with their punctuation
# Written in full by one and short by the other. Whisper writes the short ones, LibriSpeech the long ones.
SAME = {"mr": "mister", "mrs": "missus", "dr": "doctor", "ok": "okay", "misess": "missus", "oh": "o"}

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Text that was spoken from `start_s` to `end_s`, seconds, where that is known."""

    text: str
    start_s: float | None = None
    end_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reference:
    """A publisher's words, in order.

    text: all of them in their own spelling. at: int64[n, 2], where each word begins and ends in it, punctuation
    included. times: float64[n, 2], seconds at which each begins and ends; None where the format has none. Begins
    never decrease.
    """

    text: str
    at: Ints
    times: Floats | None = None

    def __len__(self) -> int:
        return len(self.at)

    def words(self) -> list[str]:
        """Each word as it is spelt."""
        return [self.text[start:end] for start, end in self.at.tolist()]

    def spelling(self, first: int, last: int) -> str:
        """The text of words [first, last), first < last."""
        return self.text[self.at[first, 0] : self.at[last - 1, 1]]


def reference_of(pieces: Iterable[Piece]) -> Reference:
    """Join pieces. Words lie in their piece's time in proportion to their characters.

    Times are kept if every piece has them. Raises RejectedError(BAD_TRANSCRIPT) where there is no word, or too many.
    """
    texts: list[str] = []
    spans: list[tuple[int, int]] = []
    times: list[tuple[float, float]] = []
    at = 0
    for piece in pieces:
        text = clean(piece.text)
        found = _spans(text)
        if not found:
            continue
        gap = "" if not texts or (_WIDE.match(texts[-1][-1]) and _WIDE.match(text)) else " "
        at += len(gap)
        spans += [(at + start, at + end) for start, end in found]
        times += _times(piece, found, len(text))
        texts += [gap, text] if gap else [text]
        at += len(text)
        if len(spans) > MAX_WORDS:
            raise RejectedError(Reason.BAD_TRANSCRIPT, f"more than {MAX_WORDS} words")
    if not spans:
        raise RejectedError(Reason.BAD_TRANSCRIPT, "no words")
    known = _rising(times) if len(times) == len(spans) else None
    return Reference(text="".join(texts), at=np.array(spans, np.int64), times=known)


def _spans(text: str) -> list[tuple[int, int]]:
    """Where each word begins and ends; what has no letter or digit belongs to the word before, else to the first."""
    found: list[tuple[int, int]] = []
    opened = None
    for match in _WORD.finditer(text):
        start, end = match.span()
        if _SPOKEN.search(match[0]):
            found.append((start if opened is None else opened, end))
            opened = None
        elif found:
            found[-1] = (found[-1][0], end)
        elif opened is None:
            opened = start
        if len(found) > MAX_WORDS:
            break
    return found


def _times(piece: Piece, spans: list[tuple[int, int]], length: int) -> Iterator[tuple[float, float]]:
    if piece.start_s is None or piece.end_s is None:
        return
    rate = (piece.end_s - piece.start_s) / length
    yield from ((piece.start_s + rate * start, piece.start_s + rate * end) for start, end in spans)


def _rising(times: list[tuple[float, float]]) -> Floats:
    found = np.array(times, np.float64)
    found[:, 0] = np.maximum.accumulate(found[:, 0])
    found[:, 1] = np.maximum(found[:, 0], found[:, 1])
    return found


class Keys:
    """Numbers for words that are spelt the same but for case and punctuation; equal words have equal numbers."""

    def __init__(self) -> None:
        self.spelt: list[str] = []  # by number
        self._numbers: dict[str, int] = {}
        self._of: dict[str, tuple[int, ...]] = {}
        self._counted = 0

    def of(self, words: Iterable[str]) -> tuple[Ints, Ints]:
        """Keys of words, and for each key which word it is of: int64[m] both. A number is as many as it is read in."""
        keys: list[int] = []
        owners: list[int] = []
        for owner, word in enumerate(words):
            found = self._of.get(word)
            if found is None:
                found = self._of[word] = tuple(self._number(part) for part in self._parts(word))
            keys += found
            owners += [owner] * len(found)
        return np.array(keys, np.int64), np.array(owners, np.int64)

    def joined(self, keys: Ints) -> Ints:
        """For each key but the first, that of the word which it and the one before it are together; -1: of none."""
        spelt = [self.spelt[key] for key in keys.tolist()]
        return np.array([self._numbers.get(one + other, -1) for one, other in pairwise(spelt)], np.int64)

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
    """Words as a recogniser writes them, in the words that are compared."""
    return [text[start:end] for text in map(clean, words) for start, end in _spans(text)]
