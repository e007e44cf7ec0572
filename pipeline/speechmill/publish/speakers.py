"""Clusters the kept clips of a whole corpus by speaker.

Clusters depend on all kept clips, so this is repeated for each publication, from stored embeddings; no model runs.
Embeddings are read for each recording in turn: memory holds only ids and positions of clips.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

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
from speechmill.stages import EMBED, SPEAKERS

COLUMNS = pa.schema([column.field for column in SPEAKERS.columns])

Row = dict[str, Any]


@dataclass(slots=True)
class _Recording:
    """The kept clips of a recording that have an embedding, clustered within the recording."""

    recording_id: str
    content_id: str
    places: list[Row]  # clip_id, start, end
    cluster_of: Indices  # cluster of each of `places`
    clusters: Clusters | None  # None without clips


@dataclass(frozen=True, slots=True)
class Assigned:
    """The speaker of each kept clip of a corpus, and the recordings of the validation split."""

    clips: dict[str, dict[str, Row]]  # columns of SPEAKERS by recording_id and clip_id
    held_out: frozenset[str]

    def add_to(self, decided: DecidedGroup) -> None:
        """Set speakers and splits of a group."""
        decided.splits = [VALIDATION if one.recording_id in self.held_out else TRAIN for one in decided.recordings]
        by_clip = [self.clips.get(one.recording_id, {}) for one in decided.recordings]
        pairs = zip(decided.recording.tolist(), decided.places["clip_id"].to_pylist(), strict=True)
        rows = [by_clip[at].get(clip_id, {}) for at, clip_id in pairs]
        decided.speakers = pa.Table.from_pylist(rows, schema=COLUMNS)


def assign(
    groups: Iterable[DecidedGroup], hold_out: Callable[[list[str], list[str]], frozenset[str]], build: Build
) -> Assigned:
    """Cluster all kept clips by speaker; choose conditioning clips and splits.

    `hold_out` chooses the recordings of the validation split, given the recording and the speaker of each clip.
    """
    settings = build.config.speakers
    calibration = (
        CAMPPLUS
        if settings.threshold is None or settings.slope is None
        else Calibration(threshold=settings.threshold, slope=settings.slope)
    )
    recordings = [recording for decided in groups for recording in _recordings(decided, calibration, build)]
    found = iter(cluster_speakers([recording.clusters for recording in recordings if recording.clusters], calibration))
    speakers = [next(found) if recording.clusters else [] for recording in recordings]
    spoken = [clip for pair in zip(recordings, speakers, strict=True) for clip in _spoken(*pair, build)]
    conditioning = choose(spoken)
    held_out = hold_out([clip.recording_id for clip in spoken], [clip.speaker_id for clip in spoken])
    clips = {
        recording.recording_id: {
            place["clip_id"]: {
                "speaker_id": own[cluster].speaker_id,
                "speaker_purity": own[cluster].purity,
                "conditioning_clip_ids": conditioning[place["clip_id"]],
            }
            for place, cluster in zip(recording.places, recording.cluster_of, strict=True)
        }
        for recording, own in zip(recordings, speakers, strict=True)
    }
    return Assigned(clips, held_out)


def _recordings(decided: DecidedGroup, calibration: Calibration, build: Build) -> Iterator[_Recording]:
    """Cluster the kept clips of each recording of a group that has clips."""
    kept = decided.places.select(["recording", "clip_id", "start", "end"]).filter(pa.array(decided.decision.kept))
    places: dict[int, list[Row]] = {at: [] for at in np.unique(decided.recording).tolist()}
    for row in kept.to_pylist():
        places[row.pop("recording")].append(row)
    for at, rows in places.items():
        recording = decided.recordings[at]
        content_id = recording.content_id or ""
        embeddings = _embeddings(content_id, build)
        embedded = [row for row in rows if row["clip_id"] in embeddings]
        if not embedded:
            yield _Recording(recording.recording_id, content_id, [], np.zeros(0, np.intp), None)
            continue
        names = [row["clip_id"] for row in embedded]
        cluster_of, clusters = cluster_clips(names, np.stack([embeddings[name] for name in names]), calibration)
        yield _Recording(recording.recording_id, content_id, embedded, cluster_of, clusters)


def _embeddings(content_id: str, build: Build) -> dict[str, Float32]:
    """Embeddings of the clips of a content by clip_id, float32[dimensions] each."""
    table = EMBED.read(content_id, build)
    rows = np.array(table["embedding"].to_pylist(), np.float32)
    return dict(zip(table["clip_id"].to_pylist(), rows, strict=True))


def _spoken(recording: _Recording, speakers: list[Speaker], build: Build) -> Iterator[Spoken]:
    """The clips of a recording for the choice of conditioning clips; `speakers` has the speaker of each cluster."""
    embeddings = _embeddings(recording.content_id, build)
    rate = build.config.audio.sample_rate
    for place, cluster in zip(recording.places, recording.cluster_of, strict=True):
        yield Spoken(
            clip_id=place["clip_id"],
            recording_id=recording.recording_id,
            start_s=place["start"] / rate,
            end_s=place["end"] / rate,
            speaker_id=speakers[cluster].speaker_id,
            typicality=round(float(embeddings[place["clip_id"]] @ speakers[cluster].mean), 4),
        )
