"""How a run ended: what the command line prints, and `speechmill.run` returns."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from speechmill import publish
from speechmill.core.records import Status
from speechmill.core.store import Store
from speechmill.stages.flow import STAGES

PUBLISH = "publish"  # the last row of the table of stages
NAMED_FAILURES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """How a run ended."""

    exit_code: int
    changed: bool
    """Whether the run published something new."""
    output: str
    stages: dict[str, dict[str, int]] = field(repr=False)
    """Counters by stage."""
    stats: dict[str, Any] | None = field(repr=False)
    """Contents of stats.json; None if nothing is published."""
    files: tuple[str, ...] = ()
    """Names of the published files."""
    notes: tuple[str, ...] = ()
    """Remarks for the user, a line each."""
    failed: tuple[str, ...] = ()
    """The first NAMED_FAILURES recordings that failed, each with its reason."""
    max_failed_ratio: float = 1.0
    empty_inputs: tuple[str, ...] = ()
    """Addresses of inputs without a recording."""


def failures(store: Store) -> Iterator[str]:
    """A line for each recording that failed: its title, or its path if it is local, and the reason."""
    columns = ["source", "title", "media_url", "status", "reason", "reason_detail"]
    for batch in store.batches(publish.RECORDINGS_FILE, columns):
        for row in batch.to_pylist():
            if row["status"] == Status.FAILED:
                detail = f": {row['reason_detail']}" if row["reason_detail"] else ""
                name = row["media_url"] if row["source"] == "local" or not row["title"] else row["title"]
                yield f"{name}  {row['reason']}{detail}"


def failed_ratio(stats: dict[str, Any]) -> float:
    """Share of recordings that failed, 0 to 1; files left out do not count."""
    counts = {status: count for status, count in stats["recordings"].items() if status != Status.LEFT_OUT}
    return float(counts.get("failed", 0) / max(sum(counts.values()), 1))


def counters_by_stage(counters: dict[str, int]) -> dict[str, dict[str, int]]:
    """Split counters named `stage/key` by stage, in the order of the graph; stages without counters are empty."""
    by_stage: dict[str, dict[str, int]] = {
        name: {} for name in (*(stage.name for stage in STAGES if stage.is_in_graph), PUBLISH)
    }
    for name, value in counters.items():
        stage, _, key = name.partition("/")
        if stage in by_stage:
            by_stage[stage][key] = value
    return by_stage
