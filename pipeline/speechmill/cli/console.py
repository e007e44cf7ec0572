"""Turns what a reading command found into text for a terminal.

One set of rules serves all commands: names are aligned, a name says the unit of what is below it, and a
section with `ok` in it is a line with a mark.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from speechmill.sources import plain_text

INDENT = "  "
UNITS = ("bytes", "hours", "seconds")


def in_words(value: Mapping[str, Any]) -> str:
    """Text of nested mappings and lists. Foreign strings lose their control characters."""
    return "\n".join(_lines(value, "", ""))


def _lines(value: Mapping[str, Any], unit: str, indent: str) -> Iterator[str]:
    width = max((len(name) for name in map(_name, value)), default=0)
    was_section = False
    for key, item in value.items():
        inner, name = _unit(key) or unit, _name(key)
        is_section = isinstance(item, Mapping | list) and bool(item) and not _is_check(item)
        if not indent and (is_section or was_section):
            yield ""
        was_section = is_section
        if _is_check(item):
            yield from _marked(name, item, width=width, indent=indent)
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
    """Lines of `name  key value, key value`; what is deeper becomes sections of its own."""
    parts = [row for row in rows.values() if isinstance(row, Mapping)]
    if any(_is_check(row) or any(isinstance(part, Mapping) for part in row.values()) for row in parts):
        yield from _lines(rows, unit, indent)
        return
    width = max(len(_name(key)) for key in rows)
    for key, row in rows.items():
        inner = _unit(key) or unit
        text = _inline(row, inner) if isinstance(row, Mapping) and row else _scalar(row, inner)
        yield f"{indent}{_name(key):{width}}  {text}"


def _is_check(item: object) -> bool:
    return isinstance(item, Mapping) and isinstance(item.get("ok"), bool)


def _inline(row: Mapping[str, Any], unit: str = "") -> str:
    return ", ".join(f"{_name(key)} {_scalar(value, _unit(key) or unit)}" for key, value in row.items())


def _marked(name: str, check: Mapping[str, Any], *, width: int, indent: str) -> Iterator[str]:
    """A check: its mark and facts in one line, what is wrong and how to mend it below."""
    facts = {key: item for key, item in check.items() if key not in ("ok", "found", "fix", "problems")}
    facts = {key: item for key, item in facts.items() if key != "failed" or item}
    said = [_scalar(check["found"], "")] if "found" in check else []
    told = "; ".join(said + ([_inline(facts)] if facts else []))
    yield f"{indent}{name:{width}}  {'ok    ' if check['ok'] else 'FAILED'}  {told}".rstrip()
    for problem in [*check.get("problems", ()), *([f"fix: {check['fix']}"] if check.get("fix") else [])]:
        yield f"{indent}{INDENT}- {_scalar(problem, '')}"


def _unit(key: str) -> str:
    return next((unit for unit in UNITS if unit in key.split()), "")


def _name(key: str) -> str:
    return plain_text(key) or ""


def _scalar(value: object, unit: str) -> str:
    if value is None or value in ({}, []):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return plain_text(value) or ""
    if isinstance(value, int | float) and unit:
        return {"bytes": _bytes, "hours": lambda hours: f"{hours:.2f} h", "seconds": _duration}[unit](value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}" if isinstance(value, float) else str(value)


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.2f} TB"


def _duration(seconds: float) -> str:
    """Two units at most: nobody plans the seconds of a day."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02} min"
    days, hours = divmod(round(seconds / 3600), 24)
    return f"{days} d {hours} h"
