"""Decodes a recording once: to PCM, speech activity, and facts about the media."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

import numpy as np
import numpy.typing as npt

from speechmill.audio import DECODER_BYTES, Mix, UnskippableError, mixdown_name, to_int16
from speechmill.audio.cutting import gate
from speechmill.audio.vad import Listener
from speechmill.core import guards, pulse
from speechmill.core.build import Build
from speechmill.core.footers import DecodeFooter
from speechmill.core.reasons import Reason
from speechmill.core.records import PASSAGE_ARTIFACT, SEGMENT_ARTIFACT, RejectedError, Status
from speechmill.core.store import Store
from speechmill.stages.spans import Stretch, decoding_of
from speechmill.stages.work import Outcome, WorkItem

Activity = tuple[npt.NDArray[np.bool_], npt.NDArray[np.float32]]  # speech or not, and level, of each hop

MAX_REMARKS = 5
CUTTING_SHARE = 0.1  # of the time for a recording, for the live view: to cut it, and to encode its clips
DECODING_SHARE = 0.2  # … of the rest, where turns are detected: 100 x real time beside their 25
SHORT_RATIO = 0.98  # decoded over declared duration; encoders and containers disagree by less than 2 %


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """A decoded recording, without its sound. Equal media give equal values."""

    speech: npt.NDArray[np.bool_]
    """bool[frames], VAD marks of each 10 ms."""
    levels: npt.NDArray[np.float32]
    """float32[frames], level of each 10 ms in dBFS."""
    breaks: list[int]
    """Samples at which packets were lost, or speech is cut off."""
    footer: DecodeFooter
    """Results of decoding, for the footer of an artifact."""

    @property
    def samples(self) -> int:
        """Length in samples at the corpus rate."""
        return self.footer.decoded_samples or 0


@contextmanager
def open_media(work: WorkItem, store: Store) -> Iterator[IO[bytes]]:
    """Open the media of an item. Raises RejectedError if they are gone."""
    try:
        opened = open(work.media, "rb") if work.is_local else store.open(f"work/media/{work.sha256 or work.content_id}")  # noqa: SIM115
    except OSError as error:
        cause = "" if isinstance(error, FileNotFoundError) else f": {error.strerror or error}"
        detail = f"the media are gone since they were fetched{cause}"
        raise RejectedError(Reason.NOT_FOUND, detail, retry=True) from None
    with opened as file:
        yield file


def decode(media: IO[bytes], work: WorkItem, pcm: IO[bytes], build: Build) -> Decoded:
    """Decode opened media to int16 PCM at the corpus rate, which is written to `pcm`. Raises RejectedError."""
    stretch, mixes, (speech, levels) = _decode_with_best_mix(media, work, pcm, build)
    breaks = [int(at) for at in (*stretch.breaks, *_truncated_end(stretch))]
    return Decoded(speech=speech, levels=levels, breaks=breaks, footer=_footer(stretch, mixes))


def decode_work(work: WorkItem, build: Build, use: Callable[[Decoded, IO[bytes]], DecodeFooter]) -> Outcome:
    """Decode the media of an item, and store what `use` makes of them, or the failure.

    Args:
        work: The item.
        build: The build.
        use: Takes the decoded recording and its int16 PCM at the corpus rate, and returns the footer of what it stored.
    """
    try:
        # The decoded audio waits on disk, not in memory, for the cuts: the background level that they depend on
        # is known only at the end, and an utterance may be as long as the recording.
        with (
            open_media(work, build.store) as media,
            tempfile.TemporaryFile(dir=build.store.temporary_folder()) as pcm,
        ):
            return outcome_of("done", use(decode(media, work, pcm, build), pcm))
    except RejectedError as error:
        return note_failure(work, build, error)
    except MemoryError:
        return note_failure(work, build, RejectedError(Reason.TOO_BIG, "decoding it takes over 1 GiB of memory"))


def note_failure(work: WorkItem, build: Build, error: RejectedError) -> Outcome:
    """Store the failure of a recording, with all stages that decode it."""
    footer = DecodeFooter(status=Status.FAILED, reason=error.reason, detail=error.detail, retry=error.retry)
    if build.runs("passages"):
        build.store.write_table(build.artifact("passages", work.content_id), PASSAGE_ARTIFACT.empty_table(), footer)
    build.store.write_table(build.segments(work.content_id), SEGMENT_ARTIFACT.empty_table(), footer)
    return outcome_of("failed", footer)


def outcome_of(state: str, footer: DecodeFooter) -> Outcome:
    """Outcome by the footer of an artifact."""
    return Outcome(
        state="failed" if footer.reason else state, seconds_in=footer.seconds, seconds_kept=footer.clip_seconds,
        reason=footer.reason, detail=footer.detail or "",
    )  # fmt: skip


def _decode_with_best_mix(
    media: IO[bytes], work: WorkItem, pcm: IO[bytes], build: Build
) -> tuple[Stretch, tuple[Mix, ...], Activity]:
    """Decode to int16 PCM with the mean of the channels, and again with a better mix if that loses speech."""
    limits, mixes, may_skip = build.config.audio, tuple[Mix, ...](), True
    while True:
        decoding = decoding_of(media, limits, mixes, from_s=work.span[0] if work.span and may_skip else 0.0)
        stretch = Stretch(decoding, work.span)
        try:
            activity = _decode_stretch(stretch, pcm, build)
        except UnskippableError:  # before any audio was decoded
            may_skip = False
            continue
        better = stretch.decoding.decided_mixes()
        if mixes or all(mix.is_default for mix in better):
            return stretch, better, activity
        mixes = better
        pcm.seek(0)
        pcm.truncate()


def _decode_stretch(stretch: Stretch, pcm: IO[bytes], build: Build) -> Activity:
    """Decode a stretch once: PCM to the file, speech activity and levels as the result."""
    listener = Listener(build.config.segment.vad, stretch.decoding.rate)
    with guards.watchdog(build.config.audio.stall_timeout_s) as alive, guards.memory_limited(DECODER_BYTES):
        for number, block in enumerate(stretch):
            if number == 0:
                pulse.expect(stretch.decoding.declared_duration_s if stretch.span is None else None)
            if block.size:
                listener.hear(block)
                pcm.write(to_int16(block).tobytes())
                pulse.add(block.size / stretch.decoding.rate * share_of_decoding(build))
            alive()
    marks, levels = listener.finish()
    return (gate(marks, levels) if listener.detector.gated else marks), levels


def share_of_decoding(build: Build) -> float:
    """Share of the time for a recording that decoding takes."""
    return (1 - CUTTING_SHARE) * (DECODING_SHARE if build.runs("turns") else 1.0)


def share_of_turns(of_them: float = 1.0) -> float:
    """Share of the time for a recording that its turns take, or a part of them."""
    return (1 - CUTTING_SHARE) * (1 - DECODING_SHARE) * of_them


def _truncated_end(stretch: Stretch) -> list[int]:
    """The end, in samples, of a recording that is shorter than declared, where speech is cut off; else none."""
    ratio = None if stretch.is_cut else stretch.decoding.decoded_ratio
    return [stretch.samples] if ratio is not None and ratio < SHORT_RATIO and stretch.decoding.is_cut else []


def _footer(stretch: Stretch, mixes: Sequence[Mix]) -> DecodeFooter:
    """Results of decoding, and remarks."""
    decoding = stretch.decoding
    remarks = [decoding.shortfall] if _truncated_end(stretch) else []
    remarks += decoding.remarks
    remarks += [mix.remark for mix in mixes if mix.remark]
    return DecodeFooter(
        container=decoding.container,
        codec=decoding.codec,
        source_sample_rate=decoding.source_rate,
        source_channels=decoding.channels,
        declared_duration_s=decoding.declared_duration_s if stretch.span is None else None,
        decoded_samples=stretch.samples,
        bad_packets=decoding.bad_packets,
        mixdown=mixdown_name(mixes),
        detail="; ".join(remarks[:MAX_REMARKS]) or None,
        seconds=stretch.samples / decoding.rate,
    )
