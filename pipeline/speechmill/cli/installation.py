"""Commands on the installation itself: `schema`, `doctor`."""

import click

from speechmill.cli.options import json_option
from speechmill.cli.output import print_result


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

    result = check_installation()
    print_result(result, as_json=as_json)
    return 0 if result["ok"] else 1
