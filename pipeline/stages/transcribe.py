"""Transcribe: from the selected clips to text, for those that have none yet."""

from dataclasses import asdict
from typing import Any

from pipeline import transcribe
from pipeline.audio import resample
from pipeline.build import Build
from pipeline.publish.ledger import read_transcripts
from pipeline.records import TRANSCRIPT_ARTIFACT
from pipeline.stages.parts import Clips, complete
from pipeline.stages.work import Outcome, Work


def transcribe_clips(work: Work, build: Build) -> Outcome:
    """Transcribe the selected clips that have no transcript yet, in parts that a crash cannot take back."""
    known = read_transcripts(work.content_id, build)["clip_id"].to_pylist()
    folder = build.transcripts(work.content_id)
    return complete(work, build, folder, known=known, make=_transcripts_of, schema=TRANSCRIPT_ARTIFACT)


def _transcripts_of(clips: Clips, build: Build) -> list[dict[str, Any]]:
    config = build.config
    waves = {c: resample(clip, config.audio.sample_rate, transcribe.SAMPLE_RATE_HZ) for c, clip in clips.items()}
    long_to_short = sorted(waves, key=lambda clip_id: (-waves[clip_id].size, clip_id))
    assert build.model is not None
    recogniser = transcribe.load(build.model, config.transcribe, build.device, build.compute_type)
    heard = recogniser.transcribe([waves[clip_id] for clip_id in long_to_short])
    return [{"clip_id": clip_id, **asdict(text)} for clip_id, text in zip(long_to_short, heard, strict=True)]
