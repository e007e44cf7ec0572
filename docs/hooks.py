"""Writes into the documentation what follows from the code: config keys, columns, reasons, commands.

MkDocs calls `on_page_markdown` for each page. A page asks for a part with a comment, `<!-- generated: NAME -->`, and
the function of that name in `PARTS` writes it, so that a renamed key or a new column needs no change here.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import click
import pyarrow as pa
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from speechmill.cli.main import cli
from speechmill.core.config import RunConfig
from speechmill.core.config_keys import ConfigKey, key_of, section_of
from speechmill.core.reasons import Reason
from speechmill.core.records import LEDGER, RECORDINGS
from speechmill.fetch.known_models import KNOWN_MODELS
from speechmill.publish.advice import KEYS
from speechmill.publish.columns import data_schema, every_column, pool_schema

COMMENT = re.compile(r"<!-- generated: ([a-z-]+) -->")
KEY = re.compile(r"\b([a-z_]+)\.([a-z0-9_]+)(=\w+)?")  # of a config, in advice
HELP_WIDTH = 96  # characters


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the comments of a page with the parts that they name. Raises KeyError for an unknown name."""
    return COMMENT.sub(lambda comment: PARTS[comment[1]](), markdown)


def configuration() -> str:
    """All keys of a config, a table a section."""
    top, sections = [], []
    for name, field in RunConfig.model_fields.items():
        if model := section_of(field.annotation):
            sections.append(_section(name, model))
        else:
            top.append((name, field))
    return "\n\n".join([_keys(top), *sections])


def _section(name: str, model: type[BaseModel]) -> str:
    return f"## {name}\n\n{_prose(model.__doc__)}\n\n{_keys(list(model.model_fields.items()))}"


def _keys(fields: list[tuple[str, FieldInfo]]) -> str:
    keys = (key_of(name, field) for name, field in fields)
    rows = ((f"`{key.name}`", _default(key), key.unit, _prose(key.takes), _prose(key.meaning)) for key in keys)
    return _table(("key", "default", "unit", "takes", "what it does"), rows)


def _default(key: ConfigKey) -> str:
    return "required" if key.is_required else f"`{json.dumps(key.default, ensure_ascii=False)}`"


def columns(schema: pa.Schema) -> str:
    """Columns of a file: name, type, unit, description."""
    rows = (
        (f"`{field.name}`", f"`{_type(field.type)}`", _metadata(field, "unit"), _prose(_metadata(field, "description")))
        for field in schema
    )
    return _table(("column", "type", "unit", "description"), rows)


def _only_in_pool() -> str:
    data = data_schema(every_column()).names
    return columns(pa.schema([field for field in pool_schema(every_column()) if field.name not in data]))


def _type(kind: pa.DataType) -> str:
    return str(kind).replace("element: ", "").replace("item: ", "").replace("|", "/")


def _metadata(field: pa.Field, key: str) -> str:
    return str((field.metadata or {}).get(key.encode(), b"").decode())


def reasons() -> str:
    """Every reason, what it means, and the key of the config that decides about it."""
    rows = ((f"`{reason}`", f"{reason.meaning}", _links(KEYS.get(reason, ""))) for reason in Reason)
    return _table(("reason", "meaning", "what decides about it"), rows)


def _links(advice: str) -> str:
    """Advice with its config keys linked to their section, and with the defaults of thresholds."""
    return KEY.sub(_link, advice).strip(",")


def _link(key: re.Match[str]) -> str:
    default = getattr(RunConfig().thresholds, key[2]) if key[1] == "thresholds" else None
    return f"[`{key[0]}`](configuration.md#{key[1]})" + ("" if default is None else f" (default {default:g})")


def commands() -> str:
    """The help of every command."""
    return "\n\n".join(_help(path, command) for path, command in _commands(cli))


def _commands(group: click.Group, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from _commands(command, *path, name)
        else:
            yield (*path, name), command


def _help(path: tuple[str, ...], command: click.Command) -> str:
    parent = click.Context(cli, info_name="speechmill", **cli.context_settings)
    context = click.Context(command, parent, " ".join(path), terminal_width=HELP_WIDTH)
    return f"## {' '.join(path)}\n\n```text\n{command.get_help(context)}\n```"


def _prose(text: str | None) -> str:
    return re.sub(r"\s+", " ", text or "").replace("|", "\\|").strip()


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = (head, ("---",) * len(head), *rows)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def models() -> str:
    """ASR models by name."""
    rows = (
        (f"`{model.name}`", f"{model.parameters_millions:,} M", f"{model.download_mb:,} MB", model.languages,
         f"{model.speed:.0f} x")
        for model in KNOWN_MODELS
    )  # fmt: skip
    return _table(("`asr.model`", "parameters", "download", "languages", "real time on a CPU"), rows)


PARTS: dict[str, Callable[[], str]] = {
    "configuration": configuration,
    "data": lambda: columns(data_schema(every_column())),
    "pool": _only_in_pool,
    "ledger": lambda: columns(LEDGER),
    "recordings": lambda: columns(RECORDINGS),
    "reasons": reasons,
    "commands": commands,
    "models": models,
}
