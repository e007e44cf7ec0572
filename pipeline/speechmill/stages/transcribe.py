"""Transcribe: from the selected clips to text, for those that have none yet; and what a second recogniser hears."""

from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import partial
from operator import attrgetter
from typing import Any

from speechmill import asr
from speechmill.audio import resample
from speechmill.core.build import Build
from speechmill.core.records import TRANSCRIPT_ARTIFACT
from speechmill.publish.ledger import read_cross_checks, read_transcripts
from speechmill.stages.parts import Clips, Making


def _known(content_id: str, build: Build, read: Callable[[str, Build], Any]) -> Iterable[str]:
    clip_ids: list[str] = read(content_id, build)["clip_id"].to_pylist()
    return clip_ids


def _transcripts_of(clips: Clips, build: Build, model: Callable[[Build], str]) -> list[dict[str, Any]]:
    config = build.config
    waves = [resample(clip, config.audio.sample_rate, asr.SAMPLE_RATE_HZ) for clip in clips.values()]
    recogniser = asr.load(model(build), config.asr, build.device, build.compute_type)
    heard = recogniser.transcribe(waves)
    return [{"clip_id": clip_id, **asdict(text)} for clip_id, text in zip(clips, heard, strict=True)]


TRANSCRIPTS, CROSS_CHECKS = (
    Making(
        known=partial(_known, read=read),
        folder=folder,
        make=partial(_transcripts_of, model=attrgetter(model)),
        schema=TRANSCRIPT_ARTIFACT,
    )
    for read, folder, model in (
        (read_transcripts, Build.transcripts, "model"),
        (read_cross_checks, Build.cross_checks, "cross_check"),
    )
)
