"""The card says what the corpus is: its numbers are those of the publication, its examples run."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import duckdb
import pyarrow.parquet as pq
import pytest
import yaml
from speechmill.core import config_file
from speechmill.core.build import Build
from speechmill.core.config_errors import ConfigError
from speechmill.core.thresholds import Thresholds
from speechmill.publish import card, limits
from speechmill.publish.figures import duration
from speechmill.publish.licences import UNNAMED_LICENCE

from tests.tiny_corpus import EVIL_TITLE, RECORDINGS, publish_tiny

ROOT = Path(__file__).parents[2]
Corpus = tuple[Build, dict[str, Any], str]


def _write(root: Path, **options: Any) -> Corpus:
    build, stats = publish_tiny(root, **options)
    files = (build.store.read_json("run.json") or {})["files"]
    build.store.write_text(card.CARD_FILE, card.render(build, stats, files))
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


def block(text: str, language: str, containing: str = "") -> str:
    blocks = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    (found,) = [code for code in blocks if containing in code]
    return str(found)


def test_durations_by_fate_are_those_of_the_publication(corpus: Corpus) -> None:
    _, stats, text = corpus
    *fates, total = table(text, "fate")
    shown = {row[0]: row[1] for row in fates if row[1] != "0.0 s"}
    rate = stats["sampling_rate"]
    assert shown == {fate: duration(n, rate) for fate, n in stats["samples"].items() if fate != "in"}
    assert total[1] == duration(stats["samples"]["in"], rate) == "8.0 s"


def test_no_number_needs_to_be_counted(corpus: Corpus) -> None:
    """Durations are in words: nobody reads samples."""
    _, _, text = corpus
    prose = re.sub(r"`[^`]*`", "", text.partition("\n---\n")[2])
    assert re.findall(r"[0-9]{7,}|[0-9]{1,3}(?:,[0-9]{3}){2,}", prose) == []
    assert "samples |" not in text


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


def run(code: str, corpus: Corpus, place: Path) -> str:
    """What Python of the card prints, run beside the corpus."""
    environment = os.environ | {"HF_HOME": str(place), "HF_HUB_OFFLINE": "1"}
    folder = Path(corpus[0].store.path("")).parent
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_datasets_loads_it_as_the_card_says(corpus: Corpus, tmp_path: Path) -> None:
    _, stats, text = corpus
    code = f"{block(text, 'python', 'load_dataset')}\nprint('\\n', clips.num_rows, *clips.column_names)"
    split = stats["splits"][sorted(stats["splits"])[0]]
    printed = run(code, corpus, tmp_path)
    assert printed.splitlines()[-1].split()[:4] == [str(split["clips"]), "clip_id", "recording_id", "audio"]


def test_polars_reads_it_as_the_card_says(corpus: Corpus, tmp_path: Path) -> None:
    _, stats, text = corpus
    code = f"{block(text, 'python', 'polars')}\nprint(clips.height, *clips.columns)"
    assert run(code, corpus, tmp_path).splitlines()[-1] == f"{stats['clips']['kept']} clip_id duration_s licence"


def test_lhotse_reads_it_as_the_card_says(corpus: Corpus, tmp_path: Path) -> None:
    pytest.importorskip("lhotse", reason="lhotse is not installed")
    _, _, text = corpus
    code = (
        f"{block(text, 'python', 'lhotse')}\ncut = next(iter(cuts))\nprint(cut.load_audio().shape, cut.sampling_rate)"
    )
    assert run(code, corpus, tmp_path).splitlines()[-1] == "(1, 18000) 24000"


def test_what_datasets_is_told_of_the_columns_is_what_the_files_have(corpus: Corpus, tmp_path: Path) -> None:
    """`dataset_info` of the front matter: features, clips and bytes, by which `datasets` reads without looking."""
    build, stats, text = corpus
    told = datasets.DatasetInfo._from_yaml_dict(front(text)["dataset_info"])
    split = sorted(stats["splits"])[0]
    path = next(Path(build.store.path("data")).glob(f"{split}-*"))
    assert told.features == datasets.Features.from_arrow_schema(pq.read_schema(path))
    assert told.splits[split].num_examples == stats["splits"][split]["clips"]
    assert told.download_size == path.stat().st_size


def test_terms_of_access_are_asked_for_on_request(corpus: Corpus, tmp_path: Path) -> None:
    assert "extra_gated_prompt" not in front(corpus[2])
    _, _, text = _write(tmp_path, publish={"gated": True})
    assert "voices of real people" in front(text)["extra_gated_prompt"]
    assert set(front(text)["extra_gated_fields"].values()) == {"checkbox"}


def test_who_publishes_it_is_named(tmp_path: Path) -> None:
    publish = {"creator": "Ann & Sons", "contact": "ann@example.org", "url": "https://example.org/corpus"}
    _, _, text = _write(tmp_path, publish=publish)
    assert dict(table(text, "about"))["published by"] == "Ann & Sons"
    assert "Write to ann@example.org." in text
    cited = block(text, "bibtex")
    assert "author = {Ann & Sons}" in cited
    assert "url = {https://example.org/corpus}" in cited


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("creator", "<b>"),
        ("creator", "a\nb"),
        ("contact", "[x](javascript:1)"),
        ("url", "javascript:alert(1)"),
        ("url", ""),
    ],
)
def test_who_publishes_it_has_no_markup(key: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"publish.{key}"):
        config_file.load(base={"publish": {key: value}})


def test_the_figures_of_errors_are_those_of_the_benchmarks() -> None:
    """Each with the row of docs/benchmarks.md that it is from."""
    page = (ROOT / "docs/benchmarks.md").read_text()
    rows = {line.split("|")[1].strip(): line for line in page.splitlines() if line.startswith("| ")}
    eer = re.findall(r"([0-9.]+) %", rows["EER"].rpartition("≤")[0].rpartition("|")[0])
    assert eer == list(limits.DEFECT_EER)
    assert re.findall(r"([0-9.]+) %", rows["kept by all five and thus in the corpus"]) == list(limits.DEFECTS_KEPT)
    assert f"≤ 3 % together: {limits.CLEAN_LOST} %" in rows["clean clips lost"]
    assert re.findall(r"([0-9.]+) %", rows["real ones kept by all five"]) == list(limits.REAL_KEPT)
    assert f"the default thresholds lose 5 ({limits.REAL_CLEAN_LOST} %, " in page
    clean, noisy = (
        rows["all, clean"].split("|"),
        rows["all, in real noise at 15 dB, which `snr_db` just keeps"].split("|"),
    )
    for at, vad in ((2, "webrtc"), (3, "silero")):
        figures = [re.findall(r"[0-9.]+", row[at])[:2] for row in (clean, noisy)]
        measured = [limits.CUT_WORDS[vad, profile] for profile in ("tortoise", "recover")]
        assert list(map(list, zip(*figures))) == [list(pair) for pair in measured]
    turns = rows["turns, in a whole run, clips that pass the default thresholds"].split("|")
    assert [turns[2].split("/")[0].strip(), turns[3].split("/")[0].strip()] == list(limits.MIXED_CLIPS.values())
    mid_sentence = [
        (rows[f"`{name}`"], key) for name, key in (("tortoise", ("tortoise", False)), ("recover", ("recover", True)))
    ]
    mid_sentence.append((rows["`recover`, `segment.sentences=false`"], ("recover", False)))
    for row, key in mid_sentence:
        assert row.split("|")[4].strip() == f"{limits.IN_MID_SENTENCE[key]} %"
    rooms = rows["… in rooms / of clean against rooms / against telephone"]
    clean_eer, in_rooms, by_telephone = limits.SPEAKER_EER
    assert f"≤ {clean_eer} %" in rows["equal error rate: clean, in noise, over music"]
    assert [re.findall(r"[0-9.]+", rooms)[at] for at in (0, 2)] == [in_rooms, by_telephone]
    assert f" {limits.SPEAKER_RECALL} %" in rows["… a speaker is found together (BCubed recall)"]
    wrong = [int(cell) for cell in rows["damaged, wrong"].split("|")[2:-1]]
    assert (wrong[0], *wrong[2:]) == (
        limits.WRONG_TEXTS, limits.REJECTED_BY_CONFIDENCE, limits.REJECTED_BY_AGREEMENT
    )  # fmt: skip
    assert limits.MEL_ERROR_NATS in rows["error of the spectrogram (mean absolute, nats)"].split("|")[2]
    assert f" {limits.DUPLICATES_FOUND} %" in rows["cut elsewhere"].split("|")[2]


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
    assert [row[0] for row in table(text, "licence")] == [UNNAMED_LICENCE]


def test_nothing_kept_promises_no_data(tmp_path: Path) -> None:
    _, stats, text = _write(tmp_path, recordings=RECORDINGS[2:])
    assert "kept" not in stats["clips"]
    assert "configs" not in front(text)
    assert "How to load" not in text
    assert "**0.0 s in 0 clips**" in text


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
