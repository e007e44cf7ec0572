"""Writes the tables of a finished corpus from decided groups: pool, ledger and recordings."""

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from speechmill.core.build import Build
from speechmill.core.records import LEDGER, RECORDINGS, to_table
from speechmill.decide.decision import REJECTED
from speechmill.publish.columns import columns_of, pool_schema
from speechmill.publish.decided import DecidedGroup
from speechmill.publish.rows import clip_rows, decision_columns
from speechmill.publish.stats import non_clip_spans

GROUP_ROWS = 10_000  # rows of a row group in pool, ledger and recordings
POOL, LEDGER_FILE = "pool.parquet", "ledger.parquet"


def pool_part(index: int) -> str:
    """Name of the pool file of the group with this index."""
    return f"{POOL}/part-{index:05}.parquet"


def write_pool(name: str, decided: DecidedGroup, build: Build) -> None:
    """Write a file of `pool.parquet/`: every candidate clip of a group, without audio."""
    schema = pool_schema(columns_of(build))
    with build.store.parquet(name, schema) as writer:
        writer.write_table(clip_rows(decided, schema, build), row_group_size=GROUP_ROWS)


def write_ledger(name: str, groups: Iterator[DecidedGroup], build: Build) -> None:
    """Write `ledger.parquet`: every span of every recording."""
    with build.store.parquet(name, LEDGER) as writer:
        for decided in groups:
            writer.write_table(_ledger(decided, build), row_group_size=GROUP_ROWS)


def write_recordings(name: str, groups: Iterator[DecidedGroup], build: Build) -> None:
    """Write `recordings.parquet`: every recording listed, with its status and reason."""
    with build.store.parquet(name, RECORDINGS) as writer:
        for decided in groups:
            writer.write_table(to_table(decided.recordings), row_group_size=GROUP_ROWS)


def _ledger(decided: DecidedGroup, build: Build) -> pa.Table:
    """Ledger of a group by recording and start: clips, other spans, and an empty row for recordings without spans."""
    clips = decided.places.select(["recording", "start", "end", "clip_id"])
    decisions = decision_columns(decided.decision, np.arange(clips.num_rows))
    clips = clips.append_column("kind", pa.array(["clip"] * clips.num_rows, pa.string()))
    for column, values in decisions.items():
        clips = clips.append_column(column, values)
    spans = non_clip_spans(decided, build)
    without = sorted({*range(len(decided.recordings))} - {*_recordings_in(clips, spans)})
    reasons = [[reason] if (reason := decided.recordings[at].reason) else [] for at in without]
    empty = {"recording": without, "start": [0] * len(without), "end": [0] * len(without), "reasons": reasons}
    schema = pa.schema([("recording", pa.int32()), *(LEDGER.field(at) for at in range(1, len(LEDGER)))])
    rows = pa.concat_tables(
        [_completed(table, schema) for table in (clips, spans, pa.table(empty, _subschema(schema, empty)))]
    ).sort_by([("recording", "ascending"), ("start", "ascending")])
    ids = pa.array([recording.recording_id for recording in decided.recordings], pa.string())
    return pa.table([ids.take(rows["recording"].combine_chunks()), *rows.columns[1:]], schema=LEDGER)


def _recordings_in(*tables: pa.Table) -> Iterator[int]:
    """Indices of the recordings with rows in the tables."""
    for table in tables:
        yield from np.unique(table["recording"].to_numpy()).tolist()


def _subschema(schema: pa.Schema, names: Iterable[str]) -> pa.Schema:
    return pa.schema([schema.field(name) for name in names])


def _completed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Add the missing columns of the ledger: spans that are no clips are rejected, without a reason of their own."""
    rows = table.num_rows
    default = {
        "decision": pa.array([REJECTED] * rows, pa.string()),
        "reasons": pa.array([[]] * rows, pa.list_(pa.string())),
    }
    columns = [
        table[field.name] if field.name in table.column_names else default.get(field.name, pa.nulls(rows, field.type))
        for field in schema
    ]
    return pa.table(columns, schema=schema)
