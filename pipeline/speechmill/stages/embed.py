"""Embed: from selected clips to speaker embeddings."""

from typing import Any

from speechmill import speakers
from speechmill.audio import resample
from speechmill.core.build import Build
from speechmill.core.config import RunConfig
from speechmill.core.config_errors import ConfigError
from speechmill.core.models import FindModel, ModelRef, model_file
from speechmill.core.records import EMBEDDING_ARTIFACT
from speechmill.core.store import Store
from speechmill.stages.base import Clips, ClipStage, InProcess, Row


class Embed(ClipStage):
    """Speaker embeddings."""

    name = "embed"
    version = 2  # speakers/
    artifact = EMBEDDING_ARTIFACT
    typical_speed = 60.0
    execution = InProcess(on_gpu=True)

    def settings(self, config: RunConfig) -> Any:
        """No settings: the model determines the result."""
        return None if config.speakers.model is None else ()

    def models(self, config: RunConfig, store: Store, find_model: FindModel) -> tuple[ModelRef, ...]:
        """The speaker model."""
        name = str(config.speakers.model)
        files = speakers.files_of(name)
        if len(files) > 1 and config.speakers.threshold is None:  # ECAPA-TDNN: a checkpoint of unknown calibration
            fix = "fit them with: python -m tests.benchmarks.speakers --data DIR --model FOLDER"
            raise ConfigError(f"speakers.threshold, speakers.slope: not known for {name}; {fix}")
        return (model_file("speakers.model", name, *files),)

    def rows(self, clips: Clips, build: Build) -> list[Row]:
        """Rows with an embedding for each clip."""
        embedder = _load(str(build.config.speakers.model), build.device)
        waves = [resample(clip, build.config.audio.sample_rate, speakers.SAMPLE_RATE_HZ) for clip in clips.values()]
        embeddings = embedder.embed(waves)
        return [{"clip_id": clip_id, "embedding": row} for clip_id, row in zip(clips, embeddings, strict=True)]


def _load(model: str, device: str) -> speakers.Embedder:
    """Load a speaker model. Raises ConfigError."""
    try:
        return speakers.load(model, device)
    except (ModuleNotFoundError, ValueError) as error:
        raise ConfigError(f"speakers.model: {error}") from None
