"""What `--help` says is part of the product: a change to it is seen in review. UPDATE_GOLDEN=1 rewrites it."""

import os
from collections.abc import Iterator
from pathlib import Path

import click
from click.testing import CliRunner
from speechmill.cli.main import cli

GOLDEN = Path(__file__).with_name("help.txt")


def _commands(group: click.Group, *path: str) -> Iterator[list[str]]:
    yield [*path]
    for name, command in sorted(group.commands.items()):
        yield from _commands(command, *path, name) if isinstance(command, click.Group) else [[*path, name]]


def test_help_is_as_committed() -> None:
    said = []
    for words in _commands(cli):
        result = CliRunner().invoke(cli, [*words, "--help"], prog_name="speechmill", terminal_width=100)
        said.append(f"$ speechmill {' '.join([*words, '--help'])}\n{result.output}")
    text = "\n".join(said)
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()
