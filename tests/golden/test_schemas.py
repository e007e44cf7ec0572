"""The committed schema files are what the code says."""

import json
from pathlib import Path

from pipeline.schema import write_schemas

SCHEMAS = Path(__file__).parents[2] / "schemas"


def test_the_committed_files_are_up_to_date() -> None:
    assert write_schemas(str(SCHEMAS), check=True) == [], "run: speechmill schema"


def test_every_column_is_described() -> None:
    for name in ("data", "pool", "ledger", "recordings"):
        columns = json.loads((SCHEMAS / f"{name}.json").read_text())
        assert columns
        assert all(column["description"] and column["type"] for column in columns)


def test_check_writes_nothing_and_names_what_differs(tmp_path: Path) -> None:
    assert len(write_schemas(str(tmp_path / "new"), check=True)) == 5
    assert not (tmp_path / "new").exists()
    write_schemas(str(tmp_path / "new"), check=False)
    (tmp_path / "new" / "ledger.json").write_text("[]")
    assert write_schemas(str(tmp_path / "new"), check=True) == ["ledger.json"]
    assert write_schemas(str(tmp_path / "new"), check=False) == ["ledger.json"]
    assert write_schemas(str(tmp_path / "new"), check=True) == []
