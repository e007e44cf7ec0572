"""A run in shards, by processes that know nothing of each other, gives the bytes of one run."""

from pathlib import Path

import pytest
from speechmill.core.locks import BusyError
from speechmill.core.share import read_share
from speechmill.core.store import Store

from tests.commandline import fingerprint, flags
from tests.forked import Forked

SHARDS = ("1/2", "2/2")


def made(corpus: Path, stage: str) -> int:
    return len(list((corpus / "work" / stage).rglob("*.parquet")))


@pytest.mark.timeout(600)
def test_shards_give_the_bytes_of_one_run(corpus: Path, folder: Path, speechmill, tmp_path: Path) -> None:
    """Shards at the same time, up to duplicates and after them; then what is left, which publishes."""
    output = tmp_path / "corpus"
    first = [Forked("run", *flags(folder, output), "--shard", shard, "--quiet") for shard in SHARDS]
    assert [process.wait() for process in first] == [0, 0]
    assert [made(output, stage) for stage in ("fetch", "fingerprint", "dedup", "transcribe")] == [3, 3, 0, 0]
    speechmill("run", *flags(folder, output), "--until", "dedup")
    assert [made(output, stage) for stage in ("dedup", "transcribe")] == [3, 0]
    for shard, least in zip(SHARDS, (1, 3), strict=True):
        done = speechmill("run", *flags(folder, output), "--shard", shard)
        assert "this share of the run is done" in done.stdout
        assert made(output, "transcribe") >= least
    assert made(output, "assess") == 3
    assert not (output / "data").exists()
    speechmill("run", *flags(folder, output))
    assert fingerprint(output) == fingerprint(corpus)


def test_shards_share_the_corpus_with_each_other_alone(tmp_path: Path) -> None:
    store, other = Store(str(tmp_path)), Store(str(tmp_path))
    with store.locked(shared=True), other.locked(shared=True), pytest.raises(BusyError), other.locked():
        pass
    with store.locked(), pytest.raises(BusyError), other.locked(shared=True):
        pass
    with store.locked():
        pass


def test_a_request_to_stop_a_shard_is_for_it_alone(tmp_path: Path, speechmill, folder: Path) -> None:
    output = tmp_path / "corpus"
    speechmill("run", *flags(folder, output), "--until", "fetch")
    (output / "work/stop-2-of-2").touch()
    speechmill("run", *flags(folder, output), "--shard", "1/2", "--until", "segment")
    assert (output / "work/stop-2-of-2").exists()
    assert made(output, "segment") > 0


def test_every_recording_is_in_one_shard() -> None:
    shares = [read_share(f"{number}/7") for number in range(1, 8)]
    found = [[share.has(f"{recording:032x}") for share in shares] for recording in range(7_000)]
    assert all(sum(one) == 1 for one in found)
    assert all(900 < sum(one[at] for one in found) < 1_100 for at in range(7))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--shard", "0/3"), "--shard: 0/3 is none; give i/n"),
        (("--shard", "4/3"), "--shard: 4/3 is none"),
        (("--shard", "1"), "--shard: 1 is none"),
        (("--shard", "1/0"), "--shard: 1/0 is none"),
        (("--until", "turns"), "--until: turns is no stage of the graph; give one of fetch, passages"),
    ],
)
def test_slips_are_refused(arguments: tuple[str, str], message: str, tmp_path: Path, folder: Path, speechmill) -> None:
    assert message in speechmill("run", *flags(folder, tmp_path / "corpus"), *arguments, code=2).stderr
    assert not (tmp_path / "corpus").exists()
