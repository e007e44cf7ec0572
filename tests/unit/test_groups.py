"""A corpus in several groups says what it says in one; what is not changed is neither tabulated nor written again."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from speechmill import publish
from speechmill.core.build import Build
from speechmill.core.config_errors import ConfigError
from speechmill.core.footers import FetchFooter
from speechmill.core.manual import ManualDecisions
from speechmill.core.records import recording_from, to_table
from speechmill.publish import groups, tables
from speechmill.publish.groups import Group, all_groups, group_inputs, is_current
from speechmill.runner.record import run_record
from speechmill.stages.known import recalled, write_index

from tests.tiny_corpus import RECORDINGS, publish_tiny

IDS = ("0" * 32, "5" * 32, "9" * 32, "e" * 32)
SPREAD = tuple(replace(one, recording_id=name) for one, name in zip(RECORDINGS, IDS, strict=True))
POWERS = st.integers(0, 12).map(lambda power: 1 << power)


@pytest.fixture
def four(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    """A corpus of four groups, of a recording each."""
    monkeypatch.setattr(groups, "GROUP_RECORDINGS", 1)
    build, _ = publish_tiny(tmp_path / "four", recordings=SPREAD)
    assert [len(one.fetched) for one in group_inputs(build)] == [1, 1, 1, 1]
    return build


@given(st.lists(st.one_of(st.text("0123456789abcdef", max_size=32), st.text(max_size=12))), POWERS)
def test_groups_are_in_the_order_of_ids_whatever_these_are(ids: list[str], of: int) -> None:
    found = [groups._index(one, of) for one in sorted(ids)]
    assert found == sorted(found)
    assert all(0 <= index < of for index in found)
    assert all(Group(index=index, of=of).has(one) for index, one in zip(found, sorted(ids), strict=True))


def read(build: Build, pattern: str) -> list[dict[str, Any]]:
    paths = sorted(Path(build.store.path("")).glob(pattern))
    return pa.concat_tables([pq.read_table(path) for path in paths]).to_pylist()


def test_several_groups_say_what_one_says(four: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "GROUP_RECORDINGS", 1_000)
    one, stats = publish_tiny(tmp_path / "one", recordings=SPREAD)
    assert len(all_groups(one)) == 1
    for pattern in ("data/train-*", "data/validation-*", "pool.parquet/*", "ledger.parquet", "recordings.parquet"):
        assert sorted(Path(one.store.path("")).glob(pattern)) == [] or read(one, pattern) == read(four, pattern)
    assert stats == four.store.read_json("stats.json")
    assert len(four.store.names("pool.parquet")) == 4


def shards(build: Build) -> dict[str, int]:
    """Inodes of the files of data/: another one where a file was written again."""
    return {path.name: path.stat().st_ino for path in Path(build.store.path("data")).iterdir()}


def publish_again(build: Build) -> list[str]:
    """Tabulate and publish; names of the files that were written."""
    tables.tabulate_all(build)
    tasks = publish.plan(build)
    for task in tasks:
        publish.write(task, build)
    plan = build.store.read_json(publish.PLAN_FILE)
    assert plan is not None
    publish.commit(build, publish.with_token_usage(plan, build), run_record(build, {}))
    return [task.name for task in tasks]


def dropping(build: Build, *clip_ids: str) -> Build:
    return replace(build, by_hand=ManualDecisions(dropped=frozenset(clip_ids)))


def test_another_decision_writes_only_the_shard_whose_clips_it_changes(four: Build) -> None:
    before = shards(four)
    first, second = sorted(before)
    clip_id = read(four, f"data/{first}")[0]["clip_id"]
    written = publish_again(dropping(four, clip_id))
    assert [name for name in written if name.startswith("data/")] == [f"data/{first}"]
    after = shards(four)
    assert after[second] == before[second]
    assert clip_id not in [row["clip_id"] for row in read(four, f"data/{first}")]
    every = [row["clip_id"] for row in read(four, f"data/{second}")]
    publish_again(dropping(four, *every))
    assert list(shards(four)) == [first]
    publish_again(four)
    assert shards(four).keys() == before.keys()


def test_a_published_shard_that_somebody_changed_is_not_taken_for_ours(four: Build) -> None:
    """Its footer still says what it was made of; its bytes and its time do not."""
    name = f"data/{sorted(shards(four))[0]}"
    path = Path(four.store.path(name))
    changed = bytearray(path.read_bytes())
    changed[100] ^= 1
    path.write_bytes(changed)
    with pytest.raises(ConfigError, match=f"not as speechmill wrote it: {name}; rename it"):
        publish_again(dropping(four, read(four, f"data/{sorted(shards(four))[1]}")[0]["clip_id"]))
    assert path.read_bytes() == changed
    path.unlink()
    publish_again(four)
    assert path.exists()


def test_another_title_writes_the_shard_of_its_recording_and_a_new_recording_that_of_its_own(four: Build) -> None:
    before = shards(four)
    name = four.fetched(IDS[1])
    table, footer = four.store.load(name, FetchFooter)
    row = replace(recording_from(table.to_pylist()[0]), title="Another")
    four.store.write_table(name, to_table([row]), footer)
    assert [is_current(one, four) for one in group_inputs(four)] == [True, False, True, True]
    publish_again(four)
    after = shards(four)
    assert [name for name in before if after[name] != before[name]] == [
        name for name in before if read(four, f"data/{name}")[0]["recording_id"] == IDS[1]
    ]
    assert four.store.read_json("run.json") is not None


def test_files_that_a_killed_process_was_writing_count_for_nothing(four: Build) -> None:
    """A kill while a stage writes leaves the beginning of a file beside the others."""
    folders = {path.parent for path in Path(four.store.path("work")).rglob("*.parquet")}
    for folder in folders:
        (folder / ".129c9a1c90b273699b34fa0fcf752258.parquet.1019-139923373938368-5448ad3f.tmp").write_bytes(b"PAR1")
    assert all(is_current(one, four) for one in group_inputs(four))
    write_index(four)
    assert set(recalled(four)) == set(IDS)
    assert not [name for name in publish_again(four) if name.startswith("data/")]


def test_tables_of_another_number_of_groups_are_removed(four: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {leaf.rpartition("-")[2] for leaf in four.store.names(groups.FOLDER)} == {"00004"}
    before = read(four, "ledger.parquet")
    monkeypatch.setattr(groups, "GROUP_RECORDINGS", 2)
    publish_again(four)
    assert {leaf.rpartition("-")[2] for leaf in four.store.names(groups.FOLDER)} == {"00002"}
    assert len(four.store.names("pool.parquet")) == 2
    assert read(four, "ledger.parquet") == before
