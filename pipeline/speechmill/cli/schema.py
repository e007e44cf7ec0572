"""Schema files, generated from the code: JSON Schema of the config, and columns of a corpus.

They are for readers of a corpus without Python. A test compares them with the code.
"""

import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa

from speechmill.core.config import RunConfig
from speechmill.core.config_errors import ConfigError
from speechmill.core.records import LEDGER, RECORDINGS
from speechmill.publish.columns import data_schema, every_column, pool_schema

COLUMN = {"name", "type", "description", "unit", "nullable"}  # keys of the description of a column


def write_schemas(folder: str, *, check: bool) -> list[str]:
    """Write the schema files into `folder`, or with `check` only compare them; returns the names of changed files.

    Raises ConfigError, before anything is written, if a file to replace is not a schema of speechmill.
    """
    texts = {name: json.dumps(value, indent=2, ensure_ascii=False) + "\n" for name, value in _schemas().items()}
    paths = {name: Path(folder, name) for name in texts}
    changed = [name for name, path in paths.items() if not path.is_file() or path.read_bytes() != texts[name].encode()]
    if check:
        return changed
    if foreign := [name for name in changed if os.path.lexists(paths[name]) and not _is_schema(paths[name])]:
        raise ConfigError(f"{folder}: not replaced, since they are no schemas of speechmill: {', '.join(foreign)}")
    for name in changed:
        paths[name].parent.mkdir(parents=True, exist_ok=True)
        paths[name].write_text(texts[name], encoding="utf-8")
    return changed


def _is_schema(path: Path) -> bool:
    """Whether a file looks like a schema of this or another version."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    if isinstance(value, list):
        return all(isinstance(column, dict) and column.keys() >= COLUMN for column in value)
    return isinstance(value, dict) and value.get("title") == RunConfig.__name__


def _schemas() -> dict[str, Any]:
    """Contents by file name; `data` and `pool` with the columns of all stages."""
    return {
        "config.schema.json": RunConfig.model_json_schema(),
        "data.json": _columns(data_schema(every_column())),
        "pool.json": _columns(pool_schema(every_column())),
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
