"""Whether a publisher lets a machine take a file to learn from: any one signal against it counts.

Signals that a host gives in files are read before anything else of it is asked for:

- `robots.txt` (RFC 9309), with wildcards and Crawl-delay, for our own name or `*`; and `Content-Usage` lines in it
- `ai.txt` (Spawning), which has the same form
- `/.well-known/tdmrep.json` (W3C TDM Reservation Protocol)

and those of one answer stand in its headers: `X-Robots-Tag: noai` and `noimageai`, `TDM-Reservation: 1`, and
`Content-Usage: train-ai=n` (IETF AIPREF, a draft).
"""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pipeline.records import Reason, Rejected, stable_id
from pipeline.store import Store

if TYPE_CHECKING:
    import urllib3

AGENT = "speechmill"
ROBOTS, AI, TDMREP = FILES = ("/robots.txt", "/ai.txt", "/.well-known/tdmrep.json")
MAX_FILE_BYTES = 512_000  # RFC 9309 2.5: at least 500 KiB of robots.txt count
MAX_AGE_S = 24 * 3600.0  # RFC 9309 2.4: nobody should rely on what is older
MAX_CRAWL_DELAY_S = 60.0
NO_AI = {"noai", "noimageai"}
# Directives of X-Robots-Tag that have a value after a colon; any other word before one is the name of a robot.
WITH_VALUE = {"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"}
TRAINING = ("train-ai", "train-genai", "tdm", "ai", "bots")  # categories of AIPREF's drafts, the narrowest first
_USAGE = re.compile(r"([a-z-]+)\s*=\s*\"?([yn])\b", re.IGNORECASE)
_LINE = re.compile(r"\s*(user-agent|content-usage)\s*:\s*(.*?)\s*(?:#.*)?", re.IGNORECASE)

Get = Callable[[str], bytes | None]  # a small file by its URL; None where there is none
_rules: dict[tuple[str, str], "_Rules"] = {}  # by store and origin
_locks: dict[tuple[str, str], threading.Lock] = {}
_locks_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Consent:
    """Asks hosts, once a day each, and remembers in `work/hosts/` what they said."""

    store: Store
    get: Get

    def ask(self, url: str) -> float:
        """Seconds to let pass between two requests to this host. Raises Rejected(OPTED_OUT), naming the signal.

        What `get` raises for robots.txt passes through: where it cannot be had, nothing may be taken (RFC 9309).
        """
        from urllib3.util import parse_url

        parts = parse_url(url)
        rules = self._of(f"{parts.scheme}://{parts.netloc}")
        if signal := next(rules.against(url, parts.request_uri), None):
            raise _opted_out(f"{signal} of {parts.netloc}", rules.when)
        return rules.delay

    def _of(self, origin: str) -> "_Rules":
        key, name = (self.store.root, origin), f"work/hosts/{stable_id('host', origin)}"
        with _locks_lock:
            lock = _locks.setdefault(key, threading.Lock())
        with lock:
            found = _rules.get(key) or _Rules.read(self.store.read_json(name) or {})
            if not 0 <= time.time() - found.when < MAX_AGE_S:
                files = {path: (self.get(f"{origin}{path}") or b"").decode("utf-8", "replace") for path in FILES}
                told = {"origin": origin, "when": time.time(), "files": files}
                self.store.write_json(name, told)
                found = _Rules.read(told)
            _rules[key] = found
        return found


def read_headers(headers: "urllib3.HTTPHeaderDict") -> None:
    """Raise Rejected(OPTED_OUT) where the headers of an answer reserve it."""
    if signal := next(_in_headers(headers), None):
        raise _opted_out(signal, time.time())


def _opted_out(signal: str, when: float) -> Rejected:
    return Rejected(Reason.OPTED_OUT, f"{signal}, seen {datetime.fromtimestamp(when, UTC):%Y-%m-%d}")


# --- files ---


class _Rules:
    """What the files of one host say; `when` in seconds since 1970."""

    def __init__(self, files: dict[str, str], when: float) -> None:
        from protego import Protego

        self.when = when
        self._robots, self._ai = (Protego.parse(files.get(path, "")) for path in (ROBOTS, AI))
        self._usage = list(_usage_lines(files.get(ROBOTS, "")))
        self._reserved = list(_reservations(files.get(TDMREP, "")))
        self.delay = min(self._robots.crawl_delay(AGENT) or 0.0, MAX_CRAWL_DELAY_S)

    @classmethod
    def read(cls, told: dict[str, Any]) -> "_Rules":
        """Take up what was stored; nothing is as old as can be."""
        return cls(told.get("files", {}), told.get("when", 0.0))

    def against(self, url: str, path: str) -> Iterator[str]:
        """Signals against taking a URL, whose path and query are given too."""
        if not self._robots.can_fetch(url, AGENT):
            yield f"robots.txt disallows {path[:200]}"
        if not self._ai.can_fetch(url, AGENT):
            yield f"ai.txt disallows {path[:200]}"
        usage = [(pattern, allows) for pattern, allows in self._usage if _matches(pattern, path)]
        if usage and not max(usage, key=lambda one: len(one[0]))[1]:  # the longest pattern counts, as for Disallow
            yield "robots.txt says Content-Usage: train-ai=n"
        reserved = next((is_reserved for pattern, is_reserved in self._reserved if _matches(pattern, path)), False)
        if reserved:  # the first pattern counts
            yield f"tdmrep.json reserves {path[:200]}"


def _usage_lines(robots: str) -> Iterator[tuple[str, bool]]:
    """Path pattern and whether training is allowed, of the Content-Usage lines for our own name or `*`."""
    is_ours = begun = False
    for line in robots.splitlines():
        if not (found := _LINE.fullmatch(line)):
            begun = begun and not line.partition("#")[0].strip()
            continue
        if found[1].lower() == "user-agent":
            is_ours = (is_ours and begun) or found[2].lower() in (AGENT, "*")
            begun = True  # lines of agents that follow each other belong together
            continue
        begun = False
        pattern, _, rest = found[2].partition(" ") if found[2].startswith("/") else ("/", "", found[2])
        if is_ours and (allows := _allows_training(rest)) is not None:
            yield pattern, allows


def _allows_training(usage: str) -> bool | None:
    """What a list of preferences says of training; None: nothing."""
    told = {name.lower(): answer.lower() == "y" for name, answer in _USAGE.findall(usage)}
    return next((told[name] for name in TRAINING if name in told), None)


def _reservations(tdmrep: str) -> Iterator[tuple[str, bool]]:
    """Path pattern and whether it is reserved, in the order of a tdmrep.json; what has another form says nothing."""
    try:
        rules = json.loads(tdmrep)
    except ValueError:
        return
    for rule in rules if isinstance(rules, list) else [rules]:
        if isinstance(rule, dict) and isinstance(rule.get("location"), str):
            yield rule["location"], str(rule.get("tdm-reservation")) == "1"


def _matches(pattern: str, path: str) -> bool:
    """Whether a path begins as a pattern of robots.txt says: `*` is any text, `$` at the end is the path's end."""
    is_whole = pattern.endswith("$")
    parts = [re.escape(part) for part in pattern.removesuffix("$").split("*")]
    return re.match(".*".join(parts) + ("$" if is_whole else ""), path) is not None


# --- headers ---


def _in_headers(headers: "urllib3.HTTPHeaderDict") -> Iterator[str]:
    for value in headers.getlist("X-Robots-Tag"):
        if words := NO_AI.intersection(_robots_tags(value)):
            yield f"header X-Robots-Tag: {sorted(words)[0]}"
    if headers.get("TDM-Reservation", "").strip() == "1":
        yield "header TDM-Reservation: 1"
    if _allows_training(", ".join(headers.getlist("Content-Usage"))) is False:
        yield "header Content-Usage: train-ai=n"


def _robots_tags(value: str) -> Iterator[str]:
    """Directives of an X-Robots-Tag for all robots or for us."""
    robot = ""
    for part in value.lower().split(","):
        name, colon, rest = part.strip().partition(":")
        if colon and name not in WITH_VALUE:
            robot, part = name.strip(), rest  # from here on, directives are this robot's
        if robot in ("", "*", AGENT):
            yield part.strip()
