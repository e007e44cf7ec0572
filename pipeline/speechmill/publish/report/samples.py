"""Chooses the clips that the report plays, and reads their sound: few, the same ones every time.

The doubtful ones tell most about a threshold, so of the rejected those nearest to it come first.
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
from speechmill.publish.decided import Decided
from speechmill.publish.rows import Indices, clip_rows
from speechmill.publish.sounds import sounds

MOST_KEPT = 12
MOST_A_REASON = 4
UNSEEN = ("audio", "mel_tokens", "mel_profile", "text_tokens")  # columns that a row of the report is without
FLAC_BYTES = pa.field("flac_bytes", pa.int64())
SOUND_BYTES = 8_000_000  # of FLAC in all; with base64, pictures and text the page stays under 15 MB

Limits = Iterable[tuple[Column, float]]
Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A clip to be heard: its row of the pool with its text, and where its sound is."""

    content_id: str
    row: Row

    @property
    def may_be_heard(self) -> bool:
        """A clip held back for its licence is shown without sound and text: the report is published too."""
        return Reason.LICENCE not in self.row["reasons"]


def choose(groups: Iterable[Decided], build: Build) -> dict[str, list[Sample]]:
    """Samples by `kept` and by reason, nearest to the threshold first; each clip once.

    Memory is bounded by the number of reasons, whatever the size of the corpus.
    """
    limits = figures.limits(build)
    best: dict[str, list[tuple[float, str, Sample]]] = defaultdict(list)
    for decided in groups:
        tested = clip_rows(decided, pa.schema([column.field for column, _ in limits]), build)
        for group, which in _groups(decided):
            if not which.size:
                continue
            most = MOST_KEPT if group == KEPT else MOST_A_REASON
            nearest = _nearest(tested, which, group, limits, most, decided)
            best[group] = sorted([*best[group], *_samples(nearest, decided, build)], key=lambda one: one[:2])[:most]
    return _within_budget({group: [one[2] for one in best[group]] for group in sorted(best, key=_kept_first)})


def _groups(decided: Decided) -> Iterator[tuple[str, Indices]]:
    """Clips that are kept, and those that are rejected by each reason."""
    kept = decided.decision.kept
    yield KEPT, np.flatnonzero(kept)
    for reason, failing in decided.decision.reasons.failing.items():
        yield reason, np.flatnonzero(failing & ~kept)


def _kept_first(group: str) -> tuple[bool, str]:
    return group != KEPT, group


def _nearest(
    tested: pa.Table, which: Indices, reason: str, limits: Limits, most: int, decided: Decided
) -> list[tuple[float, str, int]]:
    """The clips nearest to the thresholds of a reason: how far they are over, their ids and their places."""
    far = _distances(tested, which, reason, limits)
    if which.size > most:  # those that may be among the first, with all that are as far as the last of them
        edge = np.partition(far, most - 1)[most - 1]
        which, far = which[far <= edge], far[far <= edge]
    clip_ids = decided.places["clip_id"].take(which).to_pylist()
    return sorted(zip(far.tolist(), clip_ids, which.tolist(), strict=True))[:most]


def _distances(tested: pa.Table, which: Indices, reason: str, limits: Limits) -> npt.NDArray[np.float64]:
    """How far clips are over the thresholds of a reason, in widths of the columns' histograms; 0 without one."""
    far = np.zeros(which.size)
    for column, limit in limits:
        if column.test and column.test.reason == reason:
            values = tested[column.name].to_numpy().astype(np.float64)[which]
            over = values - limit if column.test.at_most else limit - values
            edges = column.edges or (0.0, 1.0)
            far = np.fmax(far, np.where(over > 0, over / (edges[-1] - edges[0]), 0.0))
    return far


def _samples(
    nearest: list[tuple[float, str, int]], decided: Decided, build: Build
) -> Iterator[tuple[float, str, Sample]]:
    """Samples with their rows: all that is published of them but sound and mel tokens, and the decision."""
    if not nearest:
        return
    fields = {field.name: field for field in (*data_schema(columns_of(build)), *pool_schema(columns_of(build)))}
    fields = {name: field for name, field in fields.items() if name not in UNSEEN} | {"flac_bytes": FLAC_BYTES}
    rows = clip_rows(decided, pa.schema(fields.values()), build, np.array([at for _, _, at in nearest], np.int64))
    for (far, clip_id, at), row in zip(nearest, rows.to_pylist(), strict=True):
        content_id = decided.recordings[decided.recording[at]].content_id or ""
        yield far, clip_id, Sample(content_id=content_id, row=row)


def _within_budget(groups: dict[str, list[Sample]]) -> dict[str, list[Sample]]:
    """Give every group its first clip, then its second, until SOUND_BYTES are used."""
    chosen: dict[str, list[Sample]] = {group: [] for group in groups}
    left, seen = SOUND_BYTES, set()
    for rank in zip_longest(*groups.values()):
        for group, sample in zip(groups, rank, strict=True):
            if sample is None or sample.row["clip_id"] in seen:
                continue
            cost = sample.row["flac_bytes"] if sample.may_be_heard else 0
            if cost <= left:
                left -= cost
                seen.add(sample.row["clip_id"])
                chosen[group].append(sample)
    return chosen


def read_sounds(samples: Iterable[Sample], build: Build) -> dict[str, bytes]:
    """FLAC bytes by clip_id."""
    wanted: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        if sample.may_be_heard:
            wanted[sample.content_id].add(sample.row["clip_id"])
    return {
        row["clip_id"]: row["flac"]
        for content_id in wanted
        for batch in sounds(content_id, wanted[content_id], build)
        for row in batch.to_pylist()
    }
