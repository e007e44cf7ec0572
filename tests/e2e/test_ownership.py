"""Promise 1: nothing of a user's is ever deleted or overwritten, by the real commands on real folders."""

import json
import os
import random
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from speechmill.core.footers import FetchFooter, StoredDocument
from speechmill.core.own_names import OWN_FILE
from speechmill.core.store import Store

from tests.commandline import fingerprint, flags, summary
from tests.forked import Forked

BARE = ("asr.model=null", "tokenise.checkpoint=null", "defects.weights=null")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def project(place: Path, folder: Path) -> dict[str, bytes]:
    """A user's project: recordings in data/raw, and files with names that a corpus has too."""
    shutil.copytree(folder, place / "data/raw")
    for name in ("data/labels.csv", "README.md", "report.html", "stats.json"):
        (place / name).write_text(f"mine: {name}")
    return contents(place)


def test_all_files_that_a_run_makes_below_work_are_known_as_ours(corpus: Path) -> None:
    """Or `remove` would leave some behind."""
    made = [entry.name for entry in Store(str(corpus)).files("work")]
    assert made
    assert [name for name in made if not OWN_FILE.fullmatch(name)] == []


def test_a_run_into_a_project_folder_is_refused_before_anything_is_written(
    folder: Path, speechmill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = project(tmp_path, folder)
    monkeypatch.chdir(tmp_path)
    for command in (("run", *flags("data/raw", ".", *BARE)), ("demo", "--output", ".", "--quiet")):
        done = speechmill(*command, code=2)
        assert done.stderr.count("\n") == 1
        assert "README.md, data, report.html, stats.json" in done.stderr
        assert "--output" in done.stderr
    for command in ("status", "verify", "prune", "select"):
        speechmill(command, ".", code=2)
    speechmill("remove", ".", "--person", "Ann", "--reason", "asked for", code=2)
    assert contents(tmp_path) == before


def test_an_output_among_its_inputs_and_inputs_in_their_output(folder: Path, speechmill, tmp_path: Path) -> None:
    inputs, output = tmp_path / "recordings", tmp_path / "recordings/corpus"
    shutil.copytree(folder, inputs)
    before = contents(inputs)
    for _ in range(2):  # the second run finds the first one's files among its inputs
        done = summary(speechmill("run", *flags(inputs, output, *BARE), "--json"))
        assert done["stats"]["recordings"]["ok"] == 3
    assert {name: raw for name, raw in contents(inputs).items() if not name.startswith("corpus/")} == before
    assert json.loads((output / "corpus.json").read_text())["files"]

    mine = output / "mine"
    shutil.copytree(folder, mine)
    assert not summary(speechmill("run", *flags(inputs, output, *BARE), "--json"))["changed"]
    speechmill("run", *flags(mine, output, *BARE, "thresholds.snr_db=10"))
    speechmill("prune", output)
    assert contents(mine) == before
    speechmill("verify", output, "--rows", "1")


def test_a_file_of_ones_own_among_the_published_stays(corpus: Path, speechmill, tmp_path: Path) -> None:
    copy = tmp_path / "corpus"
    shutil.copytree(corpus, copy)
    for name in ("data/labels.csv", "data/train-00007-of-00009.parquet", "notes.txt", "work/segment/notes.txt"):
        (copy / name).write_text("mine")
    speechmill("select", copy, "--set", "thresholds.snr_db=1000")
    speechmill("prune", copy)
    (copy / "README.md").write_text("My own words.")
    done = speechmill("select", copy, "--set", "thresholds.snr_db=5", code=2)
    assert "README.md" in done.stderr
    assert (copy / "README.md").read_text() == "My own words."
    (copy / "README.md").rename(copy / "MINE.md")
    speechmill("select", copy, "--set", "thresholds.snr_db=5")
    for name in ("data/labels.csv", "data/train-00007-of-00009.parquet", "notes.txt", "work/segment/notes.txt"):
        assert (copy / name).read_text() == "mine"
    assert (copy / "MINE.md").read_text() == "My own words."


def test_removal_deletes_nothing_that_a_footer_names_outside(corpus: Path, speechmill, tmp_path: Path) -> None:
    copy, victim = tmp_path / "corpus", tmp_path / "victim"
    shutil.copytree(corpus, copy)
    victim.mkdir()
    (victim / "a.txt").write_text("private")
    (tmp_path / "b.txt").write_text("private")
    (copy / "data/labels.csv").write_text("mine")
    (copy / "work/linked").symlink_to(victim)
    row = next((copy / "work/fetch/v1").iterdir())
    store, name = Store(str(copy)), f"work/fetch/v1/{row.name}"
    footer = store.footer(name, FetchFooter)
    outside = ["../victim", "../b.txt", "../victim/a.txt", str(tmp_path / "b.txt"), "data/labels.csv"]
    outside.append("work/linked/a.txt")
    footer = replace(footer, documents={path: StoredDocument(kind="transcript", url="x") for path in outside})
    table = pq.read_table(row)
    store.write_table(name, pa.Table.from_pylist(table.to_pylist(), schema=table.schema), footer)
    speechmill("remove", copy, "--recording", row.stem, "--reason", "asked for")
    assert (victim / "a.txt").read_text() == "private"
    assert (tmp_path / "b.txt").read_text() == "private"
    assert (copy / "data/labels.csv").read_text() == "mine"


@pytest.mark.parametrize(
    "name", ["work/log.jsonl", "work", "work/fetch", "work/lock", "README.md", "data", "corpus.json"]
)
def test_a_link_in_a_corpus_is_refused_in_one_line(
    corpus: Path, folder: Path, speechmill, tmp_path: Path, name: str
) -> None:
    copy, victim = tmp_path / "corpus", tmp_path / "victim"
    shutil.copytree(corpus, copy)
    (copy / name).rename(victim) if (copy / name).exists() else victim.mkdir()
    (copy / name).symlink_to(victim)
    before = contents(victim) if victim.is_dir() else victim.read_bytes()
    done = speechmill("run", *flags(folder, copy, "thresholds.snr_db=5"), code=2)
    assert done.stderr.count("\n") == 1
    assert f"{name}: is a link" in done.stderr
    assert (contents(victim) if victim.is_dir() else victim.read_bytes()) == before


def test_kills_from_the_very_first_instant_leave_what_the_next_run_accepts(
    folder: Path, speechmill, tmp_path: Path
) -> None:
    """From before the mark is there up to the end; in between files of the user's are put beside ours."""
    output, clean = tmp_path / "corpus", tmp_path / "clean"
    speechmill("run", *flags(folder, clean, *BARE))
    output.mkdir()
    for number in range(6):
        process = Forked("run", *flags(folder, output, *BARE), "--quiet")
        deadline = time.monotonic() + 60
        while number % 2 and not (output / "corpus.json").exists() and time.monotonic() < deadline:
            time.sleep(0.001)  # every other one is killed as soon as the mark is there
        time.sleep(random.uniform(0, 4) if number > 1 else 0)
        process.kill()
        process.wait()
        if (output / "corpus.json").exists():
            (output / f"mine-{number}.txt").write_text("mine")
    speechmill("run", *flags(folder, output, *BARE))
    assert fingerprint(output) == fingerprint(clean)
    speechmill("prune", output)  # of marks that were being written
    mine = list(output.glob("mine-*.txt"))
    assert {path.read_text() for path in mine} == {"mine"}
    assert {path.name for path in output.iterdir()} - {path.name for path in mine} == set(os.listdir(clean))
