"""Formats the result of a command, nested mappings and lists, as text for a terminal.

The same rules serve all commands: names are aligned, a unit in a name (`bytes`, `hours`, `seconds`) applies to all
values below it, and a mapping with `ok` is a check, shown as one line with `ok` or `FAILED`. Keys are shown with spaces
for their underscores; names of data below them, such as reasons and stages, as they are.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from speechmill.sources import plain_text

INDENT = "  "
UNITS = ("bytes", "hours", "seconds")
# Keys below which there are names of data.
OF_DATA = {"bytes", "columns", "contents", "failed_by_reason", "inputs", "left_out", "licences", "refused", "seconds"}


def to_text(value: Mapping[str, Any]) -> str:
    """Format nested mappings and lists. Strings lose their control characters."""
    return "\n".join(_lines(_named(value), "", ""))


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
        is_section = isinstance(item, Mapping | list) and bool(item) and not _is_check(item)
        if not indent and (is_section or was_section):
            yield ""
        was_section = is_section
        if _is_check(item):
            yield from _check_lines(name, item, width=width, indent=indent)
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


def _inline(row: Mapping[str, Any], unit: str = "") -> str:
    return ", ".join(f"{key} {_scalar(value, _unit(key) or unit)}" for key, value in row.items())


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
    """Hours, below one also in minutes, as in `0.04 h, 2.2 min`."""
    return f"{hours:.2f} h" + (f", {60 * hours:.1f} min" if 0 < hours < 1 else "")


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
