"""What became of each recording and each of its clips: the judgement that all published files agree on.

A judgement is computed from artifacts, one recording at a time, wherever it is needed, so that shards, pool
and ledger cannot disagree and nothing has to hold the corpus in memory.
"""

import heapq
import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import pyarrow as pa

from speechmill.core.build import Build
from speechmill.core.records import (
    AGREEMENT,
    EMBEDDING_ARTIFACT,
    EVIDENCE_ARTIFACT,
    LEDGER,
    RECORDINGS,
    REPEATS,
    TOKEN_ARTIFACT,
    TRANSCRIPT_ARTIFACT,
    Reason,
    Recording,
    SpanKind,
    Status,
    pool_schema,
    recording_from,
)
from speechmill.core.removals import row_of
from speechmill.core.urls import public_url, public_values
from speechmill.decide import criteria
from speechmill.decide.opinions import judge as judge_text
from speechmill.decide.opinions import opinion
from speechmill.decide.pauses import pause_agreement
from speechmill.decide.splits import TRAIN, split_of
from speechmill.publish import left_out

KEPT, REJECTED = "kept", "rejected"
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


def primary_order(recording: Recording) -> tuple[str, ...]:
    """Sort key: of recordings with the same content the first published counts, then the one that was here first.

    By its first name, since another name or address makes no other recording of it. Its last part is the id.
    """
    name = recording.first_url or recording.media_url
    return (recording.published or "9999", f"{recording.added_in_run:09}", name, recording.recording_id)


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
    name = build.speakers(recording.content_id or "")
    if build.speakers_profile is None or not build.store.exists(name):
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
    tokenised = set(read_tokens(recording.content_id, build, ["clip_id"])["clip_id"].to_pylist())
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
        by_text = list(row.pop("by_text", [] if build.transcribe_profile is None else [Reason.NOT_TRANSCRIBED]))
        missing = build.tokenise_profile is not None and clip_id not in tokenised
        row["reasons"] = reasons or by_text or ([Reason.NOT_TOKENISED] if missing else [])
        row["decision"] = REJECTED if row["reasons"] else KEPT
        row |= speakers.get(clip_id, {}) if row["decision"] == KEPT else {}
    return rows


def _spoken(clips: list[Row]) -> str | None:
    """The language of most seconds, where it was detected or is not doubted; of equals the first by its code."""
    seconds: Counter[str] = Counter()
    for clip in clips:
        was_detected = clip.get("language_probability") is not None
        if clip.get("language") and (was_detected or Reason.LANGUAGE not in clip["reasons"]):
            seconds[clip["language"]] += clip["duration_s"]
    return max(sorted(seconds), key=seconds.__getitem__, default=None)


def _scores(content_id: str, build: Build) -> dict[str, Row]:
    if not build.store.exists(build.scores(content_id)):
        return {}
    table = read_scores(content_id, build)
    reasons = criteria.reasons_by_score(table, build.config.thresholds)
    return {row["clip_id"]: row | {"by_score": why} for row, why in zip(table.to_pylist(), reasons, strict=True)}


def read_scores(content_id: str, build: Build) -> pa.Table:
    """Measures and scores of a content, a row a clip, with how much of each repeats an earlier clip."""
    store, table = build.store, build.store.read(build.scores(content_id))
    compared = store.exists(build.repeats(content_id))
    repeats = store.read(build.repeats(content_id)).to_pylist() if compared else []
    found, (ratio, of), none = {row["clip_id"]: row for row in repeats}, REPEATS, 0.0 if compared else None
    clip_ids = table["clip_id"].to_pylist()
    table = table.append_column(ratio, pa.array([found.get(c, {}).get(ratio.name, none) for c in clip_ids], ratio.type))
    return table.append_column(of, pa.array([found.get(c, {}).get(of.name) for c in clip_ids], of.type))


def _speakers(content_id: str, build: Build) -> dict[str, Row]:
    if build.speakers_profile is None or not build.store.exists(build.speakers(content_id)):
        return {}
    return {row["clip_id"]: row for row in build.store.read(build.speakers(content_id)).to_pylist()}


def _evidence(content_id: str, build: Build) -> dict[str, Row]:
    name = build.evidence(content_id)
    table = build.store.read(name) if build.store.exists(name) else EVIDENCE_ARTIFACT.empty_table()
    rows = ({**row, "reference_url": public_url(row["reference_url"])} for row in table.to_pylist())
    return {row["clip_id"]: row for row in rows}


def _transcripts(
    recording: Recording, durations: dict[str, float], references: dict[str, Row], build: Build
) -> dict[str, Row]:
    content_id, asked = recording.content_id or "", build.config.asr
    rows = read_transcripts(content_id, build).to_pylist()
    second = {row["clip_id"]: row for row in read_cross_checks(content_id, build).to_pylist()}
    for row in rows:
        human = references.get(row["clip_id"], {}).get("reference_text")
        heard = row["text"] or "", row["words"] or (), row["language"]
        other = opinion(second.get(row["clip_id"]), row["language"])
        judged = judge_text(*heard, second=other, human=human)
        row |= asdict(judged) | {"pause_agreement": pause_agreement(judged.words, judged.text)}
    table = pa.Table.from_pylist(rows, schema=pa.schema([*TRANSCRIPT_ARTIFACT, *AGREEMENT]))
    lengths = [durations[clip_id] for clip_id in table["clip_id"].to_pylist()]
    declared = None if asked.language else recording.language
    reasons = criteria.reasons_by_transcript(table, lengths, build.config.thresholds, asked.languages, declared)
    return {row["clip_id"]: row | {"by_text": why} for row, why in zip(table.to_pylist(), reasons, strict=True)}


def read_transcripts(content_id: str, build: Build) -> pa.Table:
    """All transcripts of a content so far, a row a clip."""
    if build.transcribe_profile is None:
        return TRANSCRIPT_ARTIFACT.empty_table()
    return _parts(build.transcripts(content_id), TRANSCRIPT_ARTIFACT, build)


def read_cross_checks(content_id: str, build: Build) -> pa.Table:
    """What the second recogniser heard in a content so far, a row a clip."""
    if build.cross_check_profile is None:
        return TRANSCRIPT_ARTIFACT.empty_table()
    return _parts(build.cross_checks(content_id), TRANSCRIPT_ARTIFACT, build)


def read_embeddings(content_id: str, build: Build) -> pa.Table:
    """All embeddings of voices of a content so far, a row a clip."""
    if build.speakers_profile is None:
        return EMBEDDING_ARTIFACT.empty_table()
    return _parts(build.embeddings(content_id), EMBEDDING_ARTIFACT, build)


def read_tokens(content_id: str, build: Build, columns: list[str] | None = None) -> pa.Table:
    """All mel tokens of a content so far, a row a clip."""
    schema = TOKEN_ARTIFACT if columns is None else pa.schema([TOKEN_ARTIFACT.field(name) for name in columns])
    if build.tokenise_profile is None:
        return schema.empty_table()
    return _parts(build.tokens(content_id), schema, build)


def _parts(folder: str, schema: pa.Schema, build: Build) -> pa.Table:
    parts = [build.store.read(f"{folder}/{name}", schema.names) for name in build.store.names(folder)]
    return pa.concat_tables(parts) if parts else schema.empty_table()


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
    schema = pool_schema(build.made)
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
