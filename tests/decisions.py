"""What would be published of a build, in memory: recordings with the rows of their clips."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import pyarrow as pa
from speechmill import publish
from speechmill.core.build import Build
from speechmill.core.records import Recording
from speechmill.publish import tables
from speechmill.publish.columns import columns_of, data_schema, pool_schema
from speechmill.publish.rows import clip_rows


class Decided(NamedTuple):
    """A recording as it is published, and its clips: columns of pool and data, without audio and mel tokens."""

    recording: Recording
    clips: list[dict[str, Any]]


def decided(build: Build) -> Iterator[Decided]:
    """Tabulate what has changed, and decide about all recordings, in order of recording_id."""
    tables.tabulate_all(build)
    fields = {field.name: field for field in (*data_schema(columns_of(build)), *pool_schema(columns_of(build)))}
    for group in publish.decide_all(build):
        clips = clip_rows(group, pa.schema(fields.values()), build).to_pylist()
        for recording in group.recordings:
            yield Decided(recording, [clip for clip in clips if clip["recording_id"] == recording.recording_id])
