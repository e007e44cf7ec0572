"""`robots.txt` (RFC 9309) and `ai.txt` (Spawning), which has the same form: what a host says to robots by their names.

Rules stand in groups. Groups of one robot are one; a robot that is named heeds its own group alone, others that of `*`.
Beside Allow and Disallow a group has `Content-Usage` and `Content-Signal`; `License` is for everybody, wherever it
stands (RSL 1.0).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from speechmill.fetch.consent import usage
from speechmill.fetch.consent.patterns import matches, normal_path, normal_pattern

EVERYWHERE = ""  # the name for what stands before any group, of which only preferences count
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
    """Names in lower case that a User-Agent header goes by, and `ours`: `Mozilla/5.0 (compatible; Ann-Bot/2)` has two.

    >>> agents_of("Ann-Bot/2.0 (+https://example.org/bot)", "speechmill")
    ('ann-bot', 'speechmill')
    """
    words = user_agent.replace("(", " ").replace(";", " ").split()
    products = [found[1] for word in words if (found := _PRODUCT.match(word)) and "/" in word]
    first = [words[0].partition("/")[0]] if words else []
    return tuple(dict.fromkeys(name.lower() for name in (*first, *products, ours)))


@dataclass(frozen=True, slots=True)
class Rule:
    """A line of a group: what it is about, the paths it is for in normal form, what it says, and how it was written."""

    name: str
    pattern: str
    says: str
    line: str


@dataclass(slots=True, eq=False)
class Group:
    """What is said to one robot."""

    rules: list[Rule] = field(default_factory=list)
    delay: float = 0.0

    def disallows(self, path: str) -> str | None:
        """The line that keeps a robot from a path; of the longest patterns that match, one that allows counts."""
        found = _longest([rule for rule in self.rules if rule.name in ("allow", "disallow")], path)
        return found[0].line if found and all(rule.name == "disallow" for rule in found) else None

    def forbids_training(self, path: str) -> Iterator[tuple[str, str]]:
        """Yield name and value of each kind of preference that is a no; of the longest patterns that match any no."""
        for name, speaks, forbids in (
            ("Content-Usage", usage.usage_speaks, usage.usage_forbids),
            ("Content-Signal", usage.signal_speaks, usage.signal_forbids),
        ):
            rules = [rule for rule in self.rules if rule.name == name.lower() and speaks(rule.says)]
            if no := next(filter(None, (forbids(rule.says) for rule in _longest(rules, path))), None):
                yield name, no


class Robots:
    """A robots.txt, read for robots of some names."""

    def __init__(self, text: str, agents: tuple[str, ...]) -> None:
        groups, self.licences = _read(text, (*agents, "*"))
        named = [groups[agent] for agent in agents if agent in groups] or [groups.get("*", Group())]
        self._groups = [groups[EVERYWHERE], *named]
        self.delay = min(max(group.delay for group in self._groups), MAX_CRAWL_DELAY_S)

    def disallows(self, path: str) -> str | None:
        """The line that keeps us from a path and query; None if none does."""
        path = normal_path(path)
        return next(filter(None, (group.disallows(path) for group in self._groups[1:])), None)

    def forbids_training(self, path: str) -> list[tuple[str, str]]:
        """Names and values of the preferences that forbid to learn from a path and query."""
        path = normal_path(path)
        return [no for group in self._groups for no in group.forbids_training(path)]


def _longest(rules: list[Rule], path: str) -> list[Rule]:
    """Of the rules for a path those with the longest pattern."""
    found = [rule for rule in rules if matches(rule.pattern, path)]
    longest = max((len(rule.pattern) for rule in found), default=0)
    return [rule for rule in found if len(rule.pattern) == longest]


def _read(text: str, heeded: tuple[str, ...]) -> tuple[dict[str, Group], list[str]]:
    """Groups by the robot's name, of those that are heeded, and addresses of licences."""
    groups, licences = {EVERYWHERE: Group()}, list[str]()
    names, is_list = [EVERYWHERE], False
    for line in _LINE_END.split(text.removeprefix("\ufeff")):
        name, value = _parts(line)
        if name == "user-agent":
            names = names if is_list else []  # names that follow each other share what comes next
            is_list = True
            if (agent := _agent(value)) in heeded and agent not in names:
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
    """Name in lower case and value of a line, without its comment; a blank may stand for the colon."""
    plain = line.partition("#")[0].strip()
    name, colon, value = plain.partition(":")
    if not colon:
        name, _, value = plain.partition(" ")
    name = " ".join(name.lower().split())
    return MISSPELT.get(name, name), value.strip()


def _agent(value: str) -> str:
    """The name of a robot, without a version that should not be there."""
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
    return seconds if seconds > 0 else 0.0  # also of what is not a number
