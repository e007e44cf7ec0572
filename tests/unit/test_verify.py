"""verify finds each kind of damage, names it, and finds nothing else."""

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import soundfile
from speechmill.corpus.verify import verify


def failing(corpus: Path, rows: int = 0) -> dict[str, list[str]]:
    found = verify(str(corpus), rows=rows)
    assert found["ok"] == all(check["ok"] for check in found["checks"].values())
    return {name: check["problems"] for name, check in found["checks"].items() if not check["ok"]}


def shard(corpus: Path) -> Path:
    return next((corpus / "data").glob("train-*.parquet"))


def rewrite(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    pq.write_table(change(pq.read_table(path)), path)


def edit(path: Path, change: Callable[[dict[str, Any]], None], at: int = 0) -> None:
    """Change one row of a Parquet file."""

    def changed(table: pa.Table) -> pa.Table:
        rows = table.to_pylist()
        change(rows[at])
        return pa.Table.from_pylist(rows, schema=table.schema)

    rewrite(path, changed)


def test_a_whole_corpus_is_whole_without_its_work(corpus: Path) -> None:
    shutil.rmtree(corpus / "work")
    found = verify(str(corpus), rows=2)
    assert found["ok"], found
    unchecked = {name for name, check in found["checks"].items() if not check["checked"]}
    assert unchecked == {"speakers", "plug_ins"}  # speakers were not clustered, and there are no plug-ins
    assert found["checks"]["transcripts"]["checked"] == found["checks"]["audio"]["checked"] == 2
    assert found["checks"]["audio"]["of"] > 2
    assert not (corpus / "work").exists()


def test_every_clip_gives_its_numbers_again(corpus: Path) -> None:
    json_run = json.loads((corpus / "run.json").read_text())
    json_run["profiles"]["transcribe"] = "another"  # spares the transcripts, which the other test looks at
    (corpus / "run.json").write_text(json.dumps(json_run))
    told: list[tuple[str, *tuple[int, ...]]] = []
    found = verify(str(corpus), rows=None, progress=lambda *said: told.append(said))
    checks = found["checks"]
    assert checks["audio"]["ok"]
    assert checks["audio"]["of"] == checks["audio"]["checked"]
    assert found["recomputed"][0] == f"audio: {checks['audio']['of']} of {checks['audio']['of']} clips"
    assert told[0] == ("checking files",)
    amounts = [amount for _, *amount in told if amount]
    assert amounts == sorted(amounts)
    assert amounts[-1] == [checks["audio"]["of"]] * 2
    assert checks["audio"]["checked"] == sum(pq.read_metadata(path).num_rows for path in (corpus / "data").iterdir())
    assert "another" in checks["transcripts"]["note"]


def test_without_run_json_it_is_not_published(corpus: Path) -> None:
    (corpus / "run.json").unlink()
    assert "not published" in failing(corpus)["published"][0]
    (corpus / "run.json").write_text("{")
    assert "damaged" in failing(corpus)["published"][0]


def test_files_of_others_are_named_and_no_fault_unless_they_are_read_as_ours(corpus: Path) -> None:
    for name in ("notes.txt", "data/labels.csv", ".git/config"):
        (corpus / name).parent.mkdir(exist_ok=True)
        (corpus / name).write_text("mine")
    found = verify(str(corpus), rows=0)
    assert found["ok"]
    assert found["checks"]["files"]["note"] == (
        "not speechmill's, and left alone: .git/config, data/labels.csv, notes.txt"
    )
    (corpus / "data/train-mine.parquet").write_text("mine")
    assert failing(corpus) == {"files": ["data/train-mine.parquet: not part of the corpus"]}


def test_a_link_in_the_place_of_a_file_is_a_finding(corpus: Path, tmp_path: Path) -> None:
    place = shard(corpus)
    place.rename(tmp_path / "elsewhere.parquet")
    place.symlink_to(tmp_path / "elsewhere.parquet")
    assert "is a link" in failing(corpus)["files"][0]


def test_names_in_run_json_lead_nowhere(corpus: Path) -> None:
    record = json.loads((corpus / "run.json").read_text())
    record["files"]["../victim"] = {"bytes": 1, "sha256": "0" * 64}
    (corpus / "run.json").write_text(json.dumps(record))
    assert "not a name" in failing(corpus)["files"][0]


def test_a_flipped_byte(corpus: Path) -> None:
    data = bytearray(shard(corpus).read_bytes())
    data[len(data) // 3] ^= 1
    shard(corpus).write_bytes(data)
    assert failing(corpus) == {"files": [f"data/{shard(corpus).name}: not the bytes that were published"]}


def test_a_cut_file_is_a_finding_not_a_crash(corpus: Path) -> None:
    shard(corpus).write_bytes(shard(corpus).read_bytes()[:-100])
    found = failing(corpus, rows=1)
    assert {"files", "schema", "clips", "audio"} <= found.keys()
    assert "ledger" not in found


def test_a_file_too_many(corpus: Path) -> None:
    shutil.copy(shard(corpus), corpus / "pool.parquet" / "part-00001.parquet")
    assert failing(corpus) == {"files": ["pool.parquet/part-00001.parquet: not part of the corpus"]}


@pytest.mark.parametrize(("kind", "found"), [("silence", {"files", "ledger"}), ("clip", {"files", "ledger", "clips"})])
def test_a_lost_ledger_row(corpus: Path, kind: str, found: set[str]) -> None:
    ledger = pq.read_table(corpus / "ledger.parquet")
    at = ledger["kind"].to_pylist().index(kind)
    rewrite(corpus / "ledger.parquet", lambda table: pa.concat_tables([table[:at], table[at + 1 :]]))
    problems = failing(corpus)
    assert problems.keys() == found
    recording_id, start = ledger["recording_id"][at].as_py(), ledger["start"][at].as_py()
    assert problems["ledger"][0].startswith(f"{recording_id}: a span ends at {start}, the next starts at ")


def test_a_failed_recording_without_its_row(corpus: Path) -> None:
    rewrite(corpus / "ledger.parquet", lambda table: table.filter(pc.is_valid(table["kind"])))
    assert "not one row" in failing(corpus)["ledger"][0]


def test_other_totals_than_the_ledger(corpus: Path) -> None:
    stats = json.loads((corpus / "stats.json").read_text())
    stats["samples"]["silence"] += 1
    (corpus / "stats.json").write_text(json.dumps(stats))
    assert failing(corpus).keys() == {"ledger"}


def test_a_lost_clip(corpus: Path) -> None:
    rewrite(shard(corpus), lambda table: table[1:])
    problems = failing(corpus)
    assert problems.keys() == {"files", "clips"}
    assert len(problems["clips"]) == 1


def test_a_clip_twice(corpus: Path) -> None:
    rewrite(shard(corpus), lambda table: pa.concat_tables([table[:1], table]))
    problems = failing(corpus)
    assert problems.keys() == {"files", "clips"}
    assert "there twice" in " ".join(problems["clips"])


def test_clips_in_the_wrong_split(corpus: Path) -> None:
    name, other = f"data/{shard(corpus).name}", "data/validation-00000-00000.parquet"
    (corpus / name).rename(corpus / other)
    record = (corpus / "run.json").read_text()
    (corpus / "run.json").write_text(record.replace(name, other))
    problems = failing(corpus)
    assert problems.keys() == {"clips", "croissant"}
    assert "belongs to train" in problems["clips"][0]


def test_a_licence_that_is_not_allowed(corpus: Path) -> None:
    run = json.loads((corpus / "run.json").read_text())
    run["config"]["licences"]["allow"] = ["CC0-1.0"]
    (corpus / "run.json").write_text(json.dumps(run))
    problems = failing(corpus)
    assert problems.keys() == {"clips"}
    assert "CC-BY-4.0, which is not allowed" in problems["clips"][0]


def test_an_identity_that_does_not_follow_from_the_place(corpus: Path) -> None:
    for path in (corpus / "pool.parquet" / "part-00000.parquet", corpus / "ledger.parquet"):
        rows = pq.read_table(path).to_pylist()
        at = next(i for i, row in enumerate(rows) if row["clip_id"] and row["decision"] == "rejected")
        edit(path, lambda row: row.update(clip_id="0" * 32), at)
    problems = failing(corpus)
    assert problems.keys() == {"files", "clips"}
    assert "is not the id of its place" in problems["clips"][0]


def test_a_column_of_another_type(corpus: Path) -> None:
    rewrite(shard(corpus), lambda t: t.set_column(t.column_names.index("start"), "start", t["start"].cast(pa.int32())))
    problems = failing(corpus)
    assert problems.keys() == {"files", "schema"}
    assert "start (written by speechmill" in problems["schema"][0]


def test_numbers_that_the_audio_does_not_give(corpus: Path) -> None:
    edit(shard(corpus), lambda row: row.update(loudness_lufs=row["loudness_lufs"] + 0.001))
    problems = failing(corpus, rows=1)
    assert problems.keys() == {"files", "clips", "audio"}
    assert len(problems["audio"]) == 1
    assert "loudness_lufs" in problems["audio"][0]


def test_words_that_the_audio_does_not_give(corpus: Path) -> None:
    edit(shard(corpus), lambda row: row.update(text="Nobody said this."))
    problems = failing(corpus, rows=1)
    assert problems.keys() == {"files", "mel_tokens", "transcripts"}
    assert "text_normalized, text_tokens, speaking_rate do not follow from its text" in problems["mel_tokens"][0]
    assert "Nobody said this." in problems["transcripts"][0]


def test_words_outside_the_clip_and_text_that_is_not_clean(corpus: Path) -> None:
    edit(shard(corpus), lambda row: row["words"][-1].update(end_s=row["duration_s"] + 1, word="e\u0301\x07"))
    problems = failing(corpus, rows=1)
    assert problems.keys() == {"files", "audio", "transcripts"}
    assert any("is not within the clip" in problem for problem in problems["audio"])
    assert any("not clean" in problem for problem in problems["audio"])


@pytest.mark.parametrize(("rate", "channels", "cut"), [(24_000, 1, 1), (16_000, 1, 0), (24_000, 2, 0)])
def test_audio_that_is_not_what_its_row_says(corpus: Path, rate: int, channels: int, cut: int) -> None:
    def change(row: dict[str, Any]) -> None:
        wave = np.zeros((row["end"] - row["start"] - cut, channels), np.int16)
        buffer = io.BytesIO()
        soundfile.write(buffer, wave, rate, format="FLAC", subtype="PCM_16")
        row["audio"]["bytes"] = buffer.getvalue()

    run = json.loads((corpus / "run.json").read_text())
    run["profiles"]["transcribe"] = "another"
    (corpus / "run.json").write_text(json.dumps(run))
    edit(shard(corpus), change)
    assert failing(corpus, rows=1).keys() == {"files", "audio", "mel_tokens"}


def test_audio_that_does_not_decode(corpus: Path) -> None:
    run = json.loads((corpus / "run.json").read_text())
    run["profiles"]["transcribe"] = "another"
    (corpus / "run.json").write_text(json.dumps(run))
    edit(shard(corpus), lambda row: row["audio"].update(bytes=b"rubbish"))
    problems = failing(corpus, rows=1)
    assert problems.keys() == {"files", "audio"}
    assert "does not decode" in problems["audio"][0]
