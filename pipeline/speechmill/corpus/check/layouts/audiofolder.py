"""Hugging Face's audiofolder: `metadata.csv`, `.jsonl` or `.parquet` that names audio files by `file_name`."""

import csv
import json
import os
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from speechmill.corpus.check.items import Item, described, id_of, split_of

METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
KEY = "file_name"


def recognises(folder: str, names: list[str]) -> bool:
    """Whether a corpus has such metadata."""
    return any(True for _ in _indexes(folder, names))


def items(folder: str, names: list[str]) -> Iterator[Item]:
    """Rows of all metadata."""
    for name in _indexes(folder, names):
        split = split_of(name)
        for number, row in _rows(os.path.join(folder, name)):
            if isinstance(row, Exception) or not isinstance(row.get(KEY), str) or not row[KEY]:
                fault = str(row) if isinstance(row, Exception) else f"no {KEY}"
                yield Item(id=f"{name} line {number}", split=split, fault=fault)
                continue
            path = os.path.normpath(os.path.join(folder, os.path.dirname(name), row[KEY]))
            yield described(id_of(row, row[KEY]), row, split, path=path)


def _indexes(folder: str, names: list[str]) -> Iterator[str]:
    for name in names:
        if os.path.basename(name) in METADATA:
            first = next(_rows(os.path.join(folder, name)), (0, None))[1]
            if isinstance(first, dict) and KEY in first:
                yield name


def _rows(path: str) -> Iterator[tuple[int, Any]]:
    """Number and row, or error, of each line."""
    try:
        if path.endswith(".parquet"):
            yield from enumerate(pq.read_table(path).to_pylist(), 1)
            return
        with open(path, encoding="utf-8-sig", errors="replace", newline="") as file:
            if path.endswith(".csv"):
                yield from enumerate(csv.DictReader(file), 2)
                return
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, _parsed(line)
    except (OSError, csv.Error, pa.ArrowException) as error:
        yield 0, error


def _parsed(line: str) -> Any:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        return error
    return value if isinstance(value, dict) else ValueError("not a JSON object")
