"""Worker processes: one that crashes, hangs or fails costs its own input; none outlives its parent."""

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from speechmill.core.guards import memory_limited, watchdog
from speechmill.core.processes import DiedError, Pool, pool, result, timed
from speechmill.core.reasons import Reason
from speechmill.core.records import RejectedError


def square(value: int) -> int:
    return value * value


def crash(code: int) -> None:
    if code < 0:
        os.kill(os.getpid(), -code)
    os.abort()


def hang(seconds: float) -> None:
    with watchdog(seconds):
        time.sleep(60)


def make_progress(seconds: float) -> str:
    with watchdog(seconds) as alive:
        for _ in range(15):
            time.sleep(seconds / 10)
            alive()
    time.sleep(seconds * 1.1)  # the watchdog is gone
    return "done"


def reject() -> None:
    raise RejectedError(Reason.CORRUPT, "3 of 4", retry=True)


@pytest.fixture(scope="module")
def workers() -> Iterator[Pool]:
    pool = Pool(2)
    yield pool
    pool.close()


def test_a_result_comes_with_its_seconds(workers: Pool) -> None:
    value, seconds = result(workers.submit(square, 12))
    assert value == 144
    assert seconds >= 0
    assert timed(square, 5)[0] == 25


@pytest.mark.parametrize("signal_number", [signal.SIGABRT, signal.SIGSEGV, signal.SIGKILL])
def test_neighbours_survive_a_crash(workers: Pool, signal_number: int) -> None:
    before = [workers.submit(square, i) for i in range(4)]
    crashed = workers.submit(crash, -signal_number)
    after = [workers.submit(square, i) for i in range(4, 8)]
    with pytest.raises(DiedError, match="ended with code") as caught:
        result(crashed)
    assert not caught.value.hung
    assert [result(future)[0] for future in (*before, *after)] == [i * i for i in range(8)]


def test_the_watchdog_ends_what_hangs_and_only_that(workers: Pool) -> None:
    hung, busy = (
        workers.submit(hang, 0.5),
        workers.submit(make_progress, 3.0),
    )  # longer than a busy machine forgets a process
    with pytest.raises(DiedError, match="no progress") as caught:
        result(hung)
    assert caught.value.hung
    assert result(busy)[0] == "done"


def test_an_exception_comes_back_as_it_was(workers: Pool) -> None:
    with pytest.raises(RejectedError) as caught:
        result(workers.submit(reject))
    assert (caught.value.reason, caught.value.detail, caught.value.retry) == (Reason.CORRUPT, "3 of 4", True)
    with pytest.raises(ZeroDivisionError):
        result(workers.submit(divmod, 1, 0))


def own_workers() -> list[psutil.Process]:
    """The processes that the pools of this test process started."""
    children = psutil.Process().children()
    lines = [child.as_dict(["cmdline"], ad_value="")["cmdline"] for child in children]  # a zombie has none
    return [child for child, line in zip(children, lines, strict=True) if "spawn_main" in " ".join(line)]


def wait_and_square(folder: str, value: int, waiting: int) -> int:
    """Say that it has begun; go on when so many have, unless one of them was killed meanwhile and begins again."""
    (Path(folder) / str(value)).touch()
    while len(os.listdir(folder)) < waiting:
        time.sleep(0.01)
    time.sleep(0.3)
    return value * value


@pytest.mark.parametrize(("pause_s", "is_reversed"), [(0.0, False), (0.05, True)])
def test_when_all_workers_are_killed_at_once_others_take_their_inputs(
    tmp_path: Path, pause_s: float, is_reversed: bool
) -> None:
    workers = Pool(2)
    try:
        assert [result(workers.submit(square, i))[0] for i in range(4)] == [0, 1, 4, 9]
        for round_number in range(2):  # while they work, twice in a row; then while nothing is to do
            folder = tmp_path / str(round_number)
            folder.mkdir()
            futures = [workers.submit(wait_and_square, str(folder), i, 2) for i in range(5)]
            while len(list(folder.iterdir())) < 2:
                time.sleep(0.01)
            victims = sorted(own_workers(), key=lambda process: process.pid, reverse=is_reversed)
            assert len(victims) >= 2
            for victim in victims:
                victim.kill()
                time.sleep(pause_s)
            assert [result(future)[0] for future in futures] == [i * i for i in range(5)]
        for victim in own_workers():
            victim.kill()
        assert [result(workers.submit(square, i))[0] for i in range(6)] == [i * i for i in range(6)]
    finally:
        workers.close()


def leave(code: int) -> None:
    os._exit(code)


@pytest.mark.parametrize("end", [crash, leave])
def test_inputs_that_all_kill_are_charged_each_for_itself_while_threads_submit_others(end: object) -> None:
    workers = Pool(2)

    def one(i: int) -> object:
        try:
            return result(workers.submit(end, 9) if i % 3 == 0 else workers.submit(square, i))[0]
        except DiedError as death:
            return death.hung

    try:
        with ThreadPoolExecutor(4) as threads:
            ended = list(threads.map(one, range(9)))
        assert ended == [False if i % 3 == 0 else i * i for i in range(9)]
        assert [result(workers.submit(square, i))[0] for i in range(3)] == [0, 1, 4]
    finally:
        workers.close()


def leave_damaged() -> None:
    """Work to the end, and leave a process in which the next input crashes."""
    threading.excepthook = lambda _: os.abort()


def crash_if_damaged() -> str:
    if threading.excepthook is not threading.__excepthook__:
        os.abort()
    return "whole"


def test_an_input_is_not_charged_for_the_damage_that_another_left() -> None:
    workers = Pool(1)
    try:
        result(workers.submit(leave_damaged))
        assert result(workers.submit(crash_if_damaged))[0] == "whole"
    finally:
        workers.close()


def test_closing_cancels_what_waits_and_ends_what_works() -> None:
    workers = Pool(1)
    working, waiting = workers.submit(time.sleep, 600), workers.submit(square, 3)
    while not working.running():
        time.sleep(0.01)
    workers.close()
    assert waiting.cancelled()
    with pytest.raises(DiedError):
        result(working)


class Unpicklable(Exception):  # noqa: N818
    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def raise_unpicklable() -> None:
    raise Unpicklable(1, 2)


def test_what_cannot_travel_between_processes_is_an_error_and_not_a_hang(workers: Pool) -> None:
    with pytest.raises(RuntimeError, match="Unpicklable: 1 and 2"):
        result(workers.submit(raise_unpicklable))
    with pytest.raises(RuntimeError, match="lambda"):
        result(workers.submit(make_lambda))
    assert result(workers.submit(square, 5))[0] == 25


def make_lambda() -> object:
    return lambda: None


def take(limit: int, size: int) -> int:
    with memory_limited(limit):
        return len(bytearray(size))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no limit of a process's data")
def test_a_memory_limit_costs_the_input_and_is_gone_after_it(workers: Pool) -> None:
    for _ in range(2):
        assert result(workers.submit(take, 2**28, 2**26))[0] == 2**26
        with pytest.raises(MemoryError):
            result(workers.submit(take, 2**28, 2**29))
    assert result(workers.submit(bytearray, 2**29))[0] == bytearray(2**29)


def test_a_memory_limit_is_for_workers_only() -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with memory_limited(1):
        assert resource.getrlimit(resource.RLIMIT_DATA) == before


def test_threads_that_ask_at_once_get_one_pool() -> None:
    with ThreadPoolExecutor(8) as threads:
        assert len({id(found) for found in threads.map(lambda _: pool(2), range(50))}) == 1


PARENT = """
import os, time
from speechmill.core.processes import Pool
if __name__ == "__main__":
    pool = Pool(2)
    futures = [pool.submit(time.sleep, 60) for _ in range(3)]
    pids = [pool.submit(os.getpid) for _ in range(2)]
    while len(pool._workers) < 2:
        time.sleep(0.05)
    print("ready", flush=True)
    time.sleep(60)
"""


SCRIPT = """
import os
from speechmill.core.processes import pool, result
print("once")
print(result(pool(1).submit(os.path.basename, "/a/b"))[0])
"""


@pytest.mark.parametrize("is_file", [True, False])
def test_a_script_needs_no_guard_and_may_come_from_standard_input(tmp_path: Path, *, is_file: bool) -> None:
    (script := tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, str(script) if is_file else "-"]
    done = subprocess.run(command, input=SCRIPT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["once", "b"]


def test_workers_end_with_a_parent_that_was_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        family = psutil.Process(parent.pid).children(recursive=True)
        assert len(family) >= 2
        parent.kill()
    _, left = psutil.wait_procs(family, timeout=50)
    assert [process for process in left if process.status() != psutil.STATUS_ZOMBIE] == []
