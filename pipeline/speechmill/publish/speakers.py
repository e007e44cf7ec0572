"""Clusters the kept clips of a whole corpus by speaker.

Clusters depend on all kept clips, so this is repeated for each publication, from stored embeddings; no model runs.
Embeddings are read for each recording in turn: memory holds only ids and positions of clips.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from speechmill.core.build import Build
from speechmill.core.records import stable_id
from speechmill.decide.splits import TRAIN, VALIDATION
from speechmill.publish.decided import DecidedGroup
from speechmill.speakers import Float32
from speechmill.speakers.clusters import (
    Calibration,
    Clusters,
    Indices,
    Speaker,
    calibration_of,
    cluster_clips,
    cluster_speakers,
)
from speechmill.speakers.conditioning import Spoken, choose
from speechmill.stages import EMBED, SPEAKERS

COLUMNS = pa.schema([column.field for column in SPEAKERS.columns])
_ROWS = pa.schema([pa.field("clip_id", pa.string()), *COLUMNS])


@dataclass(slots=True)
class _Recording:
    """The kept clips of a recording, clustered within the recording."""

    recording_id: str
    content_id: str
    named: pa.Table  # clip_id, start, end of clips whose speaker somebody named: no cluster has them
    places: pa.Table  # the same of all others that have an embedding
    cluster_of: Indices  # cluster of each of `places`
    clusters: Clusters | None  # None without `places`


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


def assign(
    groups: Iterable[DecidedGroup], hold_out: Callable[[list[str], list[str]], frozenset[str]], build: Build
) -> Assigned:
    """Cluster all kept clips by speaker; choose conditioning clips and splits.

    In memory are the speakers of each recording, and ids and places of clips: 1 KB a clip, without embeddings.
    `hold_out` chooses the recordings of the validation split, given the recording and the speaker of each clip.
    """
    calibration = calibration_of(build.config.speakers)
    recordings = [recording for decided in groups for recording in _recordings(decided, calibration, build)]
    clustered = iter(cluster_speakers([one.clusters for one in recordings if one.clusters], calibration))
    speakers = [next(clustered) if recording.clusters else [] for recording in recordings]
    spoken = [clip for pair in zip(recordings, speakers, strict=True) for clip in _spoken(*pair, build)]
    conditioning = choose(spoken)
    held_out = hold_out([clip.recording_id for clip in spoken], [clip.speaker_id for clip in spoken])
    rows = {
        recording.recording_id: _rows(recording, own, conditioning, build)
        for recording, own in zip(recordings, speakers, strict=True)
    }
    return Assigned(rows, held_out)


def _rows(
    recording: _Recording, speakers: list[Speaker], conditioning: dict[str, tuple[str, ...]], build: Build
) -> pa.Table:
    """Rows of a recording, for `Assigned`."""
    named = recording.named["clip_id"].to_pylist()
    clip_ids = [*recording.places["clip_id"].to_pylist(), *named]
    own = [speakers[cluster] for cluster in recording.cluster_of]
    columns = {
        "clip_id": clip_ids,
        "speaker_id": [*(speaker.speaker_id for speaker in own), *(_named_id(clip_id, build) for clip_id in named)],
        "speaker_purity": [*(speaker.purity for speaker in own), *(1.0 for _ in named)],
        "conditioning_clip_ids": [conditioning[clip_id] for clip_id in clip_ids],
    }
    return pa.Table.from_pydict(columns, schema=_ROWS)


def _named_id(clip_id: str, build: Build) -> str:
    """Id of a speaker that somebody named; a hash, since names may be private."""
    return stable_id("named speaker", build.by_hand.speakers[clip_id])


def _recordings(decided: DecidedGroup, calibration: Calibration, build: Build) -> Iterator[_Recording]:
    """Cluster the kept clips of each recording of a group that has any with an embedding or a named speaker."""
    by_hand = pa.array(list(build.by_hand.speakers), pa.string())
    kept = decided.places.select(["recording", "clip_id", "start", "end"]).filter(pa.array(decided.decision.kept))
    of = kept["recording"].to_numpy()
    order = np.argsort(of, kind="stable")
    present, firsts = np.unique(of[order], return_index=True)
    for at, rows in zip(present.tolist(), np.split(order, firsts[1:])):  # without clips the one part is empty
        recording = decided.recordings[at]
        content_id = recording.content_id or ""
        embeddings = _embeddings(content_id, build)
        clips = kept.drop_columns("recording").take(pa.array(rows))
        is_named = pc.is_in(clips["clip_id"], value_set=by_hand)
        named, others = clips.filter(is_named).combine_chunks(), clips.filter(pc.invert(is_named))
        has_embedding = pc.is_in(others["clip_id"], value_set=pa.array(list(embeddings), pa.string()))
        places = others.filter(has_embedding).combine_chunks()
        if names := places["clip_id"].to_pylist():
            cluster_of, clusters = cluster_clips(names, np.stack([embeddings[name] for name in names]), calibration)
            yield _Recording(recording.recording_id, content_id, named, places, cluster_of, clusters)
        elif named.num_rows:
            yield _Recording(recording.recording_id, content_id, named, places, np.zeros(0, np.intp), None)


def _embeddings(content_id: str, build: Build) -> dict[str, Float32]:
    """Embeddings of the clips of a content by clip_id, float32[dimensions] each."""
    table = EMBED.read(content_id, build)
    rows = np.array(table["embedding"].to_pylist(), np.float32)
    return dict(zip(table["clip_id"].to_pylist(), rows, strict=True))


def _spoken(recording: _Recording, speakers: list[Speaker], build: Build) -> Iterator[Spoken]:
    """The clips of a recording for the choice of conditioning clips; `speakers` has the speaker of each cluster."""
    embeddings = _embeddings(recording.content_id, build)
    for place, cluster in zip(recording.places.to_pylist(), recording.cluster_of, strict=True):
        typicality = round(float(embeddings[place["clip_id"]] @ speakers[cluster].mean), 4)
        yield _spoken_clip(place, recording, speakers[cluster].speaker_id, typicality, build)
    for place in recording.named.to_pylist():
        yield _spoken_clip(place, recording, _named_id(place["clip_id"], build), 1.0, build)


def _spoken_clip(
    place: Mapping[str, Any], recording: _Recording, speaker_id: str, typicality: float, build: Build
) -> Spoken:
    rate = build.config.audio.sample_rate
    return Spoken(
        clip_id=place["clip_id"],
        recording_id=recording.recording_id,
        start_s=place["start"] / rate,
        end_s=place["end"] / rate,
        speaker_id=speaker_id,
        typicality=typicality,
    )
