"""The command `speechmill` with its subcommands and exit codes."""

import logging
import sys
from collections.abc import Callable
from typing import Any

import click

from speechmill.cli.check import check
from speechmill.cli.commands import Commands
from speechmill.cli.config import config
from speechmill.cli.corpus import prune, push, remove, status, verify
from speechmill.cli.degrade import degrade
from speechmill.cli.errors import exit_codes
from speechmill.cli.evaluate import evaluate
from speechmill.cli.export import export
from speechmill.cli.installation import doctor, models, schema
from speechmill.cli.review import review
from speechmill.cli.run import demo, plan, run, select
from speechmill.cli.train import train
from speechmill.core.interrupts import EXIT_INTERRUPTED, end_at_signal
from speechmill.core.terminal import Printable, print_uncaught, printable
from speechmill.core.version import __version__

EXAMPLES = """
\b
Examples:
  speechmill demo --output demo-corpus
  speechmill run --input recordings/ --output corpus
  speechmill run --input https://example.org/feed.xml --output corpus --set asr.model=small
  speechmill run podcast.yaml -- --direct_running_mode=multi_processing --direct_num_workers=4
  speechmill select corpus --set thresholds.snr_db=20
"""
COMMANDS: tuple[click.Command, ...] = (
    *(run, plan, demo, select),
    *(status, verify, review, prune, remove, export, push, check),
    *(train, evaluate, degrade),
    *(config, models, schema, doctor),
)


@click.group(
    cls=Commands, epilog=EXAMPLES, context_settings={"max_content_width": 110, "help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__, prog_name="speechmill")
def cli() -> None:
    """Mills hours of audiobooks and podcasts into a speech corpus for text-to-speech models."""


for command in COMMANDS:
    cli.add_command(command)


def main(arguments: list[str] | None = None) -> None:
    """Run a command and exit with its code."""
    handler = logging.StreamHandler()
    handler.setFormatter(Printable("%(name)s: %(message)s"))
    logging.basicConfig(level=logging.ERROR, handlers=[handler])  # of libraries show errors only
    sys.excepthook = print_uncaught
    call: Callable[..., Any] = cli.main
    try:
        with end_at_signal():
            code = call(args=arguments, prog_name="speechmill", standalone_mode=False)
    except click.exceptions.Exit as leave:
        code = leave.exit_code
    except click.ClickException as error:
        error.show()
        code = 2
    except (click.Abort, KeyboardInterrupt):
        code = EXIT_INTERRUPTED
    except tuple(exit_codes()) as error:  # evaluated after an error only, since it imports heavy modules
        code = next(code for kind, code in exit_codes().items() if isinstance(error, kind))
        click.echo(printable(f"speechmill: {error}"), err=True)
    except OSError as error:
        if error.filename is None:  # of a program's fault, not of a file
            raise
        click.echo(printable(f"speechmill: {error.filename}: {error.strerror or type(error).__name__}"), err=True)
        code = 1
    sys.exit(code)


if __name__ == "__main__":
    main()
