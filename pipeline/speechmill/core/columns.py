"""Columns of a corpus: type, meaning, unit, histogram bins and threshold of each."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from speechmill.core.reasons import Reason
from speechmill.core.thresholds import Thresholds

Edges = tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Test:
    """A threshold on a column: a clip with a value beyond it is rejected with `reason`. Null values pass."""

    key: str
    """Key of the limit, in the section `thresholds` of the config."""
    reason: Reason | str
    """A `Reason`, or a plug-in's own word."""
    at_most: bool
    """True: the limit is the highest value that passes; False: the lowest."""
    default: float | None = None
    """Limit of a plug-in's key that the config does not set; None: no test. Our defaults are in core/config.py."""
    meaning: str = ""
    """Meaning of a plug-in's own reason, for people; a `Reason` has its own."""

    __test__ = False  # for pytest: not a class of tests

    def limit(self, thresholds: Thresholds) -> float | None:
        """Limit in the config; None: the test is switched off."""
        limit: float | None = getattr(thresholds, self.key, self.default)
        return limit

    def fails(self, value: float, limit: float) -> bool:
        """Whether a value is beyond the limit."""
        return value > limit if self.at_most else value < limit


def at_most(key: str, reason: Reason | str, default: float | None = None, meaning: str = "") -> Test:
    """Test that passes values up to `thresholds.<key>`. See Test for the arguments."""
    return Test(key=key, reason=reason, at_most=True, default=default, meaning=meaning)


def at_least(key: str, reason: Reason | str, default: float | None = None, meaning: str = "") -> Test:
    """Test that passes values from `thresholds.<key>` on. See Test for the arguments.

    >>> at_least("mos", "low_mos", 3.0, meaning="it sounds bad").limit(Thresholds())
    3.0
    """
    return Test(key=key, reason=reason, at_most=False, default=default, meaning=meaning)


@dataclass(frozen=True, slots=True)
class Column:
    """A column that a stage adds.

    >>> Column("snr_db", pa.float32(), "speech level over background level", "dB").field.metadata[b"unit"]
    b'dB'
    """

    name: str
    type: pa.DataType
    text: str
    """Meaning, as the Parquet schema, the card and the documentation show it."""
    unit: str = ""
    edges: Edges = ()
    """Bin edges of its histogram, fixed so that corpora can be compared; empty: no histogram."""
    test: Test | None = None
    in_pool: bool = True
    """False for columns of long values, which `pool.parquet` leaves out."""
    is_published: bool = True
    """False for columns that serve decisions only."""

    @property
    def field(self) -> pa.Field:
        """Arrow field with description and unit as metadata."""
        metadata = {"description": self.text} | ({"unit": self.unit} if self.unit else {})
        return pa.field(self.name, self.type, metadata=metadata)


def steps(low: float, high: float, step: float) -> Edges:
    """Bin edges from `low` to `high`, `step` apart.

    >>> steps(0, 1, 0.25)
    (0.0, 0.25, 0.5, 0.75, 1.0)
    """
    return tuple(round(low + step * at, 6) for at in range(round((high - low) / step) + 1))


UNIT = steps(0, 1, 0.05)  # for values in [0, 1]


IDENTITY = (
    Column("clip_id", pa.string(), "hash of content, position and segment profile"),
    Column("recording_id", pa.string(), "the recording that the clip was cut from"),
)
AUDIO = Column(
    "audio", pa.struct([("bytes", pa.binary()), ("path", pa.string())]), "mono 16-bit FLAC at the corpus rate",
    in_pool=False,
)  # fmt: skip
POSITION = (
    Column("sampling_rate", pa.int32(), "corpus rate", "Hz"),
    Column("start", pa.int64(), "first sample of the decoded recording", "sample at the corpus rate"),
    Column("end", pa.int64(), "one past the last sample", "sample at the corpus rate"),
    Column("duration_s", pa.float32(), "length", "s", edges=steps(0, 30, 1)),
)
PROVENANCE = (
    Column("title", pa.string(), "title of the recording"),
    Column("author", pa.string(), "author or publisher of the recording"),
    Column("source_url", pa.string(), "where the audio came from"),
    Column("licence", pa.string(), "SPDX id of the recording's licence"),
    Column("licence_url", pa.string(), "address of the licence text"),
    Column("ai_generated", pa.bool_(), "the publisher or the file itself says that a machine made the sound"),
    Column("published", pa.string(), "date of publication", "ISO 8601, UTC"),
)
BASE_COLUMNS = (*IDENTITY, AUDIO, *POSITION, *PROVENANCE)
"""Columns that no stage adds."""

_PLAIN = {
    pa.string(): "string", pa.bool_(): "bool", pa.uint8(): "uint8", pa.uint16(): "uint16", pa.int8(): "int8",
    pa.int16(): "int16", pa.int32(): "int32", pa.int64(): "int64", pa.float32(): "float32", pa.float64(): "float64",
}  # fmt: skip


def feature_of(kind: pa.DataType) -> dict[str, Any]:
    """Feature of the `datasets` library, as JSON, for an Arrow type. Raises KeyError for an unsupported type.

    >>> feature_of(pa.list_(pa.int16()))
    {'feature': {'dtype': 'int16', '_type': 'Value'}, '_type': 'List'}
    """
    if pa.types.is_list(kind):
        return {"feature": feature_of(kind.value_type), "_type": "List"}
    if pa.types.is_struct(kind):
        return {member.name: feature_of(member.type) for member in kind}
    return {"dtype": _PLAIN[kind], "_type": "Value"}
