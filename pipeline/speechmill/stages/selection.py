"""Selects the clips for expensive stages: by licence, and by the tests of the stages that process all clips."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from speechmill.core.build import Build
from speechmill.core.columns import Column
from speechmill.core.config import RunConfig
from speechmill.decide import decision
from speechmill.stages.base import ClipStage
from speechmill.stages.work import WorkItem

Values = Mapping[str, Any]


def early_columns(config: RunConfig) -> tuple[Column, ...]:
    """Columns of the stages that process all clips, in order of execution, with the tests that a config means."""
    from speechmill.stages.flow import STAGES  # imports this module

    return tuple(column for stage in STAGES if _is_early(stage) for column in stage.columns_in(config))


def late_columns() -> tuple[Column, ...]:
    """Columns of the stages that process only selected clips, and of publication."""
    from speechmill.stages.flow import STAGES

    return tuple(column for stage in STAGES if not _is_early(stage) for column in stage.columns)


def _is_early(stage: Any) -> bool:
    return stage.is_in_graph and not stage.clips_only


def clip_durations(content_id: str, build: Build, clips_of: str = "segment") -> dict[str, float]:
    """Duration of each clip of a content in seconds, by clip_id; `clips_of` as in `Stage`."""
    clips = clip_places(content_id, build, clips_of=clips_of)
    samples = pc.subtract(clips["end"], clips["start"]).to_pylist()
    rate = build.config.audio.sample_rate
    return {clip_id: length / rate for clip_id, length in zip(clips["clip_id"].to_pylist(), samples, strict=True)}


def clip_places(
    content_id: str, build: Build, columns: Iterable[str] = ("clip_id", "start", "end"), clips_of: str = "segment"
) -> pa.Table:
    """Columns of the clips of a content, in order of position, without its other spans; `clips_of` as in `Stage`."""
    names = list(dict.fromkeys([*columns, "clip_id"]))
    spans = build.store.read(build.artifact(clips_of, content_id), names)
    return spans.filter(pc.is_valid(spans["clip_id"])).select(list(columns))


def failed_tests(clips: pa.Table, build: Build) -> decision.Reasons:
    """Reasons of the tests of stages that process all clips; what people said about a defect replaces its test.

    Args:
        clips: A table with `clip_id` and the columns of those stages.
        build: The corpus.
    """
    reasons = decision.failed(clips, early_columns(build.config), build.config.thresholds)
    for defect, by_clip in sorted(build.by_hand.defects.items()):
        present, absent = (among(clips, {i for i, has in by_clip.items() if has is wanted}) for wanted in (True, False))
        reasons.add(defect, present)
        reasons.failing[defect] &= ~absent
    return reasons


def among(clips: pa.Table, clip_ids: Iterable[str]) -> decision.Mask:
    """Whether each clip is among `clip_ids`, bool[clips]."""
    mask: decision.Mask = pc.is_in(clips["clip_id"], value_set=pa.array(sorted(clip_ids), pa.string())).to_numpy()
    return mask


def select_clips(work: WorkItem, build: Build) -> list[str]:
    """Ids of clips that pass licence and thresholds, or were kept by hand, in order of position."""
    if not work.allowed:
        return []
    scores = read_scores(work.content_id, build)
    return selected(scores["clip_id"].to_pylist(), failed_tests(scores, build).any, build)


def selected(clip_ids: list[str], fails: decision.Mask, build: Build) -> list[str]:
    """Those clips that pass all tests, or were kept by hand, and were neither dropped nor removed.

    `fails`: whether each clip fails a test, bool[clips].
    """
    by_hand = build.by_hand
    excluded = build.removals.clips | by_hand.dropped
    return [
        clip_id
        for clip_id, has_failed in zip(clip_ids, fails.tolist(), strict=True)
        if clip_id not in excluded and (not has_failed or clip_id in by_hand.kept)
    ]


def clips_for(stage: ClipStage, work: WorkItem, build: Build) -> set[str]:
    """Ids of the clips of a content that a stage processes."""
    chosen = stage.choose(work, build)
    if chosen is None:
        chosen = select_clips(work, build) if stage.clips_only else clip_durations(work.content_id, build)
    return set(chosen)


def read_scores(content_id: str, build: Build) -> pa.Table:
    """All columns that select clips, a row for each clip of a content: scores, duplicates and those of plug-ins."""
    from speechmill.stages import SCORE

    return with_early_columns(SCORE.read(content_id, build), content_id, build)


def with_early_columns(scores: pa.Table, content_id: str, build: Build) -> pa.Table:
    """Scores of the clips of a content, with the columns of the other stages that process all clips."""
    from speechmill.stages import DEDUP, SEGMENT
    from speechmill.stages.flow import PLUGGED_IN

    table = scores
    for stage in (SEGMENT, DEDUP, *PLUGGED_IN):
        if _is_early(stage) and build.runs(stage.name):
            values = join_columns(
                table["clip_id"], stage.read(content_id, build), stage.columns, stage.fill(content_id, build)
            )
            for column in stage.columns_in(build.config):
                table = table.append_column(column.field, values[column.name])
    return table


def join_columns(
    clip_ids: pa.ChunkedArray, rows: pa.Table, columns: Iterable[Column], fill: Values = MappingProxyType({})
) -> dict[str, pa.ChunkedArray]:
    """Join columns of an artifact to clips.

    Args:
        clip_ids: string[clips].
        rows: Rows of the artifact with `clip_id`, in any order.
        columns: Columns to take; those that the artifact lacks are null.
        fill: Values for clips without a row, by column; null for other columns.

    Returns:
        Each column in the order of `clip_ids`.
    """
    at = pc.index_in(clip_ids, value_set=rows["clip_id"])
    values = {}
    for column in columns:
        if column.name in rows.column_names:
            array = rows[column.name].cast(column.type).take(at)
        else:
            array = pa.chunked_array([pa.nulls(len(at), column.type)])
        values[column.name] = array.fill_null(fill[column.name]) if column.name in fill else array
    return values
