"""Command that explains the keys of a config: `config`."""

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from speechmill.cli.options import json_option
from speechmill.cli.output import print_result, print_table
from speechmill.core.terminal import printable

if TYPE_CHECKING:
    from rich.console import RenderableType

    from speechmill.core.config_keys import ConfigKey

EXAMPLES = """
\b
Examples:
  speechmill config                          (every key)
  speechmill config thresholds asr.model     (a section, and a key)
  speechmill config --of corpus              (those that a corpus was made with and that differ from the defaults)
"""


@click.command(epilog=EXAMPLES)
@click.argument("names", metavar="[SECTION|KEY]...", nargs=-1)
@click.option("--of", "corpus", metavar="DIR", help="Only what differs from the defaults in this corpus.")
@json_option
def config(names: tuple[str, ...], corpus: str | None, as_json: bool) -> int:
    """Every config key with its default, unit, limits and meaning."""
    from speechmill.core.config_keys import config_keys

    keys = _named(list(config_keys()), names)
    values = None if corpus is None else _values(corpus)
    if values is not None:
        keys = [key for key in keys if key.name in values and values[key.name] != key.default]
    if as_json:
        print_result({key.name: _facts(key, values) for key in keys}, as_json=True)
    else:
        print_table(_table(keys, values))
    return 0


def _named(keys: list["ConfigKey"], names: Iterable[str]) -> list["ConfigKey"]:
    """The keys of some names or sections; all without names. Raises ConfigError for an unknown name."""
    from speechmill.core.config_errors import ConfigError, unknown_key

    known = {key.name for key in keys} | {key.name.partition(".")[0] for key in keys}
    for name in names:
        if name not in known:
            raise ConfigError(unknown_key(name, known))
    chosen = tuple(names)
    return [key for key in keys if not chosen or key.name in chosen or key.name.partition(".")[0] in chosen]


def _values(corpus: str) -> dict[str, Any]:
    """Values of a corpus's config by the full name of the key, without secrets. Raises ConfigError without a corpus."""
    from speechmill.core import state
    from speechmill.core.urls import public_values

    values: dict[str, Any] = {}
    for name, value in public_values(state.stored_config(corpus, required=True) or {}, printable).items():
        inner = {f"{name}.{leaf}": part for leaf, part in value.items()} if isinstance(value, dict) else {name: value}
        values |= inner
    return values


def _facts(key: "ConfigKey", values: dict[str, Any] | None) -> dict[str, Any]:
    facts = {"default": key.default, "unit": key.unit or None, "takes": key.takes, "meaning": key.meaning}
    return facts if values is None else {"value": values[key.name]} | facts


def _table(keys: list["ConfigKey"], values: dict[str, Any] | None) -> "RenderableType":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("key", no_wrap=True)
    if values is not None:
        table.add_column("value", overflow="fold", max_width=24)
    table.add_column("default", overflow="fold", max_width=18)
    table.add_column("unit", no_wrap=True)
    table.add_column("takes", max_width=22)
    table.add_column("meaning", ratio=1)
    section = ""
    for key in keys:
        if (of := key.name.partition(".")[0] if "." in key.name else "") != section:
            table.add_section()
            section = of
        value = [] if values is None else [_short(values[key.name])]
        default = "required" if key.is_required else _short(key.default)
        table.add_row(key.name, *value, default, key.unit, key.takes, key.meaning)
    return table


def _short(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False).strip('"')
