"""Parses `robots.txt` (RFC 9309) and `ai.txt` (Spawning), which has the same syntax.

Rules are in groups. Groups of one robot are merged; a named robot follows its own group only, others that of `*`.
Beside Allow and Disallow a group has `Content-Usage` and `Content-Signal`; `License` applies to all robots, wherever
it is (RSL 1.0).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from speechmill.fetch.consent import usage
from speechmill.fetch.consent.patterns import matches, normal_path, normal_pattern

EVERYWHERE = ""  # name of the lines before any group, of which only preferences count
MAX_LICENCES = 10
MAX_CRAWL_DELAY_S = 60.0
MISSPELT = {
    "useragent": "user-agent", "user agent": "user-agent", "dissallow": "disallow", "dissalow": "disallow",
    "disalow": "disallow", "diasllow": "disallow", "disallaw": "disallow", "licence": "license",
    "content-signals": "content-signal",
}  # fmt: skip
_LINE_END = re.compile("\r\n?|\n")
_PRODUCT = re.compile(r"([A-Za-z][A-Za-z0-9_.-]{0,99})(?:/[0-9]|$)")


def agents_of(user_agent: str, ours: str) -> tuple[str, ...]:
    """Names, in lower case, in a User-Agent header, and `ours`: `Mozilla/5.0 (compatible; Ann-Bot/2)` has two.

    >>> agents_of("Ann-Bot/2.0 (+https://example.org/bot)", "speechmill")
    ('ann-bot', 'speechmill')
    """
    words = user_agent.replace("(", " ").replace(";", " ").split()
    products = [match[1] for word in words if (match := _PRODUCT.match(word)) and "/" in word]
    first = [words[0].partition("/")[0]] if words else []
    return tuple(dict.fromkeys(name.lower() for name in (*first, *products, ours)))


@dataclass(frozen=True, slots=True)
class Rule:
    """A line of a group: its name, the normalised pattern of its paths, its value, and the line as written."""

    name: str
    pattern: str
    says: str
    line: str


@dataclass(slots=True, eq=False)
class Group:
    """The rules for one robot."""

    rules: list[Rule] = field(default_factory=list)
    delay: float = 0.0

    def disallows(self, path: str) -> str | None:
        """The line that disallows a path; of the longest matching patterns, one that allows wins."""
        longest = _longest([rule for rule in self.rules if rule.name in ("allow", "disallow")], path)
        return longest[0].line if longest and all(rule.name == "disallow" for rule in longest) else None

    def forbids_training(self, path: str) -> Iterator[tuple[str, str]]:
        """Yield name and value of each preference against training; of the longest matching patterns, any counts."""
        for name, speaks, forbids in (
            ("Content-Usage", usage.usage_speaks, usage.usage_forbids),
            ("Content-Signal", usage.signal_speaks, usage.signal_forbids),
        ):
            rules = [rule for rule in self.rules if rule.name == name.lower() and speaks(rule.says)]
            if refusal := next(filter(None, (forbids(rule.says) for rule in _longest(rules, path))), None):
                yield name, refusal


class Robots:
    """A robots.txt, parsed for the given robot names."""

    def __init__(self, text: str, agents: tuple[str, ...]) -> None:
        groups, self.licences = _read(text, (*agents, "*"))
        named = [groups[agent] for agent in agents if agent in groups] or [groups.get("*", Group())]
        self._groups = [groups[EVERYWHERE], *named]
        self.delay = min(max(group.delay for group in self._groups), MAX_CRAWL_DELAY_S)

    def disallows(self, path: str) -> str | None:
        """The line that disallows a path and query; None if there is none."""
        path = normal_path(path)
        return next(filter(None, (group.disallows(path) for group in self._groups[1:])), None)

    def forbids_training(self, path: str) -> list[tuple[str, str]]:
        """Names and values of the preferences against training on a path and query."""
        path = normal_path(path)
        return [refusal for group in self._groups for refusal in group.forbids_training(path)]


def _longest(rules: list[Rule], path: str) -> list[Rule]:
    """The rules with the longest patterns that match a path."""
    matching = [rule for rule in rules if matches(rule.pattern, path)]
    longest = max((len(rule.pattern) for rule in matching), default=0)
    return [rule for rule in matching if len(rule.pattern) == longest]


def _read(text: str, heeded: tuple[str, ...]) -> tuple[dict[str, Group], list[str]]:
    """Groups by robot name, only of names in `heeded`, and addresses of licences."""
    groups, licences = {EVERYWHERE: Group()}, list[str]()
    names, is_list = [EVERYWHERE], False
    for line in _LINE_END.split(text.removeprefix("\ufeff")):
        name, value = _parts(line)
        if name == "user-agent":
            names = names if is_list else []  # successive names share the rules that follow
            is_list = True
            for agent in {_agent(word) for word in value.split(",")} & {*heeded} - {*names}:
                names.append(agent)
                groups.setdefault(agent, Group())
        elif name == "license":
            licences += [value] if value and len(licences) < MAX_LICENCES else []
        elif name == "crawl-delay":
            for agent in names:
                groups[agent].delay = max(groups[agent].delay, _seconds(value))
        elif rule := _rule(name, value, line):
            is_list = False
            for agent in names:
                groups[agent].rules.append(rule)
    return groups, licences


def _parts(line: str) -> tuple[str, str]:
    """Name, in lower case, and value of a line, without its comment; a space may replace the colon."""
    plain = line.partition("#")[0].strip()
    name, colon, value = plain.partition(":")
    if not colon:
        name, _, value = plain.partition(" ")
    name = " ".join(name.lower().split())
    return MISSPELT.get(name, name), value.strip()


def _agent(value: str) -> str:
    """Name of a robot, without the version that should not be there."""
    words = value.lower().partition("/")[0].split()
    return words[0] if words else ""


def _rule(name: str, value: str, line: str) -> Rule | None:
    if name in ("allow", "disallow"):
        return Rule(name, _pattern(value), "", line.strip()[:200]) if value else None
    if name not in ("content-usage", "content-signal"):
        return None
    first, *rest = value.split(maxsplit=1)[:2] or [""]
    pattern, says = (first, "".join(rest)) if first.startswith(("/", "*")) else ("/", value)
    return Rule(name, _pattern(pattern), says, line.strip()[:200])


def _pattern(value: str) -> str:
    return normal_pattern(value if value.startswith(("/", "*")) else f"/{value}")


def _seconds(value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        return 0.0
    return seconds if seconds > 0 else 0.0  # also NaN
