"""Base of the stages that run an ASR model on clips or passages."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, ClassVar

from speechmill import asr
from speechmill.audio import resample
from speechmill.core import plugins
from speechmill.core.build import Build
from speechmill.core.config import RunConfig, profile_of
from speechmill.core.models import FindModel, ModelRef, find_device, model_file, model_in_folder
from speechmill.core.records import TRANSCRIPT_ARTIFACT
from speechmill.core.store import Store
from speechmill.stages.base import Clips, ClipStage, Row

WHISPER_TINY_SPEED = 30.0
# Cost relative to tiny, from the table of relative speeds in OpenAI's README of Whisper.
WHISPER_COST = {"tiny": 1.0, "base": 10 / 7, "small": 10 / 4, "medium": 10 / 2, "large": 10.0, "turbo": 10 / 8}


class Hypotheses(ClipStage):
    """Base of stages that run an ASR model: hypotheses, word times and confidences."""

    version = 3
    artifact = TRANSCRIPT_ARTIFACT
    key: ClassVar[str] = "model"  # of the section `asr`

    def settings(self, config: RunConfig) -> Any:
        """Language, beam size, compute type, and the weight of a language model."""
        section = config.asr
        if getattr(section, self.key) is None:
            return None
        weight = None if section.language_model is None else section.language_model_weight
        return section.language, section.beam_size, asr.arithmetic(section, find_device(config.device)), weight

    def models(self, config: RunConfig, store: Store, find_model: FindModel) -> tuple[ModelRef, ...]:
        """The ASR model, and the language model if one is configured."""
        name, key = getattr(config.asr, self.key), f"asr.{self.key}"
        folder = find_model(name, key)
        backend = plugins.asr_backend(folder)
        model = model_in_folder(key, name, folder, store, every_file=backend is not None)
        if backend is not None:  # another backend may give another text from the same files
            model = replace(model, sha256=profile_of(model.sha256, backend.name, backend.version))
        if config.asr.language_model is None:
            return (model,)
        path = Path(config.asr.language_model).expanduser()
        return model, model_file("asr.language_model", config.asr.language_model, path)

    def speed(self, config: RunConfig) -> float | None:
        """Speed by the size of a Whisper model, if its name has one; else that of base."""
        model = getattr(config.asr, self.key)
        return WHISPER_TINY_SPEED / next((cost for name, cost in WHISPER_COST.items() if name in model), 10 / 7)

    def rows(self, clips: Clips, build: Build) -> list[Row]:
        """Rows with the hypothesis of each clip, or the error of the model."""
        config = build.config
        waves = [resample(clip, config.audio.sample_rate, asr.SAMPLE_RATE_HZ) for clip in clips.values()]
        (folder,) = build.models[self.name][0].files
        model = asr.load(folder, config.asr, build.device, asr.arithmetic(config.asr, build.device))
        transcripts = model.transcribe(waves)
        return [
            {"clip_id": clip_id, **asdict(transcript)} for clip_id, transcript in zip(clips, transcripts, strict=True)
        ]
