"""Trains an ASR model with case and punctuation: `speechmill train asr`."""

import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file

from speechmill.asr.wav2vec2 import Wav2Vec2
from speechmill.core.config import Asr
from speechmill.core.version import __version__
from speechmill.training.asr.evaluate import evaluate
from speechmill.training.asr.material import Plain, Progress, Recipe, gather
from speechmill.training.asr.metrics import FIGURES
from speechmill.training.asr.references import References
from speechmill.training.asr.trainer import Trainer
from speechmill.training.inputs import Clip

__all__ = ["METRICS_FILE", "Recipe", "train"]

METRICS_FILE, CARD_FILE, STATE_FILE = "metrics.json", "README.md", "state/training.safetensors"
FILES = (  # at the top of the output, transformers' own among them
    *(METRICS_FILE, CARD_FILE, "config.json", "model.safetensors", "preprocessor_config.json", "vocab.json"),
    *("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
)
PROGRESS_S, SAVE_S = 5.0, 300.0
CURVE_POINTS, CURVE_CLIPS = 50, 32
CARD = """---
{front}
---

# {name}

Writes speech as text with case and punctuation. Trained by speechmill {version} from {begun}, {steps} steps of
{batch_size} clips, seed {seed}.

Characters: `{characters}` and the space. Too rare to be learnt: {lost}.

## Data

{listed}

Of {hours:.2f} hours, {clips} clips of {speakers} speakers were learnt from, {held_out_clips} held out by {parted_by}.
Licences, as far as they are stated: {stated}.

## Figures on what was held out

| | | of |
|---|---|---|
{rows}

More in metrics.json and held-out/asr.html.
"""


def train(recipe: Recipe, output: Path, *, device: str, progress: Progress = print) -> Plain:
    """Train a model, write it to a folder for asr.model, and return the content of its METRICS_FILE.

    An interrupted run continues from STATE_FILE. On a CPU the same recipe gives the same weights.

    Args:
        recipe: What to train on, and how.
        output: Folder to write to.
        device: cpu or cuda.
        progress: Called with messages.

    Raises:
        ValueError: Clips cannot be used.
        OSError: Clips cannot be read.
        ConfigError: The base cannot be used.
    """
    material = gather(recipe, progress)
    trainer = Trainer(recipe, material, device)
    settings = json.loads(recipe.model_dump_json()) | {"inputs": [path.name for path in recipe.inputs]}
    if recipe.base is not None and Path(recipe.base).is_dir():
        settings["base"] = Path(recipe.base).resolve().name
    checkpoint = Checkpoint(
        output / STATE_FILE, settings | {"clips": len(material.learnt), "characters": trainer.tokens}
    )
    curve = _fit(trainer, material.held_out, checkpoint, progress)
    trainer.save(output)
    report: Plain = {
        "recipe": settings, "data": material.summary, "characters": "".join(material.characters),
        "packages": {name: version(name) for name in ("torch", "transformers")},
        "held_out": _measured(material.held_out, output, device, progress), "curve": curve,
    }  # fmt: skip
    (output / METRICS_FILE).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    (output / CARD_FILE).write_text(card(report, output.name), encoding="utf-8")
    return report


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A file with the state of a run, and its recipe and clips."""

    path: Path
    made_from: Plain

    def restore(self, trainer: Trainer) -> list[Plain]:
        """Restore the state if the file exists; returns the curve so far. Raises ValueError for another run's state."""
        if not self.path.exists():
            return []
        with safe_open(self.path, "pt") as file:
            saved = json.loads(file.metadata()["told"])
            differing = [key for key, value in self.made_from.items() if saved["made_from"].get(key) != value]
            if differing:
                folder = self.path.parents[1]
                raise ValueError(f"{folder} holds a run with another {', '.join(differing)}; give another --output")
            trainer.restore({name: file.get_tensor(name) for name in file.keys()}, saved["step"])  # noqa: SIM118 - no dict
        curve: list[Plain] = saved["curve"]
        return curve

    def keep(self, trainer: Trainer, curve: list[Plain]) -> None:
        """Write to a temporary file, then rename it, so that a crash leaves a complete file."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        metadata = json.dumps({"made_from": self.made_from, "step": trainer.step, "curve": curve})
        unfinished = self.path.with_suffix(".tmp")
        save_file(trainer.state(), unfinished, {"told": metadata})
        os.replace(unfinished, self.path)


def _fit(trainer: Trainer, held_out: Sequence[Clip], checkpoint: Checkpoint, progress: Progress) -> list[Plain]:
    """Take the remaining steps; returns the loss curve."""
    steps, curve_clips = trainer.recipe.steps, held_out[:: max(1, len(held_out) // CURVE_CLIPS)][:CURVE_CLIPS]
    curve = checkpoint.restore(trainer)
    reported = saved = time.monotonic()
    with ThreadPoolExecutor(1) as reader:
        ahead = reader.submit(trainer.batch, trainer.step)
        while trainer.step < steps:
            batch, ahead = ahead.result(), reader.submit(trainer.batch, trainer.step + 1)
            loss = trainer.learn(batch)
            if trainer.step % max(1, steps // CURVE_POINTS) == 0:
                curve.append({"step": trainer.step, "loss": loss, "held_out": trainer.judge(curve_clips)})
            if time.monotonic() - reported > PROGRESS_S:
                reported = time.monotonic()
                progress(f"train: step {trainer.step} of {steps}, loss {loss:.4f}")
            if time.monotonic() - saved > SAVE_S:
                checkpoint.keep(trainer, curve)
                saved = time.monotonic()
    checkpoint.keep(trainer, curve)
    return curve


def _measured(clips: tuple[Clip, ...], output: Path, device: str, progress: Progress) -> Plain:
    """Figures of the trained model on held-out clips, greedily decoded; details are in a separate folder."""
    if not clips:
        return {}
    model = Wav2Vec2(str(output), Asr(beam_size=1), device)
    report = evaluate(
        References(kind="held out", name="held out", clips=clips), model, output / "held-out",
        about={"model": output.name, "beam": 1}, progress=progress,
    )  # fmt: skip
    return {key: report[key] for key in ("clips", "hours", "speakers", "shown", "figures")}


def card(report: Plain, name: str) -> str:
    """README of a trained model: output, training data and figures."""
    from huggingface_hub import ModelCardData

    recipe, data, figures = report["recipe"], report["data"], report["held_out"].get("figures", {})
    front = ModelCardData(
        language=recipe["language"], base_model=recipe["base"], library_name="transformers",
        pipeline_tag="automatic-speech-recognition", tags=["speech", "ctc", "punctuation", "speechmill"],
    )  # fmt: skip
    return CARD.format(
        front=front.to_yaml(), name=name, version=__version__, characters=report["characters"], **recipe | data,
        begun=recipe["base"] or "first weights drawn by chance",
        listed="\n".join(f"- {item['name']} ({item['kind']}): {item['clips']} clips" for item in data["inputs"]),
        stated=", ".join(f"{licence} ({clips} clips)" for licence, clips in data["licences"].items()),
        lost=", ".join(f"`{c}` ({times} times)" for c, times in data["dropped"].items()) or "none",
        rows="\n".join(
            f"| {FIGURES[key]} | {100 * item['value']:.1f} % | {item['of']} |" for key, item in figures.items()
        ),
    )  # fmt: skip
