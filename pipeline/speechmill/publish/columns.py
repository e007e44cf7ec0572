"""The columns of a finished corpus: whose clip it is and where it lies, and what every stage adds."""

from collections.abc import Iterable, Mapping

import pyarrow as pa

from speechmill.core.build import Build
from speechmill.core.columns import Column, steps
from speechmill.core.config import RunConfig
from speechmill.core.records import DECISION
from speechmill.stages import STAGES

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

Columns = tuple[Column, ...]


def every_column() -> Columns:
    """All columns that any run makes."""
    return _framed(column for stage in reversed(STAGES) for column in stage.columns)


def columns_in(config: RunConfig, profiles: Mapping[str, str | None]) -> Columns:
    """The columns of a corpus that a config made, with those of its stages that ran. The last stages come first:
    text before scores.
    """
    running = [stage for stage in reversed(STAGES) if profiles.get(stage.name) is not None]
    return _framed(column for stage in running for column in stage.columns_in(config))


def columns_of(build: Build) -> Columns:
    """The columns of the corpus that a build makes."""
    return columns_in(build.config, build.profiles)


def _framed(columns: Iterable[Column]) -> Columns:
    return (*IDENTITY, AUDIO, *POSITION, *columns, *PROVENANCE)


def data_schema(columns: Iterable[Column]) -> pa.Schema:
    """Columns of `data/`."""
    return pa.schema([column.field for column in columns if column.is_published])


def pool_schema(columns: Iterable[Column]) -> pa.Schema:
    """Columns of `pool.parquet`: without audio, text and tokens, with the decision."""
    return pa.schema([*(column.field for column in columns if column.is_published and column.in_pool), *DECISION])
