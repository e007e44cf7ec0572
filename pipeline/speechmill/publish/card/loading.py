"""The part of the card that shows how to load the corpus. Each snippet is run by a test."""

from typing import Any

from speechmill.core.build import Build
from speechmill.publish.models import PLAIN_NAME


def loading(build: Build, stats: dict[str, Any]) -> str:
    """How to load it with datasets, DuckDB, polars and lhotse; '' if there is nothing to load."""
    if not stats["splits"]:
        return ""
    leaf = build.store.root.rstrip("/").rpartition("/")[2]
    folder = leaf if PLAIN_NAME.fullmatch(leaf) else "corpus"
    split = sorted(stats["splits"])[0]
    parts = (_datasets(folder, split), _duckdb(folder), _polars(folder, split), _lhotse(folder, split, build))
    return "\n\n".join(["## How to load", "From beside the folder of the corpus:", *parts])


def _datasets(folder: str, split: str) -> str:
    return f"""\
With [datasets](https://huggingface.co/docs/datasets); on the Hub give the id of the repository in place of the path:

```python
from datasets import load_dataset

clips = load_dataset("./{folder}", split="{split}")
print(clips)
```"""


def _duckdb(folder: str) -> str:
    return f"""\
With [DuckDB](https://duckdb.org): the longest clips, and what the rejected ones were rejected for:

```sql
SELECT clip_id, duration_s, snr_db FROM '{folder}/data/*.parquet' ORDER BY duration_s DESC LIMIT 10;
SELECT unnest(reasons) AS reason, count(*), sum(duration_s) / 3600 AS hours
FROM '{folder}/pool.parquet/*.parquet' GROUP BY reason ORDER BY hours DESC;
```"""  # noqa: S608 - shown, not run; the folder has no quotes


def _polars(folder: str, split: str) -> str:
    return f"""\
With [polars](https://pola.rs), without reading the sound:

```python
import polars

clips = polars.scan_parquet("{folder}/data/{split}-*.parquet").select("clip_id", "duration_s", "licence").collect()
print(clips)
```"""


def _lhotse(folder: str, split: str, build: Build) -> str:
    text = ', text_key="text"' if build.runs("transcribe") else ""
    return f"""\
With [lhotse](https://lhotse.readthedocs.io):

```python
from lhotse import CutSet

cuts = CutSet.from_huggingface_dataset("./{folder}", split="{split}"{text})
print(next(iter(cuts)))
```"""
