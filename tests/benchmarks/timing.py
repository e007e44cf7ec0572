"""Costs of rival ways to do the same work, and the table they go into.

The machine is shared, so wall time is noise as much as news: every figure is given in CPU seconds as well, of
this process and of the children it waited for, and rivals take turns so that what disturbs one disturbs all.
"""

import json
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds that some work took: CPU seconds over all cores, and wall seconds."""

    cpu: float
    wall: float

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.cpu + other.cpu, self.wall + other.wall)

    def __sub__(self, other: "Cost") -> "Cost":
        return Cost(self.cpu - other.cpu, self.wall - other.wall)


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. `limit` is the target: a least value, or a most where `at_most`; it judges `cpu`."""

    group: str
    name: str
    cpu: float  # from CPU seconds, or the figure itself where it is no time
    wall: float | None
    unit: str
    limit: float | None = None
    at_most: bool = False

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one."""
        if self.limit is None:
            return None
        return self.cpu <= self.limit if self.at_most else self.cpu >= self.limit


def cost_of(work: Callable[[], object]) -> Cost:
    """Do the work once."""
    before = _now()
    work()
    return _now() - before


def take_turns(
    rounds: int, before: Callable[[], object] = lambda: None, **rivals: Callable[[], object]
) -> dict[str, list[Cost]]:
    """Let the rivals work one after the other, `rounds` times: A B C A B C. What `before` each costs is not counted."""
    costs: dict[str, list[Cost]] = {name: [] for name in rivals}
    for _ in range(rounds):
        for name, work in rivals.items():
            before()
            costs[name].append(cost_of(work))
    return costs


def speed(group: str, name: str, costs: list[Cost], audio_s: float) -> Figure:
    """Median seconds of audio done in a second of one core, and in a second on the clock."""
    cpu, wall = (audio_s / statistics.median(getattr(cost, kind) for cost in costs) for kind in ("cpu", "wall"))
    return Figure(group, name, cpu, wall, "x real time")


def ratio(
    group: str, name: str, over: list[Cost], under: list[Cost], *, limit: float | None = None, at_most: bool = False
) -> Figure:
    """Median over the rounds of the one cost over the other."""
    pairs = list(zip(over, under, strict=True))
    cpu = statistics.median(a.cpu / b.cpu for a, b in pairs)
    wall = statistics.median(a.wall / b.wall for a, b in pairs)
    return Figure(group, name, cpu, wall, "ratio", limit, at_most)


@dataclass(slots=True)
class Stopwatch:
    """Adds up the costs of the parts of some work."""

    parts: dict[str, Cost] = field(default_factory=dict)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count what happens inside towards a part."""
        before = _now()
        yield
        self.parts[name] = self.parts.get(name, Cost(0, 0)) + (_now() - before)


HEADING = f"{'':10} {'':44} {'by CPU':>8} {'by wall':>8}  {'':12} target"


def show(figures: list[Figure]) -> None:
    """Print figures as lines of a table."""
    for one in figures:
        wall = "" if one.wall is None else _digits(one.wall)
        sign, verdict = ("<=" if one.at_most else ">="), ("met" if one.met else "MISSED")
        target = "" if one.limit is None else f"{sign} {one.limit:g} {verdict}"
        print(f"{one.group:10} {one.name:44} {_digits(one.cpu):>8} {wall:>8}  {one.unit:12} {target}", flush=True)


def write_json(path: Path, figures: list[Figure], facts: dict[str, object]) -> None:
    """Write the figures, and the facts about the machine that they are of, as JSON."""
    rows = [asdict(one) | {"met": one.met} for one in figures]
    path.write_text(json.dumps({"machine": facts, "figures": rows}, indent=2) + "\n")


def _digits(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _now() -> Cost:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return Cost(sum(one.ru_utime + one.ru_stime for one in used), time.perf_counter())
