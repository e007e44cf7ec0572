"""Simulates runs of any size, with failures, rate limits and stragglers: `python -m tests.benchmarks.simulation`.

Recordings queue first come, first served, at stations: the connections of their host, then the cores or GPUs of all
workers, for the stages before and after the comparison. All dice come from one seed. The table of docs/scale.md is
what it prints. `--against CORPUS --speeds-of OTHER` simulates a run that was made on one machine, with the speeds
that stages had in another one, and compares its time with that of the log.
"""

import argparse
import heapq
import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

Floats = npt.NDArray[np.float64]

HOUR_S = 3600.0
MEAN_S, SIGMA = 1800.0, 0.8  # of a recording: half an hour; lengths are log-normal
BYTES_S_OF_AUDIO = 16_000.0  # 128 kbit/s
CONNECTION_BYTES_S = 4e6  # two connections of a host make 500 × real time, the typical speed of the stage fetch
# × real time of one core for the stages before and after the comparison, from the typical speeds of the stages (turns
# are most of the first), and the share of the audio that reaches them.
SPEEDS = {"before": 17.0, "after": 11.4}
SHARES = {"before": 1.0, "after": 0.5}
COMPARE_S_HOUR = 0.11  # core seconds to compare an hour, see tests/benchmarks/comparison.py
PUBLISH_S_HOUR = 0.8  # to write the data of an hour, 46 MB at 60 MB/s


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What goes wrong."""

    straggling: float = 0.3  # sigma of the log-normal factor of each piece of work, whose mean is 1
    slow_share: float = 0.02  # of pieces that take SLOW times as long
    failures_hour: float = 0.01  # failures of a core's machine an hour: what it had in hand is lost
    restart_s: float = 120.0
    retry_share: float = 0.05  # of downloads that break half way and are made again
    limited_share: float = 0.02  # of downloads that are first answered with 429, retry after LIMITED_S


SLOW, LIMITED_S = 5.0, 60.0
NONE = Trouble(straggling=0.0, slow_share=0.0, failures_hour=0.0, retry_share=0.0, limited_share=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a simulated run took."""

    hours: float
    first_clip_s: float
    fetch_hours: float
    efficiency: float
    """Share of the time of all cores, while stages run, in which they do what is not done twice, at mean speed."""
    media_hours: float
    """Most hours of audio whose media lie on the disk at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run to be simulated."""

    seconds: Floats  # [n], length of each recording
    hosts: npt.NDArray[np.intp]  # [n]
    download_s: Floats  # [n], on one connection
    stations: tuple[tuple[int, Floats], ...]  # before the comparison: servers, and service times [n]
    stations_after: tuple[tuple[int, Floats], ...]
    compare_s: float = 0.0
    publish_s: float = 0.0
    graph_s: float = 0.0  # until a graph begins, of which there is one a wave, and one to publish after several
    per_host: int = 2
    at_once: int = 16  # downloads
    wave_s: float = math.inf
    keeps_media: bool = True
    trouble: Trouble = field(default_factory=Trouble)


def served(arrivals: Floats, services: Floats, servers: int) -> Floats:
    """Times at which a station with some equal servers is done with each job, in order of arrival.

    >>> served(np.array([0.0, 0.0, 1.0]), np.array([5.0, 2.0, 2.0]), 2).tolist()
    [5.0, 2.0, 4.0]
    """
    free, done = [0.0] * servers, np.zeros(arrivals.size)
    for at in np.argsort(arrivals, kind="stable").tolist():
        begin = max(heapq.heappop(free), float(arrivals[at]))
        done[at] = begin + float(services[at])
        heapq.heappush(free, done[at])
    return done


def simulate(run: Run, seed: int = 0) -> Result:
    """Simulate a run; the same seed gives the same result."""
    dice, waves = np.random.default_rng(seed), _waves(run)
    fetch_at, free_at, fetched_at, busy, elapsed = 0.0, 0.0, 0.0, 0.0, 0.0
    first_clip_s = math.inf
    for wave in waves:
        fetched_at = fetch_at + float(_fetched(run, wave, dice).max())
        begin = max(fetched_at, free_at)
        compare_s = run.compare_s * wave.size / run.seconds.size
        done, used, first_s = _worked(run, wave, begin + run.graph_s, compare_s, dice)
        first_clip_s = min(first_clip_s, first_s)
        busy, elapsed = busy + used, elapsed + done - begin
        fetch_at, free_at = begin, done
    hours = [float(run.seconds[wave].sum()) / HOUR_S for wave in waves]
    pairs = [one + next_one for one, next_one in zip(hours, [*hours[1:], 0.0], strict=True)]
    publication_s = run.publish_s + run.graph_s * (len(waves) > 1)
    return Result(
        hours=(free_at + publication_s) / HOUR_S, first_clip_s=first_clip_s, fetch_hours=fetched_at / HOUR_S,
        efficiency=busy / elapsed, media_hours=sum(hours) if run.keeps_media else max(pairs),
    )  # fmt: skip


def _worked(
    run: Run, wave: npt.NDArray[np.intp], begin: float, compare_s: float, dice: np.random.Generator
) -> tuple[float, float, float]:
    """When a wave is done, the time that its work takes on all servers without trouble, and when its first clip is."""
    used, first_s = 0.0, math.inf
    for stations, between_s in ((run.stations, compare_s), (run.stations_after, 0.0)):
        times = np.full(wave.size, begin)
        for servers, service in stations:
            times = served(times, _troubled(service[wave], run.trouble, dice), servers)
            used += float(service[wave].sum()) / servers
            first_s = min(first_s, float(times.min()))
        begin = float(times.max()) + between_s
    return begin, used, first_s


def _waves(run: Run) -> list[npt.NDArray[np.intp]]:
    """Indices of the recordings of each wave; the first ones are shorter, as in runner/waves.py."""
    waves, own, size, limit = [], list[int](), 0.0, run.wave_s / 8
    for at, seconds in enumerate(run.seconds.tolist()):
        if own and size + seconds > limit:
            waves.append(np.array(own))
            own, size, limit = [], 0.0, min(2 * limit, run.wave_s)
        own.append(at)
        size += seconds
    return [*waves, np.array(own)]


def _fetched(run: Run, wave: npt.NDArray[np.intp], dice: np.random.Generator) -> Floats:
    """Times after which each recording of a wave is fetched: by host, then within the limit of all hosts."""
    times = run.download_s[wave].copy()
    times += times * 0.5 * (dice.random(wave.size) < run.trouble.retry_share)
    times += LIMITED_S * (dice.random(wave.size) < run.trouble.limited_share)
    done = np.zeros(wave.size)
    for host in np.unique(run.hosts[wave]):
        own = run.hosts[wave] == host
        done[own] = served(np.zeros(int(own.sum())), times[own], run.per_host)
    return np.maximum(done, served(np.zeros(wave.size), times, run.at_once))


def _troubled(services: Floats, trouble: Trouble, dice: np.random.Generator) -> Floats:
    """Service times with stragglers, slow machines, and work that is lost and done again."""
    factor = np.exp(trouble.straggling * dice.standard_normal(services.size) - trouble.straggling**2 / 2)
    services = services * factor * np.where(dice.random(services.size) < trouble.slow_share, SLOW, 1.0)
    failures = dice.poisson(services * trouble.failures_hour / HOUR_S)
    return services + failures * (services * dice.random(services.size) + trouble.restart_s)


# --- runs ---


def corpus_of(hours: float, workers: int, *, cores: int = 4, hosts: int = 2_000, seed: int = 0) -> Run:
    """A run of many hours, from hosts of which a few have much."""
    dice = np.random.default_rng(seed)
    count = round(hours * HOUR_S / MEAN_S)
    seconds = MEAN_S * np.exp(SIGMA * dice.standard_normal(count) - SIGMA**2 / 2)
    servers = workers * cores
    station = {name: ((servers, seconds * SHARES[name] / SPEEDS[name]),) for name in SPEEDS}
    total = seconds.sum() / HOUR_S
    return Run(
        seconds=seconds, hosts=np.minimum(dice.zipf(1.5, count), hosts) - 1,
        download_s=seconds * BYTES_S_OF_AUDIO / CONNECTION_BYTES_S, stations=station["before"],
        stations_after=station["after"], compare_s=total * COMPARE_S_HOUR / servers,
        publish_s=total * PUBLISH_S_HOUR / workers, at_once=16 * workers,
    )  # fmt: skip


def table() -> None:
    """Print what runs of 49,000 hours on clusters take, and of 1,000 hours on one machine."""
    cluster, here = corpus_of(49_000, 20), corpus_of(1_000, 1, cores=16)
    one_host = np.zeros_like(cluster.hosts)
    rows = {
        "49,000 h, 20 workers, no trouble": replace(cluster, trouble=NONE),
        "49,000 h, 20 workers": cluster,
        "49,000 h, 20 workers, ten times the failures": replace(cluster, trouble=Trouble(failures_hour=0.1)),
        "49,000 h, 20 workers, one host": replace(cluster, hosts=one_host),
        "49,000 h, 100 workers": corpus_of(49_000, 100),
        "49,000 h, 500 workers": corpus_of(49_000, 500),
        "1,000 h, one machine, all fetched first": here,
        **{
            f"1,000 h, one machine, waves of {each} h a core": replace(
                here, wave_s=16 * each * HOUR_S, keeps_media=False
            )
            for each in (1, 5, 10, 20)
        },
    }
    print(f"{'':44}  hours  of fetching  efficiency  media on disk  first clip")
    for name, run in rows.items():
        one = simulate(run)
        print(
            f"{name:44}  {one.hours:5.0f}  {one.fetch_hours:9.1f} h  {one.efficiency:10.2f}"
            f"  {one.media_hours:11,.0f} h  {one.first_clip_s / HOUR_S:8.2f} h"
        )


# --- against a run that was made ---


def measured(corpus: Path, speeds_of: Path, bytes_s: float) -> tuple[float, float, float]:
    """Simulated and measured seconds of a run on one machine, and the error; speeds are those of another one.

    `bytes_s`: what a connection gave. Stages in processes of their own have two servers, others one.
    """
    config = json.loads((corpus / "run.json").read_text())["config"]
    other = json.loads((speeds_of / "run.json").read_text())["stages"]
    rows = pq.read_table(corpus / "recordings.parquet", columns=["declared_duration_s", "bytes", "published"])
    order = np.argsort(rows["published"].to_numpy(zero_copy_only=False).astype(str), kind="stable")
    seconds = np.array(rows["declared_duration_s"].to_pylist(), float)[order]
    spent = {
        name: counts["wall_ms"] / 1000 / max(counts["in"], 1) for name, counts in other.items() if counts.get("in")
    }
    mean = seconds.mean()
    station = {
        name: (2 if name in ("segment", "fingerprint") else 1, seconds / mean * each) for name, each in spent.items()
    }
    after = [station[name] for name in ("dedup", "transcribe", "tokenise", "assess") if name in station]
    run = Run(
        seconds=seconds, hosts=np.zeros(seconds.size, np.intp),
        download_s=np.array(rows["bytes"].to_pylist(), float)[order] / bytes_s,
        stations=tuple(station[name] for name in ("segment", "score", "fingerprint")),
        stations_after=tuple(after),
        publish_s=other["publish"]["wall_ms"] / 1000, graph_s=_graph_s(_events(speeds_of)),
        per_host=config["fetch"]["per_host"],
        wave_s=HOUR_S * (config["fetch"]["wave_hours"] or math.inf) * (config["workers"] or 1), trouble=NONE,
    )  # fmt: skip
    simulated, seen = simulate(run).hours * HOUR_S, _logged_s(corpus)
    return simulated, seen, simulated / seen - 1


def _events(corpus: Path) -> list[dict[str, Any]]:
    """Events of stages in the log of a corpus, by time."""
    events = [json.loads(line) for line in (corpus / "work/log.jsonl").read_text().splitlines()]
    return sorted((event for event in events if "stage" in event), key=lambda event: event["time"])


def _logged_s(corpus: Path) -> float:
    """Seconds from the beginning of the first piece of work in a log to the end of the last."""
    events = _events(corpus)
    return float(max(event["time"] for event in events) - min(map(_begin, events)))


def _begin(event: dict[str, Any]) -> float:
    return float(event["time"] - event["seconds"])


def _graph_s(events: list[dict[str, Any]]) -> float:
    """Seconds until a graph begins: from the end of a wave, or else of fetching, to the next beginning of segment."""
    work = [event for event in events if event["stage"] != "fetch"]
    gaps = [
        _begin(event) - before["time"]
        for before, event in itertools.pairwise(work)
        if event["stage"] == "segment" and before["stage"] not in ("segment", "score", "fingerprint")
    ]
    fetched = max(event["time"] for event in events if event["stage"] == "fetch")
    return float(np.median(gaps)) if gaps else _begin(work[0]) - fetched


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table, or the comparison."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.simulation", description=__doc__)
    parser.add_argument("--against", type=Path, metavar="CORPUS", help="made by tests.benchmarks.waves --folder")
    parser.add_argument("--speeds-of", type=Path, metavar="CORPUS", help="another one, made likewise")
    parser.add_argument("--bytes-s", type=float, default=60_000, help="of a connection of its server")
    options = parser.parse_args(arguments)
    if options.against is None:
        table()
        return
    simulated, seen, error = measured(options.against, options.speeds_of or options.against, options.bytes_s)
    print(f"simulated {simulated:.1f} s, measured {seen:.1f} s, error {100 * error:+.0f} %")


if __name__ == "__main__":
    main()
