"""Promise 2: a crash at any instant costs at most the artifact being written; the result is the same bytes."""

import random
import shutil
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from tests.commandline import fingerprint, flags, start

KILLS = 10
MAX_RUNS = 30


def begun(output: Path, process: "subprocess.Popen[str]") -> None:
    """Wait until a run has written its config, which is the first thing it does."""
    mark = output / "work/config.json"
    before = mark.stat().st_mtime_ns if mark.exists() else 0
    while not mark.exists() or mark.stat().st_mtime_ns == before:
        time.sleep(0.01)
        assert process.poll() is None


@pytest.mark.timeout(600)
def test_fault_01_ten_kills_at_random_instants_change_no_byte(
    corpus: Path, folder: Path, speechmill, tmp_path: Path
) -> None:
    output, clean = tmp_path / "corpus", tmp_path / "clean"
    process = start("run", *flags(folder, clean))
    begun(clean, process)
    started = time.monotonic()
    assert process.wait() == 0
    work_s = time.monotonic() - started

    killed = 0
    for _ in range(MAX_RUNS):
        process = start("run", *flags(folder, output))
        begun(output, process)
        try:
            process.wait(timeout=random.uniform(0, 0.6) * work_s)
            shutil.rmtree(output)  # it got to the end: begin again
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            killed += 1
        if killed == KILLS:
            break

    assert killed == KILLS
    speechmill("run", *flags(folder, output))
    assert fingerprint(output) == fingerprint(corpus) == fingerprint(clean)
    assert not list((output / "data").glob(".*")), "a half-written file lies among the data"


def test_a_killed_run_leaves_no_process_behind(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "corpus"
    process = start("run", *flags(folder, output))
    parent = psutil.Process(process.pid)
    while not (children := [c for c in parent.children(recursive=True) if "spawn_main" in " ".join(c.cmdline())]):
        time.sleep(0.02)
        assert process.poll() is None
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(children, timeout=15)
    assert not alive
