"""What a run would cost: arithmetic by hand, limits of hosts, and slips."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from speechmill.core.config import RunConfig
from speechmill.core.config_errors import ConfigError
from speechmill.core.store import Store
from speechmill.corpus import budget as budgets
from speechmill.corpus.budget import Cluster, Load, budget, check_cluster, fetch_hours, read_prices
from speechmill.corpus.speeds import Sizes, sizes_of
from speechmill.stages.profiles import build_up_to_scores

from tests.benchmarks.plan import write_feed

LOAD = Load(recordings=100, fetch_hours=100.0, decode_hours=100.0, host_hours={"a": 60.0, "b": 40.0})
SPEEDS = {"segment": 50.0, "score": 100.0, "transcribe": 10.0}
SHARES = {"segment": 1.0, "score": 0.8, "transcribe": 0.5}
PRICES = """
date: 2026-01-01
currency: EUR
places:
  here: {machine: a box, cores: 2, machine_hour: 3, gpu_hour: {big: 7}, storage_gb_month: 0.5, writes_1000: 1,
         reads_1000: 0.1, shuffle_gb: 2}
gpu_speedups: {big: 20}
"""


@pytest.fixture
def prices(tmp_path: Path) -> budgets.Prices:
    (tmp_path / "prices.yaml").write_text(PRICES)
    return read_prices(str(tmp_path / "prices.yaml"))


def found(tmp_path: Path, prices: budgets.Prices, cluster: Cluster, load: Load = LOAD) -> dict:
    build = build_up_to_scores(RunConfig(output=str(tmp_path / "new")), Store(str(tmp_path / "new")))
    return budget(load, cluster, build, speeds=SPEEDS, shares=SHARES, sizes=Sizes(), prices=prices)


def test_hours_and_costs_are_those_by_hand(tmp_path: Path, prices: budgets.Prices) -> None:
    said = found(tmp_path, prices, Cluster(place="here", workers=4))
    cores = (100 / 50 + 80 / 100 + 50 / 10 + 80 / budgets.FINGERPRINT_SPEED) / (4 * 2 * budgets.EFFICIENCY)
    assert said["hours"]["cores"] == pytest.approx(cores, abs=1e-3)
    assert said["hours"]["gpus"] == 0
    assert said["hours"]["fetch"] == pytest.approx(60 / 500)  # the larger host
    assert said["machine_hours"] == pytest.approx(4 * said["hours"]["total"], abs=0.01)
    costs, stored = said["cost"], 100 * (57.6e6 + 75e6 + 46e6)
    assert costs["machines"] == pytest.approx(3 * said["machine_hours"], abs=0.05)
    assert costs["requests"] == pytest.approx((2.7 * 1300 + 0.1 * 11.6 * 1300) / 1000, abs=0.01)
    assert costs["storage_a_month"] == pytest.approx(0.5 * stored / 1e9, abs=0.01)
    assert costs["total"] == pytest.approx(
        sum(costs[name] for name in ("machines", "gpus", "requests", "shuffle")), abs=0.02
    )
    assert "gpu" not in said


def test_a_gpu_takes_the_stages_with_models_and_says_what_is_assumed(tmp_path: Path, prices: budgets.Prices) -> None:
    on_cores = found(tmp_path, prices, Cluster(place="here"))["hours"]
    said = found(tmp_path, prices, Cluster(place="here", gpu="big"))
    assert said["hours"]["gpus"] == pytest.approx((80 / 100 + 50 / 10) / 20 / budgets.EFFICIENCY, abs=1e-3)
    assert said["hours"]["cores"] < on_cores["cores"]
    assert said["cost"]["gpus"] == pytest.approx(7 * said["machine_hours"], abs=0.05)
    assert "assumed 20 ×" in said["gpu"]


def test_on_this_machine_fetching_is_beside_the_work(tmp_path: Path) -> None:
    here = found(tmp_path, read_prices(), Cluster(place="local"))["hours"]
    assert here["total"] == pytest.approx(max(here["fetch"], here["cores"]) + here["publish"], abs=0.002)
    there = found(tmp_path, read_prices(), Cluster(place="slurm"))["hours"]
    assert there["total"] == pytest.approx(there["fetch"] + there["cores"] + there["publish"], abs=0.002)


def test_one_host_limits_any_number_of_workers(tmp_path: Path) -> None:
    build = build_up_to_scores(RunConfig(), Store(str(tmp_path / "new")))
    one_host = replace(LOAD, host_hours={"archive.org": 100.0})
    assert fetch_hours(one_host, 1, build) == fetch_hours(one_host, 100, build) == 100 / 500
    many = replace(LOAD, host_hours={str(number): 0.1 for number in range(1000)})
    assert fetch_hours(many, 1, build) == pytest.approx(100 / 8 / 500)
    assert fetch_hours(many, 10, build) == pytest.approx(100 / 80 / 500)


@pytest.mark.parametrize(
    ("cluster", "message"),
    [
        (Cluster(place="moon"), "--on moon: has no prices; choose one of local, slurm, flink, dataflow"),
        (Cluster(place="flink", gpu="abacus"), "--gpu abacus: has no price on flink; choose one of nvidia-l4"),
    ],
)
def test_what_has_no_price_is_refused(cluster: Cluster, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_cluster(cluster, read_prices())


@pytest.mark.parametrize("text", ["places: 3", "nonsense", "{", "date: 1\ncurrency: EUR\nplaces: {a: {cores: 2}}"])
def test_a_bad_file_of_prices_is_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "prices.yaml").write_text(text)
    with pytest.raises(ConfigError) as raised:
        read_prices(str(tmp_path / "prices.yaml"))
    assert "\n" not in str(raised.value)


def test_sizes_of_half_an_hour_or_less_are_not_taken(corpus: Path) -> None:
    assert sizes_of(Store(str(corpus))) == Sizes()


def test_sizes_are_those_of_a_corpus(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("speechmill.corpus.speeds.MEASURED_HOURS", 0.0)
    sizes, work = sizes_of(Store(str(corpus))), corpus / "work"
    assert sizes.is_measured
    stats = json.loads((corpus / "stats.json").read_text())
    hours = stats["samples"]["in"] / 24_000 / 3600
    taken = sum(path.stat().st_size for path in work.rglob("*") if path.is_file() and "media" not in path.parts)
    assert sizes.work_bytes == pytest.approx(taken / hours)


def test_the_command_says_it(tmp_path: Path, speechmill, corpus: Path) -> None:
    feed = write_feed(tmp_path / "feed.xml", 10)
    arguments = ("plan", "--input", feed, "--output", tmp_path / "new", "--set", "fetch.pages=false", "--json")
    said = json.loads(speechmill(*arguments, "--on", "dataflow", "--workers", "3", "--gpu", "nvidia-l4").stdout)
    assert said["budget"]["on"].startswith("3 × n1-standard-4")
    assert said["budget"]["bytes"]["media"] == pytest.approx(5 * 57.6e6)
    assert said["budget"]["hours"]["fetch"] == pytest.approx(5 / 500)  # all of one host
    measured = json.loads(speechmill(*arguments, "--on", "local", "--like", corpus).stdout)
    assert measured["forecast"]["speeds"].startswith("as the last run")
    assert measured["budget"]["cost"]["total"] == 0
    assert "budget" not in json.loads(speechmill(*arguments).stdout)
    assert "is no finished corpus" in speechmill(*arguments, "--like", tmp_path / "none", code=2).stderr


def test_every_price_that_comes_with_speechmill_says_where_it_is_from() -> None:
    prices = read_prices()
    named = [key for source in prices.sources for key in source.of]
    given = {
        f"{place}.{key}"
        for place, values in prices.places.items()
        for key, value in values.model_dump(exclude={"machine", "cores"}).items()
        if (any(value.values()) if isinstance(value, dict) else value)
    }
    assert sorted(named) == sorted(given | {"gpu_speedups"})
    assert all(
        source.origin and (source.looked_up is None or source.looked_up <= prices.date) for source in prices.sources
    )
