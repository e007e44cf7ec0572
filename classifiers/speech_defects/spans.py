"""Locates defects within a clip, from the verdicts on its frames."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from speech_defects import Defect, Span

AVERAGED_S = 0.28  # frames are averaged over so much: one frame alone is a weak verdict
SHORTEST_S = 0.4  # shorter spans are left out, and shorter gaps between two are closed


def located(
    kind: Defect, verdicts: npt.NDArray[np.floating], limit: float, *, step_s: float, duration_s: float
) -> list[Span]:
    """Spans of a clip in which a defect is more likely there than not.

    Args:
        kind: The defect.
        verdicts: float[F], the higher the likelier, of frames `step_s` apart.
        limit: Verdict from which on the defect is there.
        step_s: Distance of the frames in seconds.
        duration_s: Length of the clip, at which the last span ends at the latest.

    Returns:
        Spans in order, at least SHORTEST_S long unless the clip itself is shorter, and as far apart.

    >>> located(Defect.MUSIC, np.repeat([-3.0, 3.0, -3.0], [50, 25, 50]), 0.0, step_s=0.04, duration_s=5.0)
    [Span(start_s=2.0, end_s=3.0, kind=<Defect.MUSIC: 'music'>)]
    """
    is_there = _averaged(verdicts, round(AVERAGED_S / step_s)) >= limit
    shortest = max(1, min(round(SHORTEST_S / step_s), is_there.size))
    for first, last in list(_runs(~is_there)):
        if last - first < shortest and first > 0 and last < is_there.size:
            is_there[first:last] = True
    return [
        Span(round(first * step_s, 2), round(min(last * step_s, duration_s), 2), kind)
        for first, last in _runs(is_there)
        if last - first >= shortest
    ]


def _averaged(verdicts: npt.NDArray[np.floating], width: int) -> npt.NDArray[np.float64]:
    """Mean over up to `width` neighbours around each frame, of those that there are: float64[F]."""
    if verdicts.size == 0:
        return np.zeros(0)
    sums = np.concatenate([[0.0], np.cumsum(verdicts, dtype=np.float64)])
    at = np.arange(verdicts.size)
    first, last = np.maximum(at - width // 2, 0), np.minimum(at + width // 2 + 1, verdicts.size)
    return np.asarray((sums[last] - sums[first]) / (last - first))


def _runs(flags: npt.NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """First frames, and those past the last, of the stretches that are true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
