"""The schema files: what a config may hold and what the columns of a corpus are, generated from the code.

They are for readers of a corpus who have no Python at hand. A test holds them equal to the code.
"""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.config import RunConfig
from pipeline.records import EVERYTHING, LEDGER, RECORDINGS, data_schema, pool_schema


def write_schemas(folder: str, *, check: bool) -> list[str]:
    """Write the schema files into `folder`, or only compare them. Returns the names of those that differed."""
    changed = []
    for name, value in _schemas().items():
        path, text = Path(folder, name), json.dumps(value, indent=2, ensure_ascii=False) + "\n"
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        changed.append(name)
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return changed


def _schemas() -> dict[str, Any]:
    """Contents by file name; of `data` and `pool` all columns that any run writes."""
    return {
        "config.schema.json": RunConfig.model_json_schema(),
        "data.json": _columns(data_schema(EVERYTHING)),
        "pool.json": _columns(pool_schema(EVERYTHING)),
        "ledger.json": _columns(LEDGER),
        "recordings.json": _columns(RECORDINGS),
    }


def _columns(schema: pa.Schema) -> list[dict[str, Any]]:
    return [
        {
            "name": field.name,
            "type": str(field.type),
            "description": field.metadata[b"description"].decode(),
            "unit": field.metadata.get(b"unit", b"").decode() or None,
            "nullable": field.nullable,
        }
        for field in schema
    ]
