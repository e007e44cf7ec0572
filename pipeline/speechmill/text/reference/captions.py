"""Turns subtitle cues into timed text: without markup, speakers, sounds and the repeated lines of rolling captions."""

import re
from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise

from speechmill.text.reference.cues import Cue, seconds
from speechmill.text.reference.markup import unescape
from speechmill.text.reference.spoken import subtitle_speakers, without_sounds
from speechmill.text.reference.words import Piece

MIN_OVERLAP = 2  # words: a single word may be repeated by chance
MIN_ROLLING = 0.3  # share of cues that repeat the end of the previous cue in rolling captions
_STAMP = re.compile(r"<(?:(\d{1,6}):)?(\d{1,2}):(\d{1,2})[.,](\d{1,9})>")
_TAG = re.compile(r"</?[A-Za-z][^<>]*>|<>")
_MARK = re.compile("\ue000([\\d.]+)\ue001")  # a time among the words; `decode` removes these characters from texts

Timed = tuple[str, float]  # a word and the earliest time it may begin, in seconds
Words = list[Timed]


def spoken(cues: Sequence[Cue]) -> Iterator[Piece]:
    """Text and times of what is spoken in cues, which are in order of time."""
    texts = [without_sounds(_plain(cue.text), subtitles=True) for cue in cues]
    speakerless = subtitle_speakers(line for text in texts for line in text.split("\n"))
    words = [_timed("\n".join(map(speakerless, text.split("\n"))), cue.start_s) for text, cue in zip(texts, cues)]
    shown = [i for i, timed_words in enumerate(words) if timed_words]
    repeated = _repeated([[word for word, _ in words[i]] for i in shown])
    for k, i in enumerate(shown):
        end_s = cues[i].end_s
        if any(repeated) and k + 1 < len(shown):  # a rolling line stays on screen while the next is spoken
            end_s = max(min(end_s, cues[shown[k + 1]].start_s), cues[i].start_s)
        yield from _pieces(words[i][repeated[k] :], end_s)


def _plain(text: str) -> str:
    """Text without tags; times inside it become _MARK."""
    if "<" in text:
        text = _STAMP.sub(lambda stamp: f"\ue000{seconds(*stamp.groups()):.3f}\ue001", text)
        text = _TAG.sub("", text)
    return unescape(text)


def _timed(text: str, start_s: float) -> Words:
    """Each word with the last time that stands before it."""
    words: Words = []
    for i, part in enumerate(_MARK.split(text)):
        if i % 2:
            start_s = max(start_s, float(part))
        else:
            words += [(word, start_s) for word in part.split()]
    return words


def _repeated(texts: list[list[str]]) -> list[int]:
    """Number of words at the start of each text that repeat the end of the previous one; zeros unless captions roll."""
    overlaps = [0] + [_overlap(before, text) for before, text in pairwise(texts)]
    if sum(k >= MIN_OVERLAP for k in overlaps) < max(MIN_ROLLING * (len(texts) - 1), 1):
        return [0] * len(texts)
    whole = [0] + [min(len(before), len(text)) for before, text in pairwise(texts)]
    return [k if k >= min(MIN_OVERLAP, most) else 0 for k, most in zip(overlaps, whole)]


def _overlap(before: list[str], text: list[str]) -> int:
    """Length of the longest suffix of `before` that is a prefix of `text`; Knuth-Morris-Pratt, in linear time."""
    longest = [0] * len(text)
    k = 0
    for i in range(1, len(text)):
        while k and text[i] != text[k]:
            k = longest[k - 1]
        k += text[i] == text[k]
        longest[i] = k
    k = 0
    for word in before:
        while k and (k == len(text) or word != text[k]):
            k = longest[k - 1]
        k += word == text[k]
    return k


def _pieces(words: Words, end_s: float) -> Iterator[Piece]:
    """Join words of equal time; each piece lasts until the next."""
    groups = [
        (start_s, " ".join(word for word, _ in group)) for start_s, group in groupby(words, key=lambda timed: timed[1])
    ]
    ends = [start_s for start_s, _ in groups[1:]] + [max(end_s, groups[-1][0])] if groups else []
    for (start_s, text), until_s in zip(groups, ends, strict=True):
        yield Piece(text=text, start_s=start_s, end_s=until_s)
