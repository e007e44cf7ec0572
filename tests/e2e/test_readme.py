"""The README's commands, and the Python of README and docs/, run as they stand."""

import json
import os
import re
import subprocess
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from speechmill.core import config_file

from tests.docs.snippets import Snippet, snippets
from tests.forked import Forked, executed

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def block(marker: str) -> str:
    found = re.search(rf"<!-- {marker} -->\n```\w+\n(.*?)```", README, re.DOTALL)
    assert found, marker
    return found[1]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Folder in which the README's demo command was run, and what it printed."""
    place = tmp_path_factory.mktemp("demo")
    command = block("demo").rpartition("&&")[2].strip()
    assert command.startswith("speechmill ")
    running = Forked(*command.split()[1:], said=place / "said", first=partial(os.chdir, place))
    assert running.wait(500) == 0, (place / "said").read_text()
    return place, (place / "said").read_text()


def test_the_demo_makes_a_corpus_and_says_where(demo: tuple[Path, str]) -> None:
    place, printed = demo
    for name in ("demo-corpus/report.html", "demo-corpus/data/train-00000-00000.parquet"):
        assert name in printed
        assert (place / name).exists()
    assert "defects.weights is null" not in printed
    assert "segment" in printed


def test_the_demo_loses_all_planted_defects_and_nothing_else(demo: tuple[Path, str]) -> None:
    """Each by its own classifier: a reason of another kind alone would be a right verdict for a wrong cause."""
    corpus = demo[0] / "demo-corpus"
    truth = json.loads((corpus / "podcast/truth.json").read_text())
    pool = pq.read_table(corpus / "pool.parquet").to_pylist()
    fates: dict[str | None, list[tuple[str, bool]]] = {}
    for row in pool:
        middle = (row["start"] + row["end"]) / 2 / row["sampling_rate"]
        passages = truth[row["source_url"].rpartition("/")[2]]
        (passage,) = [p for p in passages if p["start_s"] <= middle <= p["end_s"]]
        fates.setdefault(passage["defect"], []).append((row["decision"], passage["defect"] in row["reasons"]))
    assert set(fates.pop(None)) == {("kept", False)}
    # Where turns are detected, clips are cut around two voices at once, and what is left there is too short.
    assert fates.keys() | {"overlap"} == {"noise", "music", "telephone", "overlap", "reverb", "duplicate"}
    for defect, found in fates.items():
        assert set(found) == {("rejected", True)}, defect


PYTHON = [snippet for snippet in snippets("python") if not snippet.marker.startswith("plug-in:")]


@pytest.mark.parametrize("snippet", PYTHON, ids=[snippet.name for snippet in PYTHON])
def test_python_of_the_documentation_runs(demo: tuple[Path, str], snippet: Snippet, tmp_path: Path) -> None:
    place, _ = demo
    (flac,) = pq.read_table(place / "demo-corpus/data", columns=["audio"]).slice(0, 1)["audio"].to_pylist()
    (place / "clip.flac").write_bytes(flac["bytes"])
    code = executed(snippet.text, place, {"HF_HOME": str(place / "hf")}, tmp_path / "said")
    said = (tmp_path / "said").read_text()
    assert code == 0, said
    assert said.strip()


def test_the_config_is_one() -> None:
    chosen = config_file.load(base=yaml.safe_load(block("config")))
    assert chosen.segment.profile == "recover"
    assert [(one.address[:9], one.licence) for one in chosen.inputs] == [
        ("librivox:", None),
        ("https://e", "CC-BY-4.0"),
    ]


def test_ci_runs_the_test_command() -> None:
    """What .ci/run reads out of the README is its test command, letter by letter."""
    (reading,) = [line for line in (ROOT / ".ci/run").read_text().splitlines() if line.startswith("command=")]
    shell = ["bash", "-c", f'{reading}; printf %s "$command"']
    assert subprocess.run(shell, cwd=ROOT, capture_output=True, text=True).stdout == block("test").strip()
    assert "pytest" in block("test")
