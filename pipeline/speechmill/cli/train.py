"""The commands `train …`: each reads a recipe, writes a folder, and resumes where it was stopped."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from speechmill.cli.commands import Commands
from speechmill.cli.errors import config_errors
from speechmill.cli.options import (
    device_option,
    json_option,
    new_folder_option,
    quiet_option,
    recipe_argument,
    set_option,
)
from speechmill.cli.output import print_result

if TYPE_CHECKING:
    from pydantic import BaseModel

TRAIN_DEFECTS_EXAMPLES = """
\b
Examples:
  speechmill train defects recipe.yaml --output my-models
  speechmill train defects recipe.yaml --output my-models --set hours=100 --set epochs=20
  speechmill run --input recordings/ --set defects.weights=my-models/defects.safetensors
"""
TRAIN_MEL_TOKENS_EXAMPLES = """
\b
Examples:
  speechmill train mel-tokens --set inputs='[corpus, recordings]' --output my-tokens
  speechmill train mel-tokens recipe.yaml --output my-tokens --set steps=50000 --set codes=1024
  speechmill train mel-tokens --from-pairs pairs.jsonl --set codebook=dvae.pth --output recovered
  speechmill train mel-tokens --from-pairs pairs.jsonl --set embedding=autoregressive.pth --output recovered
"""
TRAIN_ASR_EXAMPLES = """
\b
Examples:
  speechmill train asr LibriTTS/train-clean-100 hi_fi_tts_v0 --base facebook/wav2vec2-large-robust --output ctc
  speechmill train asr corpus --base ctc --output better --steps 5000 --set learning_rate=3e-5
  speechmill train asr spoken.jsonl --output small --set hidden=128 --set layers=4
  speechmill run --input recordings/ --set asr.cross_check=ctc
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """Options of a command `train …`."""

    output: str  # folder to write
    recipe: str | None = None  # path of the recipe file
    settings: Sequence[str] = ()  # key=value changes to the recipe
    device: str = "auto"
    quiet: bool = False

    def run(
        self, kind: type["BaseModel"], train: Callable[..., dict[str, Any]], names: Collection[str], **keys: Any
    ) -> dict[str, Any]:
        """Read the recipe and train; returns the report of the training.

        Args:
            kind: The pydantic model of the recipe.
            train: Function of (recipe, folder, device=…, progress=…).
            names: Files and folders at the top of the output that the training writes.
            **keys: Keys of the recipe that have options of their own.

        Raises:
            ConfigError: The recipe is wrong, or one of `names` exists and is not ours.
        """
        from speechmill.core import config_file
        from speechmill.core.models import find_device
        from speechmill.runner.statusline import StatusLine
        from speechmill.training.outputs import claim

        recipe = config_file.read(kind, self.recipe, self.settings, **keys)
        folder: Path = claim(self.output, names)
        with StatusLine(quiet=self.quiet) as line:
            return train(recipe, folder, device=find_device(self.device), progress=line)


@click.group(cls=Commands)
def train() -> None:
    """Train the models that a run uses."""


@train.command("defects", epilog=TRAIN_DEFECTS_EXAMPLES)
@recipe_argument
@new_folder_option
@set_option
@device_option
@quiet_option
@json_option
def defects(as_json: bool, **options: Any) -> int:
    """Train the defect classifiers from manifests of speech, noise, music and rooms; goes on where it was stopped."""
    print_result(train_defects(Training(**options)), as_json=as_json)
    return 0


@train.command("mel-tokens", epilog=TRAIN_MEL_TOKENS_EXAMPLES)
@recipe_argument
@new_folder_option
@click.option(
    "--from-pairs",
    "pairs",
    multiple=True,
    metavar="CORPUS|PAIRS.jsonl",
    help="Recover a lost encoder from sound with its tokens. May be repeated.",
)
@set_option
@device_option
@quiet_option
@json_option
def mel_tokens(pairs: tuple[str, ...], as_json: bool, **options: Any) -> int:
    """Train a dVAE that turns speech into mel tokens; goes on where it was stopped."""
    training = Training(**options)
    print_result(recover_encoder(training, pairs) if pairs else train_mel_tokens(training), as_json=as_json)
    return 0


@train.command("asr", epilog=TRAIN_ASR_EXAMPLES)
@click.argument("data", metavar="DATA...", nargs=-1, required=True)
@new_folder_option
@click.option("--base", metavar="FOLDER|NAME", help="Model to start from, such as a wav2vec 2.0.  [default: none]")
@click.option("--steps", type=click.IntRange(1), help="Batches to train on.  [default: 20000]")
@click.option("--seed", type=click.IntRange(0), help="Seed of all random choices.  [default: 1]")
@set_option
@device_option
@quiet_option
@json_option
def asr_model(
    data: tuple[str, ...], base: str | None, steps: int | None, seed: int | None, as_json: bool, **options: Any
) -> int:
    """Train an ASR model that writes case and punctuation; goes on where it was stopped.

    DATA are folders of LibriSpeech, LibriTTS, HiFi-TTS, LJSpeech or Common Voice, corpora and JSONL manifests.
    """
    keys = {"inputs": data, "base": base, "steps": steps, "seed": seed}
    print_result(train_asr(Training(**options), **keys), as_json=as_json)
    return 0


def train_defects(training: Training) -> dict[str, Any]:
    """Train the defect classifiers; returns the path of the weights, and AUC and threshold of each defect."""
    with config_errors():
        from functools import partial

        from speech_defects.train import REPORT_FILE, WEIGHTS_FILE, Recipe, train

        from speechmill.core.processes import usable_cores

        names = (WEIGHTS_FILE, REPORT_FILE, "clips", "calibration", "checkpoints")
        report = training.run(Recipe, partial(train, workers=usable_cores()), names)
    defects = report["calibration"].items()
    return {
        "weights": f"{training.output}/{WEIGHTS_FILE}",
        "auc_held_out": {name: round(figures["auc_against_clean"], 4) for name, figures in defects},
        "thresholds": {name: figures["threshold"] for name, figures in defects},
    }


def train_mel_tokens(training: Training) -> dict[str, Any]:
    """Train a dVAE of mel spectrograms; returns the path of the weights, and its figures on held-out speech."""
    with config_errors():
        from speechmill.training.tokens.train import REPORT_FILE, STATE_FILE, WEIGHTS_FILE, Recipe, train

        report = training.run(Recipe, train, (WEIGHTS_FILE, REPORT_FILE, STATE_FILE, "sound", "test"))
    return {"weights": f"{training.output}/{WEIGHTS_FILE}", "held_out": report.get("held_out")}


def recover_encoder(training: Training, pairs: Sequence[str]) -> dict[str, Any]:
    """Recover the encoder of a dVAE from sound with its tokens; returns its path, hours of sound, and test figures."""
    with config_errors():
        from speechmill.training.tokens import recover_encoder as recovery

        files = (recovery.WEIGHTS_FILE, recovery.REPORT_FILE, recovery.STATE_FILE)
        names = (*files, "pairs", "good", "test")
        report = training.run(recovery.Recipe, recovery.recover_encoder, names, pairs=tuple(pairs))
    return {"weights": f"{training.output}/{recovery.WEIGHTS_FILE}", "hours": report["hours"], "test": report["test"]}


def train_asr(training: Training, **keys: Any) -> dict[str, Any]:
    """Train a network with a CTC head; returns its folder, and its figures on held-out clips.

    `keys` are those of the recipe: `inputs`, `base`, `steps`, `seed`.
    """
    with config_errors():
        from speechmill.training.asr.train import FILES, METRICS_FILE, Recipe, train

        report = training.run(Recipe, train, (*FILES, "state", "held-out"), **keys)
    figures = {name: round(figure["value"], 4) for name, figure in report["held_out"].get("figures", {}).items()}
    return {"model": training.output, "held_out": figures, "metrics": f"{training.output}/{METRICS_FILE}"}
