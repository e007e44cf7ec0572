"""What lies in a folder and is no recording is told by plan, run, tables and report, and is no failure."""

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.commandline import Speechmill, fingerprint


@pytest.fixture
def inputs(folder: Path, tmp_path: Path) -> Path:
    """One recording under three names that nobody expects, its transcript, and other files."""
    place = tmp_path / "in"
    place.mkdir()
    shutil.copy(folder / "wind.mp3", place / "TALK.weba")
    shutil.copy(folder / "wind.mp3", place / "episode2")
    (place / "talk.EN.srt").write_text("1\n00:00:00,000 --> 00:00:30,000\nIn the autumn the wind comes from the sea.\n")
    (place / "<b>cover.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    (place / "\x1b[31mnotes.txt").write_text("x")
    (place / "all.zip").write_bytes(b"PK\x03\x04")
    (place / ".DS_Store").touch()
    return place


def test_what_is_left_out_is_told_everywhere(inputs: Path, tmp_path: Path, speechmill: Speechmill) -> None:
    chosen = ["asr.model=null", "tokenise.checkpoint=null", "defects.weights=null", "max_failed_ratio=0"]
    corpus, settings = tmp_path / "corpus", [part for one in chosen for part in ("--set", one)]
    planned = speechmill("plan", "--input", inputs, "--output", corpus, *settings).stdout
    ran = speechmill("run", "--input", inputs, "--output", corpus, *settings).stdout
    for told in (planned, ran):
        assert "all.zip: a ZIP archive; unpack it" in told
        assert "<b>cover.jpg: a picture" in told
        assert "\x1b" not in told
    assert "files left out as no recordings: 3; recordings.parquet names them all, and counts the hidden ones" in ran
    rows = pq.read_table(corpus / "recordings.parquet").to_pylist()
    fates = {row["media_url"]: (row["status"], row["reason"]) for row in rows}
    assert fates == {
        "TALK.weba": ("ok", None),
        "episode2": ("duplicate", "duplicate"),
        "<b>cover.jpg": ("left_out", "not_audio"),
        "\x1b[31mnotes.txt": ("left_out", "not_audio"),
        "all.zip": ("left_out", "needs_tool"),
        ".": ("left_out", "hidden"),
    }
    assert (corpus / "report.html").read_text().count("&lt;b&gt;cover.jpg") == 1
    assert all(pq.read_table(corpus / "data")["reference_text"].to_pylist())  # by its transcript's times
    speechmill("verify", corpus)
    assert "left_out" in speechmill("status", corpus).stdout
    before = fingerprint(corpus)
    again = speechmill("run", "--output", corpus).stdout
    assert "nothing to do" in again
    assert "left out as no recordings: 3" in again
    assert fingerprint(corpus) == before
    (inputs / "all.zip").unlink()
    assert "left out as no recordings: 2" in speechmill("run", "--output", corpus).stdout


def test_a_run_without_a_recording_names_its_input(tmp_path: Path, speechmill: Speechmill) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/cover.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    place = ("--input", tmp_path / "in", "--output", tmp_path / "corpus", "--set", "asr.model=null")
    for command in ("plan", "run"):
        told = speechmill(command, *place, code=1)
        assert "no recordings in" in told.stdout + told.stderr
