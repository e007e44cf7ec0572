"""Align: from what a publisher says is spoken in a recording to what is spoken in each of its selected clips."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from speechmill import reference_text
from speechmill.core.build import Build
from speechmill.core.columns import Column
from speechmill.core.records import Recording, RejectedError, recording_from
from speechmill.reference_text import Found, Heard
from speechmill.stages.base import RecordingStage
from speechmill.stages.documents import name_of
from speechmill.stages.selection import selected
from speechmill.stages.transcribe import Transcribe
from speechmill.stages.work import Outcome, Work

Clips = dict[str, Heard]  # by clip_id, in order of position


class Align(RecordingStage):
    """Reference texts of the clips."""

    name = "align"
    version = 2  # reference_text/
    after = ("segment", "transcribe")
    columns = (
        Column("reference_text", pa.string(), "what the publisher's transcript, subtitles or book has here, unchecked",
               in_pool=False),
        Column("reference_match", pa.float32(), "share of its words that the ASR model wrote too; null without any"),
        Column("reference_url", pa.string(), "where that text is from"),
    )  # fmt: skip
    artifact = pa.schema([pa.field("clip_id", pa.string()), *(column.field for column in columns)])

    def process(self, element: Work, build: Build) -> Outcome:
        """Find each clip that passes so far in the texts that lie beside its recording."""
        return align_documents(element, build)


def align_documents(work: Work, build: Build) -> Outcome:
    """Find each selected clip in the publisher's texts, anew only where a text or what was heard has changed."""
    store, name = build.store, build.artifact("align", work.content_id)
    documents = store.footer(build.fetched(work.recording_id)).get("documents", {})
    clips = _clips(work, build) if documents else {}
    inputs = _digest(work, documents, clips)
    if store.footer(name).get("inputs") == inputs if store.exists(name) else not clips:
        return Outcome(state="reused")
    recording = recording_from(store.read(build.fetched(work.recording_id)).to_pylist()[0])
    rows = list(_rows(recording, documents, clips, build))
    store.write_table(name, pa.Table.from_pylist(rows, schema=Align.artifact), {"retry": False, "inputs": inputs})
    seconds = {clip_id: one.end_s - one.start_s for clip_id, one in clips.items()}
    kept = sum(seconds[row["clip_id"]] for row in rows)
    return Outcome(state="done", seconds_in=sum(seconds.values()), seconds_kept=kept)


def _clips(work: Work, build: Build) -> Clips:
    """The selected clips with their places in the recording and the words that were heard in them."""
    heard = {
        row["clip_id"]: tuple(word["word"] for word in row["words"] or ())
        for row in Transcribe().read(work.content_id, build).to_pylist()
    }
    wanted, rate = set(selected(work, build)), build.config.audio.sample_rate
    begin = work.span[0] if work.span else 0.0  # times in a publisher's text are those of the media
    places = build.store.read(build.segments(work.content_id), ["clip_id", "start", "end"]).to_pylist()
    return {
        row["clip_id"]: Heard(
            start_s=begin + row["start"] / rate, end_s=begin + row["end"] / rate, words=heard.get(row["clip_id"])
        )
        for row in places
        if row["clip_id"] in wanted
    }


def _digest(work: Work, documents: Mapping[str, Any], clips: Clips) -> str:
    told = [Align.version, work.recording_id, documents, [(clip_id, one.words) for clip_id, one in clips.items()]]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _rows(recording: Recording, documents: Mapping[str, Any], clips: Clips, build: Build) -> Iterator[dict[str, Any]]:
    """For each clip the text of the document that fits best what was heard; of equals the first."""
    ordered = sorted(documents, key=lambda name: (documents[name]["kind"] != "transcript", documents[name]["url"]))
    found = [(name, _found(name, documents[name], recording, clips, build)) for name in ordered]
    for clip_id in clips:
        told = [(one[clip_id], documents[name]["url"]) for name, one in found if clip_id in one]
        if told:
            best, url = max(told, key=lambda pair: pair[0].match or 0.0)
            yield {"clip_id": clip_id, "reference_text": best.text, "reference_match": best.match, "reference_url": url}


def _found(name: str, about: Mapping[str, Any], recording: Recording, clips: Clips, build: Build) -> dict[str, Found]:
    """What one document has for the clips; nothing where it cannot be read."""
    with build.store.open(name) as file:
        raw = file.read()
    try:
        reference = reference_text.read(raw, about["type"], name_of(recording, about["url"]))
    except RejectedError:
        return {}
    found = reference_text.align(reference, list(clips.values()))
    return {clip_id: one for clip_id, one in zip(clips, found, strict=True) if one is not None}
