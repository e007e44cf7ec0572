"""Parses `/.well-known/tdmrep.json` (W3C TDM Reservation Protocol): which paths of a host are reserved."""

import json
from collections.abc import Iterator

from speechmill.fetch.consent.patterns import matches, normal_path, normal_pattern

RESERVATION = "tdm-reservation"


class Reservations:
    """A tdmrep.json; content of another form is ignored, unless it speaks of reservations."""

    def __init__(self, text: str, origin: str) -> None:
        self._rules = list(_rules(text, origin))

    def reserves(self, path: str) -> str | None:
        """The location in the file that reserves a path and query; the first match counts."""
        path = normal_path(path)
        first = next(
            ((location, is_reserved) for location, pattern, is_reserved in self._rules if matches(pattern, path)), None
        )
        return first[0] if first and first[1] else None


def _rules(text: str, origin: str) -> Iterator[tuple[str, str, bool]]:
    try:
        rules = json.loads(text)
    except (ValueError, RecursionError):
        if RESERVATION in text.lower():  # a reservation that nobody can read is one; other texts are pages
            yield "everything, since it is no JSON", "/", True
        return
    for rule in rules if isinstance(rules, list) else [rules]:
        if isinstance(rule, dict):
            locations = rule.get("location", "/")
            for location in locations if isinstance(locations, list) else [locations]:
                path = str(location).removeprefix(origin)
                pattern = normal_pattern(path if path.startswith(("/", "*")) else f"/{path}")
                yield str(location), pattern, rule.get(RESERVATION) in (1, "1", True)
