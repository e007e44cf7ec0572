"""What a column of a corpus is: its type, meaning and unit, its histogram, and the threshold that tests it."""

from dataclasses import dataclass

import pyarrow as pa

from speechmill.core.records import Reason

Edges = tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Test:
    """A threshold on a column: a clip fails beyond it, and the reason says so. Null values fail no test."""

    key: str
    """In the section `thresholds` of the config."""
    reason: Reason
    at_most: bool
    """Whether the threshold is the highest value that passes, else the lowest."""

    __test__ = False  # for pytest: not a class of tests

    def fails(self, value: float, limit: float) -> bool:
        """Whether a value is beyond a limit."""
        return value > limit if self.at_most else value < limit


def at_most(key: str, reason: Reason) -> Test:
    """The value may be at most that of `thresholds.<key>`."""
    return Test(key=key, reason=reason, at_most=True)


def at_least(key: str, reason: Reason) -> Test:
    """The value must be at least that of `thresholds.<key>`."""
    return Test(key=key, reason=reason, at_most=False)


@dataclass(frozen=True, slots=True)
class Column:
    """One column that a stage adds.

    >>> Column("snr_db", pa.float32(), "speech level over background level", "dB").field.metadata[b"unit"]
    b'dB'
    """

    name: str
    type: pa.DataType
    text: str
    """Its meaning, for people who read the Parquet schema, the card and the documentation."""
    unit: str = ""
    edges: Edges = ()
    """Bin edges of its histogram: fixed, so that two corpora can be compared; empty for none."""
    test: Test | None = None
    in_pool: bool = True
    """False for what is long: `pool.parquet` leaves it out."""
    is_published: bool = True
    """False for what only decides."""

    @property
    def field(self) -> pa.Field:
        """As a field of an Arrow schema, with description and unit as metadata."""
        metadata = {"description": self.text} | ({"unit": self.unit} if self.unit else {})
        return pa.field(self.name, self.type, metadata=metadata)


def steps(low: float, high: float, step: float) -> Edges:
    """Edges of equal bins.

    >>> steps(0, 1, 0.25)
    (0.0, 0.25, 0.5, 0.75, 1.0)
    """
    return tuple(round(low + step * at, 6) for at in range(round((high - low) / step) + 1))


UNIT = steps(0, 1, 0.05)
