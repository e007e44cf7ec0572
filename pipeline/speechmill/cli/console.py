"""Formats the result of a command, nested mappings and lists, as text for a terminal.

The same rules serve all commands: names are aligned, a unit in a name (`bytes`, `hours`, `seconds`) applies to all
values below it, numbers that belong together are in one line, and a mapping with `ok` is a check, shown as one line
with `ok` or `FAILED`. Keys are shown with spaces for their underscores; names of data below them, such as reasons and
stages, as they are. Lines are broken between words, where a terminal would break them within one.
"""

import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from speechmill.sources import plain_text

INDENT = "  "
SPACES, NAME = re.compile(" *"), re.compile(r" *(?:\S+ )*\S+ {2,}")  # before a name, and with it and those after it
GLUED_CHARACTERS = 40
GLUE = "\xa0"  # for a space at which no line is broken
UNITS = ("bytes", "hours", "seconds")
# Keys below which there are names of data.
OF_DATA = {"bytes", "columns", "contents", "failed_by_reason", "inputs", "left_out", "licences", "refused", "seconds"}


def to_text(value: Mapping[str, Any], width: int | None = None) -> str:
    """Format nested mappings and lists, in lines of at most `width` characters. Strings lose control characters."""
    lines = _lines(_named(value), "", "")
    text = "\n".join(lines if width is None else (part for line in lines for part in _broken(line, width)))
    return text.replace(GLUE, " ")


def without_nothing(value: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping, and those in it, without what is 0, empty or null.

    >>> without_nothing({"recordings": 4, "refused": {}, "licences": {"CC0-1.0": {"hours": 0.5, "failed": 0}}})
    {'recordings': 4, 'licences': {'CC0-1.0': {'hours': 0.5}}}
    """
    inner = {key: without_nothing(item) if isinstance(item, Mapping) else item for key, item in value.items()}
    return {key: item for key, item in inner.items() if item or item is False}


def _broken(line: str, width: int) -> list[str]:
    """A line in several, of which all but the first are indented as what follows its name."""
    indent, name = (len(match[0]) if (match := pattern.match(line)) else 0 for pattern in (SPACES, NAME))
    hanging = " " * (name if 0 < name <= width // 2 else indent + 4)
    return textwrap.wrap(line, width, subsequent_indent=hanging, break_long_words=False, break_on_hyphens=False) or [""]


def _named(value: Any, *, is_data: bool = False) -> Any:
    """A value with its keys as they are shown; `is_data`: they are names of data."""
    if isinstance(value, list):
        return [_named(part) for part in value]
    if not isinstance(value, Mapping):
        return value
    shown = {key: plain_text(key if is_data else key.replace("_", " ")) or "" for key in value}
    return {shown[key]: _named(item, is_data=key in OF_DATA and not is_data) for key, item in value.items()}


def _lines(value: Mapping[str, Any], unit: str, indent: str) -> Iterator[str]:
    width = max((len(name) for name in value), default=0)
    was_section = False
    for key, item in value.items():
        inner, name = _unit(key) or unit, key
        is_section = isinstance(item, Mapping | list) and bool(item) and not _is_check(item) and not _is_row(item)
        if not indent and (is_section or was_section):
            yield ""
        was_section = is_section
        if _is_check(item):
            yield from _check_lines(name, item, width=width, indent=indent)
        elif _is_row(item):
            yield f"{indent}{name:{width}}  {_inline(item, inner)}"
        elif isinstance(item, Mapping) and item and any(isinstance(part, Mapping) for part in item.values()):
            yield f"{indent}{name}"
            yield from _table(item, inner, indent + INDENT)
        elif isinstance(item, Mapping) and item:
            yield f"{indent}{name}"
            yield from _lines(item, inner, indent + INDENT)
        elif isinstance(item, list) and item:
            yield f"{indent}{name}"
            yield from (f"{indent}{INDENT}{_scalar(part, inner)}" for part in item)
        else:
            yield f"{indent}{name:{width}}  {_scalar(item, inner)}"


def _table(rows: Mapping[str, Any], unit: str, indent: str) -> Iterator[str]:
    """Rows as lines `name  key value, key value`; rows with checks or mappings as sections of their own."""
    parts = [row for row in rows.values() if isinstance(row, Mapping)]
    if any(_is_check(row) or any(isinstance(part, Mapping) for part in row.values()) for row in parts):
        yield from _lines(rows, unit, indent)
        return
    width = max(len(key) for key in rows)
    for key, row in rows.items():
        inner = _unit(key) or unit
        text = _inline(row, inner) if isinstance(row, Mapping) and row else _scalar(row, inner)
        yield f"{indent}{key:{width}}  {text}"


def _is_check(item: object) -> bool:
    return isinstance(item, Mapping) and isinstance(item.get("ok"), bool)


def _is_row(item: object) -> bool:
    """Whether something is a mapping of numbers."""
    return isinstance(item, Mapping) and bool(item) and all(type(part) in (int, float) for part in item.values())


def _inline(row: Mapping[str, Any], unit: str = "") -> str:
    names = {key: "" if key in UNITS else f"{key} " for key in row}  # a value with its unit needs no name beside it
    parts = (f"{names[key]}{_scalar(value, _unit(key) or unit)}" for key, value in row.items())
    return ", ".join(part if len(part) > GLUED_CHARACTERS else part.replace(" ", GLUE) for part in parts)


def _check_lines(name: str, check: Mapping[str, Any], *, width: int, indent: str) -> Iterator[str]:
    """A check: one line with `ok` or `FAILED` and its facts, then a line for each problem and the fix."""
    facts = {key: item for key, item in check.items() if key not in ("ok", "found", "fix", "problems")}
    facts = {key: item for key, item in facts.items() if key != "failed" or item}
    note = [_scalar(facts.pop("note"), "")] if "note" in facts else []
    if "of" in facts:  # of a sample
        facts["checked"] = f"{_scalar(facts['checked'], '')} of {_scalar(facts.pop('of'), '')}"
    result = [_scalar(check["found"], "")] if "found" in check else []
    text = "; ".join(result + ([_inline(facts)] if facts else []) + note)
    yield f"{indent}{name:{width}}  {'ok    ' if check['ok'] else 'FAILED'}  {text}".rstrip()
    for problem in [*check.get("problems", ()), *([f"fix: {check['fix']}"] if check.get("fix") else [])]:
        yield f"{indent}{INDENT}- {_scalar(problem, '')}"


def _unit(key: str) -> str:
    return next((unit for unit in UNITS if unit in key.split()), "")


def _scalar(value: object, unit: str) -> str:
    if value is None or value in ({}, []):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return plain_text(value) or ""
    if isinstance(value, int | float) and unit:
        return {"bytes": _bytes, "hours": _hours, "seconds": _duration}[unit](value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}" if isinstance(value, float) else str(value)


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.2f} TB"


def _hours(hours: float) -> str:
    """Hours; below one minutes, and below a minute seconds, as in `2.2 min`."""
    minutes = 60 * hours
    if hours >= 1 or not hours:
        return f"{hours:,.2f} h"
    return f"{minutes:.1f} min" if minutes >= 1 else f"{60 * minutes:.0f} s"


def _duration(seconds: float) -> str:
    """Duration in at most two units, such as `2 h 05 min`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02} min"
    days, hours = divmod(round(seconds / 3600), 24)
    return f"{days} d {hours} h"
