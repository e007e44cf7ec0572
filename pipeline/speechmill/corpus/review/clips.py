"""All clips of a corpus as the models decided about them, kept and rejected, without what people said."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from speechmill import publish
from speechmill.core.build import Build
from speechmill.core.columns import Column
from speechmill.core.manual import ManualDecisions
from speechmill.core.reasons import Reason
from speechmill.decide.decision import Mask
from speechmill.publish import figures
from speechmill.publish.decided import DecidedGroup
from speechmill.publish.report.clip_ids import ID_BYTES, MOST_WHOLE_IDS, in_table, share_in_table
from speechmill.publish.rows import clip_rows
from speechmill.stages.selection import early_columns

Float32 = npt.NDArray[np.float32]
WORDS = (Reason.LOW_CONFIDENCE, Reason.DISAGREEMENT)  # of texts that may be wrong
UNIT_RANGE = (0.0, 1.0)  # of columns without a histogram


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """A threshold that is switched on."""

    key: str
    """Its key in the config, such as `thresholds.music`."""
    column: str
    reason: str
    limit: float
    at_most: bool
    is_of_sound: bool
    """Whether it tests the sound, so that people may say that the defect is there or not."""
    is_of_words: bool
    """Whether it tests if the text is right, which people deny by correcting it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clips:
    """The clips of a corpus, and how far each is from each threshold."""

    row: Mapping[str, int]
    """Row of each clip in the arrays, by clip_id, in order of recording and position."""
    short: Mapping[str, str]
    """Ids by the digits that the page of a large corpus has of them; empty where it has all."""
    places: pa.Table
    """`content_id`, `recording_id`, `start` and `end` (samples) of each clip."""
    shown: Mask
    """Whether the page holds each clip, bool[clips]: of a very large corpus it holds a sample."""
    kept: Mask
    """Whether the models kept each clip, bool[clips]."""
    reasons: Mapping[str, Mask]
    """Which clips the models rejected, by reason, bool[clips] each."""
    thresholds: tuple[Threshold, ...]
    margins: Float32
    """How far each clip is on the good side of each threshold, in widths of the column's histogram: float32[clips,
    thresholds]. Negative: it fails; NaN: there is no value."""

    def __len__(self) -> int:
        return len(self.row)

    def clip_id(self, name: str) -> str:
        """Whole id of a clip, by what a page has of it. Raises KeyError for no clip of the corpus."""
        whole = self.short.get(name, name)
        if whole not in self.row:
            raise KeyError(name)
        return whole


def load_clips(build: Build) -> Clips:
    """The clips of a corpus whose clip tables are current."""
    models = replace(build, by_hand=ManualDecisions(), profiles={**build.profiles, "speakers": None})
    limits = figures.limits(build)
    groups = list(publish.decide_all(models))
    places = pa.concat_tables([_places(decided) for decided in groups])
    ids = [clip_id for decided in groups for clip_id in decided.places["clip_id"].to_pylist()]
    return Clips(
        row={clip_id: at for at, clip_id in enumerate(ids)},
        short={} if len(ids) <= MOST_WHOLE_IDS else {clip_id[: 2 * ID_BYTES]: clip_id for clip_id in ids},
        places=places,
        shown=in_table(ids, share_in_table(len(ids))),
        kept=np.concatenate([decided.decision.kept for decided in groups]),
        reasons=_reasons(groups),
        thresholds=tuple(_threshold(column, limit, early_columns(build.config)) for column, limit in limits),
        margins=np.concatenate([_margins(decided, limits, models) for decided in groups]),
    )


def _places(decided: DecidedGroup) -> pa.Table:
    recordings = pa.table(
        {
            "content_id": pa.array([one.content_id for one in decided.recordings], pa.string()),
            "recording_id": pa.array([one.recording_id for one in decided.recordings], pa.string()),
        }
    )
    of_clips = recordings.take(pa.array(decided.recording))
    columns = {name: of_clips[name] for name in of_clips.column_names}
    return pa.table(columns | {name: decided.places[name] for name in ("start", "end")})


def _reasons(groups: Iterable[DecidedGroup]) -> dict[str, Mask]:
    """Masks of all groups by reason; a group without a reason has no clip that fails by it."""
    groups = list(groups)
    names = dict.fromkeys(name for decided in groups for name in decided.decision.reasons.failing)
    return {
        name: np.concatenate(
            [
                decided.decision.reasons.failing.get(name, np.zeros(len(decided.rows), bool)) & ~decided.decision.kept
                for decided in groups
            ]
        )
        for name in names
    }


def _threshold(column: Column, limit: float, sound: Collection[Column]) -> Threshold:
    assert column.test is not None
    return Threshold(
        key=f"thresholds.{column.test.key}",
        column=column.name,
        reason=str(column.test.reason),
        limit=limit,
        at_most=column.test.at_most,
        is_of_sound=column in sound,
        is_of_words=column.test.reason in WORDS,
    )


def _margins(decided: DecidedGroup, limits: list[tuple[Column, float]], build: Build) -> Float32:
    """Margins of the clips of a group: float32[clips, thresholds]."""
    values = clip_rows(decided, pa.schema([column.field for column, _ in limits]), build)
    margins = np.full((len(decided.rows), len(limits)), np.nan, np.float32)
    for at, (column, limit) in enumerate(limits):
        given = values[column.name].to_numpy().astype(np.float32)
        above = given - np.float32(limit)
        edges = column.edges or UNIT_RANGE
        sign = -1 if column.test and column.test.at_most else 1
        margins[:, at] = sign * above / np.float32(edges[-1] - edges[0])
        if pa.types.is_integer(column.type):  # a count that passes, such as one voice, is in no doubt
            margins[margins[:, at] >= 0, at] = 1
    return margins
