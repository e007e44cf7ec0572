"""The columns of a finished corpus: whose clip it is and where it lies, and what every stage adds."""

from collections.abc import Iterable, Mapping

import pyarrow as pa

from speechmill.core.build import Build
from speechmill.core.columns import AUDIO, IDENTITY, POSITION, PROVENANCE, Column
from speechmill.core.config import RunConfig
from speechmill.core.records import DECISION
from speechmill.stages.flow import STAGES

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
