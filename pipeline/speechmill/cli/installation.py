"""Commands on the installation itself: `schema`, `doctor`, `models`."""

from typing import TYPE_CHECKING, Any

import click

from speechmill.cli.options import json_option
from speechmill.cli.output import print_result, print_table
from speechmill.core.terminal import printable

if TYPE_CHECKING:
    from rich.console import RenderableType


@click.command()
@click.option("--check", is_flag=True, help="Fail if the files differ from what the code says.")
@click.option("--folder", default="schemas", show_default=True, help="Where the schema files are.")
def schema(check: bool, folder: str) -> int:
    """Write the JSON Schema of the config and the Arrow schemas of the corpus."""
    from speechmill.cli.schema import write_schemas

    changed = write_schemas(folder, check=check)
    click.echo("\n".join(changed) or f"{folder}/ is up to date")
    return 1 if check and changed else 0


@click.command()
@json_option
def doctor(as_json: bool) -> int:
    """Check this installation: packages, decoders, models, device, memory, disk."""
    from speechmill.cli.doctor import check_installation
    from speechmill.runner.statusline import StatusLine

    with StatusLine() as line:
        result = check_installation(line)
    if as_json:
        print_result(result, as_json=True)
    else:
        print_table(_checks_table(result["checks"]))
    return 0 if result["ok"] else 1


@click.command()
@json_option
def models(as_json: bool) -> int:
    """ASR models by name: size, languages, usual speed on a CPU, and whether each is here or can be downloaded."""
    from speechmill.fetch import where_found
    from speechmill.fetch.known_models import DEFAULT, KNOWN_MODELS

    places: dict[str, str] = {}
    for model in KNOWN_MODELS:  # one question to a hub that does not answer is enough
        is_asked = "nowhere" not in places.values()
        places[model.name] = where_found(model.name, ask_hub=is_asked)
    facts = {
        model.name: {
            "is_default": model.name == DEFAULT, "parameters_millions": model.parameters_millions,
            "download_mb": model.download_mb, "languages": model.languages, "times_real_time": round(model.speed, 1),
            "found": places[model.name],
        }
        for model in KNOWN_MODELS
    }  # fmt: skip
    if as_json:
        print_result(facts, as_json=True)
    else:
        print_table(_models_table(facts))
    return 0


def _checks_table(checks: dict[str, dict[str, Any]]) -> "RenderableType":
    """What was checked, with fixes, and the verdict; packages that work are in one row."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from speechmill.cli.doctor import required_packages

    packages = [name for name in required_packages() if checks.get(name, {"ok": False})["ok"]]
    table = Table.grid(padding=(0, 2))
    for style in ("bold", "", ""):
        table.add_column(style=style)
    table.add_row("packages", "ok", Text(", ".join(f"{name} {checks[name]['found']}" for name in packages)))
    for name, check in checks.items():
        if name not in packages:
            lines = [check["found"]] if check["ok"] else [check["found"], f"fix: {check['fix']}"]
            found = Text("\n".join(map(printable, lines)))
            table.add_row(name.replace("_", " "), "ok" if check["ok"] else "FAILED", found)
    failed = [name.replace("_", " ") for name, check in checks.items() if not check["ok"]]
    verdict = f"{len(failed)} of {len(checks)} checks failed: {', '.join(failed)}" if failed else "Everything works."
    return Group(table, "", Text(verdict, style="bold"))


def _models_table(facts: dict[str, dict[str, Any]]) -> "RenderableType":
    from rich import box
    from rich.console import Group
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("asr.model", no_wrap=True)
    for name in ("parameters", "download", "languages", "x real time"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("where")
    where = {
        "package": "installed with the extra `demo`", "cache": "downloaded", "hub": "downloaded at the first run",
        "nowhere": "not here, and the hub does not answer",
    }  # fmt: skip
    for name, model in facts.items():
        table.add_row(
            name + (" (default)" if model["is_default"] else ""), f"{model['parameters_millions']:,} M",
            f"{model['download_mb']:,} MB", model["languages"], f"{model['times_real_time']:g}", where[model["found"]],
        )  # fmt: skip
    return Group(
        table, "A folder or another name on the hub may be given too. Speeds are those of one process on a CPU."
    )
