"""Which clips pass so far: by the licence, and by what the stages before transcription made of all clips."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from speechmill.core.build import Build
from speechmill.core.columns import Column
from speechmill.core.records import SpanKind
from speechmill.decide import decision
from speechmill.stages.work import Work

Values = Mapping[str, Any]


def early_columns() -> tuple[Column, ...]:
    """Columns of the stages that work on all clips, in the order of the flow."""
    from speechmill.stages.flow import STAGES  # which are made of this

    return tuple(column for stage in STAGES if _is_early(stage) for column in stage.columns)


def late_columns() -> tuple[Column, ...]:
    """Columns of the stages that work only on clips that pass so far, and of publication."""
    from speechmill.stages.flow import STAGES

    return tuple(column for stage in STAGES if not _is_early(stage) for column in stage.columns)


def _is_early(stage: Any) -> bool:
    return stage.is_in_graph and not stage.clips_only


def clip_durations(content_id: str, build: Build) -> dict[str, float]:
    """Seconds of each clip of a content, by clip_id."""
    clips = clip_places(content_id, build)
    samples = pc.subtract(clips["end"], clips["start"]).to_pylist()
    rate = build.config.audio.sample_rate
    return {clip_id: length / rate for clip_id, length in zip(clips["clip_id"].to_pylist(), samples, strict=True)}


def clip_places(content_id: str, build: Build, columns: Iterable[str] = ("clip_id", "start", "end")) -> pa.Table:
    """Columns of the clips of a content, in order of position, without its other spans."""
    names = list(dict.fromkeys([*columns, "kind"]))
    spans = build.store.read(build.segments(content_id), names)
    return spans.filter(pc.equal(spans["kind"], SpanKind.CLIP)).select(list(columns))


def selected(work: Work, build: Build) -> list[str]:
    """Clips that pass the licence and the thresholds, or that somebody kept by hand, in order of position."""
    if not work.allowed:
        return []
    scores = read_scores(work.content_id, build)
    fails = decision.failed(scores, early_columns(), build.config.thresholds).any
    by_hand, clip_ids = build.by_hand, scores["clip_id"].to_pylist()
    out = build.removed.clips | by_hand.dropped
    return [
        clip_id
        for clip_id, is_out in zip(clip_ids, fails.tolist(), strict=True)
        if clip_id not in out and (not is_out or clip_id in by_hand.kept)
    ]


def read_scores(content_id: str, build: Build) -> pa.Table:
    """Measures and scores of a content, a row a clip, with how much of it repeats an earlier one, and with what
    stages of plug-ins say that take all clips.
    """
    from speechmill.stages import DEDUP, SCORE
    from speechmill.stages.flow import PLUGGED_IN

    table = build.store.read(build.artifact(SCORE.name, content_id))
    for stage in (DEDUP, *PLUGGED_IN):
        if _is_early(stage) and build.runs(stage.name):
            values = joined(
                table["clip_id"], stage.read(content_id, build), stage.columns, stage.fill(content_id, build)
            )
            for column in stage.columns:
                table = table.append_column(column.field, values[column.name])
    return table


def joined(
    clip_ids: pa.ChunkedArray, rows: pa.Table, columns: Iterable[Column], fill: Values = MappingProxyType({})
) -> dict[str, pa.ChunkedArray]:
    """Columns of an artifact in the order of some clips.

    Args:
        clip_ids: string[clips].
        rows: of the artifact, with a `clip_id` each, in any order.
        columns: those to take; one that the artifact does not have is null.
        fill: values of clips without a row, by column; null for others.
    """
    at = pc.index_in(clip_ids, value_set=rows["clip_id"])
    values = {}
    for column in columns:
        if column.name in rows.column_names:
            found = rows[column.name].cast(column.type).take(at)
        else:
            found = pa.chunked_array([pa.nulls(len(at), column.type)])
        values[column.name] = found.fill_null(fill[column.name]) if column.name in fill else found
    return values
