"""Positions of a slider, and the numbers of clips' values among them.

The page holds a value as a number of two bytes: how many positions lie below it. So every position of a slider divides
the clips exactly as `decide.decision.failed` does, though the page holds no value in full.
"""

import math

import numpy as np
import numpy.typing as npt

from speechmill.core.columns import Column

MISSING = 65_535  # code of a value that is null or NaN, which fails no test
MOST_STOPS = 1_200  # positions of a slider: as many as a wide screen has pixels for it

Codes = npt.NDArray[np.uint16]


def stops_of(column: Column, limit: float | None, values: npt.NDArray[np.float32]) -> list[float]:
    """Positions of the slider of a column, ascending: a decimal grid over its histogram, and its present limit.

    A column without a histogram has the range of its `values`, float32[n].

    >>> from speechmill.stages.flow import STAGES
    >>> [noise] = [c for stage in STAGES for c in stage.columns if c.name == "score_noise"]
    >>> stops_of(noise, 0.9925, np.float32([]))[-10:-7]
    [0.992, 0.9925, 0.993]
    """
    low, high = (column.edges[0], column.edges[-1]) if column.edges else _range(values)
    step = _step((high - low) / MOST_STOPS, is_whole=_is_whole(column))
    digits = max(0, -math.floor(math.log10(step)))
    grid = [round(low + step * at, digits) for at in range(math.floor((high - low) / step + 1e-9) + 1)]
    return sorted({*grid, *([] if limit is None else [limit])})


def _range(values: npt.NDArray[np.float32]) -> tuple[float, float]:
    """Lowest and highest of the finite values, as whole numbers; 0 to 1 without any."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    low, high = math.floor(finite.min()), math.ceil(finite.max())
    return float(low), float(max(high, low + 1))


def _step(least: float, *, is_whole: bool) -> float:
    """The smallest of 1, 2 and 5 times a power of ten that is at least `least`; 1 or more for whole numbers."""
    power = 10.0 ** math.floor(math.log10(least))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))
    return max(step, 1.0) if is_whole else step


def _is_whole(column: Column) -> bool:
    return str(column.type).startswith(("int", "uint"))


def codes_of(values: npt.NDArray[np.float32], stops: list[float], *, at_most: bool) -> Codes:
    """Code of each value, uint16[values]: how many stops it is above, or, with `at_most` False, reaches.

    A value passes the limit `stops[k]` if its code is k or less; with `at_most` False, if it is k + 1 or more.

    >>> codes_of(np.float32([0.1, 0.25, np.nan]), [0.1, 0.2, 0.3], at_most=True).tolist()
    [0, 2, 65535]
    """
    limits = np.array(stops, np.float32)
    codes = np.searchsorted(limits, values, side="left" if at_most else "right").astype(np.uint16)
    codes[np.isnan(values)] = MISSING
    return codes
