"""Tables of how far people agree with thresholds, for `review --agreement`."""

import sys
from typing import TYPE_CHECKING, Any

from speechmill.cli.output import PLAIN_WIDTH, print_result

if TYPE_CHECKING:
    from rich.table import Table

TITLES = {
    "agreement": "all judged clips",
    "agreement_of_random": "of them drawn at random, which stand for the whole corpus",
}


def print_agreement(agreement: dict[str, Any], *, as_json: bool) -> None:
    """Print figures as tables, a row for each threshold about which something was judged, or all of them as JSON."""
    if as_json:
        print_result(agreement, as_json=True)
        return
    from rich.console import Console

    console = Console(highlight=False, width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    for name, title in TITLES.items():
        if part := agreement[name]:
            console.print(_table(f"{title}: {part['judged']:,}", part))


def _table(title: str, part: dict[str, Any]) -> "Table":
    from rich import box
    from rich.table import Column, Table

    columns = ("threshold", "precision", "recall")
    table = Table(
        *(Column(name, no_wrap=True) for name in columns),
        title=title,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for row in ({"threshold": "kept by the models"} | part["keep"], *part["thresholds"]):
        if row["precision"]["of"] or row["recall"]["of"]:
            table.add_row(row["threshold"], _share(row["precision"]), _share(row["recall"]))
    return table


def _share(rate: dict[str, Any]) -> str:
    """A share with its interval and its counts."""
    if not rate["of"]:
        return "–"
    share, low, high = (f"{100 * rate[key]:.0f}" for key in ("share", "low", "high"))
    return f"{share} % ({low} to {high}): {rate['right']:,} of {rate['of']:,}"
