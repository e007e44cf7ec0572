"""Transcribe: from the selected clips to text, for those that have none yet."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from pipeline import transcribe
from pipeline.audio import resample
from pipeline.build import Build
from pipeline.publish.ledger import read_transcripts
from pipeline.records import TRANSCRIPT_ARTIFACT
from pipeline.stages.parts import Clips, Making


def _known(content_id: str, build: Build) -> Iterable[str]:
    clip_ids: list[str] = read_transcripts(content_id, build)["clip_id"].to_pylist()
    return clip_ids


def _transcripts_of(clips: Clips, build: Build) -> list[dict[str, Any]]:
    config = build.config
    waves = [resample(clip, config.audio.sample_rate, transcribe.SAMPLE_RATE_HZ) for clip in clips.values()]
    assert build.model is not None
    recogniser = transcribe.load(build.model, config.transcribe, build.device, build.compute_type)
    heard = recogniser.transcribe(waves)
    return [{"clip_id": clip_id, **asdict(text)} for clip_id, text in zip(clips, heard, strict=True)]


TRANSCRIPTS = Making(known=_known, folder=Build.transcripts, make=_transcripts_of, schema=TRANSCRIPT_ARTIFACT)
