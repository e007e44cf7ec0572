"""Passages: what `recover` transcribes before the last cut, so that clips end where sentences do.

A passage is speech of one voice that fits the window of an ASR model. Passages are scored and transcribed as clips are;
then `segment` cuts them where a sentence ends, and `transcribe` takes the text of a clip from that of its passages.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import IO, Any

import numpy as np
import pyarrow as pa

from speechmill.audio import encode_flac
from speechmill.audio.cutting import FRAMES_PER_S, NO_FRAMES, Frames, passages, place_changes
from speechmill.core.build import Build
from speechmill.core.config import RunConfig
from speechmill.core.footers import DecodeFooter
from speechmill.core.records import PASSAGE_ARTIFACT, SEGMENT_ARTIFACT, Status, stable_id
from speechmill.core.store import add_footer
from speechmill.speakers.turns import Voices
from speechmill.stages.base import Isolated, RecordingStage
from speechmill.stages.decode import Decoded, decode_work, outcome_of
from speechmill.stages.sound import PcmSound
from speechmill.stages.turns import detect_turns, with_turns
from speechmill.stages.work import Outcome, WorkItem

GROUP_ROWS = 32  # rows in a row group of the artifact: at most 45 MB of audio are in memory


class Passages(RecordingStage):
    """Passages of a recording as FLAC, with the speech activity and the level of every 10 ms."""

    name = "passages"
    version = 3  # audio/
    after = ("turns",)
    artifact = PASSAGE_ARTIFACT
    execution = Isolated()
    typical_speed = 100.0

    def settings(self, config: RunConfig) -> Any:
        """How media are decoded; None where clips are cut without the words."""
        if not config.cuts_at_sentences:
            return None
        return config.audio.model_dump(exclude={"stall_timeout_s"}, mode="json"), config.segment.vad, config.turns.cut

    def speed(self, config: RunConfig) -> float | None:
        """Turns are detected on the way."""
        return with_turns(self.typical_speed, config)

    def process(self, element: WorkItem, build: Build) -> Outcome:
        """Decode a recording once, and store its passages."""
        name, store = build.artifact(self.name, element.content_id), build.store
        if not store.is_done(name):
            return decode_work(element, build, lambda decoded, pcm: _store(decoded, pcm, element.content_id, build))
        footer, segments = store.footer(name, DecodeFooter), build.segments(element.content_id)
        if footer.status is Status.FAILED and not store.exists(segments):  # the settings of `segment` are others now
            store.write_table(segments, SEGMENT_ARTIFACT.empty_table(), footer)
        return outcome_of("reused", footer)


def _store(decoded: Decoded, pcm: IO[bytes], content_id: str, build: Build) -> DecodeFooter:
    """Store the passages of a decoded recording, and what lies between them; returns the footer."""
    rate, profile = build.config.audio.sample_rate, str(build.profiles[Passages.name])
    voices = detect_turns(pcm, decoded.speech, content_id, build)
    places = passages(decoded.speech, changes_of(decoded, voices, build))
    seconds = int((places[:, 1] - places[:, 0]).sum()) / FRAMES_PER_S
    sound, footer = PcmSound(pcm), replace(decoded.footer, breaks=tuple(decoded.breaks), clip_seconds=seconds)
    name = build.artifact(Passages.name, content_id)
    with build.store.parquet(name, PASSAGE_ARTIFACT) as writer:
        stretches = list(_cover(places, decoded.speech.size))
        for at in range(0, len(stretches), GROUP_ROWS):
            rows = []
            for first, last, is_passage in stretches[at : at + GROUP_ROWS]:
                start, end = (min(frame * rate // FRAMES_PER_S, decoded.samples) for frame in (first, last))
                row: dict[str, Any] = {"start": start, "end": end}
                row |= {name: getattr(decoded, name)[first:last].tobytes() for name in ("speech", "levels")}
                if is_passage:
                    row["clip_id"] = stable_id(content_id, str(start), str(end), profile)
                    row["flac"] = encode_flac(sound.read(start, end), rate)
                rows.append(row)
            writer.write_table(pa.Table.from_pylist(rows, schema=PASSAGE_ARTIFACT))
        add_footer(writer, footer)
    return footer


def _cover(places: Frames, frames: int) -> Iterator[tuple[int, int, bool]]:
    """First frame, end and whether it is a passage, of the passages and of all that lies between."""
    at = 0
    for first, last in places.tolist():
        if first > at:
            yield at, first, False
        yield first, last, True
        at = last
    if at < frames:
        yield at, frames, False


def changes_of(decoded: Decoded, voices: Voices | None, build: Build) -> Frames:
    """Frames at which a recording is cut since the voice changes, int64[n]."""
    if voices is None or not build.config.turns.cut:
        return NO_FRAMES
    return place_changes(voices.labels, decoded.speech, decoded.levels)


def read_passages(content_id: str, build: Build) -> Decoded:
    """The decoded recording, from the artifact of its passages."""
    name = build.artifact(Passages.name, content_id)
    rows, footer = build.store.read(name, ["speech", "levels"]), build.store.footer(name, DecodeFooter)
    speech, levels = (b"".join(rows[column].to_pylist()) for column in ("speech", "levels"))
    return Decoded(
        speech=np.frombuffer(speech, np.bool_), levels=np.frombuffer(levels, np.float32),
        breaks=list(footer.breaks), footer=replace(footer, breaks=()),
    )  # fmt: skip
