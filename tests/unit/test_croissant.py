"""croissant.json: mlcroissant reads it without a word, it says what the run knows, and costs no second hash."""

import hashlib
import itertools
import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlcroissant
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from absl import logging as absl_logging
from speechmill import publish
from speechmill.core import inventory, ownership
from speechmill.core.build import Build
from speechmill.core.config import RunConfig
from speechmill.corpus.checks import Check, CorpusTables
from speechmill.corpus.verify import _croissant
from speechmill.publish import croissant, licences
from speechmill.publish.columns import columns_of, data_schema
from speechmill.publish.croissant import provenance, records
from speechmill.runner.run import run_record

from tests import tiny_corpus
from tests.tiny_corpus import EVIL_TITLE, RECORDINGS, publish_tiny

DAY = "2026-11-29"
REQUIRED = ("@context", "@type", "conformsTo", "description", "license", "name", "url", "creator", "datePublished")
RAI = (
    "dataCollection", "dataCollectionType", "dataCollectionMissingData", "dataCollectionRawData",
    "dataPreprocessingProtocol", "dataAnnotationProtocol", "dataAnnotationPlatform", "dataAnnotationAnalysis",
    "annotationsPerItem", "annotatorDemographics", "machineAnnotationTools", "dataBiases", "dataUseCases",
    "dataLimitations", "dataSocialImpact", "personalSensitiveInformation", "dataReleaseMaintenancePlan",
)  # fmt: skip


def published(root: Path, **options: Any) -> tuple[Build, Path]:
    """A tiny corpus with its croissant.json, as a run publishes it."""
    build, _ = publish_tiny(root, **options)
    commit(build)
    return build, Path(build.store.path(ownership.CROISSANT_FILE))


def commit(build: Build) -> None:
    plan = build.store.read_json(publish.PLAN_FILE)
    assert plan is not None
    files = publish.file_facts(build, plan)
    pages = {ownership.CROISSANT_FILE: croissant.render(build, plan, files, date=DAY)}
    publish.commit(build, plan, run_record(build, {}), pages=pages, files=files)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Build, Path]:
    """A corpus of fifteen clips."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(tiny_corpus.CLIPS, "c9", [{}] * 12)
        book = replace(RECORDINGS[1], recording_id="r9", media_url="https://example.org/9.mp3", content_id="c9")
        return published(tmp_path_factory.mktemp("croissant"), recordings=(*RECORDINGS, book))


def described(path: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(path.read_text())
    return value


def objects(path: Path) -> dict[str, dict[str, Any]]:
    return {part["@id"]: part for part in described(path)["distribution"] if part["@type"] == "cr:FileObject"}


def test_mlcroissant_finds_nothing_to_say(corpus: tuple[Build, Path], caplog: pytest.LogCaptureFixture) -> None:
    absl_logging.get_absl_logger().propagate = True
    with caplog.at_level(logging.WARNING):
        metadata = mlcroissant.Dataset(str(corpus[1])).metadata
    assert not metadata.ctx.issues.errors
    assert not metadata.ctx.issues.warnings
    assert [record.getMessage() for record in caplog.records] == []
    assert metadata.ctx.is_v1_1()
    assert metadata.data_biases
    assert metadata.machine_annotation_tools


def test_a_fault_would_be_found(corpus: tuple[Build, Path], tmp_path: Path) -> None:
    broken = described(corpus[1])
    del broken["license"], broken["distribution"][0]["includes"]
    (tmp_path / "croissant.json").write_text(json.dumps(broken))
    with pytest.raises(mlcroissant.ValidationError, match="includes"):
        mlcroissant.Dataset(str(tmp_path / "croissant.json"))


def test_the_specification_s_properties_are_there(corpus: tuple[Build, Path]) -> None:
    values = described(corpus[1])
    assert [name for name in REQUIRED if not values.get(name)] == []
    assert [name for name in RAI if not values.get(f"rai:{name}")] == []
    assert values["conformsTo"] == ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"]


@pytest.mark.parametrize("filters", [{"clips/split": "train"}, None])
def test_mlcroissant_streams_ten_clips(corpus: tuple[Build, Path], filters: dict[str, str] | None) -> None:
    build, path = corpus
    records = mlcroissant.Dataset(str(path)).records("clips", filters=filters)
    rows = list(itertools.islice(records, 10))
    table = pq.read_table(build.store.path("data"))
    assert len(rows) == 10
    by_id = {row["clip_id"].encode(): row for row in table.to_pylist()}
    for row in rows:
        clip = by_id[row["clips/clip_id"]]
        assert row["clips/audio"] == clip["audio"]["bytes"]
        assert row["clips/audio"].startswith(b"fLaC")
        assert row["clips/text"].decode() == clip["text"]
        assert list(row["clips/mel_tokens"]) == clip["mel_tokens"]
        assert row["clips/split"] in ("train", b"train")
    assert {name.removeprefix("clips/") for name in rows[0]} == {*data_schema(columns_of(build)).names, "split"}


@pytest.mark.parametrize("table", ["pool", "ledger", "recordings", "splits"])
def test_mlcroissant_reads_the_other_tables(corpus: tuple[Build, Path], table: str) -> None:
    build, path = corpus
    rows = list(mlcroissant.Dataset(str(path)).records(table))
    count = 1 if table == "splits" else pq.read_table(build.store.path(f"{table}.parquet")).num_rows
    assert len(rows) == count


def test_every_file_is_there_with_its_hash(corpus: tuple[Build, Path]) -> None:
    build, path = corpus
    assert objects(path).keys() == (build.store.read_json("run.json") or {})["files"].keys()
    for name, part in objects(path).items():
        content = Path(build.store.path(name)).read_bytes()
        assert part["sha256"] == hashlib.sha256(content).hexdigest()
        assert part["contentSize"] == f"{len(content)} B"


def test_a_file_of_clips_names_its_recordings_and_what_made_it(corpus: tuple[Build, Path]) -> None:
    build, path = corpus
    name, part = next((name, part) for name, part in objects(path).items() if name.startswith("data/"))
    ids = dict.fromkeys(pq.read_table(build.store.path(name))["recording_id"].to_pylist())
    assert part["prov:wasDerivedFrom"] == [{"@id": f"recordings.parquet#{one}"} for one in ids]
    made_by = described(path)["prov:wasGeneratedBy"]
    assert part["prov:wasGeneratedBy"]["@id"] == made_by["@id"]
    fields = next(part for part in described(path)["recordSet"] if part["@id"] == "clips")["field"]
    activities = {activity["@id"]: activity for activity in made_by["prov:wasInformedBy"]}
    by_column = {field["name"]: field.get("prov:wasGeneratedBy", {}).get("@id") for field in fields}
    assert by_column["language"] == "activity/transcribe"
    assert by_column["snr_db"] == "activity/score"
    assert by_column["title"] is None
    assert {activity for activity in by_column.values() if activity} <= activities.keys()
    assert "tiny.en" in json.dumps(activities["activity/transcribe"])


def test_a_column_of_a_recording_is_made_by_no_stage(corpus: tuple[Build, Path]) -> None:
    """`language` is of the ASR model in `clips`, and of the source in `recordings`."""
    sets = {part["@id"]: part for part in described(corpus[1])["recordSet"]}
    made = {name: ["prov:wasGeneratedBy" in field for field in sets[name]["field"]] for name in sets}
    assert any(made["pool"])
    assert not any(made["ledger"] + made["recordings"])


def test_columns_of_plug_ins_may_be_nested() -> None:
    kind = pa.list_(pa.struct([("at", pa.list_(pa.float32())), ("inner", pa.struct([("name", pa.string())]))]))
    columns = [pa.field("matrix", pa.list_(pa.list_(pa.int16())), metadata={"description": "m", "unit": "dB"})]
    schema = pa.schema([*columns, pa.field("parts", kind, metadata={"description": "p"})])
    matrix, parts = records.record_set("x", "a row", schema, {"fileSet": {"@id": "f"}})["field"]
    assert (matrix["dataType"], matrix["arrayShape"], matrix["description"]) == ("cr:Int16", "-1,-1", "m (dB)")
    at, inner = parts["subField"]
    assert (at["@id"], at["arrayShape"], at["source"]["transform"]) == ("x/parts/at", "-1", {"jsonPath": "at"})
    assert inner["subField"][0]["source"]["transform"] == {"jsonPath": "inner.name"}


def test_a_corpus_of_very_many_recordings_is_not_listed_twice() -> None:
    few, many = {"data/a": ["r1"]}, {"data/a": ["r"] * (provenance.MOST_RECORDINGS + 1)}
    assert provenance.of_files(few)["data/a"]["prov:wasDerivedFrom"] == [{"@id": "recordings.parquet#r1"}]
    assert provenance.of_files(many)["data/a"]["prov:wasDerivedFrom"] == {"@id": "recordings.parquet"}


def test_what_sources_say_is_not_repeated(tmp_path: Path) -> None:
    evil = replace(RECORDINGS[0], licence="x` | [click](javascript:alert(1)) <b>\n# Big")
    _, path = published(tmp_path, recordings=(evil,))
    for foreign in (EVIL_TITLE, "javascript", "alert", "bold", "# Big"):
        assert foreign not in path.read_text()
    assert described(path)["license"] == [licences.UNNAMED_LICENCE]


def test_a_corpus_without_clips_is_valid(tmp_path: Path) -> None:
    _, path = published(tmp_path, recordings=RECORDINGS[2:])
    metadata = mlcroissant.Dataset(str(path)).metadata
    assert not metadata.ctx.issues.warnings
    assert {part.id for part in metadata.record_sets} == {"pool", "ledger", "recordings"}


def test_equal_corpora_are_described_in_equal_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (_, first), (_, second) = published(tmp_path / "a"), published(tmp_path / "b")
    assert first.read_bytes() == second.read_bytes()
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert croissant.publication_day() == "1970-01-02"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "tomorrow")
    assert croissant.publication_day() > "2026"


def test_another_threshold_hashes_only_what_is_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build, path = published(tmp_path)
    shard = objects(path)["data/train-00000-00000.parquet"]
    read: list[str] = []
    facts_of = publish.facts_of

    def counted(store: Any, name: str) -> inventory.Facts:
        read.append(name.rpartition("/")[2])
        return facts_of(store, name)

    monkeypatch.setattr(publish, "facts_of", counted)
    thresholds = {"edge_ratio": 0.6}  # rejects nothing else
    build = replace(build, config=RunConfig.model_validate(build.config.model_dump() | {"thresholds": thresholds}))
    for task in publish.plan(build):
        publish.write(task, build)
    commit(build)
    assert "recordings.parquet" in read
    assert "croissant.json" in read
    assert [name for name in read if name.startswith("train-")] == []
    assert objects(path)["data/train-00000-00000.parquet"]["sha256"] == shard["sha256"]


def test_verify_compares_it_with_the_files(tmp_path: Path) -> None:
    build, path = published(tmp_path)
    run = build.store.read_json("run.json")
    assert run is not None

    def problems() -> list[str]:
        check = Check()
        _croissant(CorpusTables(build.store, run, build.config), check)
        return check.problems

    assert problems() == []
    name = next(iter(objects(path)))
    path.write_text(path.read_text().replace(objects(path)[name]["sha256"], "0" * 64))
    assert problems() == [f"croissant.json: another hash than {name} has, or none"]
    path.unlink()
    assert "missing; make it with: speechmill select" in problems()[0]


def test_a_user_s_own_croissant_is_left_alone(tmp_path: Path) -> None:
    build, _ = publish_tiny(tmp_path)
    build.store.write_text("croissant.json", "mine")
    with pytest.raises(ownership.ConfigError, match=r"croissant\.json"):
        commit(build)
    assert Path(build.store.path("croissant.json")).read_text() == "mine"


ATTRIBUTE, COMMERCIAL = "cc:Attribution", "cc:CommercialUse"


@pytest.mark.parametrize(
    ("names", "expected", "unexpected"),
    [
        (["CC-BY-4.0"], [ATTRIBUTE, "cc:DerivativeWorks"], [COMMERCIAL, "DUO_", "cc:ShareAlike"]),
        (["CC-BY-SA-3.0"], [ATTRIBUTE, "cc:ShareAlike"], [COMMERCIAL]),
        (["CC-BY-NC-4.0", "CC0-1.0"], [COMMERCIAL, "DUO_0000018"], ["DUO_0000004"]),
        (["CC-BY-ND-4.0"], ["cc:Distribution"], ["cc:DerivativeWorks"]),
        (["CC-PDDC", "CC0-1.0"], ["cc:DerivativeWorks", "DUO_0000004"], [ATTRIBUTE, COMMERCIAL]),
        (["CC-BY-4.0", "CC0-1.0"], [ATTRIBUTE], ["DUO_0000004"]),
    ],
)
def test_conditions_of_use_follow_from_licences(names: list[str], expected: list[str], unexpected: list[str]) -> None:
    said = json.dumps(licences.usage_info(names, lambda licence: {"odrl:rightOperand": licence}))
    assert [term for term in expected if term not in said] == []
    assert [term for term in unexpected if term in said] == []
    assert all(f'"odrl:rightOperand": "{name}"' in said for name in names)


def test_of_a_licence_that_is_not_known_nothing_is_said() -> None:
    assert licences.usage_info(["LicenseRef-local", licences.UNNAMED_LICENCE], lambda _: {}) == []
    assert licences.usage_info([], lambda _: {}) == []
