"""Writes the kept clips of a group as Parquet shards: `data/<split>-<group>-<number>.parquet`.

The candidate clips of a group are divided into shards by their sizes alone, kept or not, so that other thresholds
change only the shards whose clips they change, and the same corpus gives the same shards on every runner with any
number of workers. The footer has a digest of a shard's content: an unchanged shard is not written again.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from speechmill.core import arrow_files
from speechmill.core.build import Build
from speechmill.core.columns import PROVENANCE, feature_of
from speechmill.core.footers import ShardFooter
from speechmill.core.store import ROW_GROUP_BYTES, ROW_GROUP_ROWS, add_footer
from speechmill.decide.splits import TRAIN, VALIDATION
from speechmill.publish.columns import columns_of, data_schema
from speechmill.publish.decided import DecidedGroup
from speechmill.publish.rows import clip_rows
from speechmill.publish.sounds import read_flac
from speechmill.stages import TOKENISE

VERSION = 2  # raise it when the same clips give other shards
AUDIO = "audio"
PROVENANCE_FIELDS = ["media_url", *(column.name for column in PROVENANCE if column.name != "source_url")]
TOKENS = ("mel_tokens", "mel_profile")

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """A file of kept clips of a group. `made_of` is a digest of all inputs of its rows."""

    name: str
    clips: Indices  # indices into the clips of the DecidedGroup
    made_of: str


def plan(decided: DecidedGroup, build: Build) -> Iterator[Shard]:
    """Plan the shards of a group for both splits. Rows are in order of recording and start."""
    sizes = decided.places["flac_bytes"].to_numpy()
    shared = [VERSION, sorted(build.profiles.items()), data_schema(columns_of(build)).names]
    for split in (TRAIN, VALIDATION):
        candidates = np.flatnonzero(decided.in_split(split))
        for number, (first, last) in enumerate(_ranges(sizes[candidates].tolist(), build.config.publish.shard_bytes)):
            clips = candidates[first:last]
            clips = clips[decided.decision.kept[clips]]
            if clips.size:
                parts = [shared, _recordings(decided, clips), _clip_inputs(decided, clips, build)]
                made_of = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
                name = f"data/{split}-{decided.group.index:05}-{number:05}.parquet"
                yield Shard(name=name, clips=clips, made_of=made_of)


def recording_ids(shard: Shard, decided: DecidedGroup) -> list[str]:
    """Ids of the recordings of a shard's clips, in order."""
    return [decided.recordings[at].recording_id for at in dict.fromkeys(decided.recording[shard.clips].tolist())]


def _recordings(decided: DecidedGroup, clips: Indices) -> list[Any]:
    """Published metadata of the recordings of clips, and the digests of their clip table rows."""
    rows = []
    for at in dict.fromkeys(decided.recording[clips].tolist()):
        recording = decided.recordings[at]
        provenance = [getattr(recording, name) for name in PROVENANCE_FIELDS]
        rows.append([recording.recording_id, decided.digests[at], provenance])
    return rows


def _ranges(sizes: list[int], limit: int) -> Iterator[tuple[int, int]]:
    """Ranges [first, last) of clips that fit into a shard of `limit` bytes; a larger clip gets a shard of its own."""
    first = taken = 0
    for at, size in enumerate(sizes):
        if at > first and taken + size > limit:
            yield first, at
            first, taken = at, 0
        taken += size
    if sizes:
        yield first, len(sizes)


def _clip_inputs(decided: DecidedGroup, clips: Indices, build: Build) -> list[Any]:
    """Inputs of a shard's rows other than the tables of its group: clip ids, speakers and manual texts."""
    clip_ids = decided.places["clip_id"].take(clips).to_pylist()
    speakers = None if decided.speakers is None else decided.speakers.take(clips).to_pylist()
    return [clip_ids, speakers, [build.by_hand.texts.get(clip_id) for clip_id in clip_ids]]


def write_shard(name: str, shard: Shard, decided: DecidedGroup, build: Build) -> None:
    """Write a shard to the path `name` of the store."""
    columns = data_schema(columns_of(build))
    schema = _with_features(columns, build.config.audio.sample_rate)
    sorting = pq.SortingColumn.from_ordering(schema, [("recording_id", "ascending"), ("start", "ascending")])
    options = arrow_files.stored_plain(schema, f"{AUDIO}.bytes") | {"sorting_columns": sorting}
    rows = clip_rows(decided, columns, build, shard.clips)
    rows = _with_tokens(rows, decided, shard.clips, build)
    groups = list(_row_groups(decided.places["flac_bytes"].take(shard.clips).to_pylist()))
    audio = _by_count(_audio(decided, shard.clips, build), (last - first for first, last in groups))
    place, field = schema.names.index(AUDIO), schema.field(AUDIO)
    with build.store.parquet(name, schema, **options) as writer:
        for (first, last), pieces in zip(groups, audio, strict=True):
            group = rows.slice(first, last - first)
            group = group.set_column(place, field, pa.chunked_array(pieces, field.type))
            writer.write_table(group.cast(schema), row_group_size=last - first)
        add_footer(writer, ShardFooter(made_of=shard.made_of))


def is_published(shard: Shard, build: Build) -> bool:
    """Whether the published file with the name of a shard has this content."""
    return build.store.footer(shard.name, ShardFooter).made_of == shard.made_of


def _contents(decided: DecidedGroup, clips: Indices) -> Iterator[tuple[str, Indices]]:
    """Content ids of clips, in order, each with the indices of its clips."""
    recording = decided.recording[clips]
    for at in dict.fromkeys(recording.tolist()):
        yield decided.recordings[at].content_id or "", clips[recording == at]


def _audio(decided: DecidedGroup, clips: Indices, build: Build) -> Iterator[pa.StructArray]:
    """Values of the audio column, in order of the clips."""
    for content_id, own in _contents(decided, clips):
        for batch in read_flac(content_id, decided.places["clip_id"].take(own).to_pylist(), build):
            paths = pc.binary_join_element_wise(batch["clip_id"], "flac", ".")
            yield pa.StructArray.from_arrays([batch["flac"], paths], ["bytes", "path"])


def _by_count(arrays: Iterator[pa.Array], counts: Iterable[int]) -> Iterator[list[pa.Array]]:
    """Regroup arrays without a copy: for each count, pieces with that many values in total."""
    rest = next(arrays, None)
    for count in counts:
        pieces: list[pa.Array] = []
        missing = count
        while missing and rest is not None:
            piece, rest = rest[:missing], rest[missing:]
            pieces.append(piece)
            missing -= len(piece)
            rest = rest if len(rest) else next(arrays, None)
        if missing:
            raise ValueError(f"{missing} clips have no sound")
        yield pieces


def _with_tokens(rows: pa.Table, decided: DecidedGroup, clips: Indices, build: Build) -> pa.Table:
    """Rows with their mel tokens, if the corpus has any."""
    if not build.runs(TOKENISE.name):
        return rows
    tables = [TOKENISE.read(content_id, build, ["clip_id", *TOKENS]) for content_id, _ in _contents(decided, clips)]
    tokens = pa.concat_tables(tables)
    at = pc.index_in(rows["clip_id"], value_set=tokens["clip_id"])
    for name in TOKENS:
        place = rows.column_names.index(name)
        rows = rows.set_column(place, rows.field(place), tokens[name].take(at))
    return rows


def _row_groups(sizes: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Rows [first, last) of each row group, given the size of each clip in bytes."""
    first = last = taken = 0
    for size in sizes:
        if last - first == ROW_GROUP_ROWS or (last > first and taken + size > ROW_GROUP_BYTES):
            yield first, last
            first, taken = last, 0
        last += 1
        taken += size
    if last > first:
        yield first, last


def _with_features(schema: pa.Schema, rate: int) -> pa.Schema:
    """Add the metadata by which the `datasets` library decodes the audio column."""
    audio = {"sampling_rate": rate, "_type": "Audio"}
    features = {column.name: audio if column.name == "audio" else feature_of(column.type) for column in schema}
    return schema.with_metadata({"huggingface": json.dumps({"info": {"features": features}})})
