"""What is particular to a language, as data: languages/*.yaml, each a table of the same keys."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).with_name("languages")
LANGUAGES = tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))  # ISO 639-1


class Table:
    """A language's table. A key that it lacks is empty: what needs it is not read in that language."""

    def __init__(self, language: str, data: dict[str, Any]) -> None:
        self.language = language
        self._data = data
        self.signs: dict[str, Any] = data["signs"]
        self.currencies: dict[str, dict[str, Any]] = data["currencies"]

    def text(self, key: str) -> str:
        """A string, "" where there is none."""
        return str(self._data.get(key) or "")

    def list(self, key: str) -> list[Any]:
        """A list, empty where there is none."""
        return list(self._data.get(key) or ())

    def map(self, key: str) -> dict[str, Any]:
        """A mapping, empty where there is none."""
        return dict(self._data.get(key) or {})

    @property
    def largest(self) -> int:
        """The largest number that is read as one."""
        return int(self._data["largest"])

    @property
    def is_slavic(self) -> bool:
        """Whether every number has a case."""
        return self.text("agrees") == "slavic"

    def gender(self, noun: str) -> str | None:
        """The gender of a noun of the table, as it is spelt there."""
        return self._genders.get(noun)

    @property
    def _genders(self) -> dict[str, str]:
        nouns = self._data.get("nouns") or {}
        return {} if self.is_slavic else {noun: gender for gender, all_ in nouns.items() for noun in all_}


@lru_cache(maxsize=16)
def context(kind: str) -> frozenset[str]:
    """Words of all languages that say what a number near them is, of one kind."""
    return frozenset(yaml.safe_load(FOLDER.with_name("context.yaml").read_text(encoding="utf-8"))[kind])


@lru_cache(maxsize=16)
def table_of(language: str) -> Table:
    """The table of one of LANGUAGES."""
    return Table(language, yaml.safe_load((FOLDER / f"{language}.yaml").read_text(encoding="utf-8")))
