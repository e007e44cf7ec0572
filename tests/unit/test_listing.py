"""Listing in a process of its own: whatever an input does to it costs that input, and the next one is listed."""

import multiprocessing
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from speechmill import fetch
from speechmill.core.build import STOP_FILE, Build
from speechmill.core.config import Input, RunConfig
from speechmill.core.config_errors import ConfigError
from speechmill.core.reasons import Reason
from speechmill.core.records import Recording, RejectedError, Status
from speechmill.core.store import Store
from speechmill.corpus import plan
from speechmill.fetch import StoppedError, get_document
from speechmill.sources import Listed, listing, listing_process
from speechmill.sources.listing import _elsewhere
from speechmill.sources.listing_process import Bounds, Job
from speechmill.stages.fetch import list_input
from speechmill.stages.profiles import plan_build

from tests.listings import (
    backtracking,
    delayed,
    endless,
    hungry,
    killed,
    leaving,
    logging_much,
    many,
    misconfigured,
    one,
    process_id,
    rejecting,
    sleeping,
    surprised,
)
from tests.server import ScriptedServer, ok, stall, status

BOUNDS = Bounds(seconds=120.0)
FEED = (
    '<rss version="2.0"><channel><title>S</title><item><guid isPermaLink="false">{0}</guid>'
    '<enclosure url="{0}.mp3" type="audio/mpeg"/></item></channel></rss>'
)


def rows(function: Any, *arguments: Any, bounds: Bounds = BOUNDS) -> tuple[list[Any], Exception | None]:
    found: list[Any] = []
    try:
        found.extend(_elsewhere(Job(function, arguments, bounds), fetch.never))
    except (RejectedError, ConfigError) as error:
        return found, error
    return found, None


def kept(function: Any, *, bounds: Bounds = BOUNDS) -> tuple[list[Any], RejectedError]:
    """What was listed before it went wrong, and the verdict."""
    found: list[Any] = []
    with pytest.raises(RejectedError) as caught:
        for row in _elsewhere(Job(function, (), bounds), fetch.never):
            found.append(row)
    return found, caught.value


def test_rows_come_in_order_and_one_process_lists_many_inputs() -> None:
    assert rows(many, 10_001) == (list(range(10_001)), None)
    (first,), _ = rows(process_id)
    (second,), _ = rows(process_id)
    assert first == second != os.getpid()


def test_a_process_that_was_killed_while_it_waited_costs_nothing() -> None:
    (first,), _ = rows(process_id)
    os.kill(first, signal.SIGKILL)
    (second,), verdict = rows(process_id)
    assert verdict is None
    assert second != first


@pytest.mark.parametrize(
    ("function", "bounds", "reason", "words"),
    [
        (backtracking, Bounds(seconds=120, silent_cpu_s=1.0), Reason.TIMED_OUT, "computed for 1 s"),
        (backtracking, Bounds(seconds=1.0), Reason.TIMED_OUT, "within 1 s"),
        (sleeping, Bounds(seconds=1.0), Reason.TIMED_OUT, "within 1 s"),
        (hungry, Bounds(seconds=120, spare_bytes=500_000_000), Reason.TOO_BIG, "500 MB of memory"),
        (killed, BOUNDS, Reason.INTERNAL_ERROR, "ended with code -9"),
        (leaving, BOUNDS, Reason.INTERNAL_ERROR, "ended with code 7"),
        (rejecting, BOUNDS, Reason.NOT_FOUND, "HTTP 404"),
        (surprised, BOUNDS, Reason.INTERNAL_ERROR, "listing: AssertionError: we should not get here!"),
    ],
)  # fmt: skip
def test_whatever_happens_costs_the_input_alone(function: Any, bounds: Bounds, reason: Reason, words: str) -> None:
    _, verdict = kept(function, bounds=bounds)
    assert verdict.reason is reason
    assert words in verdict.detail
    assert "\n" not in verdict.detail
    assert "\x1b" not in verdict.detail
    assert rows(one, "next") == (["next"], None)


def test_what_was_listed_before_stands() -> None:
    found, _ = kept(rejecting)
    assert found == ["first"]
    with pytest.raises(ConfigError, match="give another"):
        list(_elsewhere(Job(misconfigured, (), BOUNDS), fetch.never))


@pytest.mark.parametrize("function", [backtracking, sleeping, endless])
def test_a_run_that_stops_is_not_kept_waiting(function: Any) -> None:
    stop = threading.Event()
    threading.Timer(1.0, stop.set).start()
    with pytest.raises(StoppedError):
        for _ in _elsewhere(Job(function, (), BOUNDS), stop.is_set):
            pass


def test_whoever_takes_no_more_ends_the_process_that_lists() -> None:
    before = set(multiprocessing.active_children())
    found = _elsewhere(Job(endless, (), BOUNDS), fetch.never)
    assert next(found) == 0
    found.close()
    assert all(process in before for process in multiprocessing.active_children())


def test_the_log_of_the_process_is_ours_within_bounds(caplog: pytest.LogCaptureFixture) -> None:
    assert rows(logging_much) == (["row"], None)
    lines = [record.getMessage() for record in caplog.records if record.getMessage().startswith("line ")]
    assert lines[0].startswith("line 0 xxx")
    assert len(lines) == listing_process.MAX_LOG_LINES
    assert max(len(line) for line in lines) == listing_process.MAX_LINE_CHARACTERS


def test_the_delay_that_a_host_asks_for_holds_in_both_processes() -> None:
    host = ("example.org", 4711)
    fetch.hold({host: 100.0})
    (there,), _ = rows(delayed, host)
    assert 50 < there <= 100
    assert 400 < fetch.delays()[host] <= 500


def config(server: ScriptedServer, *inputs: str, **values: object) -> RunConfig:
    told = {"allow_hosts": [server.host], "retries": 0, **values}
    return RunConfig.model_validate({"inputs": inputs, "fetch": told, "asr": {"model": None}})


def build(server: ScriptedServer, tmp_path: Path, **values: object) -> Build:
    return plan_build(config(server, **values), Store(str(tmp_path / "corpus")), find_model=lambda *_: Path())


def listed(address: str, build: Build) -> list[Recording]:
    return [one.recording for one in list_input(Input(address=address), build)]


def test_a_feed_that_is_too_slow_costs_its_input_and_not_the_next(server: ScriptedServer, tmp_path: Path) -> None:
    slow = server.script("/slow", stall(FEED.format("a").encode(), 10))
    good = server.script("/good", ok(FEED.format("g").encode()))
    made = build(server, tmp_path, listing_max_s=8.0, timeout_s=300)
    (fault,), (row,) = listed(slow, made), listed(good, made)
    assert (fault.status, fault.reason, fault.media_url) == (Status.FAILED, Reason.TIMED_OUT, slow)
    assert (row.guid, row.reason) == ("g", None)


def test_a_plan_lists_in_the_same_way(server: ScriptedServer) -> None:
    slow = server.script("/slow", stall(FEED.format("a").encode(), 10))
    good = server.script("/good", ok(FEED.format("g").encode()))
    found = plan.plan(config(server, slow, good, listing_max_s=8.0, timeout_s=300))
    assert found["recordings"] == 1
    assert "timed_out" in found["inputs"][slow]["error"]
    assert "error" not in found["inputs"][good]


def test_a_run_that_is_stopped_while_it_lists_ends_soon(server: ScriptedServer, tmp_path: Path) -> None:
    slow = server.script("/slow", stall(FEED.format("a").encode(), 10))
    made = build(server, tmp_path, timeout_s=300)
    threading.Timer(2.0, made.store.write_text, [STOP_FILE, ""]).start()
    assert listed(slow, made) == []


def test_what_cannot_be_read_is_not_kept_and_heals_with_the_source(server: ScriptedServer, tmp_path: Path) -> None:
    broken, good = b"<p>no feed", FEED.format("g").encode()
    url = server.script("/feed", ok(broken, etag='"a"'), status(503), ok(good, etag='"b"'))
    made = build(server, tmp_path)
    assert [one.reason for one in listed(url, made)] == [Reason.BAD_FEED]
    assert [one.reason for one in listed(url, made)] == [Reason.UNREACHABLE]  # and not the broken copy again
    assert [one.guid for one in listed(url, made)] == ["g"]


@pytest.mark.parametrize("damage", [b"", b"{", b'{"sha256": 1}', b"[" * 100_000, b"\xff\xfe", b'"text"', b"null"])
def test_a_damaged_copy_is_got_anew(server: ScriptedServer, tmp_path: Path, damage: bytes) -> None:
    url = server.script("/feed", ok(FEED.format("g").encode()))
    store, told = Store(str(tmp_path / "corpus")), config(server).fetch
    get_document(url, store, told)
    for name in store.names("work/feeds"):
        if name.endswith(".json"):
            Path(store.path(f"work/feeds/{name}")).write_bytes(damage)
    assert get_document(url, store, told) == FEED.format("g").encode()


def test_local_files_take_no_process(tmp_path: Path) -> None:
    (tmp_path / "talk.mp3").write_bytes(b"ID3" + bytes(100))
    before = {process.pid for process in multiprocessing.active_children()}
    found = list(listing.list_recordings(Input(address=str(tmp_path)), RunConfig(), Store(str(tmp_path / "corpus"))))
    assert isinstance(found[0], Listed)
    assert {process.pid for process in multiprocessing.active_children()} <= before
