"""Clip tables: of each group of recordings every column that decides or is published, but sound and mel tokens.

They are made of the stages' artifacts, many groups at a time, and again only where an artifact has changed: whatever is
decided or published later reads them alone.
"""

import hashlib
import heapq
import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from speechmill.core.build import Build
from speechmill.core.columns import Column
from speechmill.core.ownership import facts_of
from speechmill.core.records import RECORDINGS, Recording, SpanKind, Status, recording_from, to_row
from speechmill.core.urls import public_url
from speechmill.publish.groups import (
    CLIPS,
    FOLDER,
    RECORDS,
    SPANS,
    Group,
    Members,
    is_current,
    members,
    tabulated_stages,
)
from speechmill.stages import ALIGN, TOKENISE, Stage, left_out
from speechmill.stages.selection import clip_places, joined
from speechmill.stages.work import Outcome

ROW_GROUP_ROWS = 10_000
DONE = "done_"  # before the name of a stage: whether it is through with a clip

PLACES = [
    pa.field("recording", pa.int32()),  # row of the table of recordings
    pa.field("clip_id", pa.string()),
    pa.field("start", pa.int64()),
    pa.field("end", pa.int64()),
    pa.field("flac_bytes", pa.int64()),
]
SPAN_TABLE = pa.schema([PLACES[0], *PLACES[2:4], pa.field("kind", pa.string())])
RECORD_TABLE = pa.schema(
    [
        *RECORDINGS,
        pa.field("facts", pa.string()),  # JSON of what decoding found; null where nothing was decoded
        pa.field("clips_digest", pa.string()),  # of its rows of the table of clips
        pa.field("fetched", pa.string()),  # version of the artifact of fetching; null for what was left out
    ]
)


def _columns(stage: Stage, build: Build) -> tuple[Column, ...]:
    """Of tokens the table has only how far off they are: the rest is long, and nothing decides by it."""
    return (Column("error_nats", pa.float32(), ""),) if stage is TOKENISE else stage.columns_in(build.config)


def clip_table(build: Build) -> pa.Schema:
    """Schema of the table of clips."""
    stages = tabulated_stages(build)
    columns = [column.field for stage in stages for column in _columns(stage, build)]
    return pa.schema([*PLACES, *columns, *(pa.field(DONE + stage.name, pa.bool_()) for stage in stages)])


def tabulate(members: Members, build: Build) -> Outcome:
    """Make the tables of a group, unless they are current."""
    if is_current(members, build):
        return Outcome(state="reused")
    store, group = build.store, members.group
    rows: list[dict[str, Any]] = []
    clips, spans = [clip_table(build).empty_table()], [SPAN_TABLE.empty_table()]
    for at, (recording, version) in enumerate(_recordings(members, build)):
        facts = _facts(recording, build)
        row = to_row(recording) | {"facts": facts and json.dumps(facts), "fetched": version}
        if facts and facts["status"] == Status.OK:
            own_clips, own_spans = _of_content(at, recording.content_id or "", build)
            row["clips_digest"] = _digest_of(own_clips.drop_columns(["recording"]))
            clips.append(own_clips)
            spans.append(own_spans)
        rows.append(row)
    for kind, tables in ((CLIPS, clips), (SPANS, spans)):
        with store.parquet(group.table(kind), tables[0].schema) as writer:
            writer.write_table(pa.concat_tables(tables).combine_chunks(), row_group_size=ROW_GROUP_ROWS)
    footer = {"retry": False, "inputs": members.inputs, "content": _digest(group, rows, build)}
    store.write_table(group.table(RECORDS), pa.Table.from_pylist(rows, schema=RECORD_TABLE), footer)
    return Outcome(state="done")


def tabulate_all(build: Build) -> None:
    """Make the tables of all groups that are not current, here and now."""
    for one in members(build):
        tabulate(one, build)


def _digest(group: Group, rows: list[dict[str, Any]], build: Build) -> str:
    """Digest of what tables say, but not of when anything was written."""
    said = [{name: value for name, value in row.items() if name != "fetched"} for row in rows]
    files = [facts_of(build.store, group.table(kind))["sha256"] for kind in (CLIPS, SPANS)]
    return hashlib.sha256(json.dumps([files, said], sort_keys=True).encode()).hexdigest()


def _digest_of(table: pa.Table) -> str:
    """Digest of what a table says, whatever lies behind its nulls in memory."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="none", use_dictionary=False, write_statistics=False)
    return hashlib.sha256(sink.getvalue()).hexdigest()


def forget_others(groups: list[Group], build: Build) -> None:
    """Remove tables of groups that the corpus was divided into when it was smaller or larger."""
    for leaf in build.store.names(FOLDER):
        if not leaf.endswith(f"-of-{len(groups):05}"):
            build.store.remove(f"{FOLDER}/{leaf}")


def _recordings(members: Members, build: Build) -> Iterator[tuple[Recording, str | None]]:
    """Recordings of a group in order of recording_id, with what was left out, and the version of what was fetched."""
    known = (
        (recording_from(build.store.read(build.fetched(recording_id)).to_pylist()[0]), version)
        for recording_id, version in members.fetched.items()
    )
    others = ((one, None) for one in left_out.read(build) if members.group.has(one.recording_id))
    return heapq.merge(known, others, key=lambda pair: pair[0].recording_id)


def _facts(recording: Recording, build: Build) -> dict[str, Any] | None:
    """What decoding found; None where nothing was decoded."""
    name = build.segments(recording.content_id or "")
    return build.store.footer(name) if recording.content_id and build.store.exists(name) else None


def _of_content(at: int, content_id: str, build: Build) -> tuple[pa.Table, pa.Table]:
    """Clips of a content, and its other spans; `at` is the row of its recording."""
    spans = build.store.read(build.segments(content_id), ["start", "end", "kind"])
    spans = spans.filter(pc.not_equal(spans["kind"], SpanKind.CLIP))
    clips = clip_places(content_id, build, [field.name for field in PLACES[1:]])
    values: dict[str, Any] = {name: clips[name] for name in clips.column_names}
    for stage in tabulated_stages(build):
        rows = _read(stage, content_id, build)
        values |= joined(clips["clip_id"], rows, _columns(stage, build), stage.fill(content_id, build))
        values[DONE + stage.name] = pc.is_in(clips["clip_id"], value_set=rows["clip_id"])
    values["recording"] = pa.array([at] * clips.num_rows, pa.int32())
    own = {"recording": pa.array([at] * spans.num_rows, pa.int32())}
    own |= {name: spans[name] for name in spans.column_names}
    return _table(values, clip_table(build)), _table(own, SPAN_TABLE)


def _table(values: Mapping[str, Any], schema: pa.Schema) -> pa.Table:
    return pa.table([values[field.name] for field in schema], schema=schema)


def _read(stage: Stage, content_id: str, build: Build) -> pa.Table:
    """What a stage has of a content; addresses without users, passwords and tokens."""
    if stage is TOKENISE:
        return TOKENISE.read(content_id, build, ["clip_id", "error_nats"])
    rows = stage.read(content_id, build)
    if stage is ALIGN:
        at = rows.column_names.index("reference_url")
        urls = [url and public_url(url) for url in rows["reference_url"].to_pylist()]
        rows = rows.set_column(at, rows.field(at), pa.array(urls, pa.string()))
    return rows


def read_recordings(group: Group, build: Build, columns: list[str] | None = None) -> pa.Table:
    """The table of recordings of a group, or some of its columns."""
    return build.store.read(group.table(RECORDS), columns)


def read_clips(group: Group, build: Build, columns: list[str], rows: npt.NDArray[np.int64] | None = None) -> pa.Table:
    """Columns of the table of clips of a group, as far as it has them; of all its rows, or of some, in their order."""
    with build.store.open(group.table(CLIPS)) as file:
        parquet = pq.ParquetFile(file)
        names = [name for name in columns if name in parquet.schema_arrow.names]
        if rows is None:
            return parquet.read(names)
        wanted = np.unique(rows // ROW_GROUP_ROWS)
        first = np.zeros(len(wanted) + 1, np.int64)
        first[1:] = np.cumsum([parquet.metadata.row_group(int(one)).num_rows for one in wanted])
        within = first[np.searchsorted(wanted, rows // ROW_GROUP_ROWS)] + rows % ROW_GROUP_ROWS
        return parquet.read_row_groups(wanted.tolist(), names).take(within)


def read_spans(group: Group, build: Build) -> pa.Table:
    """The table of those spans of a group that are no clips."""
    return build.store.read(group.table(SPANS))
