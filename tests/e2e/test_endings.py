"""How a run ends is said in words: what failed, why there are no clips, and what would change it."""

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.commandline import Speechmill, flags
from tests.server import ScriptedServer, ok

NO_TEXT = ("asr.model=null", "tokenise.checkpoint=null", "defects.weights=null")


def without_models(folder: object, output: object, *settings: str) -> list[str]:
    """Arguments of a run that loads no model."""
    return flags(folder, output, *NO_TEXT, *settings)


def test_exit_3_says_why_and_names_the_failed(folder: Path, speechmill: Speechmill, tmp_path: Path) -> None:
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    shutil.copy(folder / "river.flac", mixed)
    for number in range(7):
        (mixed / f"page{number}.mp3").write_bytes(b"<!doctype html><title>404</title>" * 50 + bytes([number]))
    done = speechmill("run", *without_models(mixed, tmp_path / "corpus"), code=3)
    assert "7 of 8 recordings failed, and max_failed_ratio is 0.2: exit code 3" in done.stdout
    assert done.stdout.count("not_audio") >= 5
    assert "and 2 more" in done.stdout
    named = json.loads(speechmill("run", *without_models(mixed, tmp_path / "corpus"), "--json", code=3).stdout)
    assert len(named["failed"]) == 5
    assert all(line.startswith("page") and "not_audio" in line for line in named["failed"])


def test_a_feed_without_a_licence_says_which_key_would_publish_it(
    folder: Path, server: ScriptedServer, speechmill: Speechmill, tmp_path: Path
) -> None:
    media = server.script("/river.flac", ok((folder / "river.flac").read_bytes()))
    feed = f'<rss version="2.0"><channel><item><guid>1</guid><enclosure url="{media}"/></item></channel></rss>'
    url = server.script("/feed.xml", ok(feed.encode()))
    arguments = without_models(url, tmp_path / "corpus", f"fetch.allow_hosts=['{server.host}']")
    planned = speechmill("plan", *arguments)
    assert "nothing could be published" in planned.stdout
    assert "licences.allow, or the `licence` of an input" in planned.stdout
    assert not server.asked("/river.flac")
    done = speechmill("run", *arguments)
    assert "no clips were kept: licence took most" in done.stdout
    assert "licences.allow, or the `licence` of an input, decides about it" in done.stdout


def test_no_clips_for_their_length_names_the_profile(folder: Path, speechmill: Speechmill, tmp_path: Path) -> None:
    short = tmp_path / "short"
    short.mkdir()
    shutil.copy(folder / "wind.mp3", short)
    done = speechmill("run", *without_models(short, tmp_path / "corpus", "segment.min_length_s=19"))
    assert "no clips were kept: too_short took most" in done.stdout
    assert "segment.min_length_s" in done.stdout


def test_no_clips_for_a_threshold_names_it(folder: Path, speechmill: Speechmill, tmp_path: Path) -> None:
    one = tmp_path / "one"
    one.mkdir()
    shutil.copy(folder / "wind.mp3", one)
    done = speechmill("run", *without_models(one, tmp_path / "corpus", "thresholds.snr_db=99"))
    assert "no clips were kept: low_snr took most" in done.stdout
    assert "thresholds.snr_db decides about it" in done.stdout


def test_an_empty_input_ends_with_exit_1(folder: Path, speechmill: Speechmill, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("no sound")
    done = speechmill("run", *without_models(tmp_path / "empty", tmp_path / "corpus"), code=1)
    assert f"no recordings in {tmp_path / 'empty'}" in done.stdout
    speechmill("plan", *without_models(tmp_path / "empty", tmp_path / "other"), code=1)
    settings = "max_failed_ratio=0.5"
    both = speechmill("run", "--input", folder, *without_models(tmp_path / "empty", tmp_path / "both", settings))
    assert f"{tmp_path / 'empty'}  empty: no recordings in" in both.stdout.replace("\n", "")


def test_an_input_that_cannot_be_read_ends_with_exit_1(
    server: ScriptedServer, speechmill: Speechmill, tmp_path: Path
) -> None:
    allowed = f"fetch.allow_hosts=['{server.host}']"
    arguments = without_models(server.url("/gone.xml"), tmp_path / "corpus", allowed, "max_failed_ratio=1")
    planned = speechmill("plan", *arguments, code=1)
    assert "404" in planned.stdout
    done = speechmill("run", *arguments, code=1)
    assert "404" in done.stdout
    assert f"no recordings in {server.url('/gone.xml')}" in done.stdout


def test_a_folder_without_permission_is_named(speechmill: Speechmill, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(0)
    if os.access(closed, os.R_OK):
        pytest.skip("this user may read everything")
    speechmill("run", *without_models(closed, tmp_path / "corpus"), code=1)


@pytest.mark.parametrize("command", ["status", "verify", "prune", "export", "review", "select", "plan"])
def test_a_file_in_place_of_a_corpus_is_one_line(command: str, speechmill: Speechmill, tmp_path: Path) -> None:
    file = tmp_path / "talk.wav"
    file.write_bytes(b"mine")
    options = {"export": ["--to", "ljspeech", "--output", tmp_path / "out"], "review": ["--agreement"]}
    corpus = ["--input", tmp_path, "--output", file] if command == "plan" else [file]
    done = speechmill(command, *corpus, *options.get(command, []), code=2)
    assert done.stderr.splitlines()[-1] == f"speechmill: {file}: a file is in the way; give a folder"
    assert file.read_bytes() == b"mine"


def test_a_file_that_a_command_cannot_use_is_one_line(folder: Path, speechmill: Speechmill, tmp_path: Path) -> None:
    corpus, file = tmp_path / "corpus", tmp_path / "taken"
    file.write_bytes(b"mine")
    speechmill("run", *without_models(folder, corpus))
    done = speechmill("review", corpus, "--labels", file, code=1)
    assert done.stderr.splitlines()[-1] == f"speechmill: {file}: File exists"
    tables = sorted((corpus / "work" / "tables").rglob("*.parquet"))
    assert tables
    for table in tables:
        table.write_bytes(table.read_bytes()[:100])
    done = speechmill("review", corpus, "--agreement", code=1)
    assert "Traceback" not in done.stderr
    assert ".parquet: damaged (" in done.stderr
    assert "delete it and run again" in done.stderr
