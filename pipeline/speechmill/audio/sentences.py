"""Divides speech into clips at the ends of sentences, where words are known, and at long pauses elsewhere.

Where a cross-check disagrees about words, it is best that they are in no clip, or in one of their own.

All positions are frames of 10 ms, as in audio/cutting.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from speechmill.core.thresholds import Thresholds

Frames = npt.NDArray[np.int64]
Costs = npt.NDArray[np.float64]

MIN_PAUSE = 20  # frames: shortest pause at which long speech is cut
MIN_SENTENCE_PAUSE = 12  # where the words say that a sentence ends; the closure of a stop has up to about 10
FULL_PAUSE = 50  # frames: a cut at a pause as long as this costs nothing by itself
LONG_PAUSE_GAIN = 0.05  # of a frame for each frame of a pause up to 1 s: of two free cuts, the one at the longer pause
SENTENCE_ENDS, CLAUSE_ENDS = ".?!…。？！", ",;:—–，、；："
CLOSING = "\"'”’»)]}」』"


class Boundary(IntEnum):
    """What the text says about a pause."""

    UNKNOWN = 0
    SENTENCE = 1
    CLAUSE = 2
    INSIDE = 3


# What a cut costs, in frames of speech that might be lost in its place.
COST = {Boundary.UNKNOWN: 0.0, Boundary.SENTENCE: 0.0, Boundary.CLAUSE: 150.0, Boundary.INSIDE: 400.0}
SHORT_PAUSE_COST = {Boundary.UNKNOWN: 5.0, Boundary.SENTENCE: 1.0, Boundary.CLAUSE: 1.0, Boundary.INSIDE: 1.0}
NO_CUT = np.inf
LOST_PIECE = 10.0  # frames: of a piece that is no clip, beside its speech
MIN_AGREEMENT = Thresholds().asr_agreement or 0.0  # the default: clips are not cut elsewhere with another threshold
ROUNDING = 1e-6  # letters
DISPUTED_SHARE = 0.75  # of its speech, that a clip costs whose words agree less: it is likely to be rejected


@dataclass(frozen=True, slots=True)
class TimedWord:
    """A word of a transcript: its middle in frames, and its text with punctuation."""

    middle: float
    text: str
    agreement: float | None = None
    """Share of its letters that a cross-check has in the same place; None without one."""

    @property
    def is_disputed(self) -> bool:
        """Whether the cross-check has another word."""
        return self.agreement is not None and self.agreement < MIN_AGREEMENT


@dataclass(frozen=True, slots=True)
class TimedText:
    """Words of the stretch [start, end) of frames that was transcribed, in order."""

    start: int
    end: int
    words: tuple[TimedWord, ...]


def boundary_of(before: str, after: str) -> Boundary:
    """What lies between two words, as written with their punctuation.

    >>> boundary_of("sea.", "Then"), boundary_of("sea,", "then"), boundary_of("the", "sea")
    (<Boundary.SENTENCE: 1>, <Boundary.CLAUSE: 2>, <Boundary.INSIDE: 3>)
    """
    mark = before.rstrip(CLOSING)[-1:]
    first = next((character for character in after if character.isalnum()), "")
    if mark and mark in SENTENCE_ENDS and not first.islower():
        return Boundary.SENTENCE
    return Boundary.CLAUSE if mark and mark in SENTENCE_ENDS + CLAUSE_ENDS else Boundary.INSIDE


def boundaries(runs: Frames, texts: Sequence[TimedText]) -> list[Boundary]:
    """What the text says about the pause after each run of speech but the last; nothing beside a disputed word.

    A word belongs to the side of a pause on which its middle lies: ASR models stretch a word over a pause beside it,
    but never beyond.

    Args:
        runs: int64[n, 2], start and end of each run of speech.
        texts: Stretches that were transcribed, in order.
    """
    words = [word for text in texts for word in text.words]
    middles = np.array([word.middle for word in words])
    starts, ends = np.array([text.start for text in texts], np.int64), np.array([text.end for text in texts], np.int64)

    def is_transcribed(frame: int) -> bool:
        at = int(np.searchsorted(starts, frame, side="right")) - 1
        return at >= 0 and frame < ends[at]

    kinds = []
    for end, start in zip(runs[:-1, 1].tolist(), runs[1:, 0].tolist(), strict=True):
        next_word = int(np.searchsorted(middles, (start + end) / 2))
        is_known = is_transcribed(end - 1) and is_transcribed(start) and 0 < next_word < len(words)
        beside = words[next_word - 1 : next_word + 1] if is_known else []
        is_known = is_known and not any(word.is_disputed for word in beside)
        kinds.append(boundary_of(*(word.text for word in beside)) if is_known else Boundary.UNKNOWN)
    return kinds


def agreement_margins(runs: Frames, texts: Sequence[TimedText]) -> Costs:
    """Letters of each run of speech that a cross-check has too, less MIN_AGREEMENT of all its letters; float64[n].

    A piece is disputed where the sum over its runs is negative. Words without an `agreement` do not count.

    Args:
        runs: int64[n, 2], start and end of each run of speech.
        texts: Stretches that were transcribed, in order.
    """
    middles = (runs[:-1, 1] + runs[1:, 0]) / 2
    margins = np.zeros(len(runs))
    for word in (word for text in texts for word in text.words):
        if word.agreement is not None:
            letters = sum(map(str.isalnum, word.text))
            margins[np.searchsorted(middles, word.middle, side="right")] += letters * (word.agreement - MIN_AGREEMENT)
    return margins


def cut_costs(pauses: Frames, kinds: Sequence[Boundary]) -> Costs:
    """Cost of a cut at each pause, in frames of speech; NO_CUT where a word might be cut.

    Args:
        pauses: int64[n], length of each pause.
        kinds: What the text says about each.
    """
    fixed = np.array([COST[kind] for kind in kinds])
    short = np.array([SHORT_PAUSE_COST[kind] for kind in kinds]) * np.maximum(FULL_PAUSE - pauses, 0)
    shortest = np.where([kind is Boundary.SENTENCE for kind in kinds], MIN_SENTENCE_PAUSE, MIN_PAUSE)
    costs: Costs = np.where(pauses < shortest, NO_CUT, fixed + short - LONG_PAUSE_GAIN * np.minimum(pauses, 100))
    return costs


def divide(
    runs: Frames, words: Frames, clips: Frames, costs: Costs, margins: Costs, *, shortest: int, longest: int
) -> Frames:
    """Divide runs of speech, of one voice and without a long gap, into pieces: the division that costs least.

    A piece that is too short or too long for a clip costs its speech, a disputed one DISPUTED_SHARE of it.

    Args:
        runs: int64[n, 2], start and end of each run by the VAD; n > 0.
        words: int64[n, 2], the same, with the quiet ends of its words.
        clips: int64[n, 2], the same, with the edges that a clip has.
        costs: float64[n - 1], cost of a cut after each run but the last.
        margins: float64[n], see `agreement_margins`.
        shortest: Shortest clip.
        longest: Longest clip; its edges may be shorter.

    Returns:
        int64[pieces, 2], first and last run of each piece.

    >>> runs = np.array([[0, 400], [440, 700], [760, 1400]])
    >>> divide(runs, runs, runs, np.zeros(2), np.zeros(3), shortest=500, longest=1000).tolist()
    [[0, 1], [2, 2]]
    """
    at = np.flatnonzero(np.concatenate([[True], np.isfinite(costs), [True]]))  # first run after each possible cut
    spoken, margin = _sums_before(at, runs[:, 1] - runs[:, 0]), _sums_before(at, margins)
    cut = np.concatenate([[0.0], costs])[at[:-1]].tolist()
    (inner_starts, outer_starts), (inner_ends, outer_ends) = (
        [extent[which, side].tolist() for extent in (words, clips)] for side, which in ((0, at[:-1]), (1, at[1:] - 1))
    )
    best, before = [0.0], [0]  # least cost up to each cut, and the cut before it
    least, lost_from = np.inf, 0  # the same of pieces whose speech is lost, less the speech before them
    for last in range(len(cut)):
        least, lost_from = min((least, lost_from), (best[last] + cut[last] - spoken[last], last))
        totals = [(least + spoken[last + 1] + LOST_PIECE, lost_from)]
        for first in range(last, -1, -1):
            if inner_ends[last] - inner_starts[first] > longest:
                break
            if outer_ends[last] - outer_starts[first] >= shortest:
                is_disputed = margin[last + 1] - margin[first] < -ROUNDING
                disputed = is_disputed * DISPUTED_SHARE * (spoken[last + 1] - spoken[first])
                totals.append((best[first] + cut[first] + disputed, first))
        total, first = min(totals)
        best.append(total)
        before.append(first)
    return _pieces(at, before)


def _pieces(at: Frames, before: Sequence[int]) -> Frames:
    """First and last run of each piece, from the cut before each cut that may end one; int64[pieces, 2]."""
    pieces, end = [], len(before) - 1
    while end:
        pieces.append((at[before[end]], at[end] - 1))
        end = before[end]
    return np.array(pieces[::-1], np.int64)


def _sums_before(at: Frames, values: npt.NDArray[np.generic]) -> list[float]:
    """Sum of the values before each place."""
    return [float(value) for value in np.concatenate([[0], np.cumsum(values)])[at]]
