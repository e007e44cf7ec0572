"""Command that scores a corpus of somebody else: `check`."""

import click

from speechmill.cli.options import json_option, quiet_option, set_option
from speechmill.cli.output import print_result

EXAMPLES = """
\b
Examples:
  speechmill check LJSpeech-1.1 --output lj-check
  speechmill check train_manifest.json --output check --set asr.model=small --set asr.language=en
  speechmill check shar/ --layout lhotse --output check --max-rejected 0.05

\b
Read are LJSpeech, LibriTTS, Common Voice and the like (known), manifests of NeMo (nemo), cuts and Shar of lhotse
(lhotse), tar files of WebDataset (webdataset), Parquet with sound (parquet), audiofolder, and corpora of ours.
\b
DIR/rejects.csv and rejects.jsonl  items to leave out, with reasons: defects, texts that are not what is said,
                                   held-out items whose sound or text is in train too
DIR/check.json                     counts, and speakers who are in several splits
DIR/corpus                         the items as a corpus of ours: report.html, scores of all of them in pool.parquet
\b
Exit codes: 0 done, 1 failed, 2 bad arguments, 3 more was rejected than --max-rejected, 130 interrupted.
The same command goes on where it was stopped.
"""
STOPPED = "stopped before the end; the same command goes on from here"
LAYOUTS = ("audiofolder", "known", "lhotse", "nemo", "parquet", "webdataset")


@click.command(epilog=EXAMPLES)
@click.argument("path", metavar="PATH")
@click.option("--output", metavar="DIR", default="checked", show_default=True, help="Folder to write.")
@click.option(
    "--layout", type=click.Choice(LAYOUTS), help="How the corpus is laid out.  [default: seen from its files]"
)
@click.option(
    "--max-rejected", type=click.FloatRange(0, 1), default=1.0, show_default=True, metavar="SHARE",
    help="Share of the items that may be rejected, before the exit code is 3.",
)  # fmt: skip
@set_option
@json_option
@quiet_option
def check(
    path: str, output: str, layout: str | None, max_rejected: float, settings: tuple[str, ...], as_json: bool,
    quiet: bool,
) -> int:  # fmt: skip
    """Score somebody else's corpus, compare its texts with the sound, and its splits with each other."""
    from speechmill.corpus.check.engine import CORPUS
    from speechmill.corpus.check.engine import check as check_corpus

    checked = check_corpus(
        path, output, layout=layout, settings=settings, max_rejected=max_rejected, quiet=quiet, may_exit=True
    )  # fmt: skip
    if not checked.result:
        click.echo(STOPPED, err=True)
        return checked.exit_code
    shown = {name: value for name, value in checked.result.items() if name not in ("format", "finished", "speechmill")}
    print_result(shown | {"report": f"{output}/{CORPUS}/report.html"}, as_json=as_json)
    return checked.exit_code
