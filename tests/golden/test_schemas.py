"""The committed schema files are what the code says."""

import json
from pathlib import Path

import pytest
from speechmill.cli.schema import write_schemas
from speechmill.core.config_errors import ConfigError

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


@pytest.mark.parametrize("own", ['{"title": "My data"}', '[{"name": "a"}]', "no json", ""])
def test_a_file_that_is_no_schema_is_not_replaced_and_nothing_else_is_written(tmp_path: Path, own: str) -> None:
    (tmp_path / "pool.json").write_text(own)
    with pytest.raises(ConfigError, match=r"no schemas of speechmill: pool\.json"):
        write_schemas(str(tmp_path), check=False)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"pool.json": own}


def test_a_schema_of_another_version_is_replaced(tmp_path: Path) -> None:
    write_schemas(str(tmp_path), check=False)
    for name, old in (("config.schema.json", {"title": "RunConfig"}), ("data.json", _columns_of("data")[:3])):
        (tmp_path / name).write_text(json.dumps(old))
    assert write_schemas(str(tmp_path), check=False) == ["config.schema.json", "data.json"]


def _columns_of(name: str) -> list[dict[str, object]]:
    columns: list[dict[str, object]] = json.loads((SCHEMAS / f"{name}.json").read_text())
    return columns
