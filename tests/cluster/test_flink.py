"""A run on Flink gives the bytes of a run in one process; what is needed to follow it is on shared storage."""

import json
import signal
import time
from ipaddress import ip_address
from pathlib import Path

import psutil
import pytest

from tests.cluster.conftest import OnFlink, WithWeakStorage, finished, require_flink
from tests.commandline import fingerprint

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]
STAGES = {"fetch", "segment", "score", "fingerprint", "dedup", "transcribe", "align", "tokenise", "tabulate", "publish"}


def test_flink_gives_the_bytes_of_one_process(flink: OnFlink, folder: Path, corpus: Path, tmp_path: Path) -> None:
    """Data, pool, ledger; every stage is counted as often as in one process; and the log came over shared storage."""
    finished(flink.start(folder, "same"))
    here = flink.download("same", tmp_path / "same")
    assert fingerprint(here) == fingerprint(corpus)
    assert (here / "recordings.parquet").read_bytes() == (corpus / "recordings.parquet").read_bytes()
    ours, theirs = (json.loads((place / "run.json").read_text())["stages"] for place in (here, corpus))
    assert {stage: counts.get("in") for stage, counts in ours.items()} == {
        stage: counts.get("in") for stage, counts in theirs.items()
    }
    lines = [line for path in (here / "work/log").iterdir() for line in path.read_text().splitlines()]
    assert {json.loads(line).get("stage") for line in lines} >= STAGES
    status = json.loads(finished(flink.call("status", "s3://speechmill/same", "--json")))
    assert len(status["log"]) == 5
    assert status["recordings"]["ok"] == 3


def test_only_the_job_server_can_be_reached_from_elsewhere(flink: OnFlink) -> None:
    """Which has no setting for it, as deploy/README.md says."""
    names = {process.pid: name for name, process in flink.cluster.processes.items()}
    listening = [one for one in psutil.net_connections("tcp") if one.status == psutil.CONN_LISTEN and one.pid in names]
    assert {names[one.pid] for one in listening} == {*flink.cluster.names}
    elsewhere = {names[one.pid] for one in listening if not is_loopback(one.laddr.ip)}
    assert elsewhere == {"jobserver"}


def is_loopback(address: str) -> bool:
    found = ip_address(address)
    return (getattr(found, "ipv4_mapped", None) or found).is_loopback


@pytest.mark.cluster_faults
def test_a_stop_is_obeyed_by_workers_elsewhere(flink: OnFlink, folder: Path, corpus: Path, tmp_path: Path) -> None:
    run = flink.start(folder, "stopped")
    while not any(name.startswith("work/fetch") for name in flink.names("stopped")):
        assert run.poll() is None, run.communicate()
        time.sleep(0.1)
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=300)
    assert run.returncode == 130, out + err
    assert not any(name.startswith("data/") for name in flink.names("stopped"))
    finished(flink.start(folder, "stopped"))
    assert fingerprint(flink.download("stopped", tmp_path / "stopped")) == fingerprint(corpus)


@pytest.mark.cluster_faults
@pytest.mark.parametrize(
    ("victims", "stage"),
    [
        (("taskmanager-1", "pool-1"), "segment"),
        (("taskmanager-2", "pool-2"), "transcribe"),
        (("pool-1",), "segment"),
    ],
    ids=["machine-in-segment", "machine-in-transcribe", "pool-in-segment"],
)
def test_a_machine_that_is_lost_costs_nothing(
    flink: OnFlink, folder: Path, corpus: Path, tmp_path: Path, victims: tuple[str, ...], stage: str
) -> None:
    """Killed when a stage has made something; another takes its place soon."""
    name = f"lost-{victims[0]}-{stage}"
    run = flink.start(folder, name)
    while not any(one.startswith(f"work/{stage}/") for one in flink.names(name)):
        assert run.poll() is None, run.communicate()
        time.sleep(0.1)
    for victim in victims:
        flink.cluster.kill(victim)
    time.sleep(2)
    for victim in victims:
        flink.cluster.start(victim)
    finished(run)
    assert fingerprint(flink.download(name, tmp_path / name)) == fingerprint(corpus)


@pytest.mark.cluster_faults
def test_a_new_job_server_finishes_the_same_command(flink: OnFlink, folder: Path, corpus: Path, tmp_path: Path) -> None:
    """The submitter loses its job; the same command goes on from the artifacts."""
    run = flink.start(folder, "resubmitted")
    while not any(name.startswith("work/segment/") for name in flink.names("resubmitted")):
        assert run.poll() is None, run.communicate()
        time.sleep(0.1)
    flink.cluster.kill("jobserver")
    run.communicate(timeout=300)
    assert run.returncode == 1
    flink.cluster.start("jobserver")
    flink.cluster.wait("jobserver")
    finished(flink.start(folder, "resubmitted"))
    assert fingerprint(flink.download("resubmitted", tmp_path / "resubmitted")) == fingerprint(corpus)


@pytest.mark.cluster_faults
def test_storage_that_refuses_and_is_slow_costs_nothing(folder: Path, corpus: Path, tmp_path: Path) -> None:
    require_flink()
    with WithWeakStorage(tmp_path / "state") as cluster:
        flink = OnFlink(cluster)
        finished(flink.start(folder, "weak"))
        assert fingerprint(flink.download("weak", tmp_path / "weak")) == fingerprint(corpus)
        assert (tmp_path / "state/s3.log").read_text().count('" 503 ') > 20
