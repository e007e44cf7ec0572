"""Commands that make a corpus, preview a run, or decide again: `run`, `plan`, `demo`, `select`."""

from typing import TYPE_CHECKING

import click

from speechmill.cli.options import (
    beam_argument,
    config_argument,
    corpus_argument,
    input_option,
    json_option,
    output_option,
    quiet_option,
    set_option,
    shard_option,
    until_option,
)
from speechmill.cli.output import greet, print_preview, print_result, print_selection, print_summary
from speechmill.core.pandas_free import spare_pandas

if TYPE_CHECKING:
    from speechmill.core.config import RunConfig

RUN_EXAMPLES = """
\b
Examples:
  speechmill run --input recordings/ --output corpus
  speechmill run --input episode-1.mp3 --input episode-2.mp3 --set segment.profile=recover
  speechmill run --input https://example.org/feed.xml --set asr.model=small --set asr.language=en
  speechmill run --output corpus        (goes on with the config that the corpus was made with)
  speechmill run podcast.yaml --shard 3/16            (on one of 16 machines; see deploy/README.md)
  speechmill run podcast.yaml -- --direct_running_mode=multi_processing --direct_num_workers=4

\b
Every config key with default, unit and meaning: speechmill config.
Exit codes: 0 done, 1 failed, 2 bad config, 3 more recordings failed than max_failed_ratio, 130 interrupted.
"""


def _config(
    config_file: str | None, inputs: tuple[str, ...], output: str | None, settings: tuple[str, ...]
) -> "RunConfig":
    """Config of a run; with an output alone, based on the config that the corpus was made with."""
    from speechmill.core.config_file import load

    base = None
    if output and not config_file and not inputs:
        from speechmill.core import state

        base = state.stored_config(output)
    return load(config_file, settings, base, inputs=inputs, output=output)


@click.command(epilog=RUN_EXAMPLES)
@config_argument
@beam_argument
@input_option
@output_option
@set_option
@shard_option
@until_option
@json_option
@quiet_option
def run(
    config_file: str | None, beam_options: tuple[str, ...], inputs: tuple[str, ...], output: str | None,
    settings: tuple[str, ...], shard: str | None, until: str | None, as_json: bool, quiet: bool,
) -> int:  # fmt: skip
    """Make a corpus, or complete one: what is there is not done again.

    With --output alone, a run goes on with the config that the corpus was made with.
    """
    if config_file and config_file.startswith("--"):
        beam_options, config_file = (config_file, *beam_options), None
    greet(quiet=quiet)
    config = _config(config_file, inputs, output, settings)

    from speechmill.core.share import read_share
    from speechmill.runner.run import run as run_build

    summary = run_build(config, beam_options, quiet=quiet, share=read_share(shard, until), may_exit=True)
    print_summary(summary, as_json=as_json)
    return summary.exit_code


PLAN_EXAMPLES = """
\b
Examples:
  speechmill plan --input https://example.org/feed.xml
  speechmill plan podcast.yaml --on flink --workers 20 --gpu nvidia-l4
  speechmill plan podcast.yaml --on local --like demo-corpus     (with the speeds that `speechmill demo` had here)
"""


@click.command(epilog=PLAN_EXAMPLES)
@config_argument
@input_option
@output_option
@set_option
@click.option("--on", metavar="PLACE", help="Also say what it would cost there: local, slurm, flink or dataflow.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="With --on: number of machines.")
@click.option("--gpu", metavar="KIND", help="With --on: GPU in each machine, such as nvidia-l4.  [default: none]")
@click.option("--like", metavar="DIR", help="Finished corpus whose speeds and sizes count.  [default: the output]")
@click.option("--prices", metavar="FILE", help="With --on: prices of your own, in place of those of docs/scale.md.")
@json_option
@quiet_option
def plan(
    config_file: str | None, inputs: tuple[str, ...], output: str | None, settings: tuple[str, ...], on: str | None,
    workers: int, gpu: str | None, like: str | None, prices: str | None, as_json: bool, quiet: bool,
) -> int:  # fmt: skip
    """What a run would fetch: recordings, hours, licences, and what it may take and cost. Fetches no media."""
    spare_pandas()
    from speechmill.cli.console import without_nothing
    from speechmill.corpus.budget import Cluster
    from speechmill.corpus.plan import plan as plan_run
    from speechmill.runner.statusline import StatusLine

    cluster = Cluster(place=on, workers=workers, gpu=gpu) if on else None
    with StatusLine(quiet=quiet) as line:
        config = _config(config_file, inputs, output, settings)
        planned = plan_run(config, line, cluster=cluster, like=like, prices=prices)
    print_result(planned if as_json else {"recordings": 0} | without_nothing(planned), as_json=as_json)
    is_removed = all(entry.get("error") == "removed" for entry in planned["inputs"].values())
    return 0 if planned["recordings"] or is_removed else 1


@click.command()
@click.option("--output", metavar="DIR", default="demo-corpus", show_default=True, help="Folder of the corpus.")
@set_option
@json_option
@quiet_option
def demo(output: str, settings: tuple[str, ...], as_json: bool, quiet: bool) -> int:
    """Make a small podcast on this machine, serve it, and run the whole pipeline on it."""
    greet("making a podcast", quiet=quiet)
    from speechmill.core import config_file
    from speechmill.runner.run import run as run_build
    from speechmill.sources.demo import podcast

    folder = podcast.folder_in(output)
    podcast.make_podcast(folder)
    with podcast.serve(folder) as url:
        config = config_file.load(None, settings, podcast.CONFIG, inputs=(f"{url}/feed.xml",), output=output)
        summary = run_build(config, quiet=quiet, may_exit=True)
    print_summary(summary, as_json=as_json)
    return summary.exit_code


SELECT_EXAMPLES = """
\b
Examples:
  speechmill select corpus --set thresholds.snr_db=20 --dry-run        (what that would change)
  speechmill select corpus --set thresholds.snr_db=20
  speechmill select corpus                                             (after a change of decisions.jsonl)

\b
A line of decisions.jsonl, beside the corpus, is what somebody decided about a clip; it wins over thresholds:
  {"clip_id": "6f1c…", "decision": "drop", "who": "ann", "why": "a door slams"}
decision is keep, drop, text (with "text"), speaker (with "speaker"), defect (with "defect" and "present"), undo, which
takes back the last one, or auto, which takes all back. `speechmill review` writes such lines.
"""


@click.command(epilog=SELECT_EXAMPLES)
@corpus_argument
@set_option
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
@json_option
@quiet_option
def select(corpus: str, settings: tuple[str, ...], dry_run: bool, as_json: bool, quiet: bool) -> int:
    """Decide again from stored scores, with other thresholds or decisions by hand, and republish. Runs no model."""
    spare_pandas()
    from speechmill.core import config_file, state

    config = config_file.load(None, settings, state.stored_config(corpus, required=True), output=corpus)

    if dry_run:
        from speechmill.corpus.preview import preview

        print_preview(preview(config), as_json=as_json)
        return 0

    from speechmill.corpus.reselect import reselect

    summary, changes = reselect(config, quiet=quiet, may_exit=True)
    print_selection(summary, changes, as_json=as_json)
    return summary.exit_code
