"""Parquet with sound in it, as Hugging Face's datasets and corpora of ours have: `audio` is {bytes, path}."""

import os
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from speechmill.corpus.check.items import Item, described, id_of, split_of

AUDIO = "audio"
BATCH_ROWS = 32
LONG = ("mel_tokens", "text_tokens", "words")  # columns of ours that are not needed


def recognises(folder: str, names: list[str]) -> bool:
    """Whether a corpus has such a file."""
    return any(True for _ in _files(folder, names))


def items(folder: str, names: list[str]) -> Iterator[Item]:
    """Rows of all files with sound; those whose sound is a path are files beside them."""
    for name in names:
        if not name.endswith(".parquet"):
            continue
        try:
            with pq.ParquetFile(os.path.join(folder, name), pre_buffer=False) as file:
                if _has_audio(file.schema_arrow):
                    yield from _rows(folder, name, file)
        except (pa.ArrowException, OSError) as error:
            yield Item(id=name, fault=str(error))


def _files(folder: str, names: list[str]) -> Iterator[str]:
    for name in names:
        if name.endswith(".parquet"):
            try:
                if _has_audio(pq.read_schema(os.path.join(folder, name))):
                    yield name
            except (pa.ArrowException, OSError):
                continue


def _has_audio(schema: pa.Schema) -> bool:
    kind = schema.field(AUDIO).type if AUDIO in schema.names else None
    return kind is not None and pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0


def _rows(folder: str, name: str, file: pq.ParquetFile) -> Iterator[Item]:
    split, number = split_of(name), 0
    columns = [column for column in file.schema_arrow.names if column not in LONG]
    for batch in file.iter_batches(BATCH_ROWS, columns=columns):
        for row in batch.to_pylist():
            audio = row.pop(AUDIO) or {}
            yield described(id_of(row, f"{name} row {number}"), row, split, **_place(folder, name, audio))
            number += 1


def _place(folder: str, name: str, audio: dict[str, Any]) -> dict[str, Any]:
    if audio.get("bytes"):
        return {"sound": audio["bytes"]}
    if audio.get("path"):
        return {"path": os.path.normpath(os.path.join(folder, os.path.dirname(name), audio["path"]))}
    return {"fault": "no sound in its row"}
