"""A corpus with the clips that a test names, in as many shards as it names: tones with texts, published as ours are."""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from speechmill.audio import encode_flac
from speechmill.core.inventory import facts_of
from speechmill.core.store import Store
from speechmill.publish.columns import data_schema, every_column

from tests.tiny_corpus import RATE, publish_tiny

Row = dict[str, Any]
SCHEMA = data_schema(every_column())
GROUP_ROWS = 3  # in a row group, so that a shard has several


@lru_cache(maxsize=1)
def _tiny() -> dict[str, bytes]:
    """Files of a published corpus."""
    with TemporaryDirectory() as folder:
        publish_tiny(Path(folder))
        root = Path(folder) / "tiny"
        return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def clip(number: int, seconds: float = 1.0, **values: Any) -> Row:
    """A clip of a tone whose pitch is its number; `values` are columns."""
    samples = round(seconds * RATE)
    text = values.get("text", f"This is clip {number}.")
    row = {
        "clip_id": f"{number:032x}", "recording_id": f"r{number // 4}", "sampling_rate": RATE, "start": 0,
        "end": samples, "audio": values.get("audio") or _tone(number, samples),
        "duration_s": seconds,
        "text": text, "text_normalized": text and text.lower(), "speaker_id": f"s{number % 2}", "language": "en",
        "licence": "CC-BY-4.0", "title": "A title, with a comma", "author": "Ann", "snr_db": 20.0 + number,
        "source_url": "https://example.org/a.mp3", "bandwidth_hz": 11_000.0,
    }  # fmt: skip
    return row | values


def _tone(number: int, samples: int) -> Row:
    tone = (8_000 * np.sin(2 * np.pi * (200 + 10 * number) * np.arange(samples) / RATE)).astype(np.int16)
    return {"bytes": encode_flac(tone, RATE), "path": f"{number}.flac"}


def make_corpus(root: Path, shards: Mapping[str, Sequence[Row]], group_rows: int = GROUP_ROWS) -> Path:
    """Write a corpus whose `data/` has these shards, by names such as `train-00000-00000`."""
    for name, content in _tiny().items():
        if not name.startswith(("data/", "work/")):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
    (root / "data").mkdir()
    for name, rows in shards.items():
        table = pa.Table.from_pylist(list(rows), schema=SCHEMA)
        plain = {"use_dictionary": False, "compression": "none"}  # as the sound of ours is
        pq.write_table(table, root / f"data/{name}.parquet", row_group_size=group_rows, **plain)
    publish_again(root)
    return root


def publish_again(root: Path, **run: Any) -> None:
    """Have run.json list the shards as they are; `run` are further keys of it."""
    store = Store(str(root))
    record = json.loads((root / "run.json").read_text())
    tables = {name: facts for name, facts in record["files"].items() if not name.startswith("data/")}
    shards = {f"data/{path.name}": facts_of(store, f"data/{path.name}") for path in (root / "data").iterdir()}
    (root / "run.json").write_text(json.dumps(record | {"files": tables | shards} | run))


def contents(folder: Path) -> dict[str, bytes]:
    """Files of a folder, hidden ones too."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
