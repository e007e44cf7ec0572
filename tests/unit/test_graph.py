"""What the graph adds to a stage: nothing new is begun once a run is to stop."""

import time
from pathlib import Path

import pytest
from speechmill.core import processes
from speechmill.core.build import STOP_FILE, Build
from speechmill.runner.beam.functions import IsolatedFn
from speechmill.stages.work import Outcome, WorkItem

from tests.media import a_build

SECONDS = 2.0
WORKS = 2  # of one worker: one in hand, one that waits


def dawdle(work: WorkItem, build: Build) -> Outcome:
    """Say that work was begun, take a while, and say that it is done."""
    build.store.write_text(f"begun/{work.recording_id}", "")
    time.sleep(SECONDS)
    build.store.write_text(f"done/{work.recording_id}", "")
    return Outcome(state="done")


def never(work: WorkItem, build: Build) -> bool:
    return False


@pytest.mark.parametrize("stop", [False, True])
def test_what_waits_for_a_worker_is_dropped_when_the_run_stops(tmp_path: Path, *, stop: bool) -> None:
    build = a_build(tmp_path, workers=1)
    stage = IsolatedFn("segment", dawdle, build, never)
    stage.start_bundle()
    works = [
        WorkItem(recording_id=str(i), content_id=str(i), media="", is_local=True, allowed=True, order=("", "", ""))
        for i in range(WORKS)
    ]
    out = [found for work in works for found in stage.process(work)]
    while not build.store.exists("begun/0"):
        time.sleep(0.02)
    if stop:
        build.store.write_text(STOP_FILE, "")
    out += [value.value for value in stage.finish_bundle()]
    assert out[0] == works[0]  # what was in hand is finished
    assert build.store.names("done") == [work.recording_id for work in out]
    if stop:
        assert len(out) == 1
        assert processes.pool(1).submit(len, "abc").result()[0] == 3  # and the worker is there for the next run
    else:
        assert len(out) == WORKS
