"""Base of the stages that run an ASR model on clips or passages."""

import itertools
from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from speechmill import asr
from speechmill.asr.known_languages import check_language
from speechmill.audio import resample
from speechmill.core import plugins
from speechmill.core.build import Build
from speechmill.core.config import RunConfig, profile_of
from speechmill.core.config_errors import ConfigError
from speechmill.core.models import FindModel, ModelRef, find_device, model_file, model_in_folder, sha256_of_folder
from speechmill.core.records import TRANSCRIPT_ARTIFACT
from speechmill.core.store import Store
from speechmill.fetch import model_folder
from speechmill.stages.base import Clips, ClipStage, InProcess, Row

WHISPER_TINY_SPEED = 30.0
# Cost relative to tiny, from the table of relative speeds in OpenAI's README of Whisper.
WHISPER_COST = {"tiny": 1.0, "base": 10 / 7, "small": 10 / 4, "medium": 10 / 2, "large": 10.0, "turbo": 10 / 8}


class Hypotheses(ClipStage):
    """Base of stages that run an ASR model: hypotheses, word times and confidences."""

    version = 3
    artifact = TRANSCRIPT_ARTIFACT
    key: ClassVar[str] = "model"  # of the section `asr`
    execution = InProcess(min_ram_gb=8, on_gpu=True)  # 3 GB of weights of Whisper large, converted while they are read

    def settings(self, config: RunConfig) -> Any:
        """Language, beam size, compute type, and the weight of a language model."""
        section = config.asr
        if getattr(section, self.key) is None:
            return None
        weight = None if section.language_model is None else section.language_model_weight
        return section.language, section.beam_size, section.arithmetic(find_device(config.device)), weight

    def models(self, config: RunConfig, store: Store, find_model: FindModel) -> tuple[ModelRef, ...]:
        """The ASR model, and the language model if one is configured."""
        name, key = getattr(config.asr, self.key), f"asr.{self.key}"
        folder = find_model(name, key)
        model = model_in_folder(key, name, folder, store, every_file=plugins.asr_backend(folder) is not None)
        model = replace(model, sha256=_with_backend(model.sha256, folder))
        if config.asr.language_model is None:
            return (model,)
        path = Path(config.asr.language_model).expanduser()
        return model, model_file("asr.language_model", config.asr.language_model, path)

    def check(self, build: Build) -> None:
        """Raise ConfigError for a language that the ASR model does not know."""
        for model in build.models[self.name][:1]:
            if model.files:  # empty where only an earlier run used it
                check_language(Path(model.files[0]), build.config.asr.language, model.key)

    def speed(self, config: RunConfig) -> float | None:
        """Speed by the size of a Whisper model, if its name has one; else that of base."""
        model = getattr(config.asr, self.key)
        return WHISPER_TINY_SPEED / next((cost for name, cost in WHISPER_COST.items() if name in model), 10 / 7)

    def rows(self, clips: Clips, build: Build) -> list[Row]:
        """Rows with the hypothesis of each clip, or the error of the model."""
        return list(itertools.chain.from_iterable(self.in_parts(clips, build)))

    def in_parts(self, clips: Clips, build: Build) -> Iterator[list[Row]]:
        """Rows as the model makes them: it sorts all clips by length, and decodes them in batches."""
        config, clip_ids = build.config, list(clips)
        waves = [resample(clip, config.audio.sample_rate, asr.SAMPLE_RATE_HZ) for clip in clips.values()]
        folder = folder_of(build.models[self.name][0])
        model = asr.load(folder, config.asr, build.device, config.asr.arithmetic(build.device))
        for part in asr.transcribe_in_parts(model, waves):
            yield [{"clip_id": clip_ids[i], **asdict(transcript)} for i, transcript in part.items()]


def _with_backend(sha256: str, folder: Path) -> str:
    """Digest of a model and the plug-in that loads it: another one may give another text from the same files."""
    backend = plugins.asr_backend(folder)
    return sha256 if backend is None else profile_of(sha256, backend.name, backend.version)


@lru_cache(maxsize=2)
def folder_of(model: ModelRef) -> str:
    """Folder of a model on this machine; where the reference has no path, it is looked for by name, once.

    Raises ConfigError if it is not here, or is another one than the run was planned with.
    """
    if model.files:
        return model.files[0]
    folder = model_folder(model.name, model.key)
    found = _with_backend(sha256_of_folder(folder, every_file=plugins.asr_backend(folder) is not None), folder)
    if found != model.sha256:
        fix = "give all machines the same files"
        raise ConfigError(f"{model.key}: {model.name} on a worker is another model than where the run began; {fix}")
    return str(folder)
