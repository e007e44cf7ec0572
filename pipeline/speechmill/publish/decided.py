"""Decides about the recordings and clips of a group, from its clip tables. Every published file is made from this."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from speechmill.core.build import Build
from speechmill.core.reasons import Reason
from speechmill.core.records import RECORDINGS, Recording, Status, recording_from
from speechmill.core.removals import removed_row
from speechmill.core.urls import public_url, public_values
from speechmill.decide.decision import HALLUCINATIONS, Decision, Mask, Overrides, Reasons, by_text, decide, failed
from speechmill.decide.licences import reasons_by_licence
from speechmill.decide.splits import split_of
from speechmill.publish.groups import Group
from speechmill.publish.tables import DONE, clip_table, read_clips, read_recordings
from speechmill.stages import ASSESS, SCORE, TOKENISE, TRANSCRIBE
from speechmill.stages.flow import PLUGGED_IN
from speechmill.stages.selection import among, early_columns, failed_tests, late_columns
from speechmill.stages.work import primary_order

ENGLISH = {"en", "eng"}
TEXT_COLUMNS = (*TRANSCRIBE.columns, *ASSESS.columns)
NOT_DECODED = "not decoded yet: run again"
TEXTS = tuple({field.name for field in RECORDINGS if field.type == pa.string()} - {"status", "reason"})
FACTS = ("container", "codec", "source_sample_rate", "source_channels", "mixdown", "decoded_samples", "bad_packets")

Duplicates = Mapping[int, tuple[str, ...]]  # by row of a duplicate: `primary_order` of the recording that is published
Row = dict[str, Any]


@dataclass(slots=True, kw_only=True)
class DecidedGroup:
    """The recordings of a group and the decision about each of their clips.

    Clips of duplicates, and of recordings that failed or were removed, are left out.
    """

    group: Group
    recordings: list[Recording]
    """Recordings as they are published."""
    splits: list[str]
    """Split of each recording."""
    digests: list[str | None]
    """Digest of the clip table rows of each recording; None without clips."""
    rows: npt.NDArray[np.int64]
    """Row of each clip in the group's clip table."""
    places: pa.Table
    """`recording` (index into `recordings`), `clip_id`, `start`, `end` (samples) and `flac_bytes` of each clip."""
    decision: Decision
    """Decision about each clip."""
    speakers: pa.Table | None = None
    """`speaker_id`, `speaker_purity`, `conditioning_clip_ids` of each clip, null for rejected ones; None before
    clustering."""

    @property
    def recording(self) -> npt.NDArray[np.int32]:
        """Index into `recordings` of each clip, int32[clips]."""
        rows: npt.NDArray[np.int32] = self.places["recording"].to_numpy()
        return rows

    @property
    def samples(self) -> npt.NDArray[np.int64]:
        """Length of each clip in samples, int64[clips]."""
        lengths: npt.NDArray[np.int64] = self.places["end"].to_numpy() - self.places["start"].to_numpy()
        return lengths

    def in_split(self, split: str) -> Mask:
        """Whether each clip is in a split, bool[clips]."""
        return np.array([name == split for name in self.splits], bool)[self.recording]


def find_duplicates(groups: Iterable[Group], build: Build) -> dict[Group, Duplicates]:
    """Find the recordings of each group that have the same content as another one, under which they are published."""
    first: dict[str, tuple[str, ...]] = {}
    candidates: dict[Group, list[tuple[int, str, tuple[str, ...]]]] = {}
    columns = ["recording_id", "source", "content_id", "published", "added_in_run", "first_url", "media_url", "status"]
    for group in groups:
        candidates[group] = []
        for at, row in enumerate(read_recordings(group, build, columns).to_pylist()):
            if row["content_id"]:
                order = primary_order(recording_from(row))
                first[row["content_id"]] = min(order, first.get(row["content_id"], order))
                candidates[group].append((at, row["content_id"], order))
    return {
        group: {at: first[content_id] for at, content_id, order in rows if order != first[content_id]}
        for group, rows in candidates.items()
    }


def decide_group(group: Group, duplicates: Duplicates, build: Build) -> DecidedGroup:
    """Decide about the recordings of a group and all their clips, given the duplicates among the recordings."""
    table = read_recordings(group, build).to_pylist()
    recordings = [
        _recording(recording_from(row), row["facts"], duplicates.get(at), build) for at, row in enumerate(table)
    ]
    clips = read_clips(group, build, deciding_columns(build))
    is_used = np.array([row.status is Status.OK and row.content_id is not None for row in recordings], bool)
    rows = np.flatnonzero(is_used[clips["recording"].to_numpy()])
    clips = (clips if len(rows) == clips.num_rows else clips.take(rows)).combine_chunks()
    decision = decide(**grounds(clips, recordings, build))
    languages = _spoken_languages(clips, decision)
    recordings = [replace(row, spoken_language=languages.get(at)) for at, row in enumerate(recordings)]
    share = build.config.publish.validation_share
    return DecidedGroup(
        group=group,
        recordings=recordings,
        splits=[split_of(recording.recording_id, share) for recording in recordings],
        digests=[row["clips_digest"] for row in table],
        rows=rows,
        places=clips.select(["recording", "clip_id", "start", "end", "flac_bytes"]),
        decision=decision,
    )


# --- recordings ---


def _recording(recording: Recording, facts: str | None, primary: tuple[str, ...] | None, build: Build) -> Recording:
    """A recording as it is published.

    Args:
        recording: As it was fetched.
        facts: JSON of the results of decoding; None where nothing was decoded.
        primary: `primary_order` of the recording that this one is a duplicate of; None if it is no duplicate.
        build: The corpus.
    """
    if recording.status is not Status.REMOVED and (request := build.removals.match(recording)):
        recording = removed_row(recording, request)
    recording = public(recording)
    if recording.content_id is None:
        return recording
    if primary is not None:
        detail = f"the same bytes as {public_url(primary[-2])} ({primary[-1]})"
        return replace(recording, status=Status.DUPLICATE, reason=Reason.DUPLICATE, reason_detail=detail)
    if facts is None:
        return replace(recording, reason_detail=NOT_DECODED)
    return _with_facts(recording, json.loads(facts))


def public(recording: Recording) -> Recording:
    """Remove users, passwords and tokens from the addresses of a recording."""
    plain = {name: public_values(value) for name in TEXTS if (value := getattr(recording, name)) is not None}
    attachments = tuple(replace(item, url=public_url(item.url)) for item in recording.attachments)
    alternates = tuple(map(public_url, recording.alternates))
    plain["media_url"] = public_url(recording.media_url)
    consent = tuple(
        replace(signal, url=public_url(signal.url), value=public_values(signal.value)) for signal in recording.consent
    )
    return replace(recording, **plain, attachments=attachments, alternates=alternates, consent=consent)


def _with_facts(recording: Recording, facts: Row) -> Recording:
    """Add the results of decoding; the duration given by a feed is kept if the container declares none."""
    decoding: dict[str, Any] = {name: facts.get(name) for name in FACTS}
    return replace(
        recording,
        status=Status(facts["status"]),
        reason=Reason(facts["reason"]) if facts.get("reason") else None,
        reason_detail="; ".join(filter(None, (facts.get("detail"), recording.reason_detail))) or None,
        declared_duration_s=facts.get("declared_duration_s") or recording.declared_duration_s,
        **decoding,
    )


def _spoken_languages(clips: pa.Table, decision: Decision) -> dict[int, str]:
    """Language with the most audio in each recording, by index of the recording; ties go to the first by name.

    Clips are counted where the language was detected or did not fail its test.
    """
    if "language" not in clips.column_names:
        return {}
    is_rejected = decision.reasons.failing.get(Reason.LANGUAGE, np.zeros(clips.num_rows, bool))
    was_detected = clips["language_probability"].is_valid().to_numpy()
    counted = clips.filter(pa.array(was_detected | ~is_rejected)).select(["recording", "language", "start", "end"])
    counted = counted.filter(pc.is_valid(counted["language"]))
    lengths = counted.append_column("samples", pc.subtract(counted["end"], counted["start"]))
    summed = lengths.group_by(["recording", "language"]).aggregate([("samples", "sum")])
    order = [("recording", "ascending"), ("samples_sum", "descending"), ("language", "ascending")]
    languages: dict[int, str] = {}
    for row in summed.sort_by(order).to_pylist():
        languages.setdefault(row["recording"], row["language"])
    return languages


# --- clips ---


def deciding_columns(build: Build) -> list[str]:
    """Columns of the clip table that a decision needs."""
    tested = [column.name for column in (*early_columns(build.config), *late_columns()) if column.test]
    return [
        *("recording", "clip_id", "start", "end", "flac_bytes", "language", HALLUCINATIONS, *tested),
        *(field.name for field in clip_table(build) if field.name.startswith(DONE)),
    ]


def grounds(clips: pa.Table, recordings: Sequence[Recording], build: Build) -> dict[str, Any]:
    """What speaks for and against each clip of a clip table: the arguments of `decide`.

    Args:
        clips: The `deciding_columns` of a clip table.
        recordings: Recordings as they are published; `clips["recording"]` are indices into them.
        build: The corpus.
    """
    by_hand = _by_hand(clips, build)
    return {
        "refused": _refused(clips, recordings, build),
        "by_audio": _by_audio(clips, build),
        "by_text": _by_text(clips, recordings, build),
        "by_plugins": _by_plugins(clips, build),
        "unfinished": _unfinished(clips, by_hand, build),
        "by_hand": by_hand,
    }


def is_done(clips: pa.Table, stage: str) -> Mask:
    """Whether a stage has finished each clip."""
    done: Mask = clips[DONE + stage].to_numpy()
    return done


def _refused(clips: pa.Table, recordings: Sequence[Recording], build: Build) -> Reasons:
    """Reasons that manual decisions cannot override: licences, generated audio, removal requests, missing scores."""
    reasons, recording = Reasons(clips.num_rows), clips["recording"].to_numpy()
    reasons.add(Reason.INTERNAL_ERROR, ~is_done(clips, SCORE.name))
    rules = build.config.licences
    by_recording = [reasons_by_licence(row.licence, rules, ai_generated=row.ai_generated) for row in recordings]
    for reason in (Reason.LICENCE, Reason.AI_GENERATED):
        reasons.add(reason, np.array([reason in reasons_of for reasons_of in by_recording], bool)[recording])
    reasons.add(Reason.REMOVED, among(clips, build.removals.clips))
    return reasons


def _by_audio(clips: pa.Table, build: Build) -> Reasons:
    """Thresholds on the columns of all clips. Clips without scores, which are due to a bug, are not tested."""
    reasons = Reasons(clips.num_rows)
    reasons.update(failed_tests(clips, build), is_done(clips, SCORE.name))
    return reasons


def _by_text(clips: pa.Table, recordings: Sequence[Recording], build: Build) -> Reasons:
    """Tests of the text: thresholds, hallucination checks and allowed languages."""
    if not build.runs(ASSESS.name):
        return Reasons(clips.num_rows)
    asr = build.config.asr
    declared = [None if asr.language else recording.language for recording in recordings]
    english = np.array([(language or "en").partition("-")[0].lower() in ENGLISH for language in declared], bool)
    may_be_english = english[clips["recording"].to_numpy()]
    thresholds, languages = build.config.thresholds, asr.languages
    return by_text(clips, TEXT_COLUMNS, thresholds, languages=languages, may_be_english=may_be_english)


def _by_plugins(clips: pa.Table, build: Build) -> Reasons:
    """Thresholds of plug-in stages that run only on clips that passed all tests before."""
    later = [column for column in late_columns() if column not in TEXT_COLUMNS]
    return failed(clips, later, build.config.thresholds)


def _unfinished(clips: pa.Table, by_hand: Overrides, build: Build) -> Reasons:
    """Reasons for the stages that a clip waits for; a clip without a text waits for its text only."""
    reasons = Reasons(clips.num_rows)
    has_text = np.ones(clips.num_rows, bool)
    if build.runs(ASSESS.name):
        has_text = is_done(clips, ASSESS.name) | by_hand.text
        reasons.add(Reason.NOT_TRANSCRIBED, ~has_text)
    for reason, stage in ((Reason.NOT_TOKENISED, TOKENISE), *((Reason.NOT_MEASURED, stage) for stage in PLUGGED_IN)):
        if build.runs(stage.name):
            reasons.add(reason, has_text & ~is_done(clips, stage.name))
    return reasons


def _by_hand(clips: pa.Table, build: Build) -> Overrides:
    """Manual decisions about the clips."""
    manual = build.by_hand
    if not manual.clip_ids:
        return Overrides.none(clips.num_rows)
    kept, dropped, texts = (among(clips, clip_ids) for clip_ids in (manual.kept, manual.dropped, manual.texts))
    return Overrides(keep=kept, drop=dropped, text=texts)
