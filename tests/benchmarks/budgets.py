"""What runs of 1,000 to 1,000,000 hours cost: `python -m tests.benchmarks.budgets` prints the tables of docs/scale.md.

As `speechmill plan --on PLACE` says it of recordings of half an hour, a tenth of which are on one host.
"""

import tempfile
from collections.abc import Sequence
from typing import Any

from speechmill.core.config import RunConfig
from speechmill.core.store import Store
from speechmill.corpus.budget import Cluster, Load, budget, read_prices
from speechmill.corpus.speeds import DEFAULT_SHARES, Sizes, stage_speeds
from speechmill.stages.profiles import build_up_to_scores

HOURS = (1_000, 49_000, 1_000_000)
ONE_HOST = 0.1
CLUSTERS = (
    Cluster(place="slurm", workers=20),
    Cluster(place="flink", workers=20),
    Cluster(place="flink", workers=20, gpu="nvidia-l4"),
    Cluster(place="dataflow", workers=20, gpu="nvidia-l4"),
    Cluster(place="dataflow", workers=200, gpu="nvidia-l4"),
)


COSTS = ("audio", "on", "on the clock", "of it fetching", "machine hours", "USD once", "USD a month")
SIZES = ("audio", "media", "work", "data", "shuffled", "files", "requests to hosts", "to the store")


def main() -> None:
    """Print the tables."""
    _row(COSTS, is_head=True)
    for hours in HOURS:
        for cluster in CLUSTERS:
            one = _budget(hours, cluster)
            times, costs = one["hours"], one["cost"]
            where = f"{cluster.workers} × {cluster.place}{', ' + cluster.gpu if cluster.gpu else ''}"
            numbers = (one["machine_hours"], costs["total"], costs["storage_a_month"])
            _row((_hours(hours), where, _days(times["total"]), _days(times["fetch"]), *map("{:,.0f}".format, numbers)))
    print()
    _row(SIZES, is_head=True)
    for hours in HOURS:
        one = _budget(hours, CLUSTERS[0])
        sizes = [f"{one['bytes'][area] / 1e9:,.0f} GB" for area in ("media", "work", "data", "shuffled")]
        requests = one["requests"]
        store = requests["store_writes"] + requests["store_reads"]
        counts = [f"{count / 1e6:,.2f} M" for count in (one["files"], requests["to_hosts"], store)]
        _row((_hours(hours), *sizes, *counts))


def _row(cells: Sequence[str], *, is_head: bool = False) -> None:
    print(f"| {' | '.join(cells)} |")
    if is_head:
        print("|---" * len(cells) + "|")


def _hours(hours: int) -> str:
    return f"{hours:,} h"


def _budget(hours: int, cluster: Cluster) -> dict[str, Any]:
    hosts = {"the largest": hours * ONE_HOST} | {str(at): hours * (1 - ONE_HOST) / 2_000 for at in range(2_000)}
    load = Load(recordings=2 * hours, fetch_hours=hours, decode_hours=hours, host_hours=hosts)
    with tempfile.TemporaryDirectory() as folder:
        build = build_up_to_scores(RunConfig(output=folder), Store(folder))
    speeds, _ = stage_speeds(build.config, None)
    return budget(
        load, cluster, build, speeds=speeds, shares=DEFAULT_SHARES, sizes=Sizes(), prices=read_prices()
    )  # fmt: skip


def _days(hours: float) -> str:
    return f"{hours / 24:,.1f} d" if hours >= 48 else f"{hours:,.1f} h"


if __name__ == "__main__":
    main()
