"""A run in shards on a real Slurm gives the bytes of one run, though a shard is killed and others are asked to end."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.commandline import SETTINGS, fingerprint

pytestmark = [pytest.mark.cluster, pytest.mark.cluster_faults, pytest.mark.timeout(1200)]
SUBMIT = Path(__file__).parents[2] / "deploy/slurm/submit"


def ask(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def jobs(state: str = "pending,running,completing") -> set[str]:
    return set(ask("squeue", "--noheader", f"--states={state}", "--format=%i").split())


def wait_until(reached, within_s: float = 600) -> None:
    until = time.monotonic() + within_s
    while not reached():
        assert time.monotonic() < until
        time.sleep(0.2)


@pytest.fixture
def slurm() -> None:
    if shutil.which("sbatch") is None or subprocess.run(["sinfo"], capture_output=True).returncode:
        pytest.skip("no Slurm that answers: slurmctld, slurmd and munge are Debian's packages")


def test_shards_on_slurm_give_the_bytes_of_one_run(slurm, folder: Path, corpus: Path, tmp_path: Path) -> None:
    output = tmp_path / "corpus"
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    command = [str(SUBMIT), "2", "--input", str(folder), "--output", str(output), *settings]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=dict(os.environ), check=True)
    shards, _, rest, last = done.stdout.split()

    wait_until(lambda: list(output.glob("work/segment/*/*.parquet")))
    victim = min(one for one in jobs("running") if one.startswith(f"{shards}_"))
    ask("scontrol", "requeue", victim)  # Slurm kills its processes, and begins it again
    wait_until(lambda: any(one.startswith(f"{rest}_") for one in jobs("running")))
    wait_until(lambda: list(output.glob("work/transcribe/*")) or not jobs())
    for one in jobs("running"):
        if one.startswith(f"{rest}_"):
            ask("scancel", "--batch", "--signal=USR1", one)  # as before a time limit
    wait_until(lambda: not jobs())
    assert "JobState=COMPLETED" in ask("scontrol", "show", "job", last)
    assert fingerprint(output) == fingerprint(corpus)
    restarts = ask("scontrol", "show", "job", shards) + ask("scontrol", "show", "job", rest)
    assert "Restarts=1" in restarts
