"""Embed: from the selected clips to embeddings of the voices in them, for those that have none yet."""

from collections.abc import Iterable
from typing import Any

from speechmill import speakers
from speechmill.audio import resample
from speechmill.core.build import Build
from speechmill.core.config import ConfigError
from speechmill.core.records import EMBEDDING_ARTIFACT
from speechmill.publish.ledger import read_embeddings
from speechmill.stages.parts import Clips, Making


def _known(content_id: str, build: Build) -> Iterable[str]:
    clip_ids: list[str] = read_embeddings(content_id, build)["clip_id"].to_pylist()
    return clip_ids


def _embeddings_of(clips: Clips, build: Build) -> list[dict[str, Any]]:
    assert build.config.speakers.model is not None
    embedder = _load(build.config.speakers.model, build.device)
    waves = [resample(clip, build.config.audio.sample_rate, speakers.SAMPLE_RATE_HZ) for clip in clips.values()]
    return [{"clip_id": clip_id, "embedding": row} for clip_id, row in zip(clips, embedder.embed(waves), strict=True)]


def _load(model: str, device: str) -> speakers.Embedder:
    try:
        return speakers.load(model, device)
    except (ModuleNotFoundError, ValueError) as error:
        raise ConfigError(f"speakers.model: {error}") from None


EMBEDDINGS = Making(known=_known, folder=Build.embeddings, make=_embeddings_of, schema=EMBEDDING_ARTIFACT)
