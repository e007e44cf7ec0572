"""What the graph adds to a stage: nothing new is begun once a run is to stop, and hosts have their limits."""

import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from speechmill.core import processes
from speechmill.core.build import STOP_FILE, Build
from speechmill.core.records import Recording
from speechmill.runner import beam as beam_runner
from speechmill.runner.beam import graph
from speechmill.runner.beam.functions import IsolatedFn, WaitingFn
from speechmill.sources import Listed
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


def feed_items(count: int) -> list[Listed]:
    """Recordings of one host."""
    urls = (f"https://archive.example/{number}.mp3" for number in range(count))
    return [Listed(recording=Recording(recording_id=url, source="librivox", media_url=url)) for url in urls]


def test_a_host_is_fetched_by_several_workers_within_its_limit(tmp_path: Path) -> None:
    """On other machines, where one host would be one key, and so one worker's."""
    build = beam_runner._for_other_machines(a_build(tmp_path, fetch={"per_host": 4, "delay_s": 0.5}))
    fetch = build.config.fetch
    groups = Counter(graph._by_host(listed, fetch.host_workers)[0] for listed in feed_items(400))
    assert len(groups) == fetch.host_workers == 4
    assert min(groups.values()) > 50
    assert fetch.per_host_here == 1
    assert not a_build(tmp_path).config.fetch.host_workers > 1, "in one process its threads share the limit"


class Busy:
    """Counts how many elements are in hand at a time."""

    def __init__(self) -> None:
        self.now, self.most, self.lock = 0, 0, threading.Lock()

    def fetch(self, listed: Listed, build: Build) -> Outcome:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(0.05)
        with self.lock:
            self.now -= 1
        return Outcome(state="done")


@pytest.mark.parametrize(("host_workers", "most"), [(1, 4), (2, 2), (4, 1), (8, 1)])
def test_a_worker_has_its_part_of_the_limit(tmp_path: Path, host_workers: int, most: int) -> None:
    busy = Busy()
    stage = WaitingFn("fetch", busy.fetch, a_build(tmp_path, fetch={"per_host": 4, "host_workers": host_workers}))
    stage.start_bundle()
    assert len([*stage.process(("archive.example 0", feed_items(8))), *stage.finish_bundle()]) == 8
    assert busy.most == most
