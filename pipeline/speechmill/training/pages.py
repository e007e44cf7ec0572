"""Renders the pages of evaluations in the look of the report: without a script, a server, or a network."""

from pathlib import Path
from typing import Any

from speechmill.core.page_policy import policy

STYLE = Path(__file__).with_name("page.css")


def render(template: Path, filters: dict[str, Any] | None = None, **values: Any) -> str:
    """Render a template with the shared style; values are escaped.

    Args:
        template: A Jinja file that uses `policy` and `style`.
        filters: More filters of the template, by name.
        values: Its values.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    pages = Environment(
        loader=FileSystemLoader(template.parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters |= filters or {}
    style = STYLE.read_text(encoding="utf-8")
    trusted = Markup(style)  # noqa: S704 - a file of this package
    return pages.get_template(template.name).render(values, policy=policy([], [style]), style=trusted)
