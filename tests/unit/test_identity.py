"""Which known recording a listed file is: names, folders and disks change, recordings stay.

What a run does up to fetching is done here without Beam, on real files; `e2e/test_identity.py` does it all.
"""

import itertools
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from speechmill.core import ownership
from speechmill.core.footers import FetchFooter
from speechmill.core.records import Recording, to_table
from speechmill.corpus.plan import plan
from speechmill.publish import RECORDINGS_FILE
from speechmill.stages.identity import Claims, Registry

from tests.decisions import decided
from tests.identified import listed_by
from tests.media import a_build, tone, wav

Identify = Callable[..., dict[str, Recording]]


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, int], Path]:
    """Write a short tone to a file; all tones have the same size."""

    def write_file(name: str, which: int) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(wav(tone(100 * (which + 1), 0.1)))
        return path

    return write_file


@pytest.fixture
def identify(tmp_path: Path) -> Identify:
    """Make a corpus of some inputs below the folder of the test, or complete it; its recordings by name."""

    def call(*inputs: object, output: str = "corpus") -> dict[str, Recording]:
        build = a_build(tmp_path / output, inputs=[str(tmp_path / str(one)) for one in inputs])
        if not ownership.is_corpus(build.store):
            ownership.claim(build.store)
        ids = [one.recording_id for one in listed_by(build)]
        assert len(ids) == len(set(ids))
        rows = [one.recording for one in decided(build)]
        build.store.write_table(RECORDINGS_FILE, to_table(rows))
        is_taken = len({one.media_url for one in rows}) < len(rows)
        return {f"{one.media_url} {one.recording_id}" if is_taken else one.media_url: one for one in rows}

    return call


def contents(found: dict[str, Recording]) -> dict[str, tuple[str, str, str | None]]:
    """For each id its content, name and title."""
    return {one.recording_id: (one.content_id or "", one.media_url, one.title) for one in found.values()}


def ids_of(found: dict[str, Recording]) -> dict[str, str]:
    """The id of each content."""
    assert len({one.content_id for one in found.values()}) == len(found)
    return {one.content_id or "": one.recording_id for one in found.values()}


@pytest.mark.parametrize("order", list(itertools.permutations(("one", "two", "three"))))
def test_equal_names_in_other_folders_are_other_recordings(order, write, identify: Identify) -> None:
    for which, folder in enumerate(("one", "two", "three")):
        write(f"{folder}/chapter01.wav", which)
        write(f"{folder}/sub/chapter02.wav", 10 + which)
    seen: dict[str, str] = {}
    for count, folder in enumerate(order, start=1):
        found = identify(folder)
        assert {one.status for one in found.values()} == {"ok"}
        assert len(found) == 2 * count
        assert seen.items() <= ids_of(found).items()
        seen = ids_of(found)
    for inputs in (("one", "two", "three"), ("three", "one"), ("two", "two")):
        assert ids_of(identify(*inputs)) == seen


RENAMINGS = {
    "one": {"a.wav": "z.wav"},
    "several": {"a.wav": "x/1.wav", "b.wav": "x/2.wav", "c.wav": "x/3.wav"},
    "swapped": {"a.wav": "b.wav", "b.wav": "a.wav"},
    "round": {"a.wav": "b.wav", "b.wav": "c.wav", "c.wav": "a.wav"},
    "shifted": {"b.wav": "a.wav", "c.wav": "b.wav", "a.wav": "new.wav"},
    "other case": {"a.wav": "A.WAV"},
    "no unicode": {"a.wav": os.fsdecode(b"\xff.wav")},
}


def rename(folder: Path, names: dict[str, str]) -> None:
    for at, name in enumerate(names):
        (folder / name).rename(folder / f"moving-{at}")
    for at, other in enumerate(names.values()):
        (folder / other).parent.mkdir(exist_ok=True)
        (folder / f"moving-{at}").rename(folder / other)


@pytest.mark.parametrize("renaming", RENAMINGS)
def test_a_renamed_file_is_the_same_recording_under_its_new_name(renaming, write, identify, tmp_path: Path) -> None:
    for which, name in enumerate(("a.wav", "b.wav", "c.wav")):
        write(f"in/{name}", which)
    before = contents(identify("in"))
    names = RENAMINGS[renaming]
    rename(tmp_path / "in", names)
    after = contents(identify("in"))
    assert after.keys() == before.keys()
    for recording_id, (content, name, _) in before.items():
        shown = os.fsencode(names.get(name, name)).decode("utf-8", "backslashreplace")
        assert after[recording_id] == (content, shown, Path(shown).stem)
    assert contents(identify("in")) == after


def test_a_new_first_chapter_shifts_names_and_no_recording(write, identify: Identify, tmp_path: Path) -> None:
    for which in (1, 2, 3):
        write(f"in/{which}.wav", which)
    before = ids_of(identify("in"))
    rename(tmp_path / "in", {"1.wav": "2.wav", "2.wav": "3.wav", "3.wav": "4.wav"})
    write("in/1.wav", 9)
    after = ids_of(identify("in"))
    assert before.items() < after.items()
    assert len(set(after.values())) == 4


def test_a_renamed_folder_beside_one_with_equal_names(write, identify: Identify, tmp_path: Path) -> None:
    for which, folder in enumerate(("one", "two")):
        write(f"in/{folder}/a.wav", which)
    before = ids_of(identify("in"))
    rename(tmp_path / "in", {"one": "two", "two": "three"})
    assert ids_of(identify("in")) == before
    assert ids_of(identify("in/two", "in/three")) == before


@pytest.mark.parametrize(
    "how", ["relative", "slash", "symlink", "glob", "manifest", "moved", "moved and linked", "new"]
)
def test_a_moved_input_has_the_same_recordings(how, write, identify: Identify, tmp_path: Path, monkeypatch) -> None:
    names = ("a.wav", "sub/a.wav", "sub/b.wav")
    for which, name in enumerate(names):
        write(f"in/{name}", which)
    before = ids_of(identify("in"))
    given = "else"
    if how == "relative":
        monkeypatch.chdir(tmp_path / "in" / "sub")
        given = os.path.join("in", "sub", "..")
    elif how == "slash":
        given = "in//"
    elif how == "glob":
        given = "in/**/*.wav"
    elif how == "symlink":
        (tmp_path / "else").symlink_to(tmp_path / "in")
    elif how == "manifest":
        given = "list.jsonl"
        (tmp_path / given).write_text("".join(f'{{"path": "in/{name}"}}\n' for name in names))
    else:
        (tmp_path / "in").rename(tmp_path / "else")
        for name in names if how == "new" else ():  # as a copy without times
            os.utime(tmp_path / "else" / name, (1, 1))
    if how == "moved and linked":
        (tmp_path / "link").symlink_to(tmp_path / "else")
        given = "link"
    assert ids_of(identify(given)) == before
    assert ids_of(identify(given, given)) == before


def test_stretches_of_a_file_that_moved_are_the_same_recordings(write, identify: Identify, tmp_path: Path) -> None:
    def manifest(path: Path) -> str:
        spans = ((0.02, 0.05), (0.05, 0.1))
        lines = (json.dumps({"path": str(path), "start_s": start, "end_s": end}) for start, end in spans)
        (tmp_path / "list.jsonl").write_text("\n".join(lines))
        return "list.jsonl"

    path = write("in/a.wav", 0)
    before = ids_of(identify(manifest(path)))
    assert len(before) == 2
    assert ids_of(identify(manifest(path.rename(tmp_path / "b.wav")))) == before
    assert ids_of(identify("b.wav")).items() > before.items()  # the whole of it is a third


def test_a_moved_corpus_knows_its_recordings(write, identify: Identify, tmp_path: Path) -> None:
    write("one/a.wav", 0)
    write("two/a.wav", 1)
    before = contents(identify("one", "two"))
    shutil.copytree(tmp_path / "corpus", tmp_path / "far/away")
    shutil.rmtree(tmp_path / "corpus")
    assert contents(identify("two", output="far/away")) == before
    (tmp_path / "one").rename(tmp_path / "three")  # and its inputs too
    assert contents(identify("three", "two", output="far/away")) == before


def test_a_file_that_changes_in_place_is_the_same_recording(write, identify: Identify, tmp_path: Path) -> None:
    write("in/a.wav", 0)
    write("in/b.wav", 1)
    before = identify("in")
    write("in/a.wav", 2)
    after = identify("in")
    assert after["a.wav"].recording_id == before["a.wav"].recording_id
    assert after["a.wav"].content_id != before["a.wav"].content_id
    assert after["b.wav"] == before["b.wav"]
    (tmp_path / "in/a.wav").write_bytes(b"")
    assert identify("in")["a.wav"].reason == "empty"
    shutil.copy(tmp_path / "in/b.wav", tmp_path / "in/a.wav")
    copied = identify("in")
    assert {name: (one.recording_id, one.status) for name, one in copied.items()} == {
        "a.wav": (before["a.wav"].recording_id, "duplicate"), "b.wav": (before["b.wav"].recording_id, "ok"),
    }  # fmt: skip
    assert identify("in") == copied


@pytest.mark.parametrize("names", [("one/x.wav", "two/x.wav"), ("one/b.wav", "two/a.wav"), ("one/a.wav", "two/b.wav")])
@pytest.mark.parametrize("order", [("one", "two"), ("two", "one")])
def test_of_equal_files_the_one_that_was_here_first_counts(names, order, write, identify, tmp_path: Path) -> None:
    for name in names:
        write(name, 0)
    (first,) = ids_of(identify(order[0])).values()
    fates = []
    for inputs in (order, order[::-1], order[1:], order[:1]):
        found = {one.recording_id: one for one in identify(*inputs).values()}
        fates.append({one.recording_id: (one.status, one.reason) for one in found.values()})
        assert found.pop(first).status == "ok"
        (other,) = found.values()
        assert (other.status, other.reason) == ("duplicate", "duplicate")
        assert first in (other.reason_detail or "")
    assert all(one == fates[0] for one in fates)
    copy = tmp_path / next(name for name in names if name.startswith(order[1]))
    copy.rename(copy.with_name("0.wav"))  # a name that sorts first
    found = {one.recording_id: (one.status, one.reason) for one in identify(*order).values()}
    assert found == fates[0]


def test_equal_files_that_are_renamed_together_stay_two(write, identify: Identify, tmp_path: Path) -> None:
    write("in/a.wav", 0)
    write("in/b.wav", 0)
    before = identify("in")
    (tmp_path / "in").rename(tmp_path / "else")
    assert identify("else") == before
    rename(tmp_path / "else", {"a.wav": "z.wav", "b.wav": "y.wav"})
    after = identify("else")
    assert {one.recording_id: one.status for one in after.values()} == {
        one.recording_id: one.status for one in before.values()
    }


def test_a_copy_is_another_recording_while_the_first_is_there(write, identify: Identify, tmp_path: Path) -> None:
    path = write("in/a.wav", 0)
    before = identify("in")["a.wav"]
    shutil.copy2(path, tmp_path / "in/copy.wav")
    found = identify("in")
    assert (found["a.wav"].recording_id, found["a.wav"].status) == (before.recording_id, "ok")
    assert found["copy.wav"].status == "duplicate"


def test_a_disk_that_comes_back_after_its_files_were_found_elsewhere(write, identify, tmp_path: Path) -> None:
    write("disk/a.wav", 0)
    (first,) = identify("disk").values()
    (tmp_path / "disk").rename(tmp_path / "away")
    shutil.copytree(tmp_path / "away", tmp_path / "backup")
    (moved,) = identify("backup").values()
    assert moved.recording_id == first.recording_id
    (tmp_path / "away").rename(tmp_path / "disk")
    found = {one.recording_id: one.status for one in identify("disk", "backup").values()}
    assert found.pop(first.recording_id) == "ok"
    assert list(found.values()) == ["duplicate"]


def test_a_corpus_of_an_older_version_keeps_its_ids(write, identify: Identify, tmp_path: Path) -> None:
    """Its footers have no aliases, its rows no run."""
    write("one/a.wav", 0)
    write("two/a.wav", 1)
    (tmp_path / "one/empty.wav").write_bytes(b"")
    before = contents(identify("one", "two"))
    build = a_build(tmp_path / "corpus")
    for recording_id in build.known_recordings():
        rows, footer = build.store.load(build.fetched(recording_id), FetchFooter)
        footer = replace(footer, aliases=())
        build.store.write_table(build.fetched(recording_id), rows.drop_columns(["added_in_run"]), footer)
    table = pq.read_table(tmp_path / "corpus" / RECORDINGS_FILE).drop_columns(["added_in_run"])
    pq.write_table(table, tmp_path / "corpus" / RECORDINGS_FILE)
    assert contents(identify("two", "one")) == before
    (tmp_path / "one").rename(tmp_path / "three")
    assert contents(identify("two", "three")) == before


def test_a_file_that_failed_is_tried_again_as_itself(write, identify: Identify, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.wav").write_bytes(b"")
    before = identify("in/a.wav")["a.wav"]
    assert before.reason == "empty"
    write("in/a.wav", 0)
    after = identify("in/a.wav")["a.wav"]
    assert (after.recording_id, after.status) == (before.recording_id, "ok")


def test_a_plan_says_what_a_run_does(write, identify: Identify, tmp_path: Path) -> None:
    for which, name in enumerate(("one/a.wav", "one/b.wav", "one/c.wav", "two/a.wav")):
        write(name, which)
    identify("one")
    (tmp_path / "corpus" / RECORDINGS_FILE).unlink()  # nothing was published
    write("one/c.wav", 9)
    rename(tmp_path / "one", {"a.wav": "b.wav", "b.wav": "a.wav"})
    inputs = [str(tmp_path / "one"), str(tmp_path / "two"), str(tmp_path / "one")]
    chosen = a_build(tmp_path / "corpus", inputs=inputs).config
    before = sorted(path.name for path in (tmp_path / "corpus").rglob("*"))
    planned = plan(chosen)
    assert (planned["recordings"], planned["already_fetched"], planned["listed_twice"]) == (4, 2, 3)
    assert {address: one["recordings"] for address, one in planned["inputs"].items()} == {inputs[0]: 3, inputs[1]: 1}
    assert sorted(path.name for path in (tmp_path / "corpus").rglob("*")) == before
    identify("one", "two")
    (tmp_path / "corpus" / RECORDINGS_FILE).unlink()
    assert plan(chosen)["already_fetched"] == 4


def test_ten_thousand_known_recordings_are_matched_without_reading_their_files(write, tmp_path: Path) -> None:
    """Sizes tell most files apart; of those that claim to be the same the strongest claim counts, in any order."""
    from speechmill.sources import Listed
    from speechmill.stages.known import KnownRecording, file_aliases, stamp_of

    known = [
        KnownRecording(
            recording_id=f"{number:032x}", path=f"/gone/{number}.wav", stamp=(number, 1), sha256=f"{number:064x}",
            span=(None, None), aliases=file_aliases(f"/gone/{number}.wav"), first_url="a.wav", added_in_run=1,
        )
        for number in range(10_000)
    ]  # fmt: skip
    path = write("in/a.wav", 0)
    stamp = stamp_of(str(path))
    assert stamp is not None
    registry = Registry(known)
    listed = Listed(recording=Recording(recording_id="new", source="local", media_url="a.wav"), media_path=str(path))
    claims = registry.settle(listed)
    path.chmod(0)
    if stamp[0] >= len(known):
        assert not isinstance(claims, Claims)
        assert claims.sha256 is None
    taken = replace(listed, recording=replace(listed.recording, recording_id=known[0].recording_id))
    settled: Any = registry.settle(taken)
    assert settled.recording.recording_id not in {one.recording_id for one in known}
    assert settled.minted_id == known[0].recording_id
