"""`/.well-known/tdmrep.json` (W3C TDM Reservation Protocol): which paths of a host are reserved."""

import json
from collections.abc import Iterator

from speechmill.fetch.consent.patterns import matches, normal_path, normal_pattern


class Reservations:
    """A tdmrep.json; what has another form says nothing."""

    def __init__(self, text: str, origin: str) -> None:
        self._rules = list(_rules(text, origin))

    def reserves(self, path: str) -> str | None:
        """The place as the file names it that reserves a path and query; the first that matches counts."""
        path = normal_path(path)
        found = next(((where, is_no) for where, pattern, is_no in self._rules if matches(pattern, path)), None)
        return found[0] if found and found[1] else None


def _rules(text: str, origin: str) -> Iterator[tuple[str, str, bool]]:
    try:
        rules = json.loads(text)
    except (ValueError, RecursionError):
        return
    for rule in rules if isinstance(rules, list) else [rules]:
        if isinstance(rule, dict) and isinstance(where := rule.get("location", "/"), str):
            path = where.removeprefix(origin)
            pattern = normal_pattern(path if path.startswith(("/", "*")) else f"/{path}")
            yield where, pattern, rule.get("tdm-reservation") in (1, "1", True)
