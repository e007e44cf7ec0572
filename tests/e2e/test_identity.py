"""A recording stays itself in whole runs; `unit/test_identity.py` has the many ways in which files may move."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest
import soundfile

from tests.commandline import fingerprint, summary

RATE = 24_000
MODELS = ("asr.model=null", "tokenise.checkpoint=null", "defects.weights=null")
SETTINGS = (*MODELS, "thresholds.repeated_ratio=null", "workers=1")
Run = Callable[..., dict[str, Any]]


@pytest.fixture
def write(speech: npt.NDArray[np.float32], tmp_path: Path) -> Callable[[str, int], Path]:
    """Write some 9 s of speech to a file below the folder of the test; all files have the same size."""

    def write_file(name: str, which: int) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, speech[: 9 * RATE] * (0.5 + 0.1 * which), RATE, format="WAV")
        return path

    return write_file


@pytest.fixture
def run(speechmill, tmp_path: Path) -> Run:
    """Run on some inputs below the folder of the test; returns the summary."""

    def call(*inputs: str, output: str = "corpus", more: tuple[str, ...] = (), code: int = 0) -> dict[str, Any]:
        named = [part for one in inputs for part in ("--input", str(tmp_path / one))]
        chosen = [part for setting in (*SETTINGS, *more) for part in ("--set", setting)]
        return summary(speechmill("run", *named, "--output", tmp_path / output, *chosen, "--json", code=code))

    return call


def fates(corpus: Path) -> dict[str, str]:
    """Status of each recording by its id."""
    rows = pq.read_table(corpus / "recordings.parquet").to_pylist()
    return {row["recording_id"]: row["status"] for row in rows}


def clips(corpus: Path) -> dict[str, str]:
    """The recording of each published clip."""
    table = pq.read_table(corpus / "data", columns=["clip_id", "recording_id"]).to_pylist()
    return {row["clip_id"]: row["recording_id"] for row in table}


def did(done: dict[str, Any]) -> set[str]:
    """Stages that had work."""
    return {stage for stage, counts in done["stages"].items() if counts.get("done")}


def test_equal_names_in_other_folders_are_other_recordings(write, run: Run, tmp_path: Path) -> None:
    for which, folder in enumerate(("one", "two")):
        write(f"{folder}/chapter01.wav", which)
    run("one")
    first = clips(tmp_path / "corpus")
    run("two")
    both = clips(tmp_path / "corpus")
    assert first.items() < both.items()
    assert len(set(both.values())) == 2
    for inputs in (("one", "two"), ("two",)):
        done = run(*inputs)
        assert not done["changed"]
        assert not did(done)
    run("two", more=("segment.edge_s=0.05",))  # the one that is left out is decoded anew from where it lies
    assert set(clips(tmp_path / "corpus").values()) == set(both.values())


def test_files_that_swapped_their_names_are_the_same_recordings(write, run: Run, tmp_path: Path) -> None:
    paths = [write(f"in/{name}.wav", which) for which, name in enumerate("ab")]
    run("in")
    before = clips(tmp_path / "corpus")
    paths[0].rename(tmp_path / "in/c")
    paths[1].rename(paths[0])
    (tmp_path / "in/c").rename(paths[1])
    assert did(run("in")) == {"publish"}
    assert clips(tmp_path / "corpus") == before
    titles = pq.read_table(tmp_path / "corpus/data", columns=["recording_id", "title"]).to_pylist()
    assert {row["recording_id"]: row["title"] for row in titles} == dict(zip(before.values(), "ba", strict=True))
    assert not run("in")["changed"]


def test_a_moved_corpus_of_a_moved_input_goes_on(write, run: Run, tmp_path: Path) -> None:
    write("in/a.wav", 0)
    run("in")
    before = fingerprint(tmp_path / "corpus")
    (tmp_path / "far").mkdir()
    for name in ("corpus", "in"):
        shutil.move(tmp_path / name, tmp_path / "far" / name)
    done = run("far/in", output="far/corpus")
    assert not done["changed"]
    assert not did(done)
    assert fingerprint(tmp_path / "far/corpus") == before
    write("in/a.wav", 1)
    run("in", output="far/corpus", more=("segment.edge_s=0.05",))
    assert list(fates(tmp_path / "far/corpus").values()) == ["ok", "ok"]


def test_while_a_disk_is_away_other_settings_change_nothing_of_what_is_published(
    write, run: Run, speechmill, tmp_path: Path
) -> None:
    write("disk/a.wav", 0)
    write("here/b.wav", 1)
    run("disk", "here")
    before, run_file = fingerprint(tmp_path / "corpus"), (tmp_path / "corpus/run.json").read_bytes()
    (tmp_path / "disk").rename(tmp_path / "unplugged")
    chosen = [part for setting in (*SETTINGS, "segment.edge_s=0.05") for part in ("--set", setting)]
    arguments = ["run", "--input", tmp_path / "here", "--output", tmp_path / "corpus", *chosen]
    said = speechmill(*arguments, code=1).stderr
    assert "the corpus stays as it was: 1 recordings" in said
    assert "a (not_found: the media are gone" in said
    assert "publish.drop_unreachable" in said
    assert fingerprint(tmp_path / "corpus") == before
    assert (tmp_path / "corpus/run.json").read_bytes() == run_file
    assert not run("here")["changed"]  # with the old settings there is nothing to do

    shutil.copytree(tmp_path / "corpus", tmp_path / "without")
    run("here", output="without", more=("segment.edge_s=0.05", "publish.drop_unreachable=true", "max_failed_ratio=0.5"))
    assert sorted(fates(tmp_path / "without").values()) == ["failed", "ok"]
    (tmp_path / "unplugged").rename(tmp_path / "disk")
    run("here", more=("segment.edge_s=0.05",))
    assert list(fates(tmp_path / "corpus").values()) == ["ok", "ok"]
    assert set(clips(tmp_path / "corpus").values()) == set(fates(tmp_path / "corpus"))
