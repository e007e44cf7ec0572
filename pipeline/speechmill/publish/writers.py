"""Writes the tables of a finished corpus from decided groups: pool, ledger and recordings."""

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from speechmill.core.build import Build
from speechmill.core.records import LEDGER, RECORDINGS, Status, to_table
from speechmill.decide.decision import REJECTED
from speechmill.publish.columns import columns_of, pool_schema
from speechmill.publish.decided import Decided
from speechmill.publish.rows import clip_rows, decisions
from speechmill.publish.stats import spans_of

GROUP_ROWS = 10_000  # rows of pool, ledger and recordings in a row group
POOL, LEDGER_FILE = "pool.parquet", "ledger.parquet"


def pool_part(index: int) -> str:
    """Name of the pool's file of a group."""
    return f"{POOL}/part-{index:05}.parquet"


def write_pool(name: str, decided: Decided, build: Build) -> None:
    """Write a part of `pool.parquet/`: every candidate clip of a group, without audio."""
    schema = pool_schema(columns_of(build))
    with build.store.parquet(name, schema) as writer:
        writer.write_table(clip_rows(decided, schema, build), row_group_size=GROUP_ROWS)


def write_ledger(name: str, groups: Iterator[Decided], build: Build) -> None:
    """Write `ledger.parquet`: every span of every recording."""
    with build.store.parquet(name, LEDGER) as writer:
        for decided in groups:
            writer.write_table(_ledger(decided, build), row_group_size=GROUP_ROWS)


def write_recordings(name: str, groups: Iterator[Decided], build: Build) -> None:
    """Write `recordings.parquet`: every recording seen, fetched or not, and why."""
    with build.store.parquet(name, RECORDINGS) as writer:
        for decided in groups:
            writer.write_table(to_table(decided.recordings), row_group_size=GROUP_ROWS)


def _ledger(decided: Decided, build: Build) -> pa.Table:
    """Ledger of a group, in order of recording and place: clips, other spans, and a row for each recording without."""
    clips = decided.places.select(["recording", "start", "end", "clip_id"])
    fates = decisions(decided.decision, np.arange(clips.num_rows))
    clips = clips.append_column("kind", pa.array(["clip"] * clips.num_rows, pa.string()))
    for column, values in fates.items():
        clips = clips.append_column(column, values)
    spans = spans_of(decided, build)
    without = [at for at, one in enumerate(decided.recordings) if one.status is not Status.OK]
    without = sorted({*without, *range(len(decided.recordings))} - {*_seen(clips, spans)})
    reasons = [[one.reason] if one.reason else [] for one in (decided.recordings[at] for at in without)]
    empty = {"recording": without, "start": [0] * len(without), "end": [0] * len(without), "reasons": reasons}
    schema = pa.schema([("recording", pa.int32()), *(LEDGER.field(at) for at in range(1, len(LEDGER)))])
    rows = pa.concat_tables(
        [_filled(table, schema) for table in (clips, spans, pa.table(empty, _part(schema, empty)))]
    ).sort_by([("recording", "ascending"), ("start", "ascending")])
    ids = pa.array([one.recording_id for one in decided.recordings], pa.string())
    return pa.table([ids.take(rows["recording"].combine_chunks()), *rows.columns[1:]], schema=LEDGER)


def _seen(*tables: pa.Table) -> Iterator[int]:
    for table in tables:
        yield from np.unique(table["recording"].to_numpy()).tolist()


def _part(schema: pa.Schema, names: Iterable[str]) -> pa.Schema:
    return pa.schema([schema.field(name) for name in names])


def _filled(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """A part of the ledger with all columns: what is no clip is rejected, without a reason of its own."""
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
