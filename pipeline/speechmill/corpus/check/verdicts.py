"""What a run found out about each item of a corpus, and why the item had better be left out.

The reasons are those of a run. A given text is compared with what the ASR model wrote, also where the two have so
little in common that it could not be aligned.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow.dataset as ds

from speechmill.core.build import Build
from speechmill.core.reasons import Reason
from speechmill.core.records import SpanKind, Status
from speechmill.corpus.check.unpack import Listed
from speechmill.corpus.reader import Corpus
from speechmill.decide.decision import KEPT
from speechmill.decide.opinions import agreement
from speechmill.stages import TRANSCRIBE

UNREADABLE, NO_TEXT, NO_CLIP = "unreadable", "no_text", "no_clip"
RECORDING_COLUMNS = ["recording_id", "title", "status", "reason", "reason_detail", "content_id"]
POOL_COLUMNS = ["recording_id", "clip_id", "decision", "reasons", "start", "end", "sampling_rate", "duplicate_of"]
LISTED_TWICE = "the same file, or part of it, is listed before"

Row = dict[str, Any]


@dataclass(slots=True, kw_only=True)
class Verdict:
    """An item with what is known of it."""

    item: Listed
    clip_id: str | None = None
    content_id: str | None = None
    seconds: float = 0.0
    """Length of its clip, without the silence around it."""
    duplicate_of: str | None = None
    """Clip with the same sound."""
    voice: str | None = None
    """Speaker by the clustering of the run."""
    text_agreement: float | None = None
    """1 - CER of the given text and that of the ASR model; None where there is one of them only."""
    reasons: list[str] = field(default_factory=list)
    detail: str | None = None


def verdicts(items: Iterable[Listed], corpus: Corpus, build: Build, *, wants_text: bool) -> Iterator[Verdict]:
    """Verdict on each item, in order.

    Args:
        items: All items of the corpus that is checked.
        corpus: What the run made of them.
        build: Of the run.
        wants_text: Whether an item without a text is to be left out.
    """
    recordings = {row["title"]: row for row in _rows(corpus.recordings(), RECORDING_COLUMNS)}
    clips = {row["recording_id"]: row for row in _rows(corpus.pool(), POOL_COLUMNS)}
    spans = _longest_spans(build)
    voices = {row["clip_id"]: row["speaker_id"] for row in _rows(corpus.clips(), ["clip_id", "speaker_id"])}
    for item in items:
        verdict, row = Verdict(item=item), recordings.get(item.id)
        if item.fault is not None:
            verdict.reasons, verdict.detail = [UNREADABLE], item.fault
        elif row is None:
            verdict.reasons, verdict.detail = [Reason.DUPLICATE], LISTED_TWICE
        else:
            _add_recording(verdict, row)
            if (clip := clips.get(row["recording_id"])) is not None:
                _add_clip(verdict, clip, build)
                verdict.voice = voices.get(clip["clip_id"])
            elif not verdict.reasons:
                verdict.reasons = [spans.get(row["recording_id"], NO_CLIP)]
        if wants_text and not (item.text or "").strip() and item.fault is None:
            verdict.reasons.append(NO_TEXT)
        yield verdict


def _rows(table: ds.Dataset, columns: list[str]) -> Iterator[Row]:
    """Rows of a table, with those of the columns that it has."""
    for batch in table.to_batches(columns=[name for name in columns if name in table.schema.names]):
        for row in batch.to_pylist():
            yield dict.fromkeys(columns) | row


def _longest_spans(build: Build) -> dict[str, str]:
    """Kind of the longest span that is no clip, by recording: why a recording has none."""
    lengths: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for batch in build.store.batches("ledger.parquet", ["recording_id", "start", "end", "kind"], 10_000):
        for row in batch.to_pylist():
            if row["kind"] not in (None, SpanKind.CLIP):
                lengths[row["recording_id"]][row["kind"]] += row["end"] - row["start"]
    return {name: max(sorted(kinds), key=lambda kind: kinds[kind]) for name, kinds in lengths.items()}


def _add_recording(verdict: Verdict, row: Row) -> None:
    """Add what is known of the file."""
    verdict.content_id, verdict.detail = row["content_id"], row["reason_detail"]
    if row["status"] != Status.OK:
        verdict.reasons = [row["reason"] or row["status"]]


def _add_clip(verdict: Verdict, clip: Row, build: Build) -> None:
    """Add what is known of the clip, and how far the given text agrees with what was heard."""
    verdict.clip_id, verdict.duplicate_of = clip["clip_id"], clip["duplicate_of"]
    verdict.seconds = (clip["end"] - clip["start"]) / clip["sampling_rate"]
    verdict.reasons = [] if clip["decision"] == KEPT else list(clip["reasons"])
    given, limit = verdict.item.text, build.config.thresholds.asr_agreement
    for heard in TRANSCRIBE.read(verdict.content_id or "", build, ["clip_id", "text", "language"]).to_pylist():
        if given and heard["text"] and heard["clip_id"] == clip["clip_id"]:
            verdict.text_agreement = agreement(given, heard["text"], heard["language"])
            if limit is not None and verdict.text_agreement < limit and Reason.DISAGREEMENT not in verdict.reasons:
                verdict.reasons.append(Reason.DISAGREEMENT)
