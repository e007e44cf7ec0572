"""The kept clips as Parquet shards that any reader opens: `data/<split>-NNNNN-of-NNNNN.parquet`.

Which clip goes where is planned from sizes alone, before any audio is read, so that the same corpus gives
the same shards on every runner and at any worker count.
"""

import io
import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from speechmill.core.build import Build
from speechmill.core.columns import feature_of
from speechmill.core.config import RunConfig
from speechmill.core.records import recording_from
from speechmill.core.store import ROW_GROUP_BYTES, ROW_GROUP_ROWS
from speechmill.decide.splits import TRAIN, VALIDATION
from speechmill.publish.columns import columns_of, data_schema
from speechmill.publish.ledger import Judgement, Row, judge
from speechmill.stages import TOKENISE
from speechmill.text.normal_form import NormalForm, normal_form
from speechmill.tokens import text_tokenizer_file
from speechmill.tokens.text import limits, load


@dataclass(slots=True)
class Shard:
    """Part of a split: for each recording the range of its kept clips that lie in it."""

    parts: list[tuple[str, int, int]] = field(default_factory=list)  # recording_id, first, one past the last
    bytes: int = 0


def plan(judgements: Iterable[Judgement], build: Build) -> dict[str, Shard]:
    """Shards by file name. Rows are in order of recording and start."""
    open_shards: dict[str, list[Shard]] = {TRAIN: [], VALIDATION: []}
    for judgement in judgements:
        recording_id = judgement.recording.recording_id
        shards = open_shards[judgement.split]
        _fill(shards, recording_id, [row["flac_bytes"] for row in judgement.kept], build.config.publish.shard_bytes)
    return {
        f"data/{split}-{i:05}-of-{len(shards):05}.parquet": shard
        for split, shards in open_shards.items()
        for i, shard in enumerate(shards)
    }


def _fill(shards: list[Shard], recording_id: str, sizes: list[int], limit: int) -> None:
    for at, size in enumerate(sizes):
        if not shards or (shards[-1].bytes and shards[-1].bytes + size > limit):
            shards.append(Shard())
        shard = shards[-1]
        if shard.parts and shard.parts[-1][0] == recording_id:
            shard.parts[-1] = (recording_id, shard.parts[-1][1], at + 1)
        else:
            shard.parts.append((recording_id, at, at + 1))
        shard.bytes += size


def write_shard(name: str, shard: Shard, build: Build) -> None:
    """Write one shard under `name`."""
    columns = data_schema(columns_of(build))
    schema = _with_features(columns, build.config.audio.sample_rate)
    sorting = pq.SortingColumn.from_ordering(schema, [("recording_id", "ascending"), ("start", "ascending")])
    plain = [column for column in schema.names if column != "audio"]
    options: dict[str, Any] = {"compression": _codecs(schema), "use_dictionary": plain, "sorting_columns": sorting}
    with build.store.parquet(name, schema, **options) as writer:
        for group in _row_groups(_rows(shard, build)):
            writer.write_table(pa.Table.from_pylist(group, schema=schema))


def _rows(shard: Shard, build: Build) -> Iterator[Row]:
    for recording_id, first, last in shard.parts:
        recording = recording_from(build.store.read(build.fetched(recording_id)).to_pylist()[0])
        judgement = judge(recording, build)
        wanted = {row["clip_id"]: row for row in judgement.kept[first:last]}
        assert recording.content_id is not None
        tokens = _tokens(recording.content_id, wanted.keys(), build)
        for batch in build.store.batches(build.segments(recording.content_id), ["clip_id", "flac"]):
            for found in batch.to_pylist():
                row = wanted.get(found["clip_id"])
                if row is not None:
                    audio = {"bytes": found["flac"], "path": f"{row['clip_id']}.flac"}
                    derived = tokens.get(row["clip_id"], {}) | text_columns(row, build.config)
                    yield row | {"audio": audio} | derived


def _tokens(content_id: str, clip_ids: Collection[str], build: Build) -> dict[str, Row]:
    """Mel tokens of some clips of a content, and whether the clips fit."""
    table = TOKENISE.read(content_id, build, ["clip_id", "mel_tokens", "mel_profile"])
    found = table.filter(pa.array([clip_id in clip_ids for clip_id in table["clip_id"].to_pylist()], pa.bool_()))
    return {row["clip_id"]: row for row in found.to_pylist()}


def text_columns(row: Row, config: RunConfig) -> Row:
    """What follows from a clip's text and length: normal form, text tokens, whether TorToiSe's consumers take it."""
    ids, form = None, NormalForm()
    if config.asr.model is not None:
        form = normal_form(row["text"], row["language"])
        ids = None if form.text is None else load(text_tokenizer_file(config.tokenise)).encode(form.text)
    found = limits(row["end"] - row["start"], row["sampling_rate"], ids)
    return {"text_normalized": form.text, "text_normalized_reason": form.reason, "text_tokens": ids, **found}


def _row_groups(rows: Iterable[Row]) -> Iterator[list[Row]]:
    group: list[Row] = []
    size = 0
    for row in rows:
        if len(group) == ROW_GROUP_ROWS or (group and size + row["flac_bytes"] > ROW_GROUP_BYTES):
            yield group
            group, size = [], 0
        group.append(row)
        size += row["flac_bytes"]
    if group:
        yield group


def _codecs(schema: pa.Schema) -> dict[str, str]:
    """Compression by column: zstd for the columns, nothing for FLAC, which does not get smaller."""
    sink = io.BytesIO()
    pq.write_table(schema.empty_table(), sink)
    columns = pq.ParquetFile(sink).schema
    paths = [columns.column(i).path for i in range(len(columns))]
    return {path: "none" if path == "audio.bytes" else "zstd" for path in paths}


def _with_features(schema: pa.Schema, rate: int) -> pa.Schema:
    """Tell the `datasets` library that the audio column is sound."""
    audio = {"sampling_rate": rate, "_type": "Audio"}
    features = {column.name: audio if column.name == "audio" else feature_of(column.type) for column in schema}
    return schema.with_metadata({"huggingface": json.dumps({"info": {"features": features}})})
