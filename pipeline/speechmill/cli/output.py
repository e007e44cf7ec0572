"""Prints the results of commands as text or JSON, and the summary of a run."""

import dataclasses
import json
import shutil
import sys
from typing import TYPE_CHECKING, Any

import click

from speechmill.core.terminal import printable
from speechmill.core.version import __version__

if TYPE_CHECKING:
    from rich.console import RenderableType

    from speechmill.runner.summary import Summary

PLAIN_WIDTH = 120  # characters of tables where there is no terminal


def greet(what: str = "reading the config", *, quiet: bool) -> None:
    """Say at once on a terminal that a long command has begun: what it imports takes seconds."""
    if not quiet and sys.stderr.isatty():
        click.echo(f"speechmill {__version__}: {what} … (Ctrl-C stops; the same command goes on)", err=True)


def print_result(value: dict[str, Any], *, as_json: bool) -> None:
    """Print a result as text, as wide as the terminal, or JSON, without secrets and control characters."""
    from speechmill.cli import console
    from speechmill.core.urls import public_values

    public = public_values(value, printable)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    click.echo(json.dumps(public, indent=2, default=str) if as_json else console.to_text(public, width))


def print_preview(preview: dict[str, Any], *, as_json: bool) -> None:
    """Print the effect of other settings, as a table or JSON."""
    if as_json:
        print_result(preview, as_json=True)
        return
    from speechmill.cli.summary import render_preview

    print_table(render_preview(preview))


def print_selection(summary: "Summary", changes: dict[str, Any], *, as_json: bool) -> None:
    """Print what `select` did: the changes as a table, then the notes of the summary; or JSON."""
    if as_json:
        print_result(dataclasses.asdict(summary) | changes, as_json=True)
        return
    from speechmill.cli.summary import render_selection

    print_table(render_selection(summary, changes))


def print_summary(summary: "Summary", *, as_json: bool) -> None:
    """Print the summary of a run, as a table of stages with notes, or JSON."""
    if as_json:
        print_result(dataclasses.asdict(summary), as_json=True)
        return
    from speechmill.cli.summary import render

    print_table(render(summary))


def print_table(renderable: "RenderableType") -> None:
    """Print a table as wide as the terminal, or PLAIN_WIDTH without one."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else PLAIN_WIDTH
    Console(highlight=False, width=width).print(renderable)
