"""Align: from the publisher's reference texts of a recording to the reference text of each selected clip."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from speechmill.core.build import Build
from speechmill.core.columns import Column
from speechmill.core.footers import FetchFooter, InputsFooter, StoredDocument
from speechmill.core.records import Recording, RejectedError, recording_from
from speechmill.stages.base import RecordingStage
from speechmill.stages.documents import format_hint
from speechmill.stages.selection import select_clips
from speechmill.stages.transcribe import Transcribe
from speechmill.stages.work import Outcome, WorkItem
from speechmill.text import reference
from speechmill.text.reference import AlignedText, ClipHypothesis

Clips = dict[str, ClipHypothesis]  # by clip_id, in order of position
Documents = Mapping[str, StoredDocument]  # by path in the store


class Align(RecordingStage):
    """Reference texts of the clips."""

    name = "align"
    version = 2  # text/reference/
    after = ("segment", "transcribe")
    columns = (
        Column("reference_text", pa.string(), "what the publisher's transcript, subtitles or book has here, unchecked",
               in_pool=False),
        Column("reference_match", pa.float32(), "share of its words that the ASR model wrote too; null without any"),
        Column("reference_url", pa.string(), "where that text is from"),
    )  # fmt: skip
    artifact = pa.schema([pa.field("clip_id", pa.string()), *(column.field for column in columns)])

    def process(self, element: WorkItem, build: Build) -> Outcome:
        """Align the selected clips to the documents of their recording."""
        return align_documents(element, build)


def align_documents(work: WorkItem, build: Build) -> Outcome:
    """Align the selected clips to the publisher's documents, unless documents and hypotheses are unchanged."""
    store, name = build.store, build.artifact("align", work.content_id)
    documents = store.footer(build.fetched(work.recording_id), FetchFooter).documents
    clips = _clips(work, build) if documents else {}
    inputs = _digest(work, documents, clips)
    if store.footer(name, InputsFooter).inputs == inputs if store.exists(name) else not clips:
        return Outcome(state="reused")
    recording = recording_from(store.read(build.fetched(work.recording_id)).to_pylist()[0])
    rows = list(_rows(recording, documents, clips, build))
    store.write_table(name, pa.Table.from_pylist(rows, schema=Align.artifact), InputsFooter(inputs=inputs))
    durations = {clip_id: clip.end_s - clip.start_s for clip_id, clip in clips.items()}
    aligned = sum(durations[row["clip_id"]] for row in rows)
    return Outcome(state="done", seconds_in=sum(durations.values()), seconds_kept=aligned)


def _clips(work: WorkItem, build: Build) -> Clips:
    """The selected clips with their times in the media and the words of their hypotheses."""
    hypotheses = {
        row["clip_id"]: tuple(word["word"] for word in row["words"] or ())
        for row in Transcribe().read(work.content_id, build).to_pylist()
    }
    wanted, rate = set(select_clips(work, build)), build.config.audio.sample_rate
    begin = work.span[0] if work.span else 0.0  # times in a publisher's text are those of the media
    places = build.store.read(build.segments(work.content_id), ["clip_id", "start", "end"]).to_pylist()
    return {
        row["clip_id"]: ClipHypothesis(
            start_s=begin + row["start"] / rate, end_s=begin + row["end"] / rate, words=hypotheses.get(row["clip_id"])
        )
        for row in places
        if row["clip_id"] in wanted
    }


def _digest(work: WorkItem, documents: Documents, clips: Clips) -> str:
    """Digest of the inputs of an artifact: documents and hypotheses."""
    hypotheses = [(clip_id, clip.words) for clip_id, clip in clips.items()]
    described = {name: asdict(document) for name, document in documents.items()}
    inputs = [Align.version, work.recording_id, described, hypotheses]
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def _rows(recording: Recording, documents: Documents, clips: Clips, build: Build) -> Iterator[dict[str, Any]]:
    """For each aligned clip the text of the document with the highest match; the first of equals, transcripts first."""
    ordered = sorted(documents, key=lambda name: (documents[name].kind != "transcript", documents[name].url))
    by_document = [(name, _aligned(name, documents[name], recording, clips, build)) for name in ordered]
    for clip_id in clips:
        candidates = [(texts[clip_id], documents[name].url) for name, texts in by_document if clip_id in texts]
        if candidates:
            best, url = max(candidates, key=lambda pair: pair[0].match or 0.0)
            yield {"clip_id": clip_id, "reference_text": best.text, "reference_match": best.match, "reference_url": url}


def _aligned(
    name: str, document: StoredDocument, recording: Recording, clips: Clips, build: Build
) -> dict[str, AlignedText]:
    """Reference texts of one document by clip_id; empty if it cannot be read."""
    with build.store.open(name) as file:
        raw = file.read()
    try:
        found = reference.read(raw, document.type, format_hint(recording, document.url))
    except RejectedError:
        return {}
    texts = reference.align(found, list(clips.values()))
    return {clip_id: text for clip_id, text in zip(clips, texts, strict=True) if text is not None}
