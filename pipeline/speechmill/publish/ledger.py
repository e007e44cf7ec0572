"""What became of each recording and each of its clips: the judgement that all published files agree on.

A judgement is computed from artifacts, one recording at a time, wherever it is needed, so that shards, pool
and ledger cannot disagree and nothing has to hold the corpus in memory.
"""

import heapq
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import pyarrow as pa

from speechmill.core.build import Build
from speechmill.core.reasons import Reason
from speechmill.core.records import LEDGER, RECORDINGS, TRANSCRIPT_ARTIFACT, Recording, SpanKind, Status, recording_from
from speechmill.core.removals import row_of
from speechmill.core.urls import public_url, public_values
from speechmill.decide import criteria
from speechmill.decide.opinions import judge as judge_text
from speechmill.decide.opinions import opinion
from speechmill.decide.pauses import pause_agreement
from speechmill.decide.splits import TRAIN, split_of
from speechmill.publish.columns import columns_of, pool_schema
from speechmill.stages import ALIGN, CROSS_CHECK, TEXT, TOKENISE, TRANSCRIBE, left_out
from speechmill.stages.flow import PLUGGED_IN
from speechmill.stages.selection import early_columns, late_columns, read_scores
from speechmill.stages.work import primary_order

KEPT, REJECTED = "kept", "rejected"
JUDGED = [column.field for column in TEXT.columns if column.name in ("text_source", "asr_agreement", "pause_agreement")]
GROUP_ROWS = 10_000  # rows of pool, ledger and recordings in a row group

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Judgement:
    """One recording's row, its clips' rows in order of position (pool and text columns), its ledger rows."""

    recording: Recording
    clips: list[Row]
    ledger: list[Row]
    split: str = TRAIN

    @property
    def kept(self) -> list[Row]:
        """Rows of the clips that are published."""
        return [clip for clip in self.clips if clip["decision"] == KEPT]


def judge_all(build: Build) -> Iterator[Judgement]:
    """Judge every recording this corpus knows, in order of recording_id."""
    primaries: dict[str, tuple[str, ...]] = {}
    for recording in _recordings(build):
        if recording.content_id:
            order = primary_order(recording)
            primaries[recording.content_id] = min(order, primaries.get(recording.content_id, order))
    for recording in _recordings(build):
        primary = primaries.get(recording.content_id or "")
        is_primary = primary is None or primary == primary_order(recording)
        yield judge(recording, build, duplicate_of=None if is_primary else primary)


def _recordings(build: Build) -> Iterator[Recording]:
    known = (
        recording_from(build.store.read(build.fetched(recording_id)).to_pylist()[0])
        for recording_id in build.known_recordings()
    )
    return heapq.merge(known, left_out.read(build), key=lambda recording: recording.recording_id)


def judge(recording: Recording, build: Build, *, duplicate_of: tuple[str, ...] | None = None) -> Judgement:
    """Join what the stages stored about one recording and decide about its clips."""
    if recording.status is not Status.REMOVED and (stone := build.removed.against(recording)):
        recording = row_of(recording, stone)
    recording = public(recording)
    content_id = recording.content_id
    if content_id is None:
        return Judgement(recording, [], [_ledger_row(recording, 0, 0)])
    if duplicate_of is not None:
        detail = f"the same bytes as {public_url(duplicate_of[-2])} ({duplicate_of[-1]})"
        recording = replace(recording, status=Status.DUPLICATE, reason=Reason.DUPLICATE, reason_detail=detail)
        return Judgement(recording, [], [_ledger_row(recording, 0, 0)])
    if not build.store.exists(build.segments(content_id)):
        return Judgement(_unfinished(recording), [], [_ledger_row(recording, 0, 0)])
    recording = _with_facts(recording, build.store.footer(build.segments(content_id)))
    if recording.status is not Status.OK:
        return Judgement(recording, [], [_ledger_row(recording, 0, 0)])
    clips = _clips(recording, build)
    recording = replace(recording, spoken_language=_spoken(clips))
    return Judgement(recording, clips, list(_ledger(recording, clips, build)), _split(recording, build))


def public(recording: Recording) -> Recording:
    """A recording as it is published: without the users, passwords and tokens of addresses."""
    row = asdict(recording)
    plain = {name: public_values(value) for name, value in row.items() if isinstance(value, str)}
    attachments = tuple(replace(one, url=public_url(one.url)) for one in recording.attachments)
    alternates = tuple(map(public_url, recording.alternates))
    plain |= {"status": recording.status, "reason": recording.reason, "media_url": public_url(recording.media_url)}
    consent = tuple(replace(one, url=public_url(one.url), value=public_values(one.value)) for one in recording.consent)
    return replace(recording, **plain, attachments=attachments, alternates=alternates, consent=consent)


def _split(recording: Recording, build: Build) -> str:
    """As its speakers ask for, where they were told apart, else by its hash."""
    name = build.artifact("speakers", recording.content_id or "")
    if not build.runs("speakers") or not build.store.exists(name):
        return split_of(recording.recording_id, build.config.publish.validation_share)
    return str(build.store.footer(name)["split"])


def _unfinished(recording: Recording) -> Recording:
    return replace(recording, reason_detail="not decoded yet: run again")


def _with_facts(recording: Recording, facts: Row) -> Recording:
    """Add what decoding found out; a feed's own duration stands where the container declares none."""
    names = ("container", "codec", "source_sample_rate", "source_channels", "mixdown", "decoded_samples", "bad_packets")
    found: dict[str, Any] = {name: facts.get(name) for name in names}
    return replace(
        recording,
        status=Status(facts["status"]),
        reason=Reason(facts["reason"]) if facts.get("reason") else None,
        reason_detail="; ".join(filter(None, (facts.get("detail"), recording.reason_detail))) or None,
        declared_duration_s=facts.get("declared_duration_s") or recording.declared_duration_s,
        **found,
    )


def _clips(recording: Recording, build: Build) -> list[Row]:
    assert recording.content_id is not None
    store, rate = build.store, build.config.audio.sample_rate
    spans = store.read(build.segments(recording.content_id), ["start", "end", "kind", "clip_id", "flac_bytes"])
    rows = [row for row in spans.to_pylist() if row["kind"] == SpanKind.CLIP]
    scores = _scores(recording.content_id, build)
    durations = {row["clip_id"]: (row["end"] - row["start"]) / rate for row in rows}
    references = _evidence(recording.content_id, build)
    texts = _transcripts(recording, durations, references, build)
    plugged_in, unfinished = _plugged_in(recording.content_id, build), _unfinished_by(recording.content_id, build)
    speakers = _speakers(recording.content_id, build)
    refused = criteria.reasons_by_licence(recording.licence, build.config.licences, ai_generated=recording.ai_generated)
    removed = build.removed.clips
    shared = _provenance(recording) | {"sampling_rate": rate}
    for row in rows:
        clip_id = row["clip_id"]
        row |= shared | {"duration_s": durations[clip_id]} | scores.get(clip_id, {"by_score": (Reason.INTERNAL_ERROR,)})
        reasons = [*row.pop("by_score"), *refused]
        reasons += [Reason.REMOVED] if clip_id in removed else []
        row |= texts.get(clip_id, {}) | references.get(clip_id, {})
        by_text = list(row.pop("by_text", [] if not build.runs("transcribe") else [Reason.NOT_TRANSCRIBED]))
        by_plugins, values = plugged_in.get(clip_id, ([], {}))
        row |= values
        missing = [reason for reason, done in unfinished if clip_id not in done]
        row["reasons"] = reasons or [*by_text, *by_plugins] or list(dict.fromkeys(missing))
        row["decision"] = REJECTED if row["reasons"] else KEPT
        row |= speakers.get(clip_id, {}) if row["decision"] == KEPT else {}
    return rows


def _unfinished_by(content_id: str, build: Build) -> list[tuple[Reason, set[str]]]:
    """The clips that each of the last stages is through with, and why the others wait for a run."""
    stages = [(Reason.NOT_TOKENISED, TOKENISE), *((Reason.NOT_MEASURED, stage) for stage in PLUGGED_IN)]
    return [
        (reason, set(stage.read(content_id, build, ["clip_id"])["clip_id"].to_pylist()))
        for reason, stage in stages
        if build.runs(stage.name)
    ]


def _plugged_in(content_id: str, build: Build) -> dict[str, tuple[list[str], Row]]:
    """Of each clip what stages of plug-ins say that take the clips that pass, and which thresholds it is beyond."""
    found: dict[str, tuple[list[str], Row]] = defaultdict(lambda: ([], {}))
    for stage in (one for one in PLUGGED_IN if one.clips_only):
        table = stage.read(content_id, build)
        reasons = criteria.failed(table, stage.columns, build.config.thresholds)
        for row, why in zip(table.to_pylist(), reasons, strict=True):
            found[row["clip_id"]][0].extend(why)
            found[row["clip_id"]][1].update((column.name, row[column.name]) for column in stage.columns)
    return found


def _spoken(clips: list[Row]) -> str | None:
    """The language of most seconds, where it was detected or is not doubted; of equals the first by its code."""
    seconds: Counter[str] = Counter()
    for clip in clips:
        was_detected = clip.get("language_probability") is not None
        if clip.get("language") and (was_detected or Reason.LANGUAGE not in clip["reasons"]):
            seconds[clip["language"]] += clip["duration_s"]
    return max(sorted(seconds), key=seconds.__getitem__, default=None)


def _scores(content_id: str, build: Build) -> dict[str, Row]:
    if not build.store.exists(build.artifact("score", content_id)):
        return {}
    table = read_scores(content_id, build)
    reasons = criteria.failed(table, early_columns(), build.config.thresholds)
    return {row["clip_id"]: row | {"by_score": why} for row, why in zip(table.to_pylist(), reasons, strict=True)}


def _speakers(content_id: str, build: Build) -> dict[str, Row]:
    name = build.artifact("speakers", content_id)
    if not build.runs("speakers") or not build.store.exists(name):
        return {}
    return {row["clip_id"]: row for row in build.store.read(name).to_pylist()}


def _evidence(content_id: str, build: Build) -> dict[str, Row]:
    name = build.artifact("align", content_id)
    table = build.store.read(name) if build.store.exists(name) else ALIGN.artifact.empty_table()
    rows = ({**row, "reference_url": public_url(row["reference_url"])} for row in table.to_pylist())
    return {row["clip_id"]: row for row in rows}


def _transcripts(
    recording: Recording, durations: dict[str, float], references: dict[str, Row], build: Build
) -> dict[str, Row]:
    content_id, asked = recording.content_id or "", build.config.asr
    rows = TRANSCRIBE.read(content_id, build).to_pylist()
    second = {row["clip_id"]: row for row in CROSS_CHECK.read(content_id, build).to_pylist()}
    for row in rows:
        human = references.get(row["clip_id"], {}).get("reference_text")
        heard = row["text"] or "", row["words"] or (), row["language"]
        other = opinion(second.get(row["clip_id"]), row["language"])
        judged = judge_text(*heard, second=other, human=human)
        row |= asdict(judged) | {"pause_agreement": pause_agreement(judged.words, judged.text)}
    table = pa.Table.from_pylist(rows, schema=pa.schema([*TRANSCRIPT_ARTIFACT, *JUDGED]))
    lengths = [durations[clip_id] for clip_id in table["clip_id"].to_pylist()]
    declared = None if asked.language else recording.language
    reasons = criteria.reasons_by_transcript(
        table, lengths, late_columns(), build.config.thresholds, asked.languages, declared
    )
    return {row["clip_id"]: row | {"by_text": why} for row, why in zip(table.to_pylist(), reasons, strict=True)}


def _provenance(recording: Recording) -> Row:
    return {
        "recording_id": recording.recording_id,
        "title": recording.title,
        "author": recording.author,
        "source_url": recording.media_url,
        "licence": recording.licence,
        "licence_url": recording.licence_url,
        "ai_generated": recording.ai_generated,
        "published": recording.published,
    }


def _ledger_row(recording: Recording, start: int, end: int, **values: Any) -> Row:
    reasons = [recording.reason] if recording.reason else []
    empty: Row = {"kind": None, "clip_id": None, "decision": REJECTED, "reasons": reasons}
    return {"recording_id": recording.recording_id, "start": start, "end": end} | empty | values


def _ledger(recording: Recording, clips: list[Row], build: Build) -> Iterator[Row]:
    assert recording.content_id is not None
    by_id = {clip["clip_id"]: clip for clip in clips}
    for span in build.store.read(build.segments(recording.content_id), ["start", "end", "kind", "clip_id"]).to_pylist():
        clip = by_id.get(span["clip_id"])
        fate = (clip["decision"], clip["reasons"]) if clip else (REJECTED, [])
        yield _ledger_row(recording, **span, decision=fate[0], reasons=fate[1])


def write_ledger(name: str, build: Build) -> None:
    """Write `ledger.parquet`: every span of every recording."""
    rows = (row for judgement in judge_all(build) for row in judgement.ledger)
    _write(name, rows, LEDGER, build)


def write_pool(name: str, build: Build) -> None:
    """Write the one part of `pool.parquet/`: every candidate clip, without audio."""
    schema = pool_schema(columns_of(build))
    rows = (row for judgement in judge_all(build) for row in judgement.clips)
    _write(name, rows, schema, build)


def write_recordings(name: str, build: Build) -> None:
    """Write `recordings.parquet`: every recording seen, fetched or not, and why."""
    rows = (asdict(judgement.recording) for judgement in judge_all(build))
    _write(name, rows, RECORDINGS, build)


def _write(name: str, rows: Iterator[Row], schema: pa.Schema, build: Build) -> None:
    with build.store.parquet(name, schema) as writer:
        while group := list(itertools.islice(rows, GROUP_ROWS)):
            writer.write_table(pa.Table.from_pylist(group, schema=schema))
