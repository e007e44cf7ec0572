"""Promise 2: a crash at any instant costs at most the artifact being written; the result is the same bytes."""

import random
import shutil
import time
from pathlib import Path

import psutil
import pytest

from tests.commandline import fingerprint, flags
from tests.forked import Forked

STAGES = ("fetch", "segment", "score", "transcribe", "tokenise", "publish")  # folders below work/
MAX_RUNS = 4 * len(STAGES)


def killed(stage: str, folder: Path, output: Path) -> bool:
    """Run, kill it about when the stage writes something, and see its processes end; False where it was done before."""
    place, began = output / "work" / stage, time.time_ns()
    process = Forked("run", *flags(folder, output), "--quiet")
    while process.poll() is None and not any(is_new(path, began) for path in place.rglob("*")):
        time.sleep(0.005)
    time.sleep(random.uniform(0, 0.1))
    if process.poll() is not None:
        assert process.poll() == 0
        return False
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert not alive
    return True


def is_new(path: Path, began_ns: int) -> bool:
    """Whether a file, which may go while it is looked at, was written since."""
    try:
        return path.is_file() and path.stat().st_mtime_ns > began_ns
    except FileNotFoundError:
        return False


@pytest.mark.timeout(900)
def test_fault_01_a_kill_in_any_stage_changes_no_byte_and_leaves_no_process(
    corpus: Path, folder: Path, speechmill, tmp_path: Path
) -> None:
    output, left = tmp_path / "corpus", list(STAGES)
    for _ in range(MAX_RUNS):
        if killed(left[0], folder, output):
            left.pop(0)
        else:
            shutil.rmtree(output)  # it got to the end: begin again
        if not left:
            break

    assert not left
    speechmill("run", *flags(folder, output))
    assert fingerprint(output) == fingerprint(corpus)
    assert not list((output / "data").glob(".*")), "a half-written file lies among the data"
