"""Chooses the clips that the report plays, deterministically, and reads their audio.

Borderline clips show best whether a threshold is right: kept ones that nearly fail, rejected ones that nearly pass, the
texts that are least trusted, and of each reason the clips nearest to its threshold.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
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

DOUBTFUL, NEARLY, WORST_TEXTS = "doubtful", "nearly", "worst_texts"
MOST = {DOUBTFUL: 20, NEARLY: 12, WORST_TEXTS: 8, KEPT: 6}  # clips of a group; first in this order
MOST_A_REASON = 4
PICKS = {DOUBTFUL: 4}  # clips that a group gets each time that others get one
TRUST = ("asr_confidence", "asr_agreement")
OMITTED = ("audio", "mel_tokens", "mel_profile", "text_tokens")  # columns that the report does not show
FLAC_BYTES = pa.field("flac_bytes", pa.int64())
SOUND_BYTES = 8_000_000  # of FLAC in total, at most
PICTURE_BYTES = 46_000  # of a spectrogram, at most

Limits = Sequence[tuple[Column, float]]
Distances = npt.NDArray[np.float64]
Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A clip of the report: its published row, and the content that its audio is stored with."""

    content_id: str
    row: Row

    @property
    def is_playable(self) -> bool:
        """False if its licence, or a request, forbids that the report, which is public, shows its audio and text."""
        return not {Reason.LICENCE, Reason.REMOVED}.intersection(self.row["reasons"])


def choose(groups: Iterable[DecidedGroup], build: Build) -> dict[str, list[Sample]]:
    """Candidates by group, nearest to the threshold first: those of MOST, then the reasons. Clips may be in several.

    Memory is bounded by the number of reasons, whatever the size of the corpus.
    """
    limits = figures.limits(build)
    schema = pa.schema({column.name: column.field for column, _ in limits}.values())
    best: dict[str, list[tuple[float, str, Sample]]] = defaultdict(list)
    for decided in groups:
        tested = clip_rows(decided, schema, build)
        for group, which, far in _ranked(decided, tested, limits):
            if not which.size:
                continue
            most = 2 * _most(group)  # some are in another group already
            nearest = _nearest(which, far, most, decided)
            ranked = [*best[group], *_samples(nearest, decided, build)]
            best[group] = sorted(ranked, key=lambda entry: entry[:2])[:most]
    return {group: [sample for _, _, sample in best[group]] for group in sorted(best, key=_order)}


def _most(group: str) -> int:
    return MOST.get(group, MOST_A_REASON)


def _order(group: str) -> tuple[int, str]:
    """Sort key of a group."""
    return list(MOST).index(group) if group in MOST else len(MOST), group


def _ranked(decided: DecidedGroup, tested: pa.Table, limits: Limits) -> Iterator[tuple[str, Indices, Distances]]:
    """Groups with the indices of their clips, and the distance of each from where it would be of most interest."""
    kept, failing = decided.decision.kept, decided.decision.reasons.failing
    where = np.flatnonzero(kept)
    yield KEPT, where, np.zeros(where.size)  # any: clip_ids are hashes
    yield DOUBTFUL, where, _margins(tested, where, limits)
    trust = _trust(tested, where)
    yield WORST_TEXTS, where[~np.isnan(trust)], trust[~np.isnan(trust)]
    single = np.flatnonzero(~kept & (np.sum([*failing.values(), np.zeros_like(kept)], axis=0) == 1))
    beyond = np.fmax.reduce([np.zeros(single.size), *(_distances(tested, single, name, limits) for name in failing)])
    yield NEARLY, single[beyond > 0], beyond[beyond > 0]
    for reason, fails in failing.items():
        where = np.flatnonzero(fails & ~kept)
        yield reason, where, _distances(tested, where, reason, limits)


def _nearest(which: Indices, far: Distances, most: int, decided: DecidedGroup) -> list[tuple[float, str, int]]:
    """The `most` clips of least distance: distance, clip_id and index of each. Ties are broken by clip_id."""
    if which.size > most:
        edge = np.partition(far, most - 1)[most - 1]
        which, far = which[far <= edge], far[far <= edge]
    clip_ids = decided.places["clip_id"].take(which).to_pylist()
    return sorted(zip(far.tolist(), clip_ids, which.tolist(), strict=True))[:most]


def _overruns(tested: pa.Table, which: Indices, limits: Limits) -> Iterator[tuple[Column, Distances]]:
    """How far each tested value is beyond its threshold, in histogram widths, float64[which]; negative: within."""
    for column, limit in limits:
        if column.test:
            values = tested[column.name].to_numpy().astype(np.float64)[which]
            edges = column.edges or (0.0, 1.0)
            yield column, (values - limit if column.test.at_most else limit - values) / (edges[-1] - edges[0])


def _distances(tested: pa.Table, which: Indices, reason: str, limits: Limits) -> Distances:
    """Distances beyond the thresholds of a reason, in histogram widths, float64[which]; 0 without a threshold."""
    over = [far for column, far in _overruns(tested, which, limits) if column.test and column.test.reason == reason]
    far: Distances = np.fmax.reduce([np.zeros(which.size), *over])
    return far


def _margins(tested: pa.Table, which: Indices, limits: Limits) -> Distances:
    """Distances to the nearest threshold within it, in histogram widths, float64[which]. Counts are not measured so."""
    over = [far for column, far in _overruns(tested, which, limits) if pa.types.is_floating(column.type)]
    margins: Distances = -np.fmax.reduce([np.full(which.size, -1.0), *over])
    return margins


def _trust(tested: pa.Table, which: Indices) -> Distances:
    """The lower of confidence and agreement of each text, float64[which]; NaN without a text."""
    known = [tested[name].to_numpy().astype(np.float64)[which] for name in TRUST if name in tested.column_names]
    trust: Distances = np.fmin.reduce([np.full(which.size, np.nan), *known])
    return trust


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


def within_budget(groups: dict[str, list[Sample]], flac_bytes: int) -> dict[str, list[Sample]]:
    """Take the first clip of each group, then the second of each, and so on, until `flac_bytes` are used.

    Each clip is taken once, and of a group at most MOST of it, or MOST_A_REASON. Pictures count as sound.
    """
    chosen: dict[str, list[Sample]] = {group: [] for group in groups}
    waiting = {group: list(reversed(samples)) for group, samples in groups.items()}
    left, seen = flac_bytes, set[str]()
    while any(waiting.values()):
        for group in [*groups, *(group for group, picks in PICKS.items() for _ in range(picks - 1))]:
            sample = _next(waiting.get(group, []), seen)
            if sample is None or len(chosen[group]) >= _most(group):
                continue
            cost = sample.row["flac_bytes"] + PICTURE_BYTES if sample.is_playable else 0
            if cost <= left:
                left -= cost
                seen.add(sample.row["clip_id"])
                chosen[group].append(sample)
    return chosen


def _next(waiting: list[Sample], seen: set[str]) -> Sample | None:
    """The next sample that is in no other group; None if there are no more. `waiting` has the next one last."""
    while waiting:
        sample = waiting.pop()
        if sample.row["clip_id"] not in seen:
            return sample
    return None


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
