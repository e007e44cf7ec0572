"""What a run would cost somewhere: hours, machine hours, storage, requests and money."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from speechmill.core import yaml_file
from speechmill.core.build import Build
from speechmill.core.config_errors import ConfigError, explain
from speechmill.core.section import Section
from speechmill.corpus.speeds import Sizes
from speechmill.stages.base import InProcess
from speechmill.stages.flow import STAGES

PRICES_FILE = Path(__file__).with_name("prices.yaml")
# Of the time of all cores: what is left after stragglers, failures and the ends of stages. docs/scale.md has the
# simulation that this comes from.
EFFICIENCY = 0.85
PUBLISH_BYTES_S = 60e6  # of `data/` that a machine writes a second, read from artifacts and hashed
FINGERPRINT_SPEED = 870.0  # × real time, see docs/duplicates.md
SHUFFLED_BYTES_HOUR = 1.8e6  # of landmarks and matches, see docs/duplicates.md
HOST_REQUESTS = 3.0  # a recording: media, page, and a transcript or the like
# Requests for each artifact of a run that makes it, by `python -m tests.benchmarks.storage`; listings are writes.
WRITES_A_FILE, READS_A_FILE = 2.7, 11.6
HOUR_S = 3600.0
HERE = "local"  # the place that is this machine


class PlacePrices(Section):
    """What a place has and takes."""

    machine: str
    """What a worker is, in words."""
    cores: int | None = Field(None, ge=1)
    """Cores of a worker; null: those of this machine."""
    machine_hour: float = Field(ge=0)
    """Price of a worker for an hour."""
    gpu_hour: dict[str, float] = Field({})
    """Price of a GPU in a worker for an hour, by kind."""
    storage_gb_month: float = Field(0.0, ge=0)
    """Price of 10^9 bytes for a month."""
    writes_1000: float = Field(0.0, ge=0)
    """Price of 1,000 requests that write or list."""
    reads_1000: float = Field(0.0, ge=0)
    """Price of 1,000 requests that read."""
    shuffle_gb: float = Field(0.0, ge=0)
    """Price of 10^9 bytes through the shuffle."""


class Source(Section):
    """Where some of the prices are from."""

    origin: str = Field(alias="from")
    looked_up: Any
    """Day on which they were looked up there; null: they are from memory, or assumed."""
    of: tuple[str, ...]
    """Keys of the prices, such as `flink.machine_hour`."""


class Prices(Section):
    """Contents of a file of prices."""

    date: Any
    """Day on which they were written down."""
    currency: str
    sources: tuple[Source, ...] = ()
    places: dict[str, PlacePrices]
    gpu_speedups: dict[str, float] = Field({})
    """How much faster a model is on a GPU than on one core, by kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is to be done. Hours are of audio."""

    recordings: int
    fetch_hours: float
    """To be fetched."""
    decode_hours: float
    """To be decoded."""
    host_hours: Mapping[str, float]
    """To be fetched from each host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Where it is to be done."""

    place: str
    """A key of `Prices.places`."""
    workers: int = 1
    gpu: str | None = None
    """Kind of the GPU in each worker; None: no GPUs."""


def read_prices(path: str | None = None) -> Prices:
    """Read a file of prices; None: the one that comes with speechmill. Raises ConfigError that names the fix."""
    file = PRICES_FILE if path is None else Path(path)
    try:
        return Prices.model_validate(yaml_file.parse(file.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise ConfigError(f"{file}: {explain(error, Prices)}") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file}: {error}; start from a copy of {PRICES_FILE}") from None


def check_cluster(cluster: Cluster, prices: Prices) -> None:
    """Raise ConfigError for a place or GPU without a price."""
    if cluster.place not in prices.places:
        raise ConfigError(f"--on {cluster.place}: has no prices; choose one of {', '.join(prices.places)}")
    known = prices.places[cluster.place].gpu_hour
    if cluster.gpu is not None and cluster.place != HERE and cluster.gpu not in known:
        fix = f"choose one of {', '.join(known)}, or add it to a copy of {PRICES_FILE} and give that with --prices"
        raise ConfigError(f"--gpu {cluster.gpu}: has no price on {cluster.place}; {fix}")


def budget(
    load: Load, cluster: Cluster, build: Build, *, speeds: Mapping[str, float], shares: Mapping[str, float],
    sizes: Sizes, prices: Prices, on_measured_gpu: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Estimate time and cost.

    Args:
        load: What is to be done.
        cluster: Where.
        build: The build, for its stages and limits.
        speeds: Speed of one process of each stage, × real time.
        shares: Share of the decoded audio that each stage processes.
        sizes: What an hour takes on disk.
        prices: Read by `read_prices`, and checked by `check_cluster`.
        on_measured_gpu: Whether `speeds` were measured on such a GPU, and need no assumption.

    Returns:
        JSON values: hours on the clock by part, machine hours, bytes, files, requests, costs.
    """
    place = prices.places[cluster.place]
    speedup = 1.0 if on_measured_gpu or cluster.gpu is None else prices.gpu_speedups.get(cluster.gpu, 1.0)
    bytes_, files = _bytes(load, sizes), round(load.recordings * sizes.files)
    hours = _hours(
        load, cluster, build, place=place, speeds=speeds, shares=shares, speedup=speedup, data_bytes=bytes_["data"]
    )
    requests = {
        "to_hosts": round(load.recordings * HOST_REQUESTS) if load.fetch_hours else 0,
        "store_writes": round(files * WRITES_A_FILE),
        "store_reads": round(files * READS_A_FILE),
    }
    machine_hours = cluster.workers * hours["total"]
    costs = _costs(machine_hours, bytes_, requests, cluster=cluster, place=place)
    return {
        "on": f"{cluster.workers} × {place.machine}" + (f", {cluster.gpu}" if cluster.gpu else ""),
        "hours": {name: round(value, 3) for name, value in hours.items()},
        "machine_hours": round(machine_hours, 2),
        "bytes": {name: round(value) for name, value in bytes_.items()},
        "files": files,
        "requests": requests,
        "cost": {"currency": prices.currency, **{name: round(value, 2) for name, value in costs.items()}},
        "prices": f"of {prices.date}; see {PRICES_FILE.name}",
        "sizes": "as measured" if sizes.is_measured else "typical of podcasts at 128 kbit/s",
        **({"gpu": f"assumed {speedup:g} × as fast as one core, not measured"} if speedup != 1.0 else {}),
    }


def _bytes(load: Load, sizes: Sizes) -> dict[str, float]:
    """Bytes that a run writes, by area, and that it shuffles."""
    return {
        "media": load.fetch_hours * sizes.media_bytes,
        "work": load.decode_hours * sizes.work_bytes,
        "data": load.decode_hours * sizes.data_bytes,
        "shuffled": load.decode_hours * SHUFFLED_BYTES_HOUR,
    }


def _hours(
    load: Load, cluster: Cluster, build: Build, *, place: PlacePrices, speeds: Mapping[str, float],
    shares: Mapping[str, float], speedup: float, data_bytes: float,
) -> dict[str, float]:  # fmt: skip
    """Hours on the clock: of fetching, of stages on cores, of stages on GPUs, of publication, and in all."""
    cores = place.cores or build.config.workers or os.cpu_count() or 1
    speeds = {"fingerprint": FINGERPRINT_SPEED} | {name: speed for name, speed in speeds.items() if name != "fetch"}
    work = {name: load.decode_hours * shares.get(name, shares["score"]) / speed for name, speed in speeds.items()}
    on_gpu = {stage.name for stage in STAGES if _uses_gpu(stage.execution_in(build))} if cluster.gpu else set()
    gpu_hours = sum(value for name, value in work.items() if name in on_gpu) / speedup
    core_hours = sum(value for name, value in work.items() if name not in on_gpu)
    hours = {
        "fetch": fetch_hours(load, cluster.workers, build),
        "cores": core_hours / (cluster.workers * cores * EFFICIENCY),
        "gpus": gpu_hours / (cluster.workers * EFFICIENCY),
        "publish": data_bytes / PUBLISH_BYTES_S / HOUR_S / cluster.workers,
    }
    stages_h = hours["cores"] + hours["gpus"]
    in_waves = cluster.place == HERE and build.config.fetch.wave_hours is not None  # fetching goes on beside the work
    until_done = max(hours["fetch"], stages_h) if in_waves else hours["fetch"] + stages_h
    return hours | {"total": until_done + hours["publish"]}


def fetch_hours(load: Load, workers: int, build: Build) -> float:
    """Hours on the clock until all media are fetched: as long as the largest host takes, or the workers with all.

    A host gives `typical_speed` of the stage, with as many connections as `fetch.per_host` permits.
    """
    speed = next(stage.typical_speed for stage in STAGES if stage.name == "fetch") or 1.0
    limits = build.config.fetch
    at_once = workers * max(limits.concurrency // limits.per_host, 1)
    largest = max(load.host_hours.values(), default=0.0)
    return max(largest, load.fetch_hours / at_once) / speed


def _uses_gpu(execution: Any) -> bool:
    return isinstance(execution, InProcess) and execution.on_gpu


def _costs(
    machine_hours: float, bytes_: Mapping[str, float], requests: Mapping[str, int], *, cluster: Cluster,
    place: PlacePrices,
) -> dict[str, float]:  # fmt: skip
    """Costs of a run, and of a month of what it leaves."""
    once = {
        "machines": machine_hours * place.machine_hour,
        "gpus": machine_hours * place.gpu_hour.get(cluster.gpu or "", 0.0),
        "requests": (
            requests["store_writes"] * place.writes_1000 + requests["store_reads"] * place.reads_1000
        ) / 1000,
        "shuffle": bytes_["shuffled"] / 1e9 * place.shuffle_gb,
    }  # fmt: skip
    stored = sum(bytes_[area] for area in ("media", "work", "data"))
    return once | {"total": sum(once.values()), "storage_a_month": stored / 1e9 * place.storage_gb_month}
