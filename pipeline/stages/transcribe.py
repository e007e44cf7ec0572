"""Transcribe: from the selected clips to text, for those that have none yet."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict

import pyarrow as pa

from pipeline import fetch, transcribe
from pipeline.audio import decode_flac, resample
from pipeline.build import Build
from pipeline.publish.ledger import read_transcripts
from pipeline.records import TRANSCRIPT_ARTIFACT
from pipeline.stages.score import clip_durations, selected
from pipeline.stages.work import Outcome, Work

PART_CLIPS = 256  # clips of a transcript artifact: what a crash costs at most


def transcribe_clips(work: Work, build: Build) -> Outcome:
    """Transcribe the selected clips that have no transcript yet, in parts that a crash cannot take back."""
    durations = clip_durations(work.content_id, build)
    wanted = set(selected(work, build))
    known = set(read_transcripts(work.content_id, build)["clip_id"].to_pylist())
    seconds = sum(durations[clip_id] for clip_id in wanted)
    missing = wanted - known
    for part in _parts(work.content_id, missing, build):
        if build.is_stopping():
            raise fetch.Stopped
        _transcribe_part(part, work.content_id, build)
    new = sum(durations[clip_id] for clip_id in missing)
    return Outcome(state="done" if missing else "reused", seconds_in=new if missing else seconds, seconds_kept=seconds)


def _parts(content_id: str, clip_ids: set[str], build: Build) -> Iterator[list[tuple[str, bytes]]]:
    """Clips to transcribe with their FLAC, PART_CLIPS at a time."""
    part: list[tuple[str, bytes]] = []
    if not clip_ids:
        return
    for batch in build.store.batches(build.segments(content_id), ["clip_id", "flac"]):
        part += [(row["clip_id"], row["flac"]) for row in batch.to_pylist() if row["clip_id"] in clip_ids]
        while len(part) >= PART_CLIPS:
            yield part[:PART_CLIPS]
            part = part[PART_CLIPS:]
    if part:
        yield part


def _transcribe_part(part: Sequence[tuple[str, bytes]], content_id: str, build: Build) -> None:
    config = build.config
    waves = {c: resample(decode_flac(f), config.audio.sample_rate, transcribe.SAMPLE_RATE_HZ) for c, f in part}
    long_to_short = sorted(waves, key=lambda clip_id: (-waves[clip_id].size, clip_id))
    assert build.model is not None
    recogniser = transcribe.load(build.model, config.transcribe, build.device, build.compute_type)
    heard = recogniser.transcribe([waves[clip_id] for clip_id in long_to_short])
    rows = [{"clip_id": clip_id, **asdict(text)} for clip_id, text in zip(long_to_short, heard, strict=True)]
    identity = hashlib.sha256("".join(sorted(waves)).encode()).hexdigest()[:16]
    name = f"{build.transcripts(content_id)}/{identity}.parquet"
    build.store.write_table(name, pa.Table.from_pylist(rows, schema=TRANSCRIPT_ARTIFACT), {"retry": False})
