"""Artifacts are there whole or not at all, on every filesystem."""

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest
from speechmill.core import config_file, processes
from speechmill.core.config_errors import ConfigError
from speechmill.core.footers import DecodeFooter, Footer
from speechmill.core.locks import BusyError
from speechmill.core.paths import OutsideError
from speechmill.core.store import OutOfSpaceError, Store, raise_if_out_of_space
from speechmill.runner.run import run

TABLE = pa.table({"n": list(range(100))})


def test_a_table_and_its_footer_come_back(store: Store) -> None:
    name = store.artifact("segment", "profile", "content")
    assert name == "work/segment/profile/content.parquet"
    assert not store.exists(name)
    store.write_table(name, TABLE, DecodeFooter(codec="mp3"))
    assert store.read(name).equals(TABLE)
    assert store.footer(name, DecodeFooter) == DecodeFooter(codec="mp3")
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
    store.write_table("f.parquet", TABLE.schema.empty_table(), Footer(retry=True))
    assert store.exists("f.parquet")
    assert not store.is_done("f.parquet")


ID = "0123456789abcdef" * 4


def test_move_and_remove(store: Store) -> None:
    store.write_json("one/a.json", {"x": 1})
    store.move("one/a.json", f"work/media/{ID}")
    assert store.read_json(f"work/media/{ID}") == {"x": 1}
    assert store.read_json("one/a.json") is None
    store.remove("work/media")
    store.remove("work/media")
    assert not store.exists(f"work/media/{ID}")


def test_a_folder_is_removed_with_our_own_files_only(store: Store) -> None:
    own = (f"work/segment/a/{ID}.parquet", f"work/segment/a/.{ID}.parquet.12-34-0123abcd.tmp", f"work/segment/{ID}")
    theirs = ("work/segment/a/notes.txt", "work/segment/decade.wav", f"work/segment/{ID}.txt", "work/segment/README.md")
    for name in (*own, *theirs, "work/segment2/mine.txt"):
        store.write_text(name, "x")
    store.remove("work/segment")
    assert sorted(entry.name for entry in store.files()) == sorted([*theirs, "work/segment2/mine.txt"])


def test_a_name_with_signs_of_patterns_is_a_name(store: Store) -> None:
    for name in ("work/a.txt", "work/[a].txt", "work/*.txt"):
        store.write_text(name, name)
    store.move("work/[a].txt", "work/b[a]*.txt")
    store.remove("work/*.txt")
    assert [entry.name for entry in store.files("work")] == ["work/a.txt", "work/b[a]*.txt"]
    store.remove("work/b[a]*.txt")
    assert store.names("work") == ["a.txt"]


@pytest.mark.parametrize("name", ["../victim", "work/../../victim", "/etc/passwd", "a//b", "a/./b", "a\0b", "work/.."])
def test_no_name_leads_out(store: Store, name: str) -> None:
    for use in (store.path, store.exists, store.remove, store.open, store.read_json, store.names):
        with pytest.raises(OutsideError, match="not a name"):
            use(name)
    with pytest.raises(OutsideError):
        store.write_text(name, "x")
    with pytest.raises(OutsideError):
        store.move("a", name)


def test_no_link_is_followed(tmp_path: Path) -> None:
    store, victim = Store(str(tmp_path / "corpus")), tmp_path / "victim"
    (victim / "deep").mkdir(parents=True)
    for name in ("secret.txt", f"deep/{ID}.parquet", ID):
        (victim / name).write_text("private")
    store.write_text("work/kept.txt", "ours")
    (tmp_path / "corpus/work/media").symlink_to(victim)
    (tmp_path / "corpus/data").symlink_to(victim)
    (tmp_path / "corpus/README.md").symlink_to(victim / "secret.txt")
    (tmp_path / "corpus/dangling.txt").symlink_to(victim / "new.txt")
    (tmp_path / "corpus/work/segment").mkdir()
    (tmp_path / "corpus/work/segment/linked").symlink_to(victim)
    (tmp_path / f"corpus/work/segment/{ID}").symlink_to(victim / ID)
    for name in ("work/media", f"work/media/{ID}", "data/secret.txt", "README.md", "dangling.txt"):
        for use in (store.exists, store.remove, store.open, store.size, store.names, store.path_for_append):
            with pytest.raises(OutsideError, match="is a link"):
                use(name)
        with pytest.raises(OutsideError, match="is a link"):
            store.write_text(name, "x")
        with pytest.raises(OutsideError, match="is a link"):
            store.move("work/kept.txt", name)
    assert [entry.name for entry in store.files()] == ["work/kept.txt"]
    store.remove("work/segment")
    store.remove("work")
    assert sorted(path.relative_to(victim).as_posix() for path in victim.rglob("*")) == sorted(
        ["secret.txt", "deep", f"deep/{ID}.parquet", ID]
    )
    assert {path.read_text() for path in victim.rglob("*") if path.is_file()} == {"private"}


def test_the_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "corpus").symlink_to(tmp_path / "disk")
    Store(str(tmp_path / "corpus")).write_text("a.txt", "x")
    assert (tmp_path / "disk/a.txt").read_text() == "x"


def test_a_file_with_a_second_name_is_copied_before_it_is_appended_to(tmp_path: Path) -> None:
    store, victim = Store(str(tmp_path / "corpus")), tmp_path / "diary.txt"
    victim.write_text("private")
    (tmp_path / "corpus/work").mkdir(parents=True)
    os.link(victim, tmp_path / "corpus/work/log.jsonl")
    with open(store.path_for_append("work/log.jsonl"), "a") as file:
        file.write("more")
    assert victim.read_text() == "private"
    assert (tmp_path / "corpus/work/log.jsonl").read_text() == "privatemore"
    assert Path(store.path_for_append("work/new/log.jsonl")).parent.is_dir()


def test_a_file_that_is_to_be_new_replaces_none(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.write_text("a", "old")
    with pytest.raises(FileExistsError), store.create("a", new=True) as file:
        file.write(b"new")
    with store.create("b", new=True) as file:
        file.write(b"new")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "old", "b": "new"}


def test_what_is_no_lock_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work/lock").write_text("the combination of my lock is 12345, do not lose it. " * 9)
    with pytest.raises(ConfigError, match="is no lock"), Store(str(tmp_path)).locked():
        pass
    assert "12345" in (tmp_path / "work/lock").read_text()


@pytest.mark.parametrize("name", ["my::corpus", "s3::corpus", "a:b", "[ab]*", "~nobody-here", "file:corpus", "-x"])
def test_signs_in_the_name_of_a_folder_are_nothing_special(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Store(name).write_text("work/a.txt", "x")
    assert (tmp_path / name / "work/a.txt").read_text() == "x"
    Store(f"file://{tmp_path}/{name}").remove("work/a.txt")
    assert not (tmp_path / name / "work/a.txt").exists()


def test_it_is_the_same_folder_for_a_process_that_works_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that outlives a change of folder wrote its artifacts into another corpus of the same relative name."""
    with closing(processes.Pool(1)) as workers:
        for name in ("first", "second"):
            (tmp_path / name).mkdir()
            monkeypatch.chdir(tmp_path / name)
            workers.submit(Store.write_text, Store("corpus"), "work/a.txt", name).result()
    written = {name: (tmp_path / name / "corpus/work/a.txt").read_text() for name in ("first", "second")}
    assert written == {"first": "first", "second": "second"}


def test_the_home_folder_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    Store("~/corpus").write_text("a.txt", "x")
    assert (tmp_path / "corpus/a.txt").read_text() == "x"


@pytest.mark.parametrize(
    "address",
    [
        *("nope://bucket/x", "https://example.org/x", "simplecache::s3://a/b", "a::memory://b", "", "a\0b"),
        *("s3://a::b://c", " ", "\t", "s3:/bucket/x", "gs:/x", "file:/x", "S3:/x", "s3://"),
        "not-utf-8-\udcff",
    ],
)
def test_an_address_that_nothing_can_be_written_to_is_refused_in_one_line(address: str) -> None:
    with pytest.raises(ConfigError, match=r"^output: ") as caught:
        Store(address)
    assert "\n" not in str(caught.value)


def test_an_object_store_without_credentials_ends_in_one_line(
    speechmill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import s3fs

    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    (tmp_path / "talk.wav").write_bytes(b"RIFF")
    models = [f"--set={key}=null" for key in ("asr.model", "tokenise.checkpoint", "defects.weights")]
    command = ["run", "--input", str(tmp_path / "talk.wav"), "--output", "s3://bucket/corpus", *models]
    alone = subprocess.run([sys.executable, "-m", "speechmill", *command], capture_output=True, text=True, check=False)
    monkeypatch.setattr(s3fs.S3FileSystem, "_cache", {})  # of those with credentials
    for ended, code in ((alone, 2), (speechmill("verify", "s3://bucket/corpus", code=1), 1)):
        assert (ended.returncode, ended.stdout) == (code, "")
        assert ended.stderr.count("\n") == 1
        assert "Unable to locate credentials" in ended.stderr


def test_a_run_writes_to_no_memory(tmp_path: Path) -> None:
    chosen = config_file.load(inputs=(str(tmp_path),), output="memory://corpus")
    with pytest.raises(ConfigError, match="does not outlast the run"):
        run(chosen)


def test_the_lock_holds_for_one(tmp_path: Path) -> None:
    first, second = Store(str(tmp_path)), Store(str(tmp_path))
    with first.locked(), pytest.raises(BusyError, match="another run"), second.locked():
        pass
    with second.locked():
        pass


def test_a_full_disk_is_told_from_other_errors(tmp_path: Path) -> None:
    if os.path.exists("/dev/full"):
        with pytest.raises(OSError, match="space") as caught, open("/dev/full", "w") as full:
            full.write("x" * 100_000)
        with pytest.raises(OutOfSpaceError, match="corpus"):
            raise_if_out_of_space(caught.value, "corpus")
    raise_if_out_of_space(ValueError(), "corpus")
    raise_if_out_of_space(FileNotFoundError(2, "gone"), "corpus")


def test_what_another_worker_wrote_is_listed(store: Store) -> None:
    """Also where this process has listed the folder before."""
    if "s3" not in store.fs.protocol:
        pytest.skip("only object stores remember listings")
    store.write_text("work/tmp/a", "")
    assert store.names("work/tmp") == ["a"]
    assert not store.exists("work/stop")
    import boto3

    bucket, _, prefix = store.path("work").partition("/")
    for name in ("tmp/b", "stop"):
        boto3.client("s3").put_object(Bucket=bucket, Key=f"{prefix}/{name}", Body=b"")
    assert store.names("work/tmp") == ["a", "b"]
    assert store.exists("work/stop")
