"""Artifacts are there whole or not at all, on every filesystem."""

import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.store import Busy, OutOfSpace, Store, raise_if_out_of_space

TABLE = pa.table({"n": list(range(100))})


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A store on disk, and one on a real S3 server of our own."""
    if request.param == "local":
        yield Store(str(tmp_path / "corpus"))
        return
    import boto3
    import s3fs
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    for key, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(key, value)
    boto3.client("s3", endpoint_url=f"http://{host}:{port}").create_bucket(Bucket="mill")
    s3fs.S3FileSystem.clear_instance_cache()
    yield Store("s3://mill/corpus")
    server.stop()


def test_a_table_and_its_footer_come_back(store: Store) -> None:
    name = store.artifact("segment", "profile", "content")
    assert name == "work/segment/profile/content.parquet"
    assert not store.exists(name)
    store.write_table(name, TABLE, {"status": "ok", "retry": False})
    assert store.read(name).equals(TABLE)
    assert store.footer(name) == {"status": "ok", "retry": False}
    assert store.is_done(name)
    assert [b.num_rows for b in store.batches(name, ["n"], 40)] == [40, 40, 20]
    assert store.names("work/segment/profile") == ["content.parquet"]
    assert store.names("work/nothing") == []


def test_a_failed_write_leaves_what_was_there(store: Store) -> None:
    store.write_text("a/b.txt", "old")
    with pytest.raises(ZeroDivisionError), store.create("a/b.txt") as file:
        file.write(b"new")
        raise ZeroDivisionError
    assert store.open("a/b.txt").read() == b"old"
    assert store.names("a") == ["b.txt"]


def test_a_passing_failure_is_not_done(store: Store) -> None:
    store.write_failure("f.parquet", TABLE.schema, {"retry": True})
    assert store.exists("f.parquet")
    assert not store.is_done("f.parquet")


def test_move_and_remove(store: Store) -> None:
    store.write_json("one/a.json", {"x": 1})
    store.move("one/a.json", "two/b.json")
    assert store.read_json("two/b.json") == {"x": 1}
    assert store.read_json("one/a.json") is None
    store.remove("two")
    store.remove("two")
    assert not store.exists("two/b.json")


def test_the_lock_holds_for_one(tmp_path: Path) -> None:
    first, second = Store(str(tmp_path)), Store(str(tmp_path))
    with first.locked(), pytest.raises(Busy, match="another run"), second.locked():
        pass
    with second.locked():
        pass


def test_a_full_disk_is_told_from_other_errors(tmp_path: Path) -> None:
    if os.path.exists("/dev/full"):
        with pytest.raises(OSError, match="space") as caught, open("/dev/full", "w") as full:
            full.write("x" * 100_000)
        with pytest.raises(OutOfSpace, match="corpus"):
            raise_if_out_of_space(caught.value, "corpus")
    raise_if_out_of_space(ValueError(), "corpus")
    raise_if_out_of_space(FileNotFoundError(2, "gone"), "corpus")
