"""Speaker turns: where the voice changes within a recording, with a pause or without one.

A speaker network runs once over the speech of a recording. Its statistics are additive over time, so that a stretch of
any length can be embedded without running it again. In blocks of two minutes, stretches of about a second are clustered
by average linkage; each step of 100 ms is then assigned to a voice by the Viterbi algorithm, in which a change costs
less the longer the pause at it is. Then a second voice is looked for within turns, see `second_voice`. Memory does not
grow with the recording, but for a few numbers a step.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from speechmill.core.records import NOBODY
from speechmill.speakers import DIGITS, SAMPLE_RATE_HZ, Float32, second_voice
from speechmill.speakers.steps import UNIT, Indices, Steps, lasting, units_of

STEP_S = 0.1
STEP = round(STEP_S * SAMPLE_RATE_HZ)
BLOCK = 1_200  # steps of speech that are clustered together
MIN_COSINE = 0.46  # mean cosine of the units of two clusters at which they are one voice
SAME_VOICE = 0.6  # cosine of two clusters' embeddings at which they are one voice
OTHER_VOICE = 0.4  # … below which a few words are enough for a voice of their own
MIN_VOICE, MIN_OTHER_VOICE = 15, 7  # steps that a voice has at least
MAX_VOICES = 16  # of a recording that a block is compared with: those with most speech
REACH = 4  # steps to either side whose speech decides about a step
BRIEF = 1  # … and those of a word, in which a second voice is looked for
WEIGHT = 40.0 / (2 * REACH + 1)  # of a cosine in a step
CHANGE = 8.0  # cost of a change within speech, in weighted cosines
PAUSE_GAIN = 0.5  # less for each 10 ms of a pause
MIN_CHANGE = 0.5
MIN_SPOKEN = 5  # steps of a voice that count in a clip

SEVERAL = NOBODY - 1  # label of steps with several voices at once
OVERLAP = 0.5  # probability from which several voices speak at once
SECOND = 0.05  # probability of a second voice from which a step is not of one voice: a missed one costs more than a cut
MIN_SEVERAL = 3  # steps in a row: laughter and breath last less

Labels = npt.NDArray[np.int16]


class Statistics(Protocol):
    """A speaker network whose embeddings are made of sums over time."""

    def sums(self, wave: Float32) -> Iterator[Float32]:
        """Additive statistics of each whole step of float32[n] at 16 kHz, float32[steps, D], some steps at a time."""
        ...

    def embed(self, sums: Float32, steps: npt.NDArray[np.int64]) -> Float32:
        """Embeddings of length 1, float32[n, E], of stretches: sums float32[n, D] over int64[n] steps each."""
        ...


class OverlapDetector(Protocol):
    """Detects overlapped speech in steps of turns."""

    def probabilities(self, wave: Float32) -> Float32:
        """Mean probability in each step of float32[steps * STEP] at 16 kHz, float32[steps]."""
        ...


@dataclass(frozen=True, slots=True)
class Voices:
    """Voices of a recording, in steps of STEP_S."""

    labels: Labels  # int16[steps]: voice, from 0 in order of appearance; or NOBODY or SEVERAL
    second: Float32  # float32[steps]: probability that another voice speaks as well; NaN where a step has no voice


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipVoices:
    """What is known of the voices of a clip."""

    voices: int  # that speak for MIN_SPOKEN steps or more; at least 1
    score_turn: float  # probability of half a second or more of a second voice
    turn_id: int  # number of the turn that it begins in, from 0; speech of several at once begins none


def clip_voices(voices: Voices, start_s: float, end_s: float) -> ClipVoices:
    """Voices of a clip of a recording, from its start and end in seconds."""
    first, last = (min(round(at / STEP_S), voices.labels.size) for at in (start_s, end_s))
    labels, second = voices.labels[first:last], voices.second[first:last]
    spoken = labels[labels != NOBODY]
    single = spoken[spoken != SEVERAL]
    counts = np.bincount(single, minlength=1)
    before = voices.labels[: first + int(np.argmax(labels != NOBODY)) + 1]
    return ClipVoices(
        voices=max(
            int(np.count_nonzero(counts >= MIN_SPOKEN)),
            2 if spoken.size - single.size >= MIN_SPOKEN else 1,  # several at once are two or more
        ),
        score_turn=_probability(second[labels == counts.argmax()], int(spoken.size - counts.max())),
        turn_id=int(np.count_nonzero(np.diff(before[before > NOBODY]))),
    )


def _probability(second: Float32, others: int) -> float:
    """Probability of half a second of a second voice, from that in the main voice's steps and the number of others."""
    if others >= MIN_SPOKEN:
        return 1.0
    width = min(MIN_SPOKEN, second.size)
    highest = np.convolve(second, np.full(width, 1 / width), "valid").max() if width else 0.0
    return round(float(highest), DIGITS)


@dataclass
class TurnDetector:
    """Assigns the speech of one recording to voices: give it all of the recording, block by block."""

    statistics: Statistics
    embedded: Callable[[int], None] = lambda _: None
    """Called with a number of steps whenever the statistics of so many are made, which takes most of the time."""
    _sums: npt.NDArray[np.float64] | None = field(default=None, init=False)  # of each voice so far
    _steps: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64), init=False)
    _waves: list[Float32] = field(default_factory=list, init=False)
    _places: list[int] = field(default_factory=list, init=False)  # steps of the recording that _waves are
    _pauses: list[int] = field(default_factory=list, init=False)  # frames before each of them
    _at: int = field(default=0, init=False)
    _overlap: list[Float32] = field(default_factory=list, init=False)
    _overlapped: list[Steps] = field(default_factory=list, init=False)
    _labels: list[tuple[Indices, Labels, Float32]] = field(default_factory=list, init=False)

    def feed(self, wave: Float32, speech: Steps, pauses: npt.NDArray[np.int64], overlap: Float32 | None = None) -> None:
        """Process the next part of the recording.

        Args:
            wave: float32[steps * STEP] at 16 kHz.
            speech: bool[steps], see `speech_steps`.
            pauses: int64[steps], see `pauses_before`.
            overlap: float32[steps], probability of several voices at once.
        """
        pieces = wave.reshape(-1, STEP)
        overlap = np.zeros(speech.size, np.float32) if overlap is None else overlap
        several = speech & lasting(overlap > OVERLAP, MIN_SEVERAL)
        self._overlap.append(overlap)
        self._overlapped.append(several)
        for at in np.flatnonzero(speech & ~several):
            self._waves.append(pieces[at])
            self._places.append(self._at + int(at))
            self._pauses.append(int(pauses[at]))
            if len(self._waves) == BLOCK:
                self._cluster()
        self._at += speech.size

    def finish(self) -> Voices:
        """End the recording."""
        if self._waves:
            self._cluster()
        labels = np.full(self._at, NOBODY, np.int16)
        likeness = np.full((self._at, second_voice.COSINES), np.nan, np.float32)
        for places, block_labels, block_likeness in self._labels:
            labels[places], likeness[places] = block_labels, block_likeness
        several = np.concatenate([np.zeros(0, bool), *self._overlapped])
        second = second_voice.probabilities(np.concatenate([np.zeros(0, np.float32), *self._overlap]), likeness)
        labels[lasting(several | (second >= SECOND), MIN_SEVERAL)] = SEVERAL
        return Voices(labels, second)

    def _cluster(self) -> None:
        """Find the voices of a block, and assign its steps to them."""
        places, pauses = np.asarray(self._places, np.intp), np.asarray(self._pauses)
        sums = self._sums_of(np.concatenate(self._waves))
        self._waves, self._places, self._pauses = [], [], []
        voices = self._add_voices(sums, places)
        centroids = self._embed(self._sums[voices], self._steps[voices])  # type: ignore[index]
        brief, cosines = (
            (self._embed(*_around(sums, places, reach)) @ centroids.T).round(DIGITS) for reach in (BRIEF, REACH)
        )
        path = best_path(cosines, pauses)
        self._labels.append((places, voices[path].astype(np.int16), second_voice.likeness(path, brief, cosines)))

    def _sums_of(self, wave: Float32) -> npt.NDArray[np.float64]:
        parts = []
        for part in self.statistics.sums(wave):
            parts.append(part)
            self.embedded(len(part))
        return np.concatenate(parts).astype(np.float64)

    def _add_voices(self, sums: npt.NDArray[np.float64], places: Indices) -> Indices:
        """Add the voices of a block to those of the recording; returns the numbers of those that may speak in it."""
        units = list(units_of(places))
        lengths = np.array([len(unit) for unit in units])
        unit_sums = np.stack([sums[unit].sum(0) for unit in units])
        reliable = lengths >= min(UNIT, lengths.max())
        clusters = linked(self._embed(unit_sums[reliable], lengths[reliable]), MIN_COSINE)
        counts = np.bincount(clusters, lengths[reliable]).astype(np.int64)
        cluster_sums = np.zeros((len(counts), sums.shape[1]))
        np.add.at(cluster_sums, clusters, unit_sums[reliable])
        if self._sums is None:
            self._sums = np.zeros((0, sums.shape[1]))
        voices = dict[int, None]()
        for cluster in np.argsort(-counts, kind="stable"):
            voice = self._voice_of(cluster_sums[cluster], int(counts[cluster]))
            if voice is not None:
                voices[voice] = None
        return np.array(sorted(voices), np.intp)

    def _voice_of(self, sums: npt.NDArray[np.float64], steps: int) -> int | None:
        """The voice of a cluster, which is added to it; None for a few words that could be anybody's."""
        known = np.argsort(-self._steps, kind="stable")[:MAX_VOICES]
        nearest, cosine = 0, -1.0
        if known.size:
            cosines = self._embed(self._sums[known], self._steps[known]) @ self._embed(sums[None], np.array([steps]))[0]  # type: ignore[index]
            nearest, cosine = int(known[cosines.argmax()]), float(cosines.max())
        if cosine >= SAME_VOICE:
            self._sums[nearest] += sums  # type: ignore[index]
            self._steps[nearest] += steps
            return nearest
        if known.size and steps < (MIN_OTHER_VOICE if cosine < OTHER_VOICE else MIN_VOICE):
            return nearest
        self._sums = np.concatenate([self._sums, sums[None]])
        self._steps = np.append(self._steps, steps)
        return len(self._steps) - 1

    def _embed(self, sums: npt.NDArray[np.float64], steps: npt.NDArray[np.int64]) -> Float32:
        return self.statistics.embed(sums.astype(np.float32), steps)


def linked(embeddings: Float32, min_cosine: float) -> Indices:
    """Average-linkage clusters of unit rows, float32[n, E], from 0 without gaps; merged down to a mean cosine."""
    from scipy.cluster.hierarchy import fcluster, linkage

    if len(embeddings) < 2:
        return np.zeros(len(embeddings), np.intp)
    tree = linkage(embeddings.astype(np.float64), "average", metric="cosine")
    numbers = fcluster(tree, 1 - min_cosine, "distance")
    return np.unique(numbers, return_inverse=True)[1].astype(np.intp)


def _around(
    sums: npt.NDArray[np.float64], places: Indices, reach: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Sums over `reach` steps to either side of each step, not beyond a pause, and the number of steps in each."""
    index = np.arange(len(places))
    starts = np.flatnonzero(np.diff(places, prepend=-2) > 1)
    run = np.searchsorted(starts, index, side="right") - 1
    first = np.maximum(index - reach, starts[run])
    last = np.minimum(index + reach + 1, np.append(starts[1:], len(places))[run])
    total = np.concatenate([np.zeros((1, sums.shape[1])), np.cumsum(sums, axis=0)])
    return total[last] - total[first], (last - first).astype(np.int64)


def best_path(cosines: Float32, pauses: npt.NDArray[np.int64]) -> Indices:
    """The voice of each step, intp[steps] (Viterbi 1967).

    Args:
        cosines: float32[steps, voices].
        pauses: int64[steps], frames without speech around the start of each step.
    """
    costs = np.maximum(MIN_CHANGE, CHANGE - PAUSE_GAIN * pauses[1:])
    gains = WEIGHT * cosines.astype(np.float64)
    score, own = gains[0], np.arange(cosines.shape[1])
    came_from = np.zeros(cosines.shape, np.intp)
    for at, cost in enumerate(costs, 1):
        best = score.max() - cost
        stays = score >= best
        came_from[at] = np.where(stays, own, score.argmax())
        score = np.where(stays, score, best) + gains[at]
    path = np.zeros(len(cosines), np.intp)
    path[-1] = score.argmax()
    for at in range(len(cosines) - 1, 0, -1):
        path[at - 1] = came_from[at, path[at]]
    return path
