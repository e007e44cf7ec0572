"""`push` uploads a finished corpus and nothing else; a server that speaks the Hub's API takes it, by LFS and by Xet."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import pytest
import speechmill
from click.testing import CliRunner
from speechmill import publish
from speechmill.cli.main import cli
from speechmill.core import ownership
from speechmill.core.config_errors import ConfigError
from speechmill.core.removals import RemovalRequest, Removals
from speechmill.core.store import Store
from speechmill.corpus import push as pushing
from speechmill.corpus.push import push
from speechmill.corpus.verify import verify
from speechmill.publish import card, croissant
from speechmill.runner.run import run_record

from tests.hub import TOKEN, Hub, running_hub
from tests.tiny_corpus import publish_tiny

SECRET = "s3cret"
FOREIGN = ("notes.txt", "data/mine.parquet", "decisions.jsonl", "work/secret.json", ".env")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published corpus, with files beside it that are nobody's business."""
    build, stats = publish_tiny(tmp_path_factory.mktemp("push"))
    plan = build.store.read_json(publish.PLAN_FILE)
    assert plan is not None
    files = publish.file_facts(build, plan)
    pages = {
        card.CARD_FILE: card.render(build, stats, files),
        "report.html": "<title>tiny</title>",
        croissant.CROISSANT_FILE: croissant.render(build, plan, files, date="2026-11-29"),
    }
    publish.commit(build, plan, run_record(build, {}), pages=pages, files=files)
    folder = Path(build.store.path(""))
    for name in FOREIGN:
        (folder / name).write_text(SECRET)
    return folder


@pytest.fixture
def corpus(made: Path, tmp_path: Path) -> Path:
    """A copy of that corpus, which a test may change."""
    return Path(shutil.copytree(made, tmp_path / "tiny"))


@pytest.fixture
def hub() -> Iterator[Hub]:
    with running_hub() as running:
        yield running


def command(
    hub: Hub, corpus: Path, *arguments: str, xet: bool = False, code: int = 0, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run `speechmill push` against a hub, in a process of its own: the client reads its environment once."""
    own = {"HF_ENDPOINT": hub.address, "HF_TOKEN": TOKEN, "HF_HOME": str(corpus.parent / "hf"), "NO_PROXY": "127.0.0.1"}
    own |= {"HF_HUB_DISABLE_XET": "0" if xet else "1"} | environment
    words = [sys.executable, "-m", "speechmill", "push", str(corpus), "--repo", "ann/tiny", *arguments]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    done = subprocess.run(words, env=inherited | own, capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stdout + done.stderr
    assert TOKEN not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def published_names(corpus: Path) -> set[str]:
    mark = ownership.load(Store(str(corpus)))
    assert mark is not None
    return {*mark.files, "corpus.json"}


def received(hub: Hub, folder: Path) -> Path:
    """The files of the hub, with their content, in a folder."""
    for name, file in hub.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.get("content") or hub.objects[file["oid"]])
    return folder


def test_the_hub_gets_the_publication_and_nothing_else(hub: Hub, corpus: Path, tmp_path: Path) -> None:
    done = command(hub, corpus, "--private", "--json")
    assert hub.files.keys() == published_names(corpus)
    assert hub.repositories["ann/tiny"]["visibility"] == "private"
    copy = received(hub, tmp_path / "copy")
    for name in hub.files:
        assert (copy / name).read_bytes() == (corpus / name).read_bytes()
        assert SECRET.encode() not in (copy / name).read_bytes()
    assert f"Bearer {TOKEN}" in hub.tokens
    assert json.loads(done.stdout)["commit"].startswith(f"{hub.address}/datasets/ann/tiny/commit/")
    rows = datasets.load_dataset(str(copy), split="train", cache_dir=str(tmp_path / "cache")).num_rows
    assert rows == speechmill.Corpus(copy).clips().count_rows() == 3
    assert verify(str(copy), rows=0)["checks"]["files"]["ok"]


def test_by_xet_the_hub_gets_the_same_hashes(hub: Hub, corpus: Path) -> None:
    command(hub, corpus, xet=True)
    assert hub.files.keys() == published_names(corpus)
    assert hub.blocks
    data = next(name for name in hub.files if name.startswith("data/"))
    assert hub.files[data]["oid"] == hashlib.sha256((corpus / data).read_bytes()).hexdigest()
    assert [asked for asked in hub.requests if "telemetry" in asked] == []
    uploaded = len(hub.blocks)
    command(hub, corpus, xet=True)
    assert sum("/commit/" in asked for asked in hub.requests) == 1, "nothing had changed"
    assert len(hub.blocks) <= 2 * uploaded


def test_after_a_break_the_same_command_goes_on(hub: Hub, corpus: Path) -> None:
    hub.refused["/commit/main"] = 500, 1
    done = command(hub, corpus, code=1)
    assert re.search("speechmill: the Hub answered .*500.*; the same command goes on where it was", done.stderr)
    assert hub.files == {}
    uploaded = [asked for asked in hub.requests if asked.startswith("PUT")]
    assert len(uploaded) == len(hub.objects) > 2
    command(hub, corpus)
    assert hub.files.keys() == published_names(corpus)
    assert [asked for asked in hub.requests if asked.startswith("PUT")] == uploaded, "no object went twice"


def test_shards_that_are_no_longer_there_leave_the_hub_too(hub: Hub, corpus: Path) -> None:
    old = ["data/train-00000-00007.parquet", "data/validation-00003-00000.parquet", "pool.parquet/part-00009.parquet"]
    theirs = ["data/extra.parquet", "LICENSE", "data/train-notes.parquet"]
    hub.files |= {name: {"oid": "0" * 40, "size": 1, "content": b"x"} for name in (*old, *theirs)}
    command(hub, corpus)
    assert hub.files.keys() == {*published_names(corpus), *theirs}


def test_a_token_that_may_not_write_is_named_with_the_fix(hub: Hub, corpus: Path) -> None:
    hub.refused["/api/repos/create"] = 403, 9
    done = command(hub, corpus, code=2)
    assert "the Hub refuses ann/tiny (403); set HF_TOKEN" in done.stderr


def test_what_is_public_is_not_taken_for_private(hub: Hub, corpus: Path) -> None:
    hub.repositories["ann/tiny"] = {"visibility": "public"}
    done = command(hub, corpus, "--private", code=2)
    assert "ann/tiny is a public repository" in done.stderr
    assert hub.files == {}


def test_a_hub_that_is_not_there_is_one_line(hub: Hub, corpus: Path) -> None:
    done = command(hub, corpus, code=1, HF_ENDPOINT="http://127.0.0.1:9", HF_HUB_DISABLE_XET="1")
    assert done.stderr.strip().splitlines()[-1].startswith("speechmill: no upload to ann/tiny: ")


def test_a_dry_run_says_what_would_go_and_opens_no_connection(hub: Hub, corpus: Path) -> None:
    done = command(hub, corpus, "--dry-run", "--json")
    told = json.loads(done.stdout)
    assert hub.requests == []
    assert told["bytes_of_files"] == {name: (corpus / name).stat().st_size for name in published_names(corpus)}
    assert told["bytes"] == sum(told["bytes_of_files"].values())
    assert (told["clips"], told["duration"], told["licences"]) == (3, "2.2 s", ["CC-BY-4.0", "CC0-1.0"])
    assert told["notes"] == []
    assert "commit" not in told


def dry(corpus: Path | str, name: str = "ann/tiny") -> dict[str, Any]:
    return push(str(corpus), name, dry_run=True)


def test_a_card_of_the_user_s_own_goes_with_a_note(corpus: Path) -> None:
    (corpus / "README.md").write_text("# mine\n")
    assert dry(corpus)["notes"] == ["README.md is not as speechmill wrote it, and goes as it is"]
    (corpus / "README.md").unlink()
    with pytest.raises(ConfigError, match=r"README\.md: missing; make it with: speechmill select"):
        dry(corpus)


@pytest.mark.parametrize("name", ["ledger.parquet", "run.json", "croissant.json", "data/train-00000-00000.parquet"])
def test_a_corpus_with_a_file_that_was_changed_is_refused(corpus: Path, name: str) -> None:
    (corpus / name).write_bytes((corpus / name).read_bytes()[:-1] + b" ")
    if name == "run.json":
        (corpus / name).write_text("{}")
    with pytest.raises(ConfigError):
        dry(corpus)


def test_a_corpus_with_a_missing_file_is_refused(corpus: Path) -> None:
    (corpus / "ledger.parquet").unlink()
    with pytest.raises(ConfigError, match=r"ledger\.parquet"):
        dry(corpus)


def test_an_unfinished_corpus_is_refused(corpus: Path) -> None:
    (corpus / "run.json").unlink()
    with pytest.raises(ConfigError, match="not finished yet; finish it with: speechmill run"):
        dry(corpus)


def test_an_unfinished_removal_is_refused(corpus: Path) -> None:
    request = RemovalRequest(kind="recording", value="r1", reason="asked for", when="2026-11-29T00:00:00Z")
    Removals((request,)).save(Store(str(corpus)))
    with pytest.raises(ConfigError, match="a removal is not finished"):
        dry(corpus)


def test_what_is_no_corpus_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="no corpus here"):
        dry(tmp_path)
    with pytest.raises(ConfigError, match="no corpus here"):
        dry(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="takes a local folder"):
        dry("memory://corpus")


@pytest.mark.parametrize("name", ["", "a/b/c", "a b", "-x", "../x", "a--b"])
def test_what_can_be_no_repository_is_refused(corpus: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"--repo: .*; give USER/NAME"):
        dry(corpus, name)


def test_a_repository_has_to_be_named(corpus: Path) -> None:
    result = CliRunner().invoke(cli, ["push", str(corpus)])
    assert result.exit_code == 2
    assert "--repo" in result.output


@pytest.mark.parametrize(
    ("limit", "value", "note"),
    [
        ("MAX_ROW_GROUP_BYTES", 10, "has a row group of"),
        ("MAX_COLUMNS", 3, "columns; the Hub's viewer shows 3 at most"),
        ("MAX_FILE_BYTES", 10, "lower publish.shard_bytes"),
        ("MAX_FILES", 2, "files, and the Hub wants 2 or less"),
        ("MAX_FILES_IN_FOLDER", 0, "data has 1 files"),
    ],
)
def test_what_is_over_a_limit_of_the_hub_is_noted(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int, note: str
) -> None:
    monkeypatch.setattr(pushing, limit, value)
    assert [line for line in dry(corpus)["notes"] if note in line]
