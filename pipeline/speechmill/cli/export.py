"""Command that writes a corpus in formats that trainers read: `export`."""

import click

from speechmill.cli.options import corpus_argument, json_option, new_folder_option, quiet_option
from speechmill.cli.output import print_result

EXAMPLES = """
\b
Examples:
  speechmill export corpus --to ljspeech --output ljspeech
  speechmill export corpus --to ljspeech --to webdataset --output both --dry-run
  speechmill export corpus --to webdataset --output s3://bucket/shards --hours 100
  speechmill export corpus --to ljspeech --output best --where "snr_db > 25 and asr_agreement > 0.95"
  speechmill export --list                   (all formats, and who reads them)

\b
Formats that need audio files share one folder wavs/. What does not fit a trainer is counted by reason and listed in
LEFT_OUT.csv. LICENCES.csv and README.md lie beside. The same command goes on where it was stopped.
"""


def _print_formats(context: click.Context, _: click.Parameter, value: bool) -> None:
    """Print all formats and end the command."""
    if not value or context.resilient_parsing:
        return
    from speechmill.export.registry import exporters

    print_result({name: exporter.about for name, exporter in exporters().items()}, as_json=False)
    context.exit()


@click.command(epilog=EXAMPLES)
@corpus_argument
@click.option("--to", "formats", multiple=True, required=True, metavar="FORMAT", help="Format. May be repeated.")
@new_folder_option
@click.option(
    "--list", is_flag=True, is_eager=True, expose_value=False, callback=_print_formats, help="List formats, and end."
)
@click.option("--split", "splits", multiple=True, metavar="NAME", help="Only this split. May be repeated.")
@click.option("--speaker", "speakers", multiple=True, metavar="ID", help="Only this speaker_id. May be repeated.")
@click.option("--min-seconds", type=float, default=0.0, metavar="S", help="Only clips of this length or more.")
@click.option("--max-seconds", type=float, default=float("inf"), metavar="S", help="Only clips of this length or less.")
@click.option("--sample-rate", type=int, metavar="HZ", help="Rate of the audio.  [default: what the format wants]")
@click.option("--audio", metavar="KIND", help="wav, flac or opus.  [default: what the format wants]")
@click.option("--text", metavar="COLUMN", help="text or text_normalized.  [default: what the format wants]")
@click.option("--where", metavar="SQL", help="Only clips that meet this condition on the columns of data/.")
@click.option("--hours", type=float, metavar="N", help="Only so many hours, chosen by hash: fewer are among more.")
@click.option("--workers", type=click.IntRange(1), metavar="N", help="Processes.  [default: one per core]")
@click.option("--dry-run", is_flag=True, help="Only say what would be written, and what does not fit.")
@json_option
@quiet_option
def export(
    corpus: str, formats: tuple[str, ...], output: str, splits: tuple[str, ...], speakers: tuple[str, ...],
    min_seconds: float, max_seconds: float, sample_rate: int | None, audio: str | None, text: str | None,
    where: str | None, hours: float | None, workers: int | None, dry_run: bool, as_json: bool, quiet: bool,
) -> int:  # fmt: skip
    """Write a corpus in formats that trainers of speech models read."""
    from speechmill.export.engine import export as write_export
    from speechmill.export.options import Options
    from speechmill.runner.statusline import StatusLine

    options = Options(
        splits=splits, speakers=speakers, min_seconds=min_seconds, max_seconds=max_seconds, sample_rate=sample_rate,
        audio=audio, text=text, where=where, hours=hours,
    )  # fmt: skip
    with StatusLine(quiet=quiet) as line:
        result = write_export(corpus, output, formats, options, dry_run=dry_run, workers=workers, report=line)
    print_result(result, as_json=as_json)
    return 0
