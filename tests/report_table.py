"""Reads the table of clips that a report holds."""

import base64
import gzip
import json
import re
from typing import Any

import numpy as np

TABLE = re.compile(r'<script type="text/plain" id="table-of-clips">([^<]*)</script>')


def unpacked(packed: str) -> tuple[dict[str, Any], dict[str, np.ndarray], list[str]]:
    """Head, columns and texts of a packed table, read by the book."""
    data = gzip.decompress(base64.b64decode(packed))
    end = 4 + int.from_bytes(data[:4], "little")
    head, at, columns = json.loads(data[4:end]), end, {}
    for name, width, count in head["buffers"]:
        planes = np.frombuffer(data[at : at + width * count], np.uint8).reshape(width, count)
        columns[name] = sum(planes[place].astype(np.int64) << (8 * place) for place in range(width))
        at += width * count
    return head, columns, data[at:].decode().split("\n")


def columns_in(page: str) -> dict[str, dict[str, Any]]:
    """What a report says of each column with a histogram or a threshold, by name."""
    packed = TABLE.search(page)
    assert packed
    head, _, _ = unpacked(packed[1])
    return {column["name"]: column for column in head["columns"]}
