"""Steps of 100 ms that turns are made of: which are speech, what pauses are before them, which make a stretch."""

import itertools
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

FILLED = 2  # steps: a shorter pause counts as speech, since words have pauses inside
UNIT, LONGEST_UNIT = 8, 13  # steps of speech that one embedding of the clustering is made of

Steps = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.intp]


def speech_steps(marks: Steps) -> Steps:
    """Steps of speech, bool[steps], from VAD marks of each 10 ms, bool[frames]; the last step may be partial.

    >>> speech_steps(np.array([1, 1, 1] + [0] * 17 + [1] * 10 + [0] * 30, bool)).tolist()
    [True, True, True, False, False, False]
    """
    padded = np.pad(marks, (0, -marks.size % 10)).reshape(-1, 10)
    speech: Steps = padded.sum(axis=1) >= 3
    places = np.flatnonzero(speech)
    for before, after in itertools.pairwise(places):
        if after - before <= FILLED:
            speech[before:after] = True
    return speech


def pauses_before(marks: Steps, speech: Steps) -> npt.NDArray[np.int64]:
    """Frames of 10 ms without speech around the start of each step, int64[steps], and since the last step of speech.

    >>> marks = np.array([1] * 10 + [0] * 4 + [1] * 16 + [0] * 10 + [1] * 10, bool)
    >>> pauses_before(marks, np.array([True, True, True, False, True])).tolist()
    [0, 4, 4, 10, 10]
    """
    silent = 10 - np.pad(marks, (0, -marks.size % 10)).reshape(-1, 10).sum(axis=1)
    index = np.arange(speech.size)
    last = np.maximum.accumulate(np.where(speech, index, -1))
    last = np.concatenate([[-1], last[:-1]])
    total = np.concatenate([[0], np.cumsum(silent)])
    return np.where(index > 0, total[index + 1] - total[np.maximum(last, 0)], 0).astype(np.int64)


def units_of(places: Indices) -> Iterator[Indices]:
    """Divide speech steps at `places` into stretches of about a second, at pauses where possible: their indices."""
    runs = np.split(np.arange(len(places)), np.flatnonzero(np.diff(places) > 1) + 1)
    groups: list[list[Indices]] = []
    for run in runs:
        is_near = bool(groups) and places[run[0]] - places[groups[-1][-1][-1]] <= FILLED + 1
        if is_near and min(sum(map(len, groups[-1])), len(run)) < UNIT:
            groups[-1].append(run)
        else:
            groups.append([run])
    for group in groups:
        steps = np.concatenate(group)
        yield from np.array_split(steps, max(1, round(len(steps) / LONGEST_UNIT)))


def lasting(marks: Steps, shortest: int) -> Steps:
    """Where `shortest` steps or more in a row are true.

    >>> lasting(np.array([1, 1, 0, 1, 1, 1, 0], bool), 3).tolist()
    [False, False, False, True, True, True, False]
    """
    edges = np.flatnonzero(np.diff(marks.astype(np.int8), prepend=0, append=0)).reshape(-1, 2)
    long = np.zeros(marks.size, bool)
    for start, end in edges[edges[:, 1] - edges[:, 0] >= shortest]:
        long[start:end] = True
    return long
