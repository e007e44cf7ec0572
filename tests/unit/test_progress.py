"""Progress is read from the log, from where it stood when the run began, on a disk and on an object store."""

import json
import logging
import time

import pytest
from speechmill.core.build import LOG_FILE, LOG_FOLDER
from speechmill.core.store import Store
from speechmill.runner import log
from speechmill.runner.events import Events, last_events
from speechmill.runner.progress import Progress


def event(stage: str, state: str, time: float, *, audio: float = 3600.0) -> str:
    fields = {
        "time": time,
        "stage": stage,
        "state": state,
        "seconds": 10.0,
        "audio_in_s": audio,
        "audio_kept_s": audio / 2,
    }
    return json.dumps(fields) + "\n"


def append(store: Store, text: str) -> None:
    """Append to the log as a process of a run does; on an object store its file is written anew."""
    name = LOG_FILE if store.is_local else f"{LOG_FOLDER}/{'0' * 32}.jsonl"
    before = store.open(name).read().decode() if store.exists(name) else ""
    store.write_text(name, before + text)


def test_only_new_whole_lines_count(store: Store) -> None:
    append(store, event("fetch", "done", 50.0))
    with Progress(store, quiet=True) as progress:
        states, part = progress.tracker.states, event("segment", "done", 130.0)
        append(store, event("segment", "done", 110.0) + event("segment", "failed", 120.0, audio=0))
        append(store, '{"time": 121, "message": "no stage"}\n' + part[:20])
        progress.update()
        assert list(states) == ["segment"]
        segment = states["segment"]
        assert (segment.inputs, segment.failed, segment.reused) == (2, 1, 0)
        assert (segment.in_s, segment.kept_s) == (3600, 1800)
        append(store, part[20:])
        progress.update()
        assert segment.inputs == 3


def test_an_object_store_is_not_asked_more_often_than_it_may(store: Store) -> None:
    events = Events(store)
    append(store, event("fetch", "done", 10.0))
    assert len(list(events.new(at_once=False))) == 1
    append(store, event("fetch", "done", 11.0))
    assert len(list(events.new(at_once=False))) == (1 if store.is_local else 0)
    assert len(list(events.new())) == (0 if store.is_local else 1)


@pytest.fixture
def pieces(store: Store, monkeypatch: pytest.MonkeyPatch) -> log.JsonPieces:
    monkeypatch.setattr(log, "MAX_PIECE_BYTES", 1000)
    monkeypatch.setattr(log, "FLUSH_S", 0.05)
    handler = log.JsonPieces(store)
    yield handler
    handler.close()


def write(handler: logging.Handler, count: int) -> None:
    for number in range(count):
        record = logging.LogRecord("speechmill", logging.INFO, "", 0, "number %d", (number,), None)
        record.fields = {"stage": "segment", "token": "https://ann:s3cret@example.org/x"}
        handler.handle(record)


def test_a_log_in_pieces_loses_no_event(store: Store, pieces: log.JsonPieces) -> None:
    events = Events(store)
    for _ in range(10):
        write(pieces, 10)
        pieces.flush()
    names = [entry.name for entry in store.artifact_files(LOG_FOLDER)]
    assert 5 < len(names) <= 12  # begun anew at about 1,000 bytes
    if store.is_local:
        return  # its log is one file, which Events reads
    found = list(events.new())
    assert [one["message"] for one in found] == [f"number {n}" for n in range(10)] * 10
    assert not list(events.new())
    assert "s3cret" not in json.dumps(found)
    assert [one["message"] for one in last_events(store, 3)] == ["number 7", "number 8", "number 9"]


def test_a_piece_is_written_while_the_process_works(store: Store, pieces: log.JsonPieces) -> None:
    write(pieces, 1)
    for _ in range(600):
        if store.names(LOG_FOLDER):
            return
        time.sleep(0.1)
    raise AssertionError("nothing was written")


def test_a_server_that_refuses_costs_no_event(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "FLUSH_S", 3600)
    handler = log.JsonPieces(store)
    write(handler, 1)
    with monkeypatch.context() as patched:
        patched.setattr(store.fs, "put_file" if not store.is_local else "makedirs", _refuse)
        handler.flush()
    assert not store.names(LOG_FOLDER)
    handler.close()
    assert len(store.names(LOG_FOLDER)) == 1


def _refuse(*_: object, **__: object) -> None:
    raise OSError("503 Slow Down")
