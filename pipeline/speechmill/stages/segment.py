"""Segment: from media to spans and clips, in one pass over the audio."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import IO, Any, get_args

import pyarrow as pa

from speechmill.audio import encode_flac
from speechmill.audio.cutting import spans
from speechmill.audio.sentences import TimedText
from speechmill.core.build import Build
from speechmill.core.columns import UNIT, Column, at_most, steps
from speechmill.core.config import RunConfig, profile_of
from speechmill.core.config import Segment as SegmentRules
from speechmill.core.footers import DecodeFooter
from speechmill.core.models import ModelRef
from speechmill.core.reasons import Reason
from speechmill.core.records import SEGMENT_ARTIFACT, Span, SpanKind, stable_id
from speechmill.core.store import add_footer
from speechmill.speakers.turns import Voices, clip_voices
from speechmill.stages.base import Isolated, RecordingStage
from speechmill.stages.decode import Decoded, decode_work, outcome_of
from speechmill.stages.passage_texts import PassageCrossCheck, PassageTexts, text_digest, timed_texts
from speechmill.stages.passages import changes_of, read_passages
from speechmill.stages.sound import PassageSound, PcmSound, Sound
from speechmill.stages.turns import detect_turns, stored_turns, with_turns
from speechmill.stages.work import Outcome, WorkItem

PROFILES = get_args(SegmentRules.model_fields["profile"].annotation)
EXAMPLE_KINDS = (SpanKind.TOO_SHORT, SpanKind.TOO_LONG)
EXAMPLES, EXAMPLE_S = 2, 12.0  # of each kind in a recording, and how much of each: 1 MB at most
GROUP_SPANS = 32  # spans in a row group of the artifact: at most 20 MB of audio are in memory


class Segment(RecordingStage):
    """Spans of a recording, and its clips as FLAC."""

    name = "segment"
    version = 10  # audio/
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

    def profile(self, config: RunConfig, models: tuple[ModelRef, ...], before: Mapping[str, str | None]) -> str | None:
        """Profile, by the texts of passages too where clips are cut by them."""
        own = super().profile(config, models, before)
        texts = [before[name] for name in (PassageTexts.name, PassageCrossCheck.name) if before.get(name) is not None]
        return f"{own}-{profile_of(*texts)}" if texts else own

    def columns_in(self, config: RunConfig) -> tuple[Column, ...]:
        """None where turns are not detected."""
        return () if config.turns.model is None else self.columns

    def speed(self, config: RunConfig) -> float | None:
        """Turns are detected on the way, where passages were not made before."""
        if config.cuts_at_sentences:
            return None
        return with_turns(self.typical_speed, config)

    def read(self, content_id: str, build: Build, columns: list[str] | None = None) -> pa.Table:
        """Rows of clips and other spans; all columns but the sound, where none are named."""
        return super().read(content_id, build, columns or [name for name in SEGMENT_ARTIFACT.names if name != "flac"])

    def process(self, element: WorkItem, build: Build) -> Outcome:
        """Cut a recording, and store its spans with the clips."""
        return cut_passages(element, build) if build.runs("passages") else segment_media(element, build)


def segment_media(work: WorkItem, build: Build) -> Outcome:
    """Decode a recording once, cut it, and store its spans with the clips as FLAC."""
    name, store = build.segments(work.content_id), build.store
    if store.is_done(name):
        return outcome_of("reused", store.footer(name, DecodeFooter))

    def cut(decoded: Decoded, pcm: IO[bytes]) -> DecodeFooter:
        voices = detect_turns(pcm, decoded.speech, work.content_id, build)
        return _cut(decoded, PcmSound(pcm), voices, (), content_id=work.content_id, build=build)

    return decode_work(work, build, cut)


def cut_passages(work: WorkItem, build: Build) -> Outcome:
    """Cut the passages of a recording where sentences end, by what was transcribed of them."""
    name, store, content_id = build.segments(work.content_id), build.store, work.content_id
    texts = text_digest(content_id, build)
    if store.is_done(name):
        footer = store.footer(name, DecodeFooter)
        if footer.texts in (texts, None):  # None: a failure
            return outcome_of("reused", footer)
        _drop_dependents(content_id, build)  # a licence was allowed meanwhile, say, and there are texts now
    decoded = read_passages(content_id, build)
    decoded = replace(decoded, footer=replace(decoded.footer, texts=texts))
    sound, voices = PassageSound(content_id, build), stored_turns(content_id, build)
    footer = _cut(decoded, sound, voices, timed_texts(content_id, build), content_id=content_id, build=build)
    return outcome_of("done", footer)


def _cut(
    decoded: Decoded, sound: Sound, voices: Voices | None, texts: Sequence[TimedText], *, content_id: str, build: Build
) -> DecodeFooter:
    """Cut a decoded recording, and store its spans; returns the footer."""
    rate, rules = build.config.audio.sample_rate, build.config.segment
    changes = changes_of(decoded, voices, build)
    cut = partial(
        spans, decoded.speech, decoded.levels, samples=decoded.samples, rate=rate, breaks=decoded.breaks,
        changes=changes, texts=texts,
    )  # fmt: skip
    segments = cut(rules=rules)
    by_profile = {name: _clip_samples(cut(rules=rules.model_copy(update={"profile": name}))) for name in PROFILES}
    seconds = _clip_samples(segments) / rate
    footer = replace(decoded.footer, clip_seconds=seconds, clip_samples_by_profile=by_profile)
    _write_segments(sound, segments, footer, voices, content_id=content_id, build=build)
    return footer


def _drop_dependents(content_id: str, build: Build) -> None:
    """Delete what other stages made of the clips of a content, before it is cut in another way."""
    from speechmill.stages.flow import STAGES  # imports this module

    names = [stage.name for stage in STAGES]
    for name in names[names.index(Segment.name) + 1 :]:
        if build.runs(name):
            build.store.remove(build.artifact(name, content_id))
            build.store.remove(build.parts(name, content_id))


def _clip_samples(segments: Iterable[Span]) -> int:
    return sum(span.samples for span in segments if span.kind is SpanKind.CLIP)


def _write_segments(
    sound: Sound,
    segments: Sequence[Span],
    footer: DecodeFooter,
    voices: Voices | None,
    *,
    content_id: str,
    build: Build,
) -> None:
    """Write spans, with the FLAC of clips and of a few utterances that are none, and the footer."""
    rate = build.config.audio.sample_rate
    examples = Counter[SpanKind]()
    with build.store.parquet(build.segments(content_id), SEGMENT_ARTIFACT) as writer:
        for at in range(0, len(segments), GROUP_SPANS):
            rows = []
            for span in segments[at : at + GROUP_SPANS]:
                row: dict[str, Any] = {"start": span.start, "end": span.end, "kind": span.kind}
                if span.kind is SpanKind.CLIP:
                    flac = encode_flac(sound.read(span.start, span.end), rate)
                    identity = stable_id(content_id, str(span.start), str(span.end), str(build.profiles["segment"]))
                    row |= {"clip_id": identity, "flac_bytes": len(flac), "flac": flac}
                    row |= asdict(clip_voices(voices, span.start / rate, span.end / rate)) if voices else {}
                elif span.kind in EXAMPLE_KINDS and examples[span.kind] < EXAMPLES:
                    examples[span.kind] += 1
                    row["flac"] = _example(sound, span, rate)
                rows.append(row)
            writer.write_table(pa.Table.from_pylist(rows, schema=SEGMENT_ARTIFACT))
        add_footer(writer, footer)


def _example(sound: Sound, span: Span, rate: int) -> bytes | None:
    """FLAC of the first EXAMPLE_S of an utterance that became no clip, for the report; None if it is not at hand."""
    try:
        return encode_flac(sound.read(span.start, min(span.end, span.start + round(EXAMPLE_S * rate))), rate)
    except ValueError:  # no passage has it
        return None
