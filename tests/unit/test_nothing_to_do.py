"""Where nothing is to be done, little is loaded and read."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import soundfile
from speechmill.core.build import KNOWN_FILE
from speechmill.core.footers import FetchFooter
from speechmill.core.manual import ManualDecisions
from speechmill.core.store import Store
from speechmill.corpus import progress
from speechmill.publish import groups, tables
from speechmill.stages import identity
from speechmill.stages.known import write_index
from speechmill.stages.profiles import stored_build

from tests.tiny_corpus import publish_tiny

LOADED = """
import json, sys
from speechmill.cli.main import main
try:
    main(sys.argv[1:])
finally:
    print(json.dumps([name for name in ("torch", "apache_beam", "scipy") if name in sys.modules]))
"""


def loaded(*arguments: str) -> list[str]:
    """Which heavy packages a command loads."""
    command = [sys.executable, "-c", LOADED, *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    names: list[str] = json.loads(done.stdout.splitlines()[-1])
    return names


def test_select_and_status_load_neither_torch_nor_beam(corpus: Path) -> None:
    tables.tabulate_all(stored_build(str(corpus)))  # the corpus is a copy, whose files count as changed
    before = (corpus / "run.json").read_bytes()
    assert loaded("select", str(corpus), "--quiet") == []
    assert (corpus / "run.json").read_bytes() == before
    assert loaded("status", str(corpus)) == []


def test_plan_loads_neither_torch_nor_beam(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "hum.wav", np.sin(np.arange(48_000) / 40), 24_000)
    assert loaded("plan", "--input", str(tmp_path / "hum.wav"), "--output", str(tmp_path / "new"), "--quiet") == []


def test_a_select_that_changes_something_still_publishes(corpus: Path) -> None:
    before = (corpus / "run.json").read_bytes()
    assert "apache_beam" in loaded("select", str(corpus), "--quiet", "--set", "thresholds.snr_db=1")
    assert (corpus / "run.json").read_bytes() != before


def test_progress_is_the_same_by_tables_and_by_artifacts(corpus: Path) -> None:
    build = stored_build(str(corpus))
    tables.tabulate_all(build)
    by_tables = list(progress.progress(build))
    ids = [row.recording.recording_id for row in by_tables]
    assert by_tables == list(progress._by_artifacts(ids, build))
    assert {row.finished for row in by_tables} == {(), ("score", "transcribe", "pitch", "tokenise")}


def test_progress_counts_clips_that_thresholds_would_let_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "GROUP_RECORDINGS", 2)
    build, _ = publish_tiny(tmp_path)
    for thresholds in ({}, {"snr_db": 1.0}, {"snr_db": 1.0, "bandwidth_hz": 1.0}):
        chosen = build.config.thresholds.model_copy(update=thresholds)
        object.__setattr__(build, "config", build.config.model_copy(update={"thresholds": chosen}))
        rows = list(progress.progress(build))
        assert rows == list(progress._by_artifacts([row.recording.recording_id for row in rows], build))
    assert [row.finished for row in rows if row.recording.recording_id == "r1"] == [("score",)]
    by_hand = ManualDecisions(dropped=frozenset(clip for clip in _clip_ids(build.store)))
    object.__setattr__(build, "by_hand", by_hand)
    rows = list(progress.progress(build))
    assert rows == list(progress._by_artifacts([row.recording.recording_id for row in rows], build))


def _clip_ids(store: Store) -> list[str]:
    names = [entry.name for entry in store.files("work/segment")]
    return [clip for name in names for clip in store.read(name, ["clip_id"])["clip_id"].drop_null().to_pylist()]


def test_the_index_is_the_same_from_tables_and_from_artifacts(tmp_path: Path) -> None:
    build, _ = publish_tiny(tmp_path)
    tabulated = tables.fetched_recordings(build)
    assert tabulated.num_rows == 4
    again = build.store.read(build.fetched("r2"))  # fetched again since: its row in the tables is not used
    build.store.write_table(build.fetched("r2"), again.set_column(*_titled(again, "Anew")), FetchFooter(retry=True))
    write_index(build, lambda: tabulated)
    index = build.store.read(KNOWN_FILE)
    build.store.remove(KNOWN_FILE)
    write_index(build)
    assert build.store.read(KNOWN_FILE).equals(index)
    assert dict(zip(index["recording_id"].to_pylist(), index["title"].to_pylist(), strict=True))["r2"] == "Anew"


def test_the_first_index_after_a_publication_reads_no_artifact(tmp_path: Path) -> None:
    build, _ = publish_tiny(tmp_path)
    names = build.known_recordings()
    write_index(build)
    index = build.store.read(KNOWN_FILE)
    build.store.remove(KNOWN_FILE)
    tabulated = tables.fetched_recordings(build)
    for name in names:
        path = Path(build.store.path(build.fetched(name)))
        facts = path.stat()
        path.write_bytes(bytes(facts.st_size))  # as many bytes, without their content
        os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    write_index(build, lambda: tabulated)
    assert build.store.read(KNOWN_FILE).equals(index)


def _titled(table: pa.Table, title: str) -> tuple[int, pa.Field, pa.Array]:
    at = table.column_names.index("title")
    return at, table.field(at), pa.array([title])


def test_the_registry_is_loaded_once_for_an_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build, _ = publish_tiny(tmp_path)
    write_index(build)
    first = identity.load_registry(build)
    assert identity.load_registry(build) is first
    (Path(build.store.path("work/fetch/v1")) / "r2.parquet").unlink()
    write_index(build)
    assert {*first._by_id} - {*identity.load_registry(build)._by_id} == {"r2"}
