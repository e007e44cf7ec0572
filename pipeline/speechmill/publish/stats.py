"""The numbers behind the card, the report and the end table: counted once, while planning a publication."""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa

from speechmill.core.columns import Column
from speechmill.core.reasons import Reason
from speechmill.core.records import Recording, SpanKind, Status
from speechmill.publish.ledger import KEPT, Judgement

MOST_NAMED = 5  # of what was left out


class Tally:
    """Counts judgements one by one; memory grows with the number of speakers only."""

    def __init__(self, rate: int, columns: Iterable[Column]) -> None:
        self._rate = rate
        self._edges = {column.name: column.edges for column in columns if column.edges}
        self._recordings: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()
        self._left_out: Counter[str] = Counter()
        self._left_out_first: list[str] = []
        self._samples: Counter[str] = Counter()
        self._clips: Counter[str] = Counter()
        self._reasons: dict[str, Counter[str]] = defaultdict(Counter)
        self._kept_by: dict[str, Counter[str]] = defaultdict(Counter)
        self._splits: dict[str, Counter[str]] = defaultdict(Counter)
        self._histograms: dict[str, dict[str, Counter[int]]] = defaultdict(lambda: defaultdict(Counter))
        self._speakers: Counter[str] = Counter()
        self._codes = np.zeros(2**16, np.int64)
        self._tokenised, self._error = 0, 0.0
        self._digest = hashlib.sha256()

    def add(self, judgement: Judgement) -> None:
        """Count one recording and all of its clips."""
        recording = judgement.recording
        self._recordings[recording.status] += 1
        if recording.status is Status.LEFT_OUT:
            self._add_left_out(recording)
        elif recording.status is not Status.OK and recording.reason:
            self._failed[recording.reason] += 1
        for row in judgement.ledger:
            if row["kind"]:
                fate = row["decision"] if row["kind"] == SpanKind.CLIP else row["kind"]
                self._samples[fate] += row["end"] - row["start"]
        for clip in judgement.clips:
            self._add_clip(clip, judgement.split)
        parts = [asdict(recording), judgement.clips, judgement.ledger, judgement.split]
        self._digest.update(json.dumps(parts, sort_keys=True, default=str).encode())

    def _add_left_out(self, recording: Recording) -> None:
        self._left_out[recording.reason or "unknown"] += 1
        if recording.reason is not Reason.HIDDEN and len(self._left_out_first) < MOST_NAMED:
            self._left_out_first.append(f"{recording.media_url}: {recording.reason_detail}")

    def add_tokens(self, tokens: pa.Table) -> None:
        """Count the mel tokens of kept clips, rows of a token artifact."""
        self._codes += np.bincount(tokens["mel_tokens"].combine_chunks().flatten().to_numpy(), minlength=2**16)
        self._tokenised += tokens.num_rows
        self._error += sum(tokens["error_nats"].to_pylist())

    def _add_clip(self, clip: dict[str, Any], split: str) -> None:
        self._clips[clip["decision"]] += 1
        samples = clip["end"] - clip["start"]
        for reason in clip["reasons"]:
            self._reasons[reason] += Counter(clips=1, samples=samples)
        for column, edges in self._edges.items():
            if clip.get(column) is not None:
                at = int(np.clip(np.searchsorted(edges, clip[column], side="right") - 1, 0, len(edges) - 2))
                self._histograms[column][clip["decision"]][at] += 1
        if clip["decision"] == KEPT:
            self._splits[split] += Counter(clips=1, samples=samples, bytes=clip["flac_bytes"])
            if clip.get("speaker_id"):
                self._speakers[clip["speaker_id"]] += samples
            for what in ("licence", "language"):
                self._kept_by[what][clip.get(what) or "unknown"] += samples

    @property
    def digest(self) -> str:
        """Hash of everything that was counted: equal for equal corpora."""
        return self._digest.hexdigest()

    def stats(self) -> dict[str, Any]:
        """All counts as plain JSON. Lengths are in samples at `sampling_rate`, so that they add up exactly."""
        return {
            "sampling_rate": self._rate,
            "recordings": dict(self._recordings),
            "failed_by_reason": dict(self._failed),
            "left_out": {"by_reason": dict(self._left_out), "first": self._left_out_first},
            "samples": {"in": self._samples.total(), **self._samples},
            "clips": dict(self._clips),
            "rejected_by_reason": {reason: dict(counts) for reason, counts in self._reasons.items()},
            "splits": {split: dict(counts) for split, counts in self._splits.items()},
            "kept_samples_by": {what: dict(counts) for what, counts in self._kept_by.items()},
            "histograms": {
                column: {
                    "edges": list(self._edges[column]),
                    **{fate: [counts[i] for i in range(len(self._edges[column]) - 1)] for fate, counts in by.items()},
                }
                for column, by in self._histograms.items()
            },
            "speakers": self._told_apart(),
            "mel_tokens": self._mel_tokens(),
        }

    def _told_apart(self) -> dict[str, int] | None:
        """How many speakers there are, and the samples of the one with most; None where they were not told apart."""
        if not self._speakers:
            return None
        return {"speakers": len(self._speakers), "samples_of_largest": max(self._speakers.values())}

    def _mel_tokens(self) -> dict[str, Any] | None:
        """How the codes are used, and the mean error of a clip, in nats, when they are decoded; None without any."""
        if not self._tokenised:
            return None
        counts = np.trim_zeros(self._codes, "b")
        shares = counts[counts > 0] / counts.sum()
        bits = float(-(shares * np.log2(shares)).sum())
        return {
            "tokens": int(counts.sum()),
            "codes_used": int((counts > 0).sum()),
            "perplexity": round(2**bits, 1),
            "bits": round(bits, 4),
            "error_nats": round(self._error / self._tokenised, 3),
            "histogram": counts.tolist(),
        }
