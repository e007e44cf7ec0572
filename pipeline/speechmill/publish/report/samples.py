"""Chooses the clips that the report plays, and reads their sound: few, the same ones every time.

The doubtful ones tell most about a threshold, so of the rejected those nearest to it come first.
"""

from bisect import insort
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest

import pyarrow.parquet as pq

from speechmill.core.build import Build
from speechmill.core.columns import Column
from speechmill.core.reasons import Reason
from speechmill.publish import figures
from speechmill.publish.ledger import KEPT, Judgement, Row

MOST_KEPT = 12
MOST_A_REASON = 4
SOUND_BYTES = 8_000_000  # of FLAC in all; with base64, pictures and text the page stays under 15 MB


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A clip to be heard: its row of the pool with its text, and where its sound is."""

    content_id: str
    row: Row

    @property
    def may_be_heard(self) -> bool:
        """A clip held back for its licence is shown without sound and text: the report is published too."""
        return Reason.LICENCE not in self.row["reasons"]


def choose(judgements: Iterable[Judgement], build: Build) -> dict[str, list[Sample]]:
    """Samples by `kept` and by reason, nearest to the threshold first; each clip once.

    Memory is bounded by the number of reasons, whatever the size of the corpus.
    """
    limits = figures.limits(build)
    best: dict[str, list[tuple[float, str, Sample]]] = defaultdict(list)
    for judgement in judgements:
        for row in judgement.clips:
            sample = Sample(content_id=judgement.recording.content_id or "", row=row)
            for group in row["reasons"] or [KEPT]:
                found = best[group]
                insort(found, (_distance(row, group, limits), row["clip_id"], sample), key=lambda one: one[:2])
                del found[MOST_KEPT if group == KEPT else MOST_A_REASON :]
    return _within_budget({group: [one[2] for one in best[group]] for group in sorted(best, key=_kept_first)})


def _kept_first(group: str) -> tuple[bool, str]:
    return group != KEPT, group


def _distance(row: Row, reason: str, limits: Iterable[tuple[Column, float]]) -> float:
    """How far a clip is over the threshold of a reason, in widths of that column's histogram; 0 without one."""
    far = [0.0]
    for column, limit in limits:
        value = row.get(column.name)
        if column.test and column.test.reason == reason and value is not None and column.test.fails(value, limit):
            edges = column.edges or (0.0, 1.0)
            far.append(abs(value - limit) / (edges[-1] - edges[0]))
    return max(far)


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
    return {clip_id: flac for content_id in wanted for clip_id, flac in _read(content_id, wanted[content_id], build)}


def _read(content_id: str, clip_ids: set[str], build: Build) -> Iterator[tuple[str, bytes]]:
    """Read only the row groups that hold a wanted clip: a long recording's sound is a gigabyte."""
    with build.store.open(build.segments(content_id)) as file:
        parquet = pq.ParquetFile(file)
        for group in range(parquet.num_row_groups):
            found = parquet.read_row_group(group, ["clip_id"])["clip_id"].to_pylist()
            if not clip_ids.isdisjoint(found):
                sounds = parquet.read_row_group(group, ["flac"])["flac"]
                yield from ((clip, sounds[at].as_py()) for at, clip in enumerate(found) if clip in clip_ids)
