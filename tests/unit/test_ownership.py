"""Nothing of a user's is replaced or deleted: a folder is ours by its mark, and a file by being listed there."""

import itertools
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from speechmill import publish
from speechmill.core import ownership
from speechmill.core.config import RunConfig
from speechmill.core.config_errors import ConfigError
from speechmill.core.inventory import facts_of
from speechmill.core.store import Store
from speechmill.corpus import plan, status
from speechmill.corpus.prune import prune
from speechmill.corpus.remove import remove
from speechmill.corpus.verify import verify
from speechmill.runner.run import run

from tests.tiny_corpus import publish_tiny

PAGES = {"README.md": "---\ntags:\n- speechmill\n---\n", "report.html": "<title>x – speechmill report</title>"}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def project(folder: Path) -> dict[str, bytes]:
    """A user's own project, with the names that a corpus has."""
    for name in ("data/raw/talk.wav", "data/labels.csv", "README.md", "report.html", "stats.json", "work/draft.md"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"mine: {name}")
    return contents(folder)


def republish(root: Path, **settings: Any) -> Store:
    """The tiny corpus below a folder, published with other settings."""
    build, _ = publish_tiny(root, **settings)
    return build.store


def finish(store: Store, files: dict[str, str], fingerprint: str = "f" * 32) -> None:
    """Publish some texts as a run does."""
    folder = f"{publish.STAGING}/{fingerprint}"
    for name, text in files.items():
        store.write_text(f"{folder}/{name}", text)
    ownership.replace(store, folder, {name: facts_of(store, f"{folder}/{name}") for name in files})
    store.remove(publish.STAGING)


def texts(store: Store) -> dict[str, str]:
    return {entry.name: store.open(entry.name).read().decode() for entry in store.files()}


def on_stores(*arguments: Any, s3: Iterable[tuple[Any, ...]]) -> pytest.MarkDecorator:
    """Parametrise a test by names and cases: all of them on disk and in memory, those of `s3` on S3, which is slow."""
    *names, cases = arguments
    every = [(kind, *case) for case in cases for kind in ("local", "memory")] + [("s3", *case) for case in s3]
    return pytest.mark.parametrize(("store", *names), every, indirect=["store"])


def test_a_new_folder_gets_the_mark_first(store: Store) -> None:
    ownership.claim(store)
    assert json.loads(store.open("corpus.json").read()) == {
        "format": "speechmill corpus", "version": 1, "speechmill": ownership.__version__, "files": {},
    }  # fmt: skip
    assert [entry.name for entry in store.files()] == ["corpus.json"]
    assert ownership.claim(store) == ownership.Mark()
    assert ownership.is_corpus(store)


def test_a_folder_with_anything_in_it_is_refused_and_left_alone(store: Store) -> None:
    for name in ("data/raw/talk.wav", "b.txt", "c.txt", "d.txt", "e.txt"):
        store.write_text(name, "mine")
    before = texts(store)
    with pytest.raises(
        ConfigError, match=r"b\.txt, c\.txt, d\.txt, data and 1 more; give a new or an empty folder"
    ) as no:
        ownership.claim(store)
    assert "\n" not in str(no.value)
    assert texts(store) == before
    assert not ownership.is_corpus(store)


FOREIGN = ("run.json", "corpus.json", ".git/config", "work/x", "removed.json", "deep/er/x.wav")
CONTENTS = ("{}", "", "[1]", '{"config": {}, "files": {"a": 1}}', "\udcff", "[" * 100_000)


@on_stores("name", "content", itertools.product(FOREIGN, CONTENTS), s3=zip(FOREIGN, CONTENTS))
def test_a_foreign_file_of_whatever_name_is_in_the_way(store: Store, name: str, content: str) -> None:
    with store.create(name) as file:
        file.write(content.encode(errors="surrogateescape"))
    if name == "corpus.json" and not content:  # as a crash may leave our own
        ownership.claim(store)
        assert ownership.load(store) == ownership.Mark()
        return
    before = {entry.name: store.open(entry.name).read() for entry in store.files()}
    with pytest.raises(ConfigError, match=rf"{name.split('/')[0]}"):
        ownership.claim(store)
    assert {entry.name: store.open(entry.name).read() for entry in store.files()} == before


def test_a_half_written_mark_is_completed_where_nothing_else_is(store: Store) -> None:
    ownership.claim(store)
    whole = store.open("corpus.json").read().decode()
    for length in (0, 1, 20, len(whole) // 2, len(whole) - 3):
        store.write_text("corpus.json", whole[:length])
        ownership.claim(store)
        assert store.open("corpus.json").read().decode() == whole
        store.write_text("corpus.json", whole[:length])
        store.write_text("mine.txt", "mine")
        with pytest.raises(ConfigError, match="not a mark that speechmill made"):
            ownership.claim(store)
        store.remove("mine.txt")


def test_what_a_killed_making_of_the_mark_left_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / ".corpus.json.123-456-0123abcd.tmp").write_text('{\n  "form')
    (tmp_path / ".DS_Store").write_text("a system's")
    ownership.claim(Store(str(tmp_path)))
    assert (tmp_path / "corpus.json").exists()
    assert (tmp_path / ".DS_Store").read_text() == "a system's"


def test_a_mark_of_a_newer_version_is_refused(store: Store) -> None:
    store.write_json("corpus.json", {"format": "speechmill corpus", "version": 2, "files": {}})
    for use in (ownership.claim, ownership.check, ownership.is_corpus):
        with pytest.raises(ConfigError, match="of a newer speechmill"):
            use(store)


@pytest.mark.parametrize("name", ["../victim", "/etc/passwd", "work/lock", "corpus.json", "a//b", "a\0b"])
def test_a_mark_that_lists_what_cannot_be_ours_is_refused(store: Store, name: str) -> None:
    files = {name: {"bytes": 4, "sha256": "0" * 64}}
    store.write_json("corpus.json", {"format": "speechmill corpus", "version": 1, "files": files})
    with pytest.raises(ConfigError):
        ownership.claim(store)


def test_two_corpora_share_a_parent_which_is_none(store: Store, tmp_path: Path) -> None:
    one, two = Store(f"{store.root}/one"), Store(f"{store.root}/one2")
    for corpus in (one, two):
        ownership.claim(corpus)
        finish(corpus, {"data/train-00000-00000.parquet": corpus.root, "run.json": "{}"})
    before = texts(two)
    finish(one, {"data/train-00000-00000.parquet": "x", "run.json": "{}"}, "e" * 32)
    assert texts(two) == before
    with pytest.raises(ConfigError, match="it has one, one2"):
        ownership.claim(store)


def test_publication_replaces_what_is_listed_and_nothing_else(store: Store) -> None:
    ownership.claim(store)
    first = {"data/train-00000-00000.parquet": "a", "data/train-00000-00001.parquet": "b", "README.md": "c"}
    finish(store, first | {"run.json": "1"})
    mine = {
        "data/labels.csv": "mine",
        "data/train-00007-of-00009.parquet": "mine",
        "notes.txt": "mine",
        "data/b/c": "m",
    }
    for name, text in mine.items():
        store.write_text(name, text)
    second = {"data/train-00000-00000.parquet": "ab", "README.md": "d", "run.json": "2"}
    finish(store, second, "e" * 32)
    assert {name: text for name, text in texts(store).items() if name != "corpus.json"} == second | mine
    assert ownership.load(store).files.keys() == second.keys()
    assert ownership.foreign_files(store, ownership.load(store)) == sorted(mine)


OURS = ("data/train-00000-00000.parquet", "README.md", "run.json")
TEXTS = ("mine", "MINE!")  # of another length than ours and of the same


@on_stores("name", "text", itertools.product(OURS, TEXTS), s3=zip(OURS, (*TEXTS, "MINE!")))
def test_a_file_that_its_owner_put_in_the_place_of_ours_stays(store: Store, name: str, text: str) -> None:
    ownership.claim(store)
    finish(store, {"data/train-00000-00000.parquet": "ours.", "README.md": "ours.", "run.json": "ours."})
    store.write_text(name, text)
    before = texts(store)
    with pytest.raises(ConfigError, match=rf"not as speechmill wrote it: {name}; rename it"):
        ownership.claim(store)
    for new in ("data/train-00000-00000.parquet", "data/train-00000-00001.parquet"):
        with pytest.raises(ConfigError, match=name):
            finish(store, {new: "other", "README.md": "other", "run.json": "other"}, "e" * 32)
        store.remove(publish.STAGING)
        assert texts(store) == before
    store.move(name, "kept.txt")
    finish(store, {"README.md": "other", "run.json": "other"}, "e" * 32)
    assert texts(store)["kept.txt"] == text


def test_a_run_json_in_which_a_value_was_changed_is_still_ours(tmp_path: Path) -> None:
    store = republish(tmp_path)
    record = json.loads((tmp_path / "tiny/run.json").read_text()) | {"config": {}, "profiles": {}, "mine": 1}
    store.write_json("run.json", record)
    ownership.claim(store)
    finish(store, {"run.json": "{}"})
    assert (tmp_path / "tiny/run.json").read_text() == "{}"


def test_a_file_in_the_place_of_a_new_shard_stays(store: Store) -> None:
    ownership.claim(store)
    store.write_text("data/train-00000-00000.parquet", "mine")
    with pytest.raises(ConfigError, match=r"data/train-00000-00000\.parquet"):
        finish(store, {"data/train-00000-00000.parquet": "ours", "run.json": "{}"})
    assert texts(store)["data/train-00000-00000.parquet"] == "mine"


def test_a_copy_of_a_corpus_is_a_corpus(tmp_path: Path) -> None:
    republish(tmp_path)
    shutil.copytree(tmp_path / "tiny", tmp_path / "copy", copy_function=shutil.copy)  # with other times
    store = Store(str(tmp_path / "copy"))
    mark = ownership.claim(store)
    assert ownership.foreign_files(store, mark) == []
    finish(store, {"README.md": "d", "run.json": "{}"})
    assert sorted(name for name in texts_of_root(tmp_path / "copy")) == ["README.md", "corpus.json", "run.json"]


def test_a_finished_corpus_without_its_mark_is_marked_again(finished_corpus: Path, tmp_path: Path) -> None:
    corpus = Path(shutil.copytree(finished_corpus, tmp_path / "copy"))
    (corpus / "corpus.json").unlink()
    store = Store(str(corpus))
    mark = ownership.claim(store)
    assert {"croissant.json", "README.md", "report.html"} <= mark.files.keys()
    assert ownership.foreign_files(store, mark) == []
    (corpus / "corpus.json").unlink()
    (corpus / "croissant.json").write_text('{"name": "mine"}')
    with pytest.raises(ConfigError, match=r"croissant\.json"):
        ownership.claim(store)


def texts_of_root(folder: Path) -> list[str]:
    return [name for name in contents(folder) if not name.startswith("work/")]


class Killed(BaseException):
    """Stands for a kill: nothing of what follows in the process happens."""


# On S3 at the turning points: the mark is saved, files half in place, old ones half removed, the mark still open.
@on_stores("step", zip(range(1, 14)), s3=zip((5, 7, 9, 11)))
def test_a_publication_that_is_cut_short_anywhere_is_completed(
    store: Store, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ownership.claim(store)
    first = {f"data/train-0000{at}-of-00002.parquet": "old" for at in range(2)} | {
        "README.md": "old",
        "run.json": "old",
    }
    second = {"data/train-00000-00000.parquet": "new", "README.md": "new", "run.json": "new"}
    finish(store, first)
    left = [step]
    for name in ("move", "remove", "write_json", "create"):
        monkeypatch.setattr(Store, name, dying(getattr(Store, name), left))
    try:
        finish(store, second, "e" * 32)
    except Killed:
        pass
    monkeypatch.undo()
    store.write_text("data/mine.csv", "mine")
    ownership.claim(store)  # the next run accepts it
    finish(store, second | {"README.md": "newer", "run.json": "newer"}, "e" * 32)
    here = {name: text for name, text in texts(store).items() if name not in ("corpus.json", "data/mine.csv")}
    assert here == second | {"README.md": "newer", "run.json": "newer"}
    assert ownership.load(store).next == {}


def dying(function: Any, left: list[int]) -> Any:
    """The function, until it is called for the last time."""

    def call(*arguments: Any, **options: Any) -> Any:
        left[0] -= 1
        if left[0] <= 0:
            raise Killed
        return function(*arguments, **options)

    return call


def older(root: Path, *, pages: bool = True) -> Path:
    """The tiny corpus as a version without marks left it."""
    store = republish(root)
    for name, text in PAGES.items() if pages else ():
        store.write_text(name, text)
    record = json.loads((root / "tiny/run.json").read_text())
    record |= {"config": json.loads(RunConfig().model_dump_json()), "profiles": {}, "speechmill": "0.1.0"}
    store.write_json("run.json", record)
    store.remove("corpus.json")
    return root / "tiny"


def test_a_corpus_of_an_older_version_is_adopted_with_what_it_lists(tmp_path: Path) -> None:
    corpus = older(tmp_path)
    (corpus / "data/labels.csv").write_text("mine")
    listed = json.loads((corpus / "run.json").read_text())["files"]
    store = Store(str(corpus))
    assert ownership.is_corpus(store)
    assert not (corpus / "corpus.json").exists()
    mark = ownership.claim(store)
    assert mark.files.keys() == listed.keys() | PAGES.keys() | {"run.json", "stats.json"}
    assert {name: facts["sha256"] for name, facts in mark.files.items() if name in listed} == {
        name: facts["sha256"] for name, facts in listed.items()
    }
    finish(store, {"README.md": "new", "run.json": "{}"})
    assert sorted(texts_of_root(corpus)) == ["README.md", "corpus.json", "data/labels.csv", "run.json"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda run: run["files"].update({"data/labels.csv": {"bytes": 4, "sha256": "0" * 64}}),
        lambda run: run["files"].update({"../victim": {"bytes": 4, "sha256": "0" * 64}}),
        lambda run: run["files"]["ledger.parquet"].update(bytes=1),
        lambda run: run["files"]["recordings.parquet"].update(sha256="0" * 64),
        lambda run: run["files"].pop("ledger.parquet"),
        lambda run: run.pop("profiles"),
        lambda run: run.update(files=["a"]),
    ],
)
def test_a_run_json_that_is_not_borne_out_makes_no_corpus(tmp_path: Path, damage: Any) -> None:
    corpus = older(tmp_path)
    run_json = json.loads((corpus / "run.json").read_text())
    damage(run_json)
    (corpus / "run.json").write_text(json.dumps(run_json))
    before = contents(corpus)
    assert not ownership.is_corpus(Store(str(corpus)))
    with pytest.raises(ConfigError, match="is no corpus and not empty"):
        ownership.claim(Store(str(corpus)))
    assert contents(corpus) == before


def test_pages_that_an_older_corpus_did_not_make_are_in_the_way(tmp_path: Path) -> None:
    corpus = older(tmp_path, pages=False)
    (corpus / "README.md").write_text("mine")
    with pytest.raises(ConfigError, match=r"not as speechmill wrote it: README\.md"):
        ownership.claim(Store(str(corpus)))
    assert (corpus / "README.md").read_text() == "mine"


def test_an_older_corpus_that_was_begun_is_gone_on_with(tmp_path: Path) -> None:
    corpus = Store(str(tmp_path / "corpus"))
    corpus.write_json("work/config.json", json.loads(RunConfig().model_dump_json()))
    assert ownership.is_corpus(corpus)
    corpus.write_text("data/train-00000-00000.parquet", "half published, or mine")
    with pytest.raises(ConfigError, match="move all but work elsewhere"):
        ownership.claim(corpus)
    shutil.rmtree(tmp_path / "corpus/data")
    assert ownership.claim(corpus) == ownership.Mark()


def test_a_list_of_removals_outlives_all_else(tmp_path: Path) -> None:
    request = {"kind": "person", "value": "x", "reason": "asked", "when": "2026-01-01T00:00:00Z"}
    store = Store(str(tmp_path))
    store.write_json("removed.json", {"removed": [request]})
    ownership.claim(store)
    assert json.loads((tmp_path / "removed.json").read_text()) == {"removed": [request]}


def test_every_command_leaves_a_users_project_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = project(tmp_path)
    monkeypatch.chdir(tmp_path)
    chosen = RunConfig.model_validate({"inputs": ["data/raw"], "output": ".", "asr": {"model": None}})
    for command in (
        lambda: run(chosen, quiet=True),
        lambda: run(chosen, only_publish=True, quiet=True),
        lambda: plan.plan(chosen),
        lambda: status.status("."),
        lambda: verify("."),
        lambda: prune(".", dry_run=False),
        lambda: remove(".", [("person", "Ann")], "asked for"),
    ):
        with pytest.raises(ConfigError) as caught:
            command()
        assert "\n" not in str(caught.value)
        assert contents(tmp_path) == before


def test_an_output_that_is_a_file_or_a_link_to_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("file", "file/below"):
        with pytest.raises(ConfigError, match="a file is in the way"):
            ownership.claim(Store(str(tmp_path / name)))
    with pytest.raises(ConfigError, match="cannot write to"):
        ownership.claim(Store(str(tmp_path / "link")))
    assert (tmp_path / "file").read_text() == "mine"
    assert not (tmp_path / "nowhere").exists()


def test_links_in_the_place_of_published_files_are_refused(tmp_path: Path) -> None:
    store = republish(tmp_path)
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "train-00000-00000.parquet").write_text("private")
    shutil.rmtree(tmp_path / "tiny/data")
    (tmp_path / "tiny/data").symlink_to(victim)
    with pytest.raises(ConfigError, match="data: is a link"):
        ownership.claim(store)
    with pytest.raises(ConfigError, match="data: is a link"):
        finish(store, {"data/train-00000-00000.parquet": "ours", "run.json": "{}"})
    assert contents(victim) == {"train-00000-00000.parquet": b"private"}


def test_what_is_published_over_a_hard_link_leaves_the_other_name(tmp_path: Path) -> None:
    store = republish(tmp_path)
    finish(store, {"README.md": "first", "run.json": "{}"})
    os.link(tmp_path / "tiny/README.md", tmp_path / "backup.md")
    finish(store, {"README.md": "second", "run.json": "{}"}, "e" * 32)
    assert (tmp_path / "backup.md").read_text() == "first"
