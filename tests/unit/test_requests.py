"""Of an object store each file costs one request."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from speechmill.core import requests
from speechmill.core.footers import DecodeFooter, FetchFooter
from speechmill.core.records import Recording
from speechmill.core.store import Store
from speechmill.sources import Listed
from speechmill.stages.fetch import _is_unchanged

from tests.media import a_build

TABLE = pa.table({"n": list(range(100))})
NAME = "work/score/profile/content.parquet"


def test_writing_and_reading_an_artifact_takes_a_request_each(s3_store: Store, asked: Counter[str]) -> None:
    s3_store.write_table(NAME, TABLE, DecodeFooter(codec="mp3"))
    assert asked == {"put_object": 1}
    assert s3_store.read(NAME, ["n"]).equals(TABLE)
    assert s3_store.footer(NAME, DecodeFooter).codec == "mp3"
    assert s3_store.load(NAME, DecodeFooter)[0].equals(TABLE)
    assert s3_store.exists(NAME)
    assert s3_store.is_done(NAME)
    assert asked == {"put_object": 1, "get_object": 5}


def test_what_is_not_there_is_asked_for_once(s3_store: Store, asked: Counter[str]) -> None:
    assert not s3_store.exists(NAME)
    assert not s3_store.is_done(NAME)
    assert s3_store.read_json("stats.json") is None
    with pytest.raises(FileNotFoundError):
        s3_store.read(NAME)
    assert asked == {"get_object": 4}


def test_an_empty_file_is_there(s3_store: Store) -> None:
    s3_store.write_text("work/stop", "")
    assert s3_store.exists("work/stop")
    assert s3_store.open("work/stop").read() == b""


def test_metadata_longer_than_the_end_that_is_read_come_whole(s3_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    s3_store.write_table(NAME, TABLE, DecodeFooter(codec="mp3"))
    monkeypatch.setattr(requests, "TAIL_BYTES", 100)
    assert s3_store.footer(NAME, DecodeFooter).codec == "mp3"


def test_files_with_sound_are_read_in_part(s3_store: Store, asked: Counter[str]) -> None:
    name = "work/segment/profile/content.parquet"
    s3_store.write_table(name, TABLE)
    with s3_store.open(name) as file:
        assert asked["get_object"] == 0
        assert file.read(4) == b"PAR1"


def test_the_sign_to_stop_is_looked_for_now_and_then(s3_store: Store, asked: Counter[str]) -> None:
    for _ in range(50):
        assert not s3_store.has_appeared("work/stop")
    assert asked.total() <= 2
    s3_store.write_text("work/stop", "")
    requests._absent_until.clear()  # half a second later
    assert s3_store.has_appeared("work/stop")


def test_a_complete_corpus_is_not_asked_for_each_recording(
    tmp_path: Path, s3_store: Store, asked: Counter[str]
) -> None:
    build, url = replace(a_build(tmp_path), store=s3_store), "https://archive.example/1.mp3"
    listed = Listed(recording=Recording(recording_id=url, source="librivox", media_url=url))
    known = replace(listed.recording, content_id="c" * 64, sha256="c" * 64)
    assert _is_unchanged(listed, known, FetchFooter(), replace(build, is_complete=True))
    assert not asked
    assert not _is_unchanged(listed, known, FetchFooter(), build)
