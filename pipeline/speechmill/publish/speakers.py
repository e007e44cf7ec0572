"""Clusters the kept clips of a whole corpus by who speaks in them, before it is published.

What a speaker is depends on all clips that are kept now, so this is done anew for each publication, from embeddings
that are stored: no model runs. Of a clip not more is held in memory than its names and its place.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from speechmill.core.build import Build
from speechmill.decide.splits import TRAIN, VALIDATION
from speechmill.publish.decided import Decided
from speechmill.speakers import Float32
from speechmill.speakers.clusters import CAMPPLUS, Calibration, Clusters, Indices, Speaker, find_speakers, find_voices
from speechmill.speakers.conditioning import Spoken, choose
from speechmill.speakers.split import validation
from speechmill.stages import EMBED, SPEAKERS

COLUMNS = pa.schema([column.field for column in SPEAKERS.columns])

Row = dict[str, Any]


@dataclass(slots=True)
class _Recording:
    """The kept clips of a recording that have an embedding, and the cluster of each within it."""

    recording_id: str
    content_id: str
    places: list[Row]  # clip_id, start, end
    cluster_of: Indices
    clusters: Clusters | None  # None without a clip


@dataclass(frozen=True, slots=True)
class Assigned:
    """Who speaks in each kept clip of a corpus, and which recordings are held out."""

    clips: dict[str, dict[str, Row]]  # columns of SPEAKERS by recording_id and clip_id
    held_out: frozenset[str]

    def add_to(self, decided: Decided) -> None:
        """Let a group know its speakers, and the splits that follow from them."""
        decided.splits = [VALIDATION if one.recording_id in self.held_out else TRAIN for one in decided.recordings]
        by_clip = [self.clips.get(one.recording_id, {}) for one in decided.recordings]
        pairs = zip(decided.recording.tolist(), decided.places["clip_id"].to_pylist(), strict=True)
        rows = [by_clip[at].get(clip_id, {}) for at, clip_id in pairs]
        decided.speakers = pa.Table.from_pylist(rows, schema=COLUMNS)


def assign(groups: Iterable[Decided], build: Build) -> Assigned:
    """Find the speakers of all kept clips, choose conditioning and split."""
    chosen = build.config.speakers
    calibration = (
        CAMPPLUS
        if chosen.threshold is None or chosen.slope is None
        else Calibration(threshold=chosen.threshold, slope=chosen.slope)
    )
    recordings = [one for decided in groups for one in _recordings(decided, calibration, build)]
    found = iter(find_speakers([one.clusters for one in recordings if one.clusters], calibration))
    speakers = [next(found) if one.clusters else [] for one in recordings]
    spoken = [clip for one, own in zip(recordings, speakers, strict=True) for clip in _spoken(one, own, build)]
    conditioning = choose(spoken)
    held_out = validation(
        [clip.recording_id for clip in spoken],
        [clip.speaker_id for clip in spoken],
        share=build.config.publish.validation_share,
    )
    clips = {
        one.recording_id: {
            place["clip_id"]: {
                "speaker_id": own[cluster].speaker_id,
                "speaker_purity": own[cluster].purity,
                "conditioning_clip_ids": conditioning[place["clip_id"]],
            }
            for place, cluster in zip(one.places, one.cluster_of, strict=True)
        }
        for one, own in zip(recordings, speakers, strict=True)
    }
    return Assigned(clips, frozenset(held_out))


def _recordings(decided: Decided, calibration: Calibration, build: Build) -> Iterator[_Recording]:
    """Recordings of a group that have clips, with the clusters of those that are kept."""
    kept = decided.places.select(["recording", "clip_id", "start", "end"]).filter(pa.array(decided.decision.kept))
    places: dict[int, list[Row]] = {at: [] for at in np.unique(decided.recording).tolist()}
    for row in kept.to_pylist():
        places[row.pop("recording")].append(row)
    for at, rows in places.items():
        recording = decided.recordings[at]
        content_id = recording.content_id or ""
        embeddings = _embeddings(content_id, build)
        known = [row for row in rows if row["clip_id"] in embeddings]
        if not known:
            yield _Recording(recording.recording_id, content_id, [], np.zeros(0, np.intp), None)
            continue
        names = [row["clip_id"] for row in known]
        found = find_voices(names, np.stack([embeddings[name] for name in names]), calibration)
        yield _Recording(recording.recording_id, content_id, known, *found)


def _embeddings(content_id: str, build: Build) -> dict[str, Float32]:
    table = EMBED.read(content_id, build)
    rows = np.array(table["embedding"].to_pylist(), np.float32)
    return dict(zip(table["clip_id"].to_pylist(), rows, strict=True))


def _spoken(recording: _Recording, speakers: list[Speaker], build: Build) -> Iterator[Spoken]:
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
