"""The commands: parse, call, print, exit code. No logic."""

import dataclasses
import json
import logging
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from speechmill.core.terminal import Printable, print_uncaught, printable
from speechmill.core.version import __version__

if TYPE_CHECKING:
    from speechmill.core.config import RunConfig
    from speechmill.runner.run import Summary

EXAMPLES = """
\b
Examples:
  speechmill demo --output demo-corpus
  speechmill run --input recordings/ --output corpus
  speechmill run --input https://example.org/feed.xml --output corpus --set transcribe.model=small
  speechmill run podcast.yaml -- --direct_running_mode=multi_processing --direct_num_workers=4
  speechmill select corpus --set thresholds.snr_db=20
"""
PLAIN_WIDTH = 120  # of the end table where there is no terminal

config_argument = click.argument("config_file", metavar="[CONFIG.yaml]", required=False)
input_option = click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="X",
    help="File, folder, manifest, feed, OPML, librivox:, archive: or ytdlp: address. May be repeated.",
)
output_option = click.option("--output", metavar="DIR", help="Folder of the corpus.  [default: corpus]")
set_option = click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change a config key, e.g. thresholds.snr_db=20."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
quiet_option = click.option("--quiet", is_flag=True, help="No progress lines.")
corpus_argument = click.argument("corpus", metavar="DIR")
beam_argument = click.argument("beam_options", nargs=-1, metavar="[-- BEAM OPTIONS]", type=click.UNPROCESSED)
RUN_EXAMPLES = """
\b
Examples:
  speechmill run --input recordings/ --output corpus
  speechmill run --input episode-1.mp3 --input episode-2.mp3 --set segment.profile=recover
  speechmill run --input https://example.org/feed.xml --set transcribe.model=small --set transcribe.language=en
  speechmill run --output corpus        (goes on with the config that the corpus was made with)
  speechmill run podcast.yaml -- --direct_running_mode=multi_processing --direct_num_workers=4

\b
Every config key and its default: schemas/config.schema.json.
Exit codes: 0 done, 1 failed, 2 bad config, 3 more recordings failed than max_failed_ratio, 130 interrupted.
"""


@click.group(epilog=EXAMPLES, context_settings={"max_content_width": 110, "help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="speechmill")
def cli() -> None:
    """Mills hours of audiobooks and podcasts into a speech corpus for text-to-speech models."""


def _config(
    config_file: str | None, inputs: tuple[str, ...], output: str | None, settings: tuple[str, ...]
) -> "RunConfig":
    from speechmill.core import config

    base = None
    if output and not config_file and not inputs:
        from speechmill.core import state

        base = state.stored_config(output)
    return config.load(config_file, settings, base, inputs=inputs, output=output)


@cli.command(epilog=RUN_EXAMPLES)
@config_argument
@beam_argument
@input_option
@output_option
@set_option
@json_option
@quiet_option
def run(
    config_file: str | None,
    beam_options: tuple[str, ...],
    inputs: tuple[str, ...],
    output: str | None,
    settings: tuple[str, ...],
    as_json: bool,
    quiet: bool,
) -> int:
    """Make a corpus, or complete one: what is there is not done again.

    With --output alone, a run goes on with the config that the corpus was made with.
    """
    if config_file and config_file.startswith("--"):
        beam_options, config_file = (config_file, *beam_options), None
    chosen = _config(config_file, inputs, output, settings)

    from speechmill.runner.run import run as run_build

    summary = run_build(chosen, beam_options, quiet=quiet)
    _print_summary(summary, as_json=as_json)
    return summary.exit_code


@cli.command()
@config_argument
@input_option
@output_option
@set_option
@json_option
@quiet_option
def plan(
    config_file: str | None, inputs: tuple[str, ...], output: str | None, settings: tuple[str, ...], as_json: bool,
    quiet: bool,
) -> int:  # fmt: skip
    """What a run would fetch: recordings, hours, licences and the time it may take. Fetches no media."""
    from speechmill.corpus import plan
    from speechmill.runner.progress import Line

    with Line(quiet=quiet) as line:
        found = plan.plan(_config(config_file, inputs, output, settings), line)
    _print(found, as_json=as_json)
    closed = all(entry.get("error") == "removed" for entry in found["inputs"].values())
    return 0 if found["recordings"] or closed else 1


@cli.command()
@click.option("--output", metavar="DIR", default="demo-corpus", show_default=True, help="Folder of the corpus.")
@set_option
@json_option
@quiet_option
def demo(output: str, settings: tuple[str, ...], as_json: bool, quiet: bool) -> int:
    """Make a small podcast on this machine, serve it, and run the whole pipeline on it."""
    from speechmill.core import config
    from speechmill.demo import podcast as podcast
    from speechmill.runner.run import run as run_build

    folder = podcast.folder_in(output)
    podcast.make_podcast(folder)
    with podcast.serve(folder) as url:
        chosen = config.load(None, settings, podcast.CONFIG, inputs=(f"{url}/feed.xml",), output=output)
        summary = run_build(chosen, quiet=quiet)
    _print_summary(summary, as_json=as_json)
    return summary.exit_code


@cli.command()
@corpus_argument
@set_option
@json_option
@quiet_option
def select(corpus: str, settings: tuple[str, ...], as_json: bool, quiet: bool) -> int:
    """Decide again from stored scores with other thresholds, and republish. Runs no model."""
    from speechmill.core import config, state

    chosen = config.load(None, settings, state.stored_config(corpus, required=True), output=corpus)

    from speechmill.runner.run import run as run_build

    summary = run_build(chosen, only_publish=True, quiet=quiet)
    _print_summary(summary, as_json=as_json)
    return summary.exit_code


@cli.command()
@corpus_argument
@json_option
def status(corpus: str, as_json: bool) -> int:
    """What is in a corpus and what is still to be done."""
    from speechmill.corpus.status import status as read_status

    _print(read_status(corpus), as_json=as_json)
    return 0


@cli.command()
@corpus_argument
@click.option("--rows", default=200, show_default=True, help="Clips to recompute from their own audio.")
@json_option
def verify(corpus: str, rows: int, as_json: bool) -> int:
    """Prove that a corpus is whole: files, ledger to the sample, and clips recomputed from their audio."""
    from speechmill.corpus import verify as proof

    found = proof.verify(corpus, rows=rows)
    _print(found, as_json=as_json)
    return 0 if found["ok"] else 1


@cli.command()
@corpus_argument
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@json_option
def prune(corpus: str, dry_run: bool, as_json: bool) -> int:
    """Remove what a finished corpus does not need: media that were decoded, artifacts of other settings."""
    from speechmill.corpus import prune as pruning

    _print(pruning.prune(corpus, dry_run=dry_run), as_json=as_json)
    return 0


REMOVE_EXAMPLES = """
\b
Examples:
  speechmill remove corpus --recording 1f0c… --reason "asked for by the speaker"
  speechmill remove corpus --source https://example.org/feed.xml --reason "withdrawn by the publisher"
  speechmill remove corpus --source https://example.org/        (all that is below this address)
  speechmill remove corpus --person "Jane Doe" --reason "asked for by her" --dry-run

\b
removed.json, beside the corpus, keeps what was removed out of every later run. Local originals are not touched.
"""


@cli.command(epilog=REMOVE_EXAMPLES)
@corpus_argument
@click.option("--recording", "recordings", multiple=True, metavar="ID", help="A recording_id. May be repeated.")
@click.option(
    "--source", "sources", multiple=True, metavar="URL", help="A feed, page or file; with / at its end all below it."
)
@click.option("--person", "persons", multiple=True, metavar="NAME", help="Whoever is named as author or speaker.")
@click.option("--reason", required=True, metavar="TEXT", help="Why; recordings.parquet repeats it.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@json_option
def remove(
    corpus: str, recordings: tuple[str, ...], sources: tuple[str, ...], persons: tuple[str, ...], reason: str,
    dry_run: bool, as_json: bool,
) -> int:  # fmt: skip
    """Take recordings out of a corpus for good, and publish without them."""
    from speechmill.corpus import remove as removal

    kinds: tuple[tuple[Any, tuple[str, ...]], ...] = (
        ("recording", recordings), ("source", sources), ("person", persons),
    )  # fmt: skip
    names = [(kind, value) for kind, values in kinds for value in values]
    _print(removal.remove(corpus, names, reason, dry_run=dry_run), as_json=as_json)
    return 0


TRAIN_EXAMPLES = """
\b
Examples:
  speechmill train defects recipe.yaml --output my-models
  speechmill train defects recipe.yaml --output my-models --set hours=100 --set epochs=20
  speechmill run --input recordings/ --set defects.weights=my-models/defects.safetensors
"""
TRAIN_TOKENS_EXAMPLES = """
\b
Examples:
  speechmill train mel-tokens --set inputs='[corpus, recordings]' --output my-tokens
  speechmill train mel-tokens recipe.yaml --output my-tokens --set steps=50000 --set codes=1024
  speechmill train mel-tokens --from-pairs pairs.jsonl --set codebook=dvae.pth --output recovered
  speechmill train mel-tokens --from-pairs pairs.jsonl --set embedding=autoregressive.pth --output recovered
"""
TRAIN_TRANSCRIBER_EXAMPLES = """
\b
Examples:
  speechmill train transcriber LibriTTS/train-clean-100 hi_fi_tts_v0 --base facebook/wav2vec2-large-robust --output ctc
  speechmill train transcriber corpus --base ctc --output better --steps 5000 --set learning_rate=3e-5
  speechmill train transcriber spoken.jsonl --output small --set hidden=128 --set layers=4
  speechmill run --input recordings/ --set transcribe.second=ctc
"""
EVALUATE_EXAMPLES = """
\b
Examples:
  speechmill degrade recordings.jsonl --output clips --clips 1000
  speechmill evaluate defects clips/manifest.jsonl --output evaluation
  speechmill evaluate defects clips/manifest.jsonl --output evaluation --baseline dnsmos --baseline wada
"""
EVALUATE_TOKENS_EXAMPLES = """
\b
Examples:
  speechmill evaluate mel-tokens recordings --output evaluation
  speechmill evaluate mel-tokens corpus --output evaluation --set tokenise.checkpoint=dvae.pth
"""
EVALUATE_TRANSCRIBER_EXAMPLES = """
\b
Examples:
  speechmill evaluate transcriber spoken.jsonl --output evaluation --set transcribe.model=tiny.en
  speechmill evaluate transcriber LibriSpeech/test-other --output evaluation --limit 500
  speechmill evaluate transcriber corpus --output evaluation        (against its publishers' texts)

\b
A line of a manifest: {"file": "1.wav", "text": "What is said.", "source": "book", "speaker": "ann", "language": "en"}
"""
device_option = click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True, help="Where models run."
)
new_folder_option = click.option("--output", metavar="DIR", required=True, help="Folder to write.")


@cli.group()
def train() -> None:
    """Train the models that a run uses."""


@train.command("defects", epilog=TRAIN_EXAMPLES)
@click.argument("recipe", metavar="RECIPE.yaml", required=False)
@new_folder_option
@set_option
@device_option
@quiet_option
@json_option
def train_defects(
    recipe: str | None, output: str, settings: tuple[str, ...], device: str, quiet: bool, as_json: bool
) -> int:
    """Train the defect classifiers from manifests of speech, noise, music and rooms; goes on where it was stopped."""
    from speechmill.cli import training

    _print(training.train_defects(recipe, settings, output, device=device, quiet=quiet), as_json=as_json)
    return 0


@train.command("mel-tokens", epilog=TRAIN_TOKENS_EXAMPLES)
@click.argument("recipe", metavar="RECIPE.yaml", required=False)
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
def train_mel_tokens(
    recipe: str | None, output: str, pairs: tuple[str, ...], settings: tuple[str, ...], device: str, quiet: bool,
    as_json: bool,
) -> int:  # fmt: skip
    """Train what turns speech into mel tokens; goes on where it was stopped."""
    from speechmill.cli import training

    if pairs:
        found = training.recover_mel_tokens(recipe, pairs, settings, output, device=device, quiet=quiet)
        _print(found, as_json=as_json)
        return 0
    _print(training.train_mel_tokens(recipe, settings, output, device=device, quiet=quiet), as_json=as_json)
    return 0


@train.command("transcriber", epilog=TRAIN_TRANSCRIBER_EXAMPLES)
@click.argument("data", metavar="DATA...", nargs=-1, required=True)
@new_folder_option
@click.option("--base", metavar="FOLDER|NAME", help="What to begin with, such as a wav2vec 2.0.  [default: nothing]")
@click.option("--steps", type=click.IntRange(1), help="Batches to learn from.  [default: 20000]")
@click.option("--seed", type=click.IntRange(0), help="Draws all that is drawn.  [default: 1]")
@set_option
@device_option
@quiet_option
@json_option
def train_transcriber(
    data: tuple[str, ...], output: str, base: str | None, steps: int | None, seed: int | None,
    settings: tuple[str, ...], device: str, quiet: bool, as_json: bool,
) -> int:  # fmt: skip
    """Train a network to write what it hears, cased and punctuated; goes on where it was stopped.

    DATA are folders laid out as LibriTTS, HiFi-TTS, LJSpeech or LibriSpeech, corpora and JSONL manifests.
    """
    from speechmill.cli import training

    found = training.train_transcriber(
        settings, output, device=device, quiet=quiet, inputs=data, base=base, steps=steps, seed=seed
    )
    _print(found, as_json=as_json)
    return 0


@cli.group()
def evaluate() -> None:
    """Measure models on labelled data."""


@evaluate.command("defects", epilog=EVALUATE_EXAMPLES)
@click.argument("manifest", metavar="MANIFEST.jsonl")
@new_folder_option
@click.option(
    "--baseline", "baselines", multiple=True, metavar="NAME", help="Measure this too, or `all`. May be repeated."
)
@click.option("--limit", type=click.IntRange(1), help="Take so many clips, from all over the manifest.")
@set_option
@device_option
@quiet_option
@json_option
def evaluate_defects(
    manifest: str, output: str, baselines: tuple[str, ...], limit: int | None, settings: tuple[str, ...], device: str,
    quiet: bool, as_json: bool,
) -> int:  # fmt: skip
    """Measure the defect classifiers, and others beside them: figures as JSON, plots in one HTML page."""
    from speechmill.cli import training

    chosen = training.Evaluation(manifest=manifest, output=output, baselines=baselines, limit=limit, device=device)
    _print(training.evaluate_defects(chosen, settings, quiet=quiet), as_json=as_json)
    return 0


@evaluate.command("mel-tokens", epilog=EVALUATE_TOKENS_EXAMPLES)
@click.argument("speech", metavar="MANIFEST.jsonl|FOLDER|CORPUS")
@new_folder_option
@click.option("--limit", type=click.IntRange(1), help="Take so many recordings, from all over.")
@set_option
@device_option
@quiet_option
@json_option
def evaluate_mel_tokens(
    speech: str, output: str, limit: int | None, settings: tuple[str, ...], device: str, quiet: bool, as_json: bool
) -> int:
    """Measure mel tokens: error, use of the codes, stability, and the sound that can be made of them."""
    from speechmill.cli import training

    chosen = training.Evaluation(manifest=speech, output=output, limit=limit, device=device)
    _print(training.evaluate_mel_tokens(chosen, settings, quiet=quiet), as_json=as_json)
    return 0


@evaluate.command("transcriber", epilog=EVALUATE_TRANSCRIBER_EXAMPLES)
@click.argument("references", metavar="MANIFEST.jsonl|CORPUS|LIBRISPEECH")
@new_folder_option
@click.option("--limit", type=click.IntRange(1), help="Take so many clips, from all over.")
@set_option
@device_option
@quiet_option
@json_option
def evaluate_transcriber(
    references: str, output: str, limit: int | None, settings: tuple[str, ...], device: str, quiet: bool, as_json: bool
) -> int:
    """Measure transcripts against known texts: errors of words, punctuation and case, and the worst clips to hear."""
    from speechmill.cli import training

    chosen = training.Evaluation(manifest=references, output=output, limit=limit, device=device)
    _print(training.evaluate_transcriber(chosen, settings, quiet=quiet), as_json=as_json)
    return 0


@cli.command(epilog=EVALUATE_EXAMPLES)
@click.argument("manifests", metavar="MANIFEST.jsonl...", nargs=-1, required=True)
@new_folder_option
@click.option("--clips", default=1000, show_default=True, type=click.IntRange(0), help="How many to make.")
@click.option("--seconds", default=(4.0, 15.0), show_default=True, type=(float, float), help="Shortest and longest.")
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0))
@quiet_option
@json_option
def degrade(
    manifests: tuple[str, ...],
    output: str,
    clips: int,
    seconds: tuple[float, float],
    seed: int,
    quiet: bool,
    as_json: bool,
) -> int:
    """Make labelled clips: speech with known noise, music, other voices, rooms and telephones."""
    from speechmill.cli import training

    _print(training.degrade(manifests, output, clips=clips, seconds=seconds, seed=seed, quiet=quiet), as_json=as_json)
    return 0


@cli.command()
@click.option("--check", is_flag=True, help="Fail if the files differ from what the code says.")
@click.option("--folder", default="schemas", show_default=True, help="Where the schema files are.")
def schema(check: bool, folder: str) -> int:
    """Write the JSON Schema of the config and the Arrow schemas of the corpus."""
    from speechmill.cli import schema as schemas

    changed = schemas.write_schemas(folder, check=check)
    click.echo("\n".join(changed) or f"{folder}/ is up to date")
    return 1 if check and changed else 0


@cli.command()
@json_option
def doctor(as_json: bool) -> int:
    """Check this installation: packages, decoders, models, device, memory, disk."""
    from speechmill.cli import doctor as examination

    found = examination.examine()
    _print(found, as_json=as_json)
    return 0 if found["ok"] else 1


def _print(value: dict[str, Any], *, as_json: bool) -> None:
    from speechmill.cli import console
    from speechmill.core.urls import public_values

    shown = public_values(value, printable)
    click.echo(json.dumps(shown, indent=2, default=str) if as_json else console.in_words(shown))


def _print_summary(summary: "Summary", *, as_json: bool) -> None:
    if as_json:
        _print(dataclasses.asdict(summary), as_json=True)
        return
    from rich.console import Console

    from speechmill.cli.summary import render

    width = None if sys.stdout.isatty() else PLAIN_WIDTH
    Console(highlight=False, width=width).print(render(summary))


def _exit_codes() -> dict[type[Exception], int]:
    """Errors that are told in one line, with their exit codes."""
    from speechmill.core.config import ConfigError
    from speechmill.core.filesystem import errors_of_stores
    from speechmill.core.store import Busy, OutOfSpace
    from speechmill.publish import Withheld

    return {ConfigError: 2, Busy: 1, OutOfSpace: 1, Withheld: 1} | dict.fromkeys(errors_of_stores(), 1)


def main(arguments: list[str] | None = None) -> None:
    """Run a command and exit with its code."""
    handler = logging.StreamHandler()
    handler.setFormatter(Printable("%(name)s: %(message)s"))
    logging.basicConfig(level=logging.ERROR, handlers=[handler])  # libraries speak up for errors only
    sys.excepthook = print_uncaught
    command: Callable[..., Any] = cli.main
    try:
        code = command(args=arguments, prog_name="speechmill", standalone_mode=False)
    except click.exceptions.Exit as leave:
        code = leave.exit_code
    except click.ClickException as error:
        error.show()
        code = 2
    except (click.Abort, KeyboardInterrupt):
        code = 130
    except tuple(_exit_codes()) as error:  # looked up only once something was raised
        code = next(code for kind, code in _exit_codes().items() if isinstance(error, kind))
        click.echo(printable(f"speechmill: {error}"), err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
