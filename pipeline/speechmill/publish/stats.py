"""Counts `stats.json`, the source of all figures in card, report and summary, while a publication is planned."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from speechmill.core.build import Build
from speechmill.core.columns import Column
from speechmill.core.footers import DecodeFooter
from speechmill.core.reasons import Reason
from speechmill.core.records import Recording, Status
from speechmill.decide.decision import KEPT, REJECTED, Mask
from speechmill.decide.splits import TRAIN, VALIDATION
from speechmill.publish.columns import columns_of, pool_schema
from speechmill.publish.decided import DecidedGroup
from speechmill.publish.rows import clip_rows
from speechmill.publish.tables import read_clips, read_recordings, read_spans

SHARED_TEXTS = "texts_kept_apart"  # key: what recordings of different splits do not share, see publish/splitting.py
MOST_NAMED = 5  # files that were left out


class Tally:
    """Counts decided groups, one after another; memory grows only with the number of speakers."""

    def __init__(self, build: Build) -> None:
        self._build = build
        columns = [column for column in columns_of(build) if column.edges]
        self._edges = {column.name: column.edges for column in columns}
        self._schema = _counted(columns, build)
        self._recordings: Counter[str] = Counter()
        self._sources: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()
        self._left_out: Counter[str] = Counter()
        self._left_out_first: list[str] = []
        self._samples: Counter[str] = Counter()
        self._clips: Counter[str] = Counter()
        self._reasons: dict[str, Counter[str]] = defaultdict(Counter)
        self._kept_by: dict[str, Counter[str]] = {"licence": Counter(), "language": Counter()}
        self._splits: dict[str, Counter[str]] = defaultdict(Counter)
        self._histograms: dict[str, dict[str, npt.NDArray[np.int64]]] = defaultdict(dict)
        self._speakers: Counter[str] = Counter()
        self._by_profile: Counter[str] = Counter()
        self._tokenised, self._error = 0, 0.0
        self._by_hand = 0

    def add(self, decided: DecidedGroup) -> None:
        """Count the recordings of a group and all their clips."""
        for recording in decided.recordings:
            self._add_recording(recording)
        self._add_profiles(decided)
        self._add_spans(decided)
        rows = clip_rows(decided, self._schema, self._build)
        for fate, where in ((KEPT, decided.decision.kept), (REJECTED, ~decided.decision.kept)):
            self._add_fate(fate, where, decided, rows)
        for reason, failing in decided.decision.reasons.failing.items():
            rejected = failing & ~decided.decision.kept
            if rejected.any():
                samples = int(decided.samples[rejected].sum())
                self._reasons[reason] += Counter(clips=int(rejected.sum()), samples=samples)
        self._add_kept(decided, rows)
        manual = pa.array(sorted(self._build.by_hand.clip_ids), pa.string())
        self._by_hand += pc.sum(pc.is_in(decided.places["clip_id"], value_set=manual)).as_py() or 0

    def _add_recording(self, recording: Recording) -> None:
        self._recordings[recording.status] += 1
        if recording.status is Status.OK:
            self._sources[recording.source] += 1
        if recording.status is Status.LEFT_OUT:
            self._left_out[recording.reason or "unknown"] += 1
            if recording.reason is not Reason.HIDDEN and len(self._left_out_first) < MOST_NAMED:
                self._left_out_first.append(f"{recording.media_url}: {recording.reason_detail}")
        elif recording.status is not Status.OK and recording.reason:
            self._failed[recording.reason] += 1

    def _add_profiles(self, decided: DecidedGroup) -> None:
        """Count the samples that each profile of segmentation would make clips of."""
        footers = read_recordings(decided.group, self._build, ["decoded"])["decoded"].to_pylist()
        for recording, footer in zip(decided.recordings, footers, strict=True):
            if recording.status is Status.OK and footer:
                self._by_profile.update(DecodeFooter.from_json(footer).clip_samples_by_profile)

    def _add_spans(self, decided: DecidedGroup) -> None:
        """Count the samples of spans that are no clips, by kind."""
        spans = non_clip_spans(decided, self._build)
        lengths = spans.append_column("samples", pc.subtract(spans["end"], spans["start"]))
        for row in lengths.group_by("kind").aggregate([("samples", "sum")]).to_pylist():
            self._samples[row["kind"]] += row["samples_sum"]

    def _add_fate(self, fate: str, where: Mask, decided: DecidedGroup, rows: pa.Table) -> None:
        """Count kept or rejected clips and fill their histograms; values outside the edges go to the outermost bins."""
        if not where.any():
            return
        self._clips[fate] += int(where.sum())
        self._samples[fate] += int(decided.samples[where].sum())
        for column, edges in self._edges.items():
            values = rows[column].to_numpy()[where].astype(np.float64)
            bins = np.searchsorted(edges, values[~np.isnan(values)], side="right") - 1
            counts = np.bincount(np.clip(bins, 0, len(edges) - 2), minlength=len(edges) - 1)
            if counts.any():
                self._histograms[column][fate] = self._histograms[column].get(fate, 0) + counts

    def _add_kept(self, decided: DecidedGroup, rows: pa.Table) -> None:
        """Count kept clips by split, licence, language and speaker, and their mel tokens' errors."""
        kept = decided.decision.kept
        for split in (TRAIN, VALIDATION):
            where = kept & decided.in_split(split)
            if where.any():
                size = int(decided.places["flac_bytes"].to_numpy()[where].sum())
                samples = int(decided.samples[where].sum())
                self._splits[split] += Counter(clips=int(where.sum()), samples=samples, bytes=size)
        for column, counter in self._kept_by.items():
            counter.update(_samples_by(rows, column, kept, decided.samples))
        if "speaker_id" in rows.column_names:
            has_speaker = kept & rows["speaker_id"].is_valid().to_numpy()
            self._speakers.update(_samples_by(rows, "speaker_id", has_speaker, decided.samples))
        if self._build.runs("tokenise"):
            errors = read_clips(decided.group, self._build, ["error_nats"], decided.rows[kept])["error_nats"]
            self._tokenised += len(errors) - errors.null_count
            self._error += pc.sum(errors.cast(pa.float64())).as_py() or 0.0

    def stats(self) -> dict[str, Any]:
        """Content of `stats.json`. Durations are in samples at `sampling_rate`, so that they add up exactly."""
        return {
            "sampling_rate": self._build.config.audio.sample_rate,
            "recordings": dict(self._recordings),
            "recordings_by_source": dict(self._sources),
            "failed_by_reason": dict(self._failed),
            "left_out": {"by_reason": dict(self._left_out), "first": self._left_out_first},
            "samples": {"in": self._samples.total(), **self._samples},
            "candidate_samples_by_profile": dict(self._by_profile),
            "clips": dict(self._clips),
            "rejected_by_reason": {reason: dict(counts) for reason, counts in self._reasons.items()},
            "splits": {split: dict(counts) for split, counts in self._splits.items()},
            "kept_samples_by": {column: dict(counts) for column, counts in self._kept_by.items() if counts},
            "histograms": {
                column: {"edges": list(self._edges[column]), **{fate: counts.tolist() for fate, counts in by.items()}}
                for column, by in self._histograms.items()
            },
            "decided_by_hand": self._by_hand,
            "speakers": self._speaker_counts(),
            "mel_tokens": {"clips": self._tokenised, "error_nats": self._error} if self._tokenised else None,
        }

    def _speaker_counts(self) -> dict[str, int] | None:
        """Number of speakers, and samples of the largest one; None if speakers were not clustered."""
        if not self._speakers:
            return None
        return {"speakers": len(self._speakers), "samples_of_largest": max(self._speakers.values())}


def _counted(columns: Iterable[Column], build: Build) -> pa.Schema:
    """Schema of the columns to count: those with a histogram, and licence, language and speaker."""
    pool = pool_schema(columns_of(build))
    others = [pool.field(name) for name in ("licence", "language", "speaker_id") if name in pool.names]
    return pa.schema([*(column.field for column in columns), *others])


def _samples_by(rows: pa.Table, column: str, where: Mask, samples: npt.NDArray[np.int64]) -> dict[str, int]:
    """Sum the `samples` of the clips selected by `where`, by value of a column; nulls count as `unknown`."""
    if column not in rows.column_names:
        return {"unknown": int(samples[where].sum())} if where.any() else {}
    values = pc.fill_null(rows[column], "unknown").filter(pa.array(where))
    summed = pa.table({"value": values, "samples": samples[where]}).group_by("value").aggregate([("samples", "sum")])
    return {row["value"]: row["samples_sum"] for row in summed.to_pylist()}


def non_clip_spans(decided: DecidedGroup, build: Build) -> pa.Table:
    """`recording`, `start`, `end` and `kind` of spans other than clips, in the recordings of a group with status ok."""
    spans = read_spans(decided.group, build)
    is_ok = np.array([recording.status is Status.OK for recording in decided.recordings], bool)
    return spans.filter(pa.array(is_ok[spans["recording"].to_numpy()]))


def token_usage(codes: npt.NDArray[np.int64], clips: int, error_nats: float) -> dict[str, Any]:
    """Statistics of the usage of mel tokens.

    Args:
        codes: Count of each code in the kept clips, int64[codes].
        clips: Number of tokenised clips, at least 1.
        error_nats: Sum of the reconstruction errors of these clips, in nats.
    """
    counts = np.trim_zeros(codes, "b")
    shares = counts[counts > 0] / counts.sum()
    bits = float(-(shares * np.log2(shares)).sum())
    return {
        "tokens": int(counts.sum()),
        "codes_used": int((counts > 0).sum()),
        "perplexity": round(2**bits, 1),
        "bits": round(bits, 4),
        "error_nats": round(error_nats / clips, 3),
        "histogram": counts.tolist(),
    }
