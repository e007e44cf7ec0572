"""Which files a store has is known from listings of folders; a published corpus costs no request for each file."""

from collections import Counter
from pathlib import Path

import pytest
from speechmill import publish
from speechmill.core import ownership
from speechmill.core.inventory import entries, facts_of
from speechmill.core.store import Store

NAMES = {"data/one.parquet", "data/two.parquet", "pool.parquet/part.parquet", "README.md"}


@pytest.fixture(params=["disk", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store(str(tmp_path)) if request.param == "disk" else request.getfixturevalue("s3_store")


def test_only_what_is_there_is_listed(store: Store) -> None:
    for number, name in enumerate(sorted(NAMES)):
        store.write_text(name, "x" * number)
    store.write_text("data/three.parquet", "not asked for")
    found = entries(store, [*NAMES, "data/missing", "nowhere/missing"])
    assert found.keys() == NAMES
    assert {name: entry.bytes for name, entry in found.items() if entry} == {
        name: store.size(name) for name in sorted(NAMES)
    }


def test_a_folder_in_the_place_of_a_file_is_in_the_way_on_a_disk(tmp_path: Path) -> None:
    (tmp_path / "README.md").mkdir()
    assert entries(Store(str(tmp_path)), ["README.md", "README.md/below"]) == {"README.md": None}


def published(store: Store, files: dict[str, str]) -> ownership.Mark:
    """The mark of a store after some files were published."""
    for name, text in files.items():
        store.write_text(f"work/staged/{name}", text)
    ownership.replace(store, "work/staged", {name: facts_of(store, f"work/staged/{name}") for name in files})
    mark = ownership.load(store)
    assert mark is not None
    return mark


def test_a_change_of_equal_size_is_noticed_and_what_is_unchanged_is_not_read(store: Store) -> None:
    files = {"data/one.parquet": "1", "data/two.parquet": "2", "run.json": "{}"}
    mark = published(store, files)
    assert ownership.published_facts(store, files, mark).keys() == files.keys()
    store.write_text("data/one.parquet", "3")
    assert ownership.published_facts(store, files, mark).keys() == files.keys() - {"data/one.parquet"}
    with pytest.raises(ownership.ConfigError, match=r"not as speechmill wrote it: data/one\.parquet;"):
        ownership.check(store)


def test_a_check_of_a_published_corpus_lists_folders_whatever_files_it_has(
    s3_store: Store, asked: Counter[str]
) -> None:
    counts = []
    for number in (3, 30):
        names = [f"data/train-00000-{at:05}.parquet" for at in range(number)]
        files = dict.fromkeys([*names, *publish.ABOUT], "{}")
        published(s3_store, files | {"run.json": "{}"})
        asked.clear()
        ownership.check(s3_store)
        counts.append(asked.total())
    assert counts[0] == counts[1] <= 8
