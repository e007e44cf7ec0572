"""Worker processes: one that crashes, hangs or fails costs its own input; none outlives its parent."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from pipeline.isolate import Died, Pool, result, timed
from pipeline.records import Reason, Rejected
from pipeline.stages.segment import _watchdog


def square(value: int) -> int:
    return value * value


def crash(code: int) -> None:
    if code < 0:
        os.kill(os.getpid(), -code)
    os.abort()


def hang(seconds: float) -> None:
    with _watchdog(seconds):
        time.sleep(60)


def make_progress(seconds: float) -> str:
    with _watchdog(seconds) as alive:
        for _ in range(4):
            time.sleep(seconds / 2)
            alive()
    time.sleep(seconds * 1.5)  # the watchdog is gone
    return "done"


def reject() -> None:
    raise Rejected(Reason.CORRUPT, "3 of 4", retry=True)


@pytest.fixture(scope="module")
def workers() -> Iterator[Pool]:
    pool = Pool(2)
    yield pool
    pool.close()


def test_a_result_comes_with_its_seconds(workers: Pool) -> None:
    value, seconds = result(workers.submit(square, 12))
    assert value == 144
    assert 0 <= seconds < 5
    assert timed(square, 5)[0] == 25


@pytest.mark.parametrize("signal_number", [signal.SIGABRT, signal.SIGSEGV, signal.SIGKILL])
def test_neighbours_survive_a_crash(workers: Pool, signal_number: int) -> None:
    before = [workers.submit(square, i) for i in range(4)]
    crashed = workers.submit(crash, -signal_number)
    after = [workers.submit(square, i) for i in range(4, 8)]
    with pytest.raises(Died, match="ended with code") as caught:
        result(crashed)
    assert not caught.value.hung
    assert [result(future)[0] for future in (*before, *after)] == [i * i for i in range(8)]


def test_the_watchdog_ends_what_hangs_and_only_that(workers: Pool) -> None:
    hung, busy = workers.submit(hang, 0.5), workers.submit(make_progress, 0.5)
    started = time.monotonic()
    with pytest.raises(Died, match="no progress") as caught:
        result(hung)
    assert caught.value.hung
    assert time.monotonic() - started < 10
    assert result(busy)[0] == "done"


def test_an_exception_comes_back_as_it_was(workers: Pool) -> None:
    with pytest.raises(Rejected) as caught:
        result(workers.submit(reject))
    assert (caught.value.reason, caught.value.detail, caught.value.retry) == (Reason.CORRUPT, "3 of 4", True)
    with pytest.raises(ZeroDivisionError):
        result(workers.submit(divmod, 1, 0))


PARENT = """
import os, time
from pipeline.isolate import Pool
if __name__ == "__main__":
    pool = Pool(2)
    futures = [pool.submit(time.sleep, 60) for _ in range(3)]
    pids = [pool.submit(os.getpid) for _ in range(2)]
    time.sleep(1.5)
    print("ready", flush=True)
    time.sleep(60)
"""


def test_workers_end_with_a_parent_that_was_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        family = psutil.Process(parent.pid).children(recursive=True)
        assert len(family) >= 2
        parent.kill()
    _, left = psutil.wait_procs(family, timeout=6)
    assert [process for process in left if process.status() != psutil.STATUS_ZOMBIE] == []
