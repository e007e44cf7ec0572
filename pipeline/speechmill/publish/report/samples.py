"""Chooses the clips that the report plays, deterministically, and reads their audio.

Borderline clips show best whether a threshold is right, so the rejected clips nearest to it come first.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from speechmill.core.build import Build
from speechmill.core.columns import Column
from speechmill.core.reasons import Reason
from speechmill.decide.decision import KEPT
from speechmill.publish import figures
from speechmill.publish.columns import columns_of, data_schema, pool_schema
from speechmill.publish.decided import DecidedGroup
from speechmill.publish.rows import Indices, clip_rows
from speechmill.publish.sounds import read_flac

MOST_KEPT = 12
MOST_A_REASON = 4
OMITTED = ("audio", "mel_tokens", "mel_profile", "text_tokens")  # columns that the report does not show
FLAC_BYTES = pa.field("flac_bytes", pa.int64())
SOUND_BYTES = 8_000_000  # of FLAC in total; with base64, images and text the page stays under 15 MB

Limits = Iterable[tuple[Column, float]]
Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A clip of the report: its published row, and the content that its audio is stored with."""

    content_id: str
    row: Row

    @property
    def is_playable(self) -> bool:
        """False if its licence forbids publication: the report, which is public, shows neither audio nor text then."""
        return Reason.LICENCE not in self.row["reasons"]


def choose(groups: Iterable[DecidedGroup], build: Build) -> dict[str, list[Sample]]:
    """Choose samples by group (`kept` or a reason), nearest to the threshold first; each clip is in one group.

    Memory is bounded by the number of reasons, whatever the size of the corpus.
    """
    limits = figures.limits(build)
    best: dict[str, list[tuple[float, str, Sample]]] = defaultdict(list)
    for decided in groups:
        tested = clip_rows(decided, pa.schema([column.field for column, _ in limits]), build)
        for group, which in _clips_by_group(decided):
            if not which.size:
                continue
            most = MOST_KEPT if group == KEPT else MOST_A_REASON
            nearest = _nearest_to_threshold(tested, which, group, limits, most, decided)
            ranked = [*best[group], *_samples(nearest, decided, build)]
            best[group] = sorted(ranked, key=lambda entry: entry[:2])[:most]
    return _within_budget({group: [sample for _, _, sample in best[group]] for group in sorted(best, key=_kept_first)})


def _clips_by_group(decided: DecidedGroup) -> Iterator[tuple[str, Indices]]:
    """Indices of the kept clips, and of the clips rejected by each reason."""
    kept = decided.decision.kept
    yield KEPT, np.flatnonzero(kept)
    for reason, failing in decided.decision.reasons.failing.items():
        yield reason, np.flatnonzero(failing & ~kept)


def _kept_first(group: str) -> tuple[bool, str]:
    """Sort key of a group."""
    return group != KEPT, group


def _nearest_to_threshold(
    tested: pa.Table, which: Indices, reason: str, limits: Limits, most: int, decided: DecidedGroup
) -> list[tuple[float, str, int]]:
    """The `most` clips nearest to the thresholds of a reason: distance, clip_id and index of each.

    Args:
        tested: The columns with a threshold, for all clips of the group.
        which: Indices of the clips that failed by the reason.
        reason: A reason, or `kept`.
        limits: Columns with their thresholds.
        most: Number of clips.
        decided: The group.
    """
    far = _distances(tested, which, reason, limits)
    if which.size > most:  # ties with the last place are kept, and broken by clip_id below
        edge = np.partition(far, most - 1)[most - 1]
        which, far = which[far <= edge], far[far <= edge]
    clip_ids = decided.places["clip_id"].take(which).to_pylist()
    return sorted(zip(far.tolist(), clip_ids, which.tolist(), strict=True))[:most]


def _distances(tested: pa.Table, which: Indices, reason: str, limits: Limits) -> npt.NDArray[np.float64]:
    """Distances beyond the thresholds of a reason, in histogram widths, float64[which]; 0 without a threshold."""
    far = np.zeros(which.size)
    for column, limit in limits:
        if column.test and column.test.reason == reason:
            values = tested[column.name].to_numpy().astype(np.float64)[which]
            over = values - limit if column.test.at_most else limit - values
            edges = column.edges or (0.0, 1.0)
            far = np.fmax(far, np.where(over > 0, over / (edges[-1] - edges[0]), 0.0))
    return far


def _samples(
    nearest: list[tuple[float, str, int]], decided: DecidedGroup, build: Build
) -> Iterator[tuple[float, str, Sample]]:
    """Samples of the clips nearest to a threshold, with all published columns but OMITTED, and the decision."""
    if not nearest:
        return
    fields = {field.name: field for field in (*data_schema(columns_of(build)), *pool_schema(columns_of(build)))}
    fields = {name: field for name, field in fields.items() if name not in OMITTED} | {"flac_bytes": FLAC_BYTES}
    rows = clip_rows(decided, pa.schema(fields.values()), build, np.array([at for _, _, at in nearest], np.int64))
    for (far, clip_id, at), row in zip(nearest, rows.to_pylist(), strict=True):
        content_id = decided.recordings[decided.recording[at]].content_id or ""
        yield far, clip_id, Sample(content_id=content_id, row=row)


def _within_budget(groups: dict[str, list[Sample]]) -> dict[str, list[Sample]]:
    """Take the first clip of each group, then the second of each, and so on, until SOUND_BYTES are used."""
    chosen: dict[str, list[Sample]] = {group: [] for group in groups}
    left, seen = SOUND_BYTES, set()
    for rank in zip_longest(*groups.values()):
        for group, sample in zip(groups, rank, strict=True):
            if sample is None or sample.row["clip_id"] in seen:
                continue
            cost = sample.row["flac_bytes"] if sample.is_playable else 0
            if cost <= left:
                left -= cost
                seen.add(sample.row["clip_id"])
                chosen[group].append(sample)
    return chosen


def read_clip_flac(samples: Iterable[Sample], build: Build) -> dict[str, bytes]:
    """FLAC bytes by clip_id; clips that are not playable are left out."""
    wanted: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        if sample.is_playable:
            wanted[sample.content_id].add(sample.row["clip_id"])
    return {
        row["clip_id"]: row["flac"]
        for content_id in wanted
        for batch in read_flac(content_id, wanted[content_id], build)
        for row in batch.to_pylist()
    }
