"""The columns of a finished corpus: identity and position of a clip, columns of each stage, and provenance."""

from collections.abc import Iterable, Mapping

import pyarrow as pa

from speechmill.core.build import Build
from speechmill.core.columns import AUDIO, IDENTITY, POSITION, PROVENANCE, Column
from speechmill.core.config import RunConfig
from speechmill.core.records import DECISION
from speechmill.stages.flow import STAGES

Columns = tuple[Column, ...]


def every_column() -> Columns:
    """All columns that a run may publish, those of installed plug-ins included."""
    return _framed(column for stage in reversed(STAGES) for column in stage.columns)


def columns_in(config: RunConfig, profiles: Mapping[str, str | None]) -> Columns:
    """Columns of a corpus made with a config; `profiles` has the profile of each stage that ran.

    Later stages come first: text before scores.
    """
    running = [stage for stage in reversed(STAGES) if profiles.get(stage.name) is not None]
    return _framed(column for stage in running for column in stage.columns_in(config))


def columns_of(build: Build) -> Columns:
    """Columns of the corpus of a build."""
    return columns_in(build.config, build.profiles)


def _framed(columns: Iterable[Column]) -> Columns:
    """Put identity, audio and position before the columns of stages, and provenance after them."""
    return (*IDENTITY, AUDIO, *POSITION, *columns, *PROVENANCE)


def data_schema(columns: Iterable[Column]) -> pa.Schema:
    """Schema of `data/`."""
    return pa.schema([column.field for column in columns if column.is_published])


def pool_schema(columns: Iterable[Column]) -> pa.Schema:
    """Schema of `pool.parquet`: without audio, text and tokens, with the decision."""
    return pa.schema([*(column.field for column in columns if column.is_published and column.in_pool), *DECISION])
