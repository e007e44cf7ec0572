"""Transcribe: from the clips that pass so far to text with word times; and the same by another model, to check it."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from speechmill import asr
from speechmill.audio import resample
from speechmill.core import plugins
from speechmill.core.build import Build
from speechmill.core.columns import UNIT, Column, at_least, at_most
from speechmill.core.config import RunConfig, profile_of
from speechmill.core.models import FindModel, ModelRef, find_device, model_file, model_in_folder
from speechmill.core.reasons import Reason
from speechmill.core.records import TRANSCRIPT_ARTIFACT
from speechmill.core.store import Store
from speechmill.stages.base import Clips, ClipStage, Row

WHISPER_TINY_SPEED = 30.0
# How much slower than tiny, by the table of relative speeds in OpenAI's README of Whisper.
WHISPER_COST = {"tiny": 1.0, "base": 10 / 7, "small": 10 / 4, "medium": 10 / 2, "large": 10.0, "turbo": 10 / 8}


class Transcribe(ClipStage):
    """Text, word times and confidence by the ASR model."""

    name = "transcribe"
    version = 3
    artifact = TRANSCRIPT_ARTIFACT
    columns: ClassVar[tuple[Column, ...]] = (
        Column("language", pa.string(), "language of the speech", "ISO 639-1"),
        Column("language_probability", pa.float32(), "probability of that language", "", UNIT,
               at_least("language_probability", Reason.LANGUAGE)),
        Column("asr_confidence", pa.float32(), "mean word probability", "", UNIT,
               at_least("asr_confidence", Reason.LOW_CONFIDENCE)),
        Column("no_speech_probability", pa.float32(), "probability, by the ASR model, that nobody speaks", "", (),
               at_most("no_speech", Reason.NO_SPEECH), is_published=False),
    )  # fmt: skip
    key: ClassVar[str] = "model"  # of the section `asr`

    def settings(self, config: RunConfig) -> Any:
        """Language, beam, arithmetic, and the weight of a language model."""
        chosen = config.asr
        if getattr(chosen, self.key) is None:
            return None
        weight = None if chosen.language_model is None else chosen.language_model_weight
        return chosen.language, chosen.beam_size, asr.arithmetic(chosen, find_device(config.device)), weight

    def models(self, config: RunConfig, store: Store, find_model: FindModel) -> tuple[ModelRef, ...]:
        """The ASR model, and a language model where there is one."""
        name, key = getattr(config.asr, self.key), f"asr.{self.key}"
        folder = find_model(name, key)
        backend = plugins.asr_backend(folder)
        found = model_in_folder(key, name, folder, store, every_file=backend is not None)
        if backend is not None:  # the same files in other hands give another text
            found = replace(found, sha256=profile_of(found.sha256, backend.name, backend.version))
        if config.asr.language_model is None:
            return (found,)
        path = Path(config.asr.language_model).expanduser()
        return found, model_file("asr.language_model", config.asr.language_model, path)

    def speed(self, config: RunConfig) -> float:
        """By the size of a Whisper, where its name says so."""
        model = getattr(config.asr, self.key)
        return WHISPER_TINY_SPEED / next((cost for name, cost in WHISPER_COST.items() if name in model), 10 / 7)

    def rows(self, clips: Clips, build: Build) -> list[Row]:
        """Transcribe clips; one that the model fails on has the error in its row."""
        config = build.config
        waves = [resample(clip, config.audio.sample_rate, asr.SAMPLE_RATE_HZ) for clip in clips.values()]
        (folder,) = build.models[self.name][0].files
        model = asr.load(folder, config.asr, build.device, asr.arithmetic(config.asr, build.device))
        transcripts = model.transcribe(waves)
        return [{"clip_id": clip_id, **asdict(one)} for clip_id, one in zip(clips, transcripts, strict=True)]


class CrossCheck(Transcribe):
    """What another ASR model writes: where the two disagree, a text is not trusted."""

    name = "cross_check"
    columns = ()
    key = "cross_check"
