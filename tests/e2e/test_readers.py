"""`data/` opens, as it is, in every reader that people use."""

import io
from pathlib import Path

import datasets
import duckdb
import polars
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
import soundfile
from speechmill.publish.columns import data_schema, every_column
from speechmill.stages import RESTORE, SEGMENT, SPEAKERS


@pytest.fixture(scope="module")
def rows(corpus: Path) -> list[dict]:
    return pq.read_table(corpus / "data").to_pylist()


def check_sound(audio: dict, row: dict) -> None:
    samples, rate = soundfile.read(io.BytesIO(audio["bytes"]))
    assert rate == row["sampling_rate"] == 24_000
    assert samples.ndim == 1
    assert len(samples) == row["end"] - row["start"]
    assert audio["path"] == f"{row['clip_id']}.flac"


def test_pyarrow(corpus: Path, rows: list[dict]) -> None:
    columns = [
        column for column in every_column() if column not in (*SPEAKERS.columns, *SEGMENT.columns, *RESTORE.columns)
    ]
    schema = data_schema(columns)
    assert pyarrow.dataset.dataset(corpus / "data").schema.equals(schema)
    assert len(rows) > 3
    for row in rows:
        check_sound(row["audio"], row)
        assert row["words"]
        assert all(0 <= w["start_s"] <= w["end_s"] <= row["duration_s"] + 0.1 for w in row["words"])


def test_duckdb(corpus: Path, rows: list[dict]) -> None:
    query = f"select clip_id, octet_length(audio.bytes) as n from '{corpus}/data/*.parquet' where duration_s > 5"
    assert dict(duckdb.sql(query).fetchall()) == {r["clip_id"]: len(r["audio"]["bytes"]) for r in rows}


def test_polars(corpus: Path, rows: list[dict]) -> None:
    frame = polars.read_parquet(corpus / "data" / "*.parquet")
    assert sorted(frame["text"]) == sorted(row["text"] for row in rows)
    check_sound(frame["audio"][0], frame.row(0, named=True))


@pytest.mark.parametrize("streaming", [False, True])
def test_datasets(corpus: Path, rows: list[dict], *, streaming: bool, tmp_path: Path) -> None:
    found = datasets.load_dataset(str(corpus), streaming=streaming, cache_dir=str(tmp_path))
    by_id = {row["clip_id"]: row for row in rows}
    seen = 0
    for split in found.values():
        assert isinstance(split.features["audio"], datasets.Audio)
        assert split.features["audio"].sampling_rate == 24_000
        for row in split.cast_column("audio", datasets.Audio(decode=False)):
            check_sound(row["audio"], row)
            assert row["text"] == by_id[row["clip_id"]]["text"]
            seen += 1
    assert seen == len(rows)
    only_data = datasets.load_dataset("parquet", data_dir=str(corpus / "data"), cache_dir=str(tmp_path / "other"))
    assert sum(len(split) for split in only_data.values()) == len(rows)


def test_shards_are_laid_out_for_readers(corpus: Path) -> None:
    for path in (corpus / "data").iterdir():
        file = pq.ParquetFile(path)
        ids = file.read(["recording_id", "start"]).to_pylist()
        assert ids == sorted(ids, key=lambda row: (row["recording_id"], row["start"]))
        for group in range(file.num_row_groups):
            columns = file.metadata.row_group(group)
            assert columns.num_rows <= 100
            for column in (columns.column(i) for i in range(columns.num_columns)):
                is_audio = column.path_in_schema == "audio.bytes"
                assert column.compression == ("UNCOMPRESSED" if is_audio else "ZSTD"), column.path_in_schema
        assert all(field.metadata[b"description"] for field in file.schema_arrow)
