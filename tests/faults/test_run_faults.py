"""Faults 02, 04 to 10 of a whole run, each made for real; 01 is in e2e/test_kill.py."""

import hashlib
import json
import resource
import shutil
import signal
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from speechmill import publish
from speechmill.core import config_file
from speechmill.core.footers import FetchFooter
from speechmill.core.store import Store
from speechmill.fetch import model_folder
from speechmill.stages.batches import complete_content
from speechmill.stages.fetch import fetch_recording
from speechmill.stages.identity import recall
from speechmill.stages.profiles import plan_build
from speechmill.stages.score import score_clips
from speechmill.stages.segment import segment_media

from tests.commandline import fingerprint, flags
from tests.decisions import decided
from tests.forked import Forked


def build_of(corpus: Path):
    chosen = config_file.load(base=json.loads((corpus / "run.json").read_text())["config"], output=str(corpus))
    return plan_build(chosen, Store(str(corpus)), find_model=model_folder)


def test_fault_02_killed_between_shards_and_commit(corpus: Path, folder: Path, speechmill, tmp_path: Path) -> None:
    """As after a kill half-way through the renames: run.json gone, one file of an older publication in place."""
    copy = tmp_path / "corpus"
    shutil.copytree(corpus, copy)
    (copy / "run.json").unlink()
    orphan = copy / "data/train-00007-of-00009.parquet"
    shutil.copy(next((copy / "data").iterdir()), orphan)
    mark = json.loads((copy / "corpus.json").read_text())
    facts = {"bytes": orphan.stat().st_size, "sha256": hashlib.sha256(orphan.read_bytes()).hexdigest()}
    mark["next"] = {f"data/{orphan.name}": facts}  # it is listed before it is there
    (copy / "corpus.json").write_text(json.dumps(mark))
    (copy / "data/mine.csv").write_text("mine")
    (copy / "ledger.parquet").unlink()
    assert speechmill("verify", copy, code=1)
    speechmill("run", *flags(folder, copy))
    assert not orphan.exists()
    assert (copy / "data/mine.csv").read_text() == "mine"
    (copy / "data/mine.csv").unlink()
    assert fingerprint(copy) == fingerprint(corpus)
    speechmill("verify", copy)


def test_fault_04_second_signal_ends_at_once(folder: Path, speechmill, tmp_path: Path) -> None:
    process = Forked("run", *flags(folder, tmp_path / "c"))
    log = tmp_path / "c/work/log.jsonl"
    while not log.exists() or "segment" not in log.read_text():
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    assert process.wait() == 130


def limit_files() -> None:
    """As a full disk does: no file gets larger than this."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))


def test_fault_05_disk_full_is_one_line_and_resumable(corpus: Path, folder: Path, speechmill, tmp_path: Path) -> None:
    output = tmp_path / "corpus"
    code = Forked("run", *flags(folder, output), said=tmp_path / "said", first=limit_files).wait()
    said = (tmp_path / "said").read_text()
    assert code == 1, said
    (line,) = [line for line in said.splitlines() if "no space left" in line]
    assert str(output) in line
    assert "Traceback" not in said
    assert not (output / "run.json").exists()
    speechmill("run", *flags(folder, output))
    assert fingerprint(output) == fingerprint(corpus)


def test_fault_06_output_that_cannot_be_written(folder: Path, speechmill, tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("not a folder")
    done = speechmill("run", *flags(folder, in_the_way / "corpus"), code=2)
    assert f"{in_the_way}/corpus: a file is in the way; give a folder" in done.stderr
    speechmill("run", *flags(folder, tmp_path / "missing/parents/corpus", "asr.model=null"))


def test_fault_08_an_element_processed_twice(corpus: Path, tmp_path: Path) -> None:
    """A retried bundle runs stages again on what they already made: same artifacts, nothing written twice."""
    from speechmill import stages

    copy = tmp_path / "corpus"
    shutil.copytree(corpus, copy)
    build = build_of(copy)
    listed = [recall(one, build) for one in build.known_recordings()]
    before = {path: path.stat().st_mtime_ns for path in (copy / "work").rglob("*.parquet")}
    for one in [*listed, *listed]:
        work = fetch_recording(one, build).work
        assert work is not None
        outcomes = [segment_media(work, build), score_clips(work, build)]
        outcomes.append(complete_content(work, build, stages.TRANSCRIBE))
        assert {outcome.state for outcome in outcomes} == {"reused"}
    assert {path: path.stat().st_mtime_ns for path in (copy / "work").rglob("*.parquet")} == before
    assert len(list(decided(build))) == len(listed)


def test_fault_09_changed_settings_never_mix(corpus: Path, folder: Path, speechmill, tmp_path: Path) -> None:
    copy = tmp_path / "corpus"
    shutil.copytree(corpus, copy)
    speechmill("run", *flags(folder, copy, "segment.edge_s=0.05"))
    speechmill("verify", copy)
    old, new = pq.read_table(corpus / "data"), pq.read_table(copy / "data")
    assert not set(old["clip_id"].to_pylist()) & set(new["clip_id"].to_pylist())
    speechmill("run", *flags(folder, copy))  # and back: all is still there
    assert fingerprint(copy) == fingerprint(corpus)


def test_fault_10_rows_of_another_version(corpus: Path, tmp_path: Path) -> None:
    """A recordings artifact with a column more, as a later version would write it, still loads."""
    copy = tmp_path / "corpus"
    shutil.copytree(corpus, copy)
    build = build_of(copy)
    name = build.fetched(build.known_recordings()[0])
    table, footer = build.store.read(name), build.store.footer(name, FetchFooter)
    build.store.write_table(name, table.append_column("mood", pa.array(["calm"])), footer)
    assert publish.plan(build) == []  # the same judgement, so nothing to write
