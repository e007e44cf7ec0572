"""Segment: from media to spans and clips, in one pass over the audio."""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from typing import IO, Any, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from speechmill.audio import DECODER_BYTES, Mix, UnskippableError, encode_flac, mixdown_name, to_int16
from speechmill.audio.cutting import NO_FRAMES, gate, place_changes, spans
from speechmill.audio.vad import Listener
from speechmill.core import guards
from speechmill.core.build import Build
from speechmill.core.columns import UNIT, Column, at_most, steps
from speechmill.core.config import RunConfig
from speechmill.core.config import Segment as SegmentRules
from speechmill.core.reasons import Reason
from speechmill.core.records import SEGMENT_ARTIFACT, RejectedError, Span, SpanKind, Status, stable_id
from speechmill.core.store import Store, add_footer
from speechmill.speakers.turns import Voices, clip_voices
from speechmill.stages.base import Isolated, RecordingStage
from speechmill.stages.spans import Stretch, decoding_of
from speechmill.stages.turns import TYPICAL_SPEED, detect_turns
from speechmill.stages.work import Outcome, WorkItem

Activity = tuple[npt.NDArray[np.bool_], npt.NDArray[np.float32]]  # speech or not, and level, of each hop

MAX_REMARKS = 5
PROFILES = get_args(SegmentRules.model_fields["profile"].annotation)
GROUP_SPANS = 32  # spans in a row group of the artifact: at most 20 MB of audio are in memory
SHORT_RATIO = 0.98  # decoded over declared duration; encoders and containers disagree by less than 2 %


class Segment(RecordingStage):
    """Spans of a recording, and its clips as FLAC."""

    name = "segment"
    version = 7  # audio/
    after = ("turns",)
    artifact = SEGMENT_ARTIFACT
    columns = (
        Column("voices", pa.int8(), "voices that speak for half a second or more, estimated", "", steps(0, 5, 1),
               at_most("voices", Reason.TWO_VOICES)),
        Column("score_turn", pa.float32(), "probability of half a second or more of a second voice", "", UNIT,
               at_most("turn", Reason.TWO_VOICES)),
        Column("turn_id", pa.int32(), "number of the turn in its recording"),
    )  # fmt: skip
    execution = Isolated()
    typical_speed = 100.0

    def settings(self, config: RunConfig) -> Any:
        """How media are decoded and cut."""
        decoding = config.audio.model_dump(exclude={"stall_timeout_s"}, mode="json")
        return decoding, config.segment, config.turns.cut

    def columns_in(self, config: RunConfig) -> tuple[Column, ...]:
        """None where turns are not detected."""
        return () if config.turns.model is None else self.columns

    def speed(self, config: RunConfig) -> float | None:
        """Turns are detected on the way."""
        if config.turns.model is None:
            return self.typical_speed
        return 1 / (1 / self.typical_speed + 1 / TYPICAL_SPEED)

    def read(self, content_id: str, build: Build, columns: list[str] | None = None) -> pa.Table:
        """Rows of clips and other spans; all columns but the sound, where none are named."""
        return super().read(content_id, build, columns or [name for name in SEGMENT_ARTIFACT.names if name != "flac"])

    def process(self, element: WorkItem, build: Build) -> Outcome:
        """Decode a recording once, cut it, and store its spans with the clips."""
        return segment_media(element, build)


def segment_media(work: WorkItem, build: Build) -> Outcome:
    """Decode a recording once, cut it, and store its spans with the clips as FLAC."""
    name, store = build.segments(work.content_id), build.store
    if not store.is_done(name):
        try:
            with _open_media(work, store) as media:
                return _segment(media, work, build)
        except RejectedError as error:
            return note_failure(work, build, error)
        except MemoryError:
            return note_failure(work, build, RejectedError(Reason.TOO_BIG, "decoding it takes over 1 GiB of memory"))
    state = "reused" if store.footer(name)["status"] == Status.OK else "failed"
    return _segment_outcome(state, store.footer(name))


def note_failure(work: WorkItem, build: Build, error: RejectedError) -> Outcome:
    """Store the failure of a recording."""
    facts = {"status": Status.FAILED, "reason": error.reason, "detail": error.detail, "retry": error.retry}
    build.store.write_failure(build.segments(work.content_id), SEGMENT_ARTIFACT, facts)
    return _segment_outcome("failed", facts)


def _segment_outcome(state: str, facts: dict[str, Any]) -> Outcome:
    """Outcome by the footer of an artifact."""
    reason = Reason(facts["reason"]) if facts.get("reason") else None
    seconds, kept = facts.get("seconds", 0.0), facts.get("clip_seconds", 0.0)
    return Outcome(
        state="failed" if reason else state, seconds_in=seconds, seconds_kept=kept, reason=reason,
        detail=facts.get("detail") or "",
    )  # fmt: skip


@contextmanager
def _open_media(work: WorkItem, store: Store) -> Iterator[IO[bytes]]:
    """Open the media of an item. Raises RejectedError if they are gone."""
    try:
        opened = open(work.media, "rb") if work.is_local else store.open(f"work/media/{work.sha256 or work.content_id}")  # noqa: SIM115
    except OSError as error:
        cause = "" if isinstance(error, FileNotFoundError) else f": {error.strerror or error}"
        detail = f"the media are gone since they were fetched{cause}"
        raise RejectedError(Reason.NOT_FOUND, detail, retry=True) from None
    with opened as file:
        yield file


def _segment(media: IO[bytes], work: WorkItem, build: Build) -> Outcome:
    """Decode, cut and store opened media."""
    rate, rules = build.config.audio.sample_rate, build.config.segment
    # The decoded audio waits on disk, not in memory, for the cuts: the background level that they depend on
    # is known only at the end, and an utterance may be as long as the recording.
    with tempfile.TemporaryFile(dir=build.store.temporary_folder()) as pcm:
        stretch, mixes, (marks, levels) = _decode_with_best_mix(media, work, pcm, build)
        breaks = [*stretch.breaks, *_truncated_end(stretch)]
        voices = detect_turns(pcm, marks, work.content_id, build)
        is_cut = voices is not None and build.config.turns.cut
        changes = place_changes(voices.labels, marks, levels) if voices is not None and is_cut else NO_FRAMES
        cut = partial(spans, marks, levels, samples=stretch.samples, rate=rate, breaks=breaks, changes=changes)
        segments = cut(rules=rules)
        facts = _facts(stretch, segments, mixes)
        facts["clip_samples_by_profile"] = {
            profile: _clip_samples(cut(rules=rules.model_copy(update={"profile": profile}))) for profile in PROFILES
        }
        _write_segments(pcm, segments, facts, voices, content_id=work.content_id, build=build)
    return _segment_outcome("done", facts)


def _decode_with_best_mix(
    media: IO[bytes], work: WorkItem, pcm: IO[bytes], build: Build
) -> tuple[Stretch, tuple[Mix, ...], Activity]:
    """Decode to int16 PCM with the mean of the channels, and again with a better mix if that loses speech."""
    limits, mixes, may_skip = build.config.audio, tuple[Mix, ...](), True
    while True:
        decoding = decoding_of(media, limits, mixes, from_s=work.span[0] if work.span and may_skip else 0.0)
        stretch = Stretch(decoding, work.span)
        try:
            activity = _decode(stretch, pcm, build)
        except UnskippableError:  # before any audio was decoded
            may_skip = False
            continue
        better = stretch.decoding.decided_mixes()
        if mixes or all(mix.is_default for mix in better):
            return stretch, better, activity
        mixes = better
        pcm.seek(0)
        pcm.truncate()


def _decode(stretch: Stretch, pcm: IO[bytes], build: Build) -> Activity:
    """Decode a stretch once: PCM to the file, speech activity and levels as the result."""
    listener = Listener(build.config.segment.vad, stretch.decoding.rate)
    with guards.watchdog(build.config.audio.stall_timeout_s) as alive, guards.memory_limited(DECODER_BYTES):
        for block in stretch:
            if block.size:
                listener.hear(block)
                pcm.write(to_int16(block).tobytes())
            alive()
    marks, levels = listener.finish()
    return (gate(marks, levels) if listener.detector.gated else marks), levels


def _truncated_end(stretch: Stretch) -> list[int]:
    """The end, in samples, of a recording that is shorter than declared, where speech is cut off; else none."""
    ratio = None if stretch.is_cut else stretch.decoding.decoded_ratio
    return [stretch.samples] if ratio is not None and ratio < SHORT_RATIO and stretch.decoding.is_cut else []


def _facts(stretch: Stretch, segments: Sequence[Span], mixes: Sequence[Mix]) -> dict[str, Any]:
    """Footer of the artifact: results of decoding, and remarks."""
    decoding = stretch.decoding
    remarks = [decoding.shortfall] if _truncated_end(stretch) else []
    remarks += decoding.remarks
    remarks += [mix.remark for mix in mixes if mix.remark]
    return {
        "status": Status.OK,
        "retry": False,
        "container": decoding.container,
        "codec": decoding.codec,
        "source_sample_rate": decoding.source_rate,
        "source_channels": decoding.channels,
        "declared_duration_s": decoding.declared_duration_s if stretch.span is None else None,
        "decoded_samples": stretch.samples,
        "bad_packets": decoding.bad_packets,
        "mixdown": mixdown_name(mixes),
        "detail": "; ".join(remarks[:MAX_REMARKS]) or None,
        "seconds": stretch.samples / decoding.rate,
        "clip_seconds": _clip_samples(segments) / decoding.rate,
    }


def _clip_samples(segments: Iterable[Span]) -> int:
    return sum(span.samples for span in segments if span.kind is SpanKind.CLIP)


def _write_segments(
    pcm: IO[bytes],
    segments: Sequence[Span],
    facts: dict[str, Any],
    voices: Voices | None,
    *,
    content_id: str,
    build: Build,
) -> None:
    """Write spans, with the FLAC of clips cut from the PCM file, and the footer."""
    rate = build.config.audio.sample_rate
    with build.store.parquet(build.segments(content_id), SEGMENT_ARTIFACT, compression={"flac": "none"}) as writer:
        for at in range(0, len(segments), GROUP_SPANS):
            rows = []
            for span in segments[at : at + GROUP_SPANS]:
                row: dict[str, Any] = {"start": span.start, "end": span.end, "kind": span.kind}
                if span.kind is SpanKind.CLIP:
                    pcm.seek(2 * span.start)
                    flac = encode_flac(np.frombuffer(pcm.read(2 * span.samples), np.int16), rate)
                    identity = stable_id(content_id, str(span.start), str(span.end), str(build.profiles["segment"]))
                    row |= {"clip_id": identity, "flac_bytes": len(flac), "flac": flac}
                    row |= asdict(clip_voices(voices, span.start / rate, span.end / rate)) if voices else {}
                rows.append(row)
            writer.write_table(pa.Table.from_pylist(rows, schema=SEGMENT_ARTIFACT))
        add_footer(writer, facts)
