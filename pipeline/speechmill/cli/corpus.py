"""Commands on an existing corpus: `status`, `verify`, `prune`, `remove`, `push`."""

from typing import Any

import click

from speechmill.cli.options import corpus_argument, json_option, quiet_option
from speechmill.cli.output import print_result
from speechmill.core.pandas_free import spare_pandas

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

PUSH_EXAMPLES = """
\b
Examples:
  speechmill push corpus --repo ann/corpus --dry-run
  HF_TOKEN=hf_… speechmill push corpus --repo ann/corpus --private

\b
Only published files go: never work/, removed.json, decisions.jsonl or files of yours. After a break the same command
goes on where it was; after another run it uploads what changed, and deletes the shards that are no longer there.
"""


@click.command()
@corpus_argument
@json_option
def status(corpus: str, as_json: bool) -> int:
    """What is in a corpus, how far a run on it is, what failed last, and what to do next."""
    spare_pandas()
    from speechmill.corpus.status import status as read_status

    print_result(read_status(corpus), as_json=as_json)
    return 0


@click.command()
@corpus_argument
@click.option(
    "--rows", type=click.IntRange(0), default=32, show_default=True, help="Clips to recompute, evenly spread."
)
@click.option("--all", "every", is_flag=True, help="Recompute every clip.")
@json_option
@quiet_option
def verify(corpus: str, rows: int, every: bool, as_json: bool, quiet: bool) -> int:
    """Prove that a corpus is whole: files, ledger to the sample, and a sample of clips recomputed from their audio."""
    from speechmill.runner.statusline import StatusLine

    with StatusLine(quiet=quiet) as line:
        line("verify")
        from speechmill.corpus.verify import verify as verify_corpus

        result = verify_corpus(corpus, rows=None if every else rows, progress=line)
    print_result(result, as_json=as_json)
    return 0 if result["ok"] else 1


@click.command()
@corpus_argument
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@json_option
@quiet_option
def prune(corpus: str, dry_run: bool, as_json: bool, quiet: bool) -> int:
    """Remove what a finished corpus does not need: media that were decoded, artifacts of other settings."""
    from speechmill.corpus.prune import prune as prune_corpus
    from speechmill.runner.statusline import StatusLine

    with StatusLine(quiet=quiet) as line:
        result = prune_corpus(corpus, dry_run=dry_run, progress=line)
    print_result(result, as_json=as_json)
    return 0


@click.command(epilog=REMOVE_EXAMPLES)
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
    from speechmill.corpus.remove import remove as remove_from_corpus

    kinds: tuple[tuple[Any, tuple[str, ...]], ...] = (
        ("recording", recordings), ("source", sources), ("person", persons),
    )  # fmt: skip
    names = [(kind, value) for kind, values in kinds for value in values]
    print_result(remove_from_corpus(corpus, names, reason, dry_run=dry_run), as_json=as_json)
    return 0


@click.command(epilog=PUSH_EXAMPLES)
@corpus_argument
@click.option("--repo", "repository", required=True, metavar="NAME", help="Repository of data sets: USER/NAME.")
@click.option("--private", is_flag=True, help="Make it private; refuse one that is public.")
@click.option("--dry-run", is_flag=True, help="Only say what would go; open no connection.")
@json_option
def push(corpus: str, repository: str, private: bool, dry_run: bool, as_json: bool) -> int:
    """Upload a finished corpus to the Hugging Face Hub."""
    from speechmill.corpus.push import push as push_corpus

    print_result(push_corpus(corpus, repository, private=private, dry_run=dry_run), as_json=as_json)
    return 0
