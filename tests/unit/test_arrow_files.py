"""Arrow reads and writes files that Python opened, and those that only Python can."""

import io
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from speechmill.core import arrow_files

TABLE = pa.table({"flac": pa.array([b"one", None, b"three"], pa.binary())})


def write(file: IO[bytes]) -> None:
    with arrow_files.parquet_writer(file, TABLE.schema, {"compression": "none"}) as writer:
        writer.write_table(TABLE)


def test_a_local_file_is_opened_by_its_descriptor_though_its_name_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    with path.open("w+b") as file:
        path.rename(tmp_path / "b.parquet")
        write(file)
        assert not path.exists()
        with arrow_files.for_reading(file) as source:
            assert isinstance(source, pa.OSFile)
            assert pq.ParquetFile(source).read().equals(TABLE)


def test_a_file_in_memory_or_a_system_without_descriptors_gives_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory, path = io.BytesIO(), tmp_path / "a.parquet"
    write(memory)
    with arrow_files.for_reading(memory) as source:
        assert source is memory
    with path.open("wb") as file:
        write(file)
    assert path.read_bytes() == memory.getvalue()
    monkeypatch.setattr(arrow_files, "DESCRIPTORS", str(tmp_path / "none"))
    with path.open("wb") as file:
        write(file)
    assert path.read_bytes() == memory.getvalue()


def test_sound_is_stored_as_it_is_and_all_else_compressed_and_encoded() -> None:
    words = pa.list_(pa.struct([("word", pa.string())]))
    schema = pa.schema([("clip_id", pa.string()), ("flac", pa.binary()), ("words", words)])
    row = {"clip_id": "a", "flac": bytes(5_000), "words": [{"word": "one"}, {"word": "one"}]}
    memory = io.BytesIO()
    with arrow_files.parquet_writer(memory, schema, arrow_files.stored_plain(schema, "flac")) as writer:
        writer.write_table(pa.Table.from_pylist([row] * 50, schema=schema))
    group = pq.ParquetFile(memory).metadata.row_group(0)
    columns = {group.column(at).path_in_schema: group.column(at) for at in range(group.num_columns)}
    assert columns["flac"].total_compressed_size > 50 * 5_000
    assert {path: (column.compression, column.has_dictionary_page) for path, column in columns.items()} == {
        "clip_id": ("ZSTD", True), "flac": ("UNCOMPRESSED", False), "words.list.element.word": ("ZSTD", True),
    }  # fmt: skip
