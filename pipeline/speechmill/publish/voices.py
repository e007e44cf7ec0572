"""Tells apart who speaks in the kept clips of a whole corpus, before it is published.

What a speaker is depends on all clips that are kept now, so this is done anew for each publication, from embeddings
that are stored: no model runs. Of a clip not more is held in memory than its names and its place.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from speechmill.core.build import Build
from speechmill.decide.splits import TRAIN, VALIDATION
from speechmill.publish.ledger import Judgement, Row
from speechmill.speakers import Float32
from speechmill.speakers.clusters import CAMPPLUS, Calibration, Clusters, Indices, Speaker, find_speakers, find_voices
from speechmill.speakers.conditioning import Spoken, choose
from speechmill.speakers.split import validation
from speechmill.stages import EMBED, SPEAKERS


@dataclass(slots=True)
class _Heard:
    """The kept clips of a content that have an embedding, and the voice of each."""

    content_id: str
    rows: list[Row]  # clip_id, recording_id, start, end, sampling_rate
    voices: Indices
    clusters: Clusters | None  # None without a clip


def assign(judgements: Iterator[Judgement], build: Build) -> None:
    """Find the speakers of all kept clips, choose conditioning and split, and store them content by content."""
    chosen = build.config.speakers
    law = (
        CAMPPLUS
        if chosen.threshold is None or chosen.slope is None
        else Calibration(threshold=chosen.threshold, slope=chosen.slope)
    )
    heard = [_heard(judgement, law, build) for judgement in judgements if judgement.clips]
    found = iter(find_speakers([one.clusters for one in heard if one.clusters], law))
    speakers = [next(found) if one.clusters else [] for one in heard]
    spoken = [clip for one, own in zip(heard, speakers, strict=True) for clip in _spoken(one, own, build)]
    conditioning = choose(spoken)
    held_out = validation(
        [clip.recording_id for clip in spoken],
        [clip.speaker_id for clip in spoken],
        share=build.config.publish.validation_share,
    )
    for one, own in zip(heard, speakers, strict=True):
        rows = [
            {
                "clip_id": row["clip_id"],
                "speaker_id": own[voice].speaker_id,
                "speaker_purity": own[voice].purity,
                "conditioning_clip_ids": conditioning[row["clip_id"]],
            }
            for row, voice in zip(one.rows, one.voices, strict=True)
        ]
        split = VALIDATION if any(row["recording_id"] in held_out for row in one.rows) else TRAIN
        table = pa.Table.from_pylist(rows, schema=SPEAKERS.artifact)
        build.store.write_table(build.artifact("speakers", one.content_id), table, {"split": split})


def _heard(judgement: Judgement, law: Calibration, build: Build) -> _Heard:
    content_id = judgement.recording.content_id or ""
    found = _embeddings(content_id, build)
    wanted = ("clip_id", "recording_id", "start", "end", "sampling_rate")
    rows = [{key: clip[key] for key in wanted} for clip in judgement.kept if clip["clip_id"] in found]
    names = [row["clip_id"] for row in rows]
    if not names:
        return _Heard(content_id, [], np.zeros(0, np.intp), None)
    return _Heard(content_id, rows, *find_voices(names, np.stack([found[name] for name in names]), law))


def _embeddings(content_id: str, build: Build) -> dict[str, Float32]:
    table = EMBED.read(content_id, build)
    rows = np.array(table["embedding"].to_pylist(), np.float32)
    return dict(zip(table["clip_id"].to_pylist(), rows, strict=True))


def _spoken(one: _Heard, speakers: list[Speaker], build: Build) -> Iterator[Spoken]:
    found = _embeddings(one.content_id, build)
    for row, voice in zip(one.rows, one.voices, strict=True):
        yield Spoken(
            clip_id=row["clip_id"],
            recording_id=row["recording_id"],
            start_s=row["start"] / row["sampling_rate"],
            end_s=row["end"] / row["sampling_rate"],
            speaker_id=speakers[voice].speaker_id,
            typicality=round(float(found[row["clip_id"]] @ speakers[voice].mean), 4),
        )
