"""The card says what the corpus is: its numbers are those of the publication, its examples run."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
import yaml
from speechmill.core.build import Build
from speechmill.core.thresholds import Thresholds
from speechmill.publish import card

from tests.tiny_corpus import EVIL_TITLE, RECORDINGS, publish_tiny

Corpus = tuple[Build, dict[str, Any], str]


def _write(root: Path, **options: Any) -> Corpus:
    build, stats = publish_tiny(root, **options)
    build.store.write_text(card.CARD_FILE, card.render(build, stats))
    return build, stats, Path(build.store.path(card.CARD_FILE)).read_text()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return _write(tmp_path_factory.mktemp("card"))


def front(text: str) -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load(text.split("---\n")[1])
    return values


def table(text: str, head: str) -> list[list[str]]:
    """Rows of the first table whose head begins so."""
    lines = text[text.index(f"| {head} |") :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip().strip("`*") for cell in line.strip("|").split(" | ")] for line in lines]


def block(text: str, language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", text, re.DOTALL)
    assert found
    return found[1]


def test_hours_by_fate_are_those_of_the_publication(corpus: Corpus) -> None:
    _, stats, text = corpus
    *fates, total = table(text, "fate")
    told = {row[0]: int(row[1].replace(",", "")) for row in fates}
    assert {fate: samples for fate, samples in told.items() if samples} == {
        fate: samples for fate, samples in stats["samples"].items() if fate != "in"
    }
    assert sum(told.values()) == int(total[1].replace(",", "")) == stats["samples"]["in"] == 8 * 24_000


def test_reasons_and_failures_are_those_of_the_publication(corpus: Corpus) -> None:
    _, _, text = corpus
    assert {row[0]: int(row[2]) for row in table(text, "reason")} == {
        "low_snr": 3, "band_limited": 1, "clipped": 1, "licence": 1
    }  # fmt: skip
    assert table(text, "not used because") == [["not_audio", "1"]]


def test_columns_are_those_of_the_files(corpus: Corpus) -> None:
    build, stats, text = corpus
    split = next(iter(stats["splits"]))
    schema = pq.read_schema(next(Path(build.store.path("data")).glob(f"{split}-*")))
    assert [row[0] for row in table(text, "column")] == schema.names
    assert "`score_noise`" in text.partition("## Limits")[2]


def test_datasets_loads_it_as_the_card_says(corpus: Corpus, tmp_path: Path) -> None:
    build, stats, text = corpus
    code = f"{block(text, 'python')}\nprint(clips.num_rows, *clips.column_names)"
    environment = os.environ | {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(build.store.path("")).parent,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    split = stats["splits"][sorted(stats["splits"])[0]]
    assert done.stdout.split()[:4] == [str(split["clips"]), "clip_id", "recording_id", "audio"]


def test_duckdb_reads_it_as_the_card_says(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    build, stats, text = corpus
    monkeypatch.chdir(Path(build.store.path("")).parent)
    kept, reasons = (duckdb.sql(query).fetchall() for query in block(text, "sql").split(";")[:2])
    assert len(kept) == stats["clips"]["kept"]
    assert {row[0] for row in reasons} == set(stats["rejected_by_reason"])


def test_front_matter_names_only_splits_that_are_there(corpus: Corpus) -> None:
    build, stats, text = corpus
    (config,) = front(text)["configs"]
    assert [one["split"] for one in config["data_files"]] == sorted(stats["splits"])
    for one in config["data_files"]:
        assert list(Path(build.store.path("")).glob(one["path"]))


def test_several_licences_are_no_single_licence_of_the_hub(corpus: Corpus) -> None:
    _, _, text = corpus
    assert (front(text)["license"], front(text)["license_name"]) == ("other", "several")
    assert [row[0] for row in table(text, "licence")] == ["CC-BY-4.0", "CC0-1.0"]


@pytest.mark.parametrize(("licence", "expected"), [("CC-BY-4.0", "cc-by-4.0"), ("LicenseRef-local", "other")])
def test_one_licence_goes_by_the_hubs_id(tmp_path: Path, licence: str, expected: str) -> None:
    _, _, text = _write(tmp_path, recordings=(replace(RECORDINGS[1], licence=licence),))
    assert front(text)["license"] == expected
    assert f"`{licence}`" in text


def test_fault_35_what_sources_say_is_not_repeated(tmp_path: Path) -> None:
    evil = replace(RECORDINGS[0], licence="x` | [click](javascript:alert(1)) <b>\n# Big")
    _, _, text = _write(tmp_path, recordings=(evil,))
    for foreign in (EVIL_TITLE, "javascript", "alert", "bold", "# Big"):
        assert foreign not in text
    assert [row[0] for row in table(text, "licence")] == [card.UNNAMED_LICENCE]


def test_nothing_kept_promises_no_data(tmp_path: Path) -> None:
    _, stats, text = _write(tmp_path, recordings=RECORDINGS[2:])
    assert "kept" not in stats["clips"]
    assert "configs" not in front(text)
    assert "How to load" not in text
    assert "**0.0000 hours in 0 clips**" in text


def test_without_transcripts_it_says_so(tmp_path: Path) -> None:
    _, _, text = _write(tmp_path, transcribed=False)
    assert "language" not in front(text)
    assert "There are no transcripts" in text
    assert "Whisper" not in text


def test_with_defect_models_nothing_is_called_absent(tmp_path: Path) -> None:
    _, _, text = _write(tmp_path, defects=True)
    assert "score_noise" in {row[0] for row in table(text, "column")}
    assert "absent" not in text.partition("## Limits")[2]
    assert ["score_noise", f"at most {Thresholds().noise:g}"] in table(text, "what")
