"""Training, measuring and degrading replace no file that is somebody else's."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from speechmill.cli.main import cli
from speechmill.core.config_errors import ConfigError
from speechmill.training.outputs import MARK_FILE, claim

NAMES = ("defects.json", "clips")


def test_a_new_folder_and_one_of_ours_are_written_to(tmp_path: Path) -> None:
    folder = claim(str(tmp_path / "new"), NAMES)
    assert folder == tmp_path / "new"
    assert json.loads((folder / MARK_FILE).read_text())["names"] == ["clips", "defects.json"]
    (folder / "clips").mkdir()
    (folder / "defects.json").write_text("ours")
    claim(str(folder), (*NAMES, "more.json"))
    assert json.loads((folder / MARK_FILE).read_text())["names"] == ["clips", "defects.json", "more.json"]


def test_files_beside_are_no_hindrance_and_those_in_the_way_stay(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    claim(str(tmp_path), NAMES)
    (tmp_path / "metrics.json").write_text("mine")
    with pytest.raises(ConfigError, match=r"it has metrics\.json, which would be overwritten"):
        claim(str(tmp_path), (*NAMES, "metrics.json"))
    assert (tmp_path / "metrics.json").read_text() == "mine"


@pytest.mark.parametrize("place", ["clips", "clips/deep", "clips/a.wav", "defects.json", MARK_FILE])
def test_no_link_is_written_through(tmp_path: Path, place: str) -> None:
    folder = claim(str(tmp_path / "out"), NAMES)
    (tmp_path / "victim").mkdir()
    (folder / place).parent.mkdir(exist_ok=True)
    (folder / place).unlink(missing_ok=True)
    (folder / place).symlink_to(tmp_path / "victim")
    with pytest.raises(ConfigError, match="is a link"):
        claim(str(folder), NAMES)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": "another", "names": ["clips"]}', '{"format": 1}'])
def test_a_list_that_is_not_ours_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / MARK_FILE).write_text(text)
    with pytest.raises(ConfigError, match="not a list that speechmill made"):
        claim(str(tmp_path), NAMES)
    assert (tmp_path / MARK_FILE).read_text() == text


def test_degrade_leaves_a_users_manifest_alone(tmp_path: Path) -> None:
    (tmp_path / "speech.wav").write_bytes(b"")
    line = {"file": "speech.wav", "kind": "speech", "speaker": "a", "source": "s", "licence": "CC0-1.0"}
    (tmp_path / "manifest.jsonl").write_text(json.dumps(line) + "\n")
    before = (tmp_path / "manifest.jsonl").read_bytes()
    command = ["degrade", str(tmp_path / "manifest.jsonl"), "--output", str(tmp_path), "--clips", "0"]
    failed = CliRunner().invoke(cli, command, standalone_mode=False)
    assert isinstance(failed.exception, ConfigError)
    assert "manifest.jsonl, which would be overwritten" in str(failed.exception)
    assert (tmp_path / "manifest.jsonl").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["manifest.jsonl", "speech.wav"]
