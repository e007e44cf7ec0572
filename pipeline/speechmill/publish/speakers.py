"""Clusters the kept clips of a whole corpus by speaker.

Clusters depend on all kept clips, so this is repeated for each publication, from stored embeddings; no model runs.
Embeddings are read for each recording in turn: memory holds only ids and positions of clips.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from speechmill.core.build import Build
from speechmill.decide.splits import TRAIN, VALIDATION
from speechmill.publish.decided import DecidedGroup
from speechmill.speakers import Float32
from speechmill.speakers.clusters import (
    CAMPPLUS,
    Calibration,
    Clusters,
    Indices,
    Speaker,
    cluster_clips,
    cluster_speakers,
)
from speechmill.speakers.conditioning import Spoken, choose
from speechmill.speakers.split import validation
from speechmill.stages import EMBED, SPEAKERS

COLUMNS = pa.schema([column.field for column in SPEAKERS.columns])
_ROWS = pa.schema([pa.field("clip_id", pa.string()), *COLUMNS])


@dataclass(slots=True)
class _Recording:
    """The kept clips of a recording that have an embedding, clustered within the recording."""

    recording_id: str
    content_id: str
    places: pa.Table  # clip_id, start, end
    cluster_of: Indices  # cluster of each of `places`
    clusters: Clusters


@dataclass(frozen=True, slots=True)
class Assigned:
    """The speaker of each kept clip of a corpus, and the recordings of the validation split."""

    rows: dict[str, pa.Table]  # clip_id and columns of SPEAKERS, by recording_id
    held_out: frozenset[str]

    def add_to(self, decided: DecidedGroup) -> None:
        """Set speakers and splits of a group."""
        decided.splits = [VALIDATION if one.recording_id in self.held_out else TRAIN for one in decided.recordings]
        own = [self.rows[one.recording_id] for one in decided.recordings if one.recording_id in self.rows]
        rows = pa.concat_tables([_ROWS.empty_table(), *own])
        at = pc.index_in(decided.places["clip_id"], value_set=rows["clip_id"])
        at = pc.if_else(pa.array(decided.decision.kept), at, None)  # a clip may stand in a duplicate recording too
        decided.speakers = rows.select(COLUMNS.names).take(at).combine_chunks()


def assign(groups: Iterable[DecidedGroup], build: Build) -> Assigned:
    """Cluster all kept clips by speaker; choose conditioning clips and splits.

    In memory are the speakers of each recording, and ids and places of clips: 1 KB a clip, without embeddings.
    """
    settings = build.config.speakers
    calibration = (
        CAMPPLUS
        if settings.threshold is None or settings.slope is None
        else Calibration(threshold=settings.threshold, slope=settings.slope)
    )
    recordings = [recording for decided in groups for recording in _recordings(decided, calibration, build)]
    speakers = cluster_speakers([recording.clusters for recording in recordings], calibration)
    spoken = [clip for pair in zip(recordings, speakers, strict=True) for clip in _spoken(*pair, build)]
    conditioning = choose(spoken)
    held_out = validation(
        [clip.recording_id for clip in spoken],
        [clip.speaker_id for clip in spoken],
        share=build.config.publish.validation_share,
    )
    rows = {
        recording.recording_id: _rows(recording, own, conditioning)
        for recording, own in zip(recordings, speakers, strict=True)
    }
    return Assigned(rows, frozenset(held_out))


def _rows(recording: _Recording, speakers: list[Speaker], conditioning: dict[str, tuple[str, ...]]) -> pa.Table:
    """Rows of a recording, for `Assigned`."""
    clip_ids = recording.places["clip_id"].to_pylist()
    columns = {
        "clip_id": clip_ids,
        "speaker_id": [speakers[cluster].speaker_id for cluster in recording.cluster_of],
        "speaker_purity": [speakers[cluster].purity for cluster in recording.cluster_of],
        "conditioning_clip_ids": [conditioning[clip_id] for clip_id in clip_ids],
    }
    return pa.Table.from_pydict(columns, schema=_ROWS)


def _recordings(decided: DecidedGroup, calibration: Calibration, build: Build) -> Iterator[_Recording]:
    """Cluster the kept clips of each recording of a group that has clips with embeddings."""
    kept = decided.places.select(["recording", "clip_id", "start", "end"]).filter(pa.array(decided.decision.kept))
    of = kept["recording"].to_numpy()
    order = np.argsort(of, kind="stable")
    present, firsts = np.unique(of[order], return_index=True)
    for at, rows in zip(present.tolist(), np.split(order, firsts[1:])):  # without clips the one part is empty
        recording = decided.recordings[at]
        content_id = recording.content_id or ""
        embeddings = _embeddings(content_id, build)
        places = kept.drop_columns("recording").take(pa.array(rows))
        places = places.filter(pc.is_in(places["clip_id"], value_set=pa.array(embeddings, pa.string())))
        if names := places["clip_id"].to_pylist():
            cluster_of, clusters = cluster_clips(names, np.stack([embeddings[name] for name in names]), calibration)
            yield _Recording(recording.recording_id, content_id, places.combine_chunks(), cluster_of, clusters)


def _embeddings(content_id: str, build: Build) -> dict[str, Float32]:
    """Embeddings of the clips of a content by clip_id, float32[dimensions] each."""
    table = EMBED.read(content_id, build)
    rows = np.array(table["embedding"].to_pylist(), np.float32)
    return dict(zip(table["clip_id"].to_pylist(), rows, strict=True))


def _spoken(recording: _Recording, speakers: list[Speaker], build: Build) -> Iterator[Spoken]:
    """The clips of a recording for the choice of conditioning clips; `speakers` has the speaker of each cluster."""
    embeddings = _embeddings(recording.content_id, build)
    rate = build.config.audio.sample_rate
    for place, cluster in zip(recording.places.to_pylist(), recording.cluster_of, strict=True):
        yield Spoken(
            clip_id=place["clip_id"],
            recording_id=recording.recording_id,
            start_s=place["start"] / rate,
            end_s=place["end"] / rate,
            speaker_id=speakers[cluster].speaker_id,
            typicality=round(float(embeddings[place["clip_id"]] @ speakers[cluster].mean), 4),
        )
