"""Clip tables: for each group of recordings, all columns that decide or are published, but audio and mel tokens.

They are made from the artifacts of the stages, and again only where an artifact has changed. Decisions and published
files are made from them alone.
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
from speechmill.core.footers import DecodeFooter, FetchFooter, TableFooter
from speechmill.core.records import RECORDINGS, Recording, SpanKind, Status, recording_from, to_row
from speechmill.core.urls import public_url
from speechmill.publish.groups import (
    CLIPS,
    FOLDER,
    RECORDS,
    SPANS,
    Group,
    GroupInputs,
    group_inputs,
    is_current,
    tabulated_stages,
)
from speechmill.stages import ALIGN, ASSESS, TOKENISE, Stage, left_out
from speechmill.stages.restored import with_restored
from speechmill.stages.selection import clip_places, join_columns
from speechmill.stages.work import Outcome
from speechmill.text.passages import passage_keys

ROW_GROUP_ROWS = 10_000
DONE = "done_"  # prefix of a stage's name: whether it has finished a clip

PLACES = [
    pa.field("recording", pa.int32()),  # row in the recordings table
    pa.field("clip_id", pa.string()),
    pa.field("start", pa.int64()),
    pa.field("end", pa.int64()),
    pa.field("flac_bytes", pa.int64()),
]
PASSAGES = pa.field("passage_keys", pa.list_(pa.int64()))  # of the text, to find others with the same
ONE_PASSAGE_IN = 4  # of two texts with a sentence in common, one in four shingles is enough
SPAN_TABLE = pa.schema([PLACES[0], *PLACES[2:4], pa.field("kind", pa.string())])
RECORD_TABLE = pa.schema(
    [
        *RECORDINGS,
        pa.field("decoded", pa.string()),  # JSON of the results of decoding; null where nothing was decoded
        pa.field("clips_digest", pa.string()),  # of its rows in the clip table
        pa.field("footer", pa.string()),  # JSON of the footer of its fetch artifact; null for files that were left out
        pa.field("fetched", pa.string()),  # version of its fetch artifact; null likewise
    ]
)


def _columns(stage: Stage, build: Build) -> tuple[Column, ...]:
    """Clip table columns of a stage; of mel tokens, which are long and decide nothing, only the error."""
    return (Column("error_nats", pa.float32(), ""),) if stage is TOKENISE else stage.columns_in(build.config)


def clip_table(build: Build) -> pa.Schema:
    """Schema of the clip table."""
    stages = tabulated_stages(build)
    columns = [column.field for stage in stages for column in _columns(stage, build)]
    passages = [PASSAGES] if build.runs(ASSESS.name) else []
    return pa.schema([*PLACES, *columns, *passages, *(pa.field(DONE + stage.name, pa.bool_()) for stage in stages)])


def tabulate(inputs: GroupInputs, build: Build) -> Outcome:
    """Write the tables of a group, unless they are current."""
    if is_current(inputs, build):
        return Outcome(state="reused")
    store, group = build.store, inputs.group
    rows: list[dict[str, Any]] = []
    clips, spans = [clip_table(build).empty_table()], [SPAN_TABLE.empty_table()]
    for at, (recording, fetched) in enumerate(_recordings(inputs, build)):
        decoded = _decoded(recording, build)
        row = to_row(recording) | fetched | {"decoded": decoded and decoded.to_json()}
        if decoded and decoded.status is Status.OK:
            content_clips, content_spans = _content_tables(at, recording.content_id or "", build)
            row["clips_digest"] = _table_digest(content_clips.drop_columns(["recording"]))
            clips.append(content_clips)
            spans.append(content_spans)
        rows.append(row)
    for kind, tables in ((CLIPS, clips), (SPANS, spans)):
        with store.parquet(group.table(kind), tables[0].schema) as writer:
            writer.write_table(pa.concat_tables(tables).combine_chunks(), row_group_size=ROW_GROUP_ROWS)
    footer = TableFooter(inputs=inputs.digest, content=_content_digest(group, rows, build))
    store.write_table(group.table(RECORDS), pa.Table.from_pylist(rows, schema=RECORD_TABLE), footer)
    return Outcome(state="done")


def tabulate_all(build: Build) -> None:
    """Write the tables of all groups that are not current, in this process."""
    for inputs in group_inputs(build):
        tabulate(inputs, build)


def _content_digest(group: Group, rows: list[dict[str, Any]], build: Build) -> str:
    """Digest of the tables of a group, without what is of the fetch artifacts, which change without the content."""
    content = [{name: value for name, value in row.items() if name not in ("fetched", "footer")} for row in rows]
    files = [build.store.sha256(group.table(kind)) for kind in (CLIPS, SPANS)]
    return hashlib.sha256(json.dumps([files, content], sort_keys=True).encode()).hexdigest()


def _table_digest(table: pa.Table) -> str:
    """Digest of a table's values, written as Parquet, since the memory behind nulls is arbitrary."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="none", use_dictionary=False, write_statistics=False)
    return hashlib.sha256(sink.getvalue()).hexdigest()


def remove_stale_tables(groups: list[Group], build: Build) -> None:
    """Remove the tables of an earlier division of the corpus into another number of groups."""
    for leaf in build.store.names(FOLDER):
        if not leaf.endswith(f"-of-{len(groups):05}"):
            build.store.remove(f"{FOLDER}/{leaf}")


def _recordings(inputs: GroupInputs, build: Build) -> Iterator[tuple[Recording, dict[str, str | None]]]:
    """Recordings and left out files of a group, by recording_id, each with version and footer of its fetch artifact."""
    known = (_fetched(recording_id, version, build) for recording_id, version in inputs.fetched.items())
    nothing: dict[str, str | None] = {"fetched": None, "footer": None}
    excluded = ((file, nothing) for file in left_out.read(build) if inputs.group.has(file.recording_id))
    return heapq.merge(known, excluded, key=lambda pair: pair[0].recording_id)


def _fetched(recording_id: str, version: str, build: Build) -> tuple[Recording, dict[str, str | None]]:
    table, footer = build.store.load(build.fetched(recording_id), FetchFooter)
    return recording_from(table.to_pylist()[0]), {"fetched": version, "footer": footer.to_json()}


def _decoded(recording: Recording, build: Build) -> DecodeFooter | None:
    """Results of decoding; None where nothing was decoded."""
    name = build.segments(recording.content_id or "")
    return build.store.footer(name, DecodeFooter) if recording.content_id and build.store.exists(name) else None


def _content_tables(at: int, content_id: str, build: Build) -> tuple[pa.Table, pa.Table]:
    """The clips of a content and its other spans; `at` is the row of its recording."""
    spans = build.store.read(build.segments(content_id), ["start", "end", "kind"])
    spans = spans.filter(pc.not_equal(spans["kind"], SpanKind.CLIP))
    clips = clip_places(content_id, build, [field.name for field in PLACES[1:]])
    clips = with_restored(clips, ["flac_bytes"], content_id, build)
    values: dict[str, Any] = {name: clips[name] for name in clips.column_names}
    for stage in tabulated_stages(build):
        rows = _read_columns(stage, content_id, build)
        values |= join_columns(clips["clip_id"], rows, _columns(stage, build), stage.fill(content_id, build))
        if stage is ASSESS:
            values[PASSAGES.name] = _passages(values["text"])
        values[DONE + stage.name] = pc.is_in(clips["clip_id"], value_set=rows["clip_id"])
    values["recording"] = pa.array([at] * clips.num_rows, pa.int32())
    others = {"recording": pa.array([at] * spans.num_rows, pa.int32())}
    others |= {name: spans[name] for name in spans.column_names}
    return _table(values, clip_table(build)), _table(others, SPAN_TABLE)


def _passages(texts: pa.ChunkedArray) -> pa.Array:
    """Keys of the passages of texts; null for a clip without a text."""
    keys = [None if text is None else passage_keys(text, one_in=ONE_PASSAGE_IN) for text in texts.to_pylist()]
    return pa.array(keys, PASSAGES.type)


def _table(values: Mapping[str, Any], schema: pa.Schema) -> pa.Table:
    return pa.table([values[field.name] for field in schema], schema=schema)


def _read_columns(stage: Stage, content_id: str, build: Build) -> pa.Table:
    """The columns of a stage for a content; addresses without users, passwords and tokens."""
    if stage is TOKENISE:
        return TOKENISE.read(content_id, build, ["clip_id", "error_nats"])
    rows = stage.read(content_id, build)
    if stage is ALIGN:
        at = rows.column_names.index("reference_url")
        urls = [url and public_url(url) for url in rows["reference_url"].to_pylist()]
        rows = rows.set_column(at, rows.field(at), pa.array(urls, pa.string()))
    return rows


def read_recordings(group: Group, build: Build, columns: list[str] | None = None) -> pa.Table:
    """The recordings table of a group, or some of its columns."""
    return build.store.read(group.table(RECORDS), columns)


def fetched_recordings(build: Build) -> pa.Table:
    """Recordings as the stage fetch stored them when they were tabulated, with `footer` and `version` of each artifact.

    Tables that were made before they had footers are left out.
    """
    columns = _NO_RECORDINGS.schema.names
    names = [f"{FOLDER}/{leaf}/{RECORDS}.parquet" for leaf in build.store.names(FOLDER)]
    stored = [build.store.read(name, columns) for name in names if build.store.exists(name)]
    rows = pa.concat_tables(
        [table for table in stored if table.schema.equals(_NO_RECORDINGS.schema)] or [_NO_RECORDINGS]
    )
    return rows.filter(rows["fetched"].is_valid()).rename_columns([*RECORDINGS.names, "footer", "version"])


_STORED = [pa.field(name, pa.string()) for name in ("footer", "fetched")]
_NO_RECORDINGS = pa.schema([*RECORDINGS, *_STORED]).empty_table()


def read_clips(group: Group, build: Build, columns: list[str], rows: npt.NDArray[np.int64] | None = None) -> pa.Table:
    """Read those `columns` that the clip table of a group has: all rows, or `rows` in the order given.

    Row groups without any of the rows are not read.
    """
    with build.store.open(group.table(CLIPS)) as file:
        parquet = pq.ParquetFile(file)
        names = [name for name in columns if name in parquet.schema_arrow.names]
        if rows is None:
            return parquet.read(names)
        wanted = np.unique(rows // ROW_GROUP_ROWS)
        first = np.zeros(len(wanted) + 1, np.int64)
        first[1:] = np.cumsum([parquet.metadata.row_group(int(number)).num_rows for number in wanted])
        within = first[np.searchsorted(wanted, rows // ROW_GROUP_ROWS)] + rows % ROW_GROUP_ROWS
        return parquet.read_row_groups(wanted.tolist(), names).take(within)


def read_spans(group: Group, build: Build) -> pa.Table:
    """The table of the spans of a group that are no clips."""
    return build.store.read(group.table(SPANS))
