"""Which clips pass so far: by the licence, and by what the stages before transcription made of all clips."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from speechmill.core.build import Build
from speechmill.core.columns import Column
from speechmill.decide import criteria
from speechmill.stages.work import Work

Row = Mapping[str, Any]


def early_columns() -> tuple[Column, ...]:
    """Columns of the stages that work on all clips, in the order of the flow."""
    from speechmill.stages.flow import STAGES  # which are made of this

    return tuple(column for stage in STAGES if not stage.clips_only and stage.is_in_graph for column in stage.columns)


def late_columns() -> tuple[Column, ...]:
    """Columns of the stages that work only on clips that pass so far, and of publication."""
    from speechmill.stages.flow import STAGES

    return tuple(column for stage in STAGES if stage.clips_only or not stage.is_in_graph for column in stage.columns)


def clip_durations(content_id: str, build: Build) -> dict[str, float]:
    """Seconds of each clip of a content, by clip_id."""
    table = build.store.read(build.segments(content_id), ["clip_id", "start", "end"])
    rate = build.config.audio.sample_rate
    return {row["clip_id"]: (row["end"] - row["start"]) / rate for row in table.to_pylist() if row["clip_id"]}


def selected(work: Work, build: Build) -> list[str]:
    """Clips that pass the licence and the thresholds, in order of position."""
    if not work.allowed:
        return []
    scores = read_scores(work.content_id, build)
    reasons = criteria.failed(scores, early_columns(), build.config.thresholds)
    clip_ids, removed = scores["clip_id"].to_pylist(), build.removed.clips
    return [clip_id for clip_id, why in zip(clip_ids, reasons, strict=True) if not why and clip_id not in removed]


def read_scores(content_id: str, build: Build) -> pa.Table:
    """Measures and scores of a content, a row a clip, with how much of it repeats an earlier one, and with what
    stages of plug-ins say that take all clips.
    """
    from speechmill.stages.dedup import REPEATED
    from speechmill.stages.flow import PLUGGED_IN

    store, table = build.store, build.store.read(build.artifact("score", content_id))
    compared = store.exists(build.artifact("dedup", content_id))
    repeats = store.read(build.artifact("dedup", content_id)).to_pylist() if compared else []
    table = _with(table, REPEATED, repeats, {REPEATED[0].name: 0.0} if compared else {})
    for stage in PLUGGED_IN:
        if not stage.clips_only and build.runs(stage.name):
            table = _with(table, stage.columns, stage.read(content_id, build).to_pylist())
    return table


def _with(
    table: pa.Table, columns: Iterable[Column], rows: Iterable[Row], default: Row = MappingProxyType({})
) -> pa.Table:
    """Add columns to a table, by clip_id; a clip without a row has the `default`."""
    found = {row["clip_id"]: row for row in rows}
    own = [found.get(clip_id, default) for clip_id in table["clip_id"].to_pylist()]
    for column in columns:
        table = table.append_column(column.field, pa.array([row.get(column.name) for row in own], column.type))
    return table
