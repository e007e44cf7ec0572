"""Tables of the languages: languages/*.yaml, all with the same keys."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).with_name("languages")
LANGUAGES = tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))  # ISO 639-1


class Table:
    """A language's table. A missing key is empty: what needs it is not read in that language."""

    def __init__(self, language: str, data: dict[str, Any]) -> None:
        self.language = language
        self._data = data
        self.signs: dict[str, Any] = data["signs"]
        self.currencies: dict[str, dict[str, Any]] = data["currencies"]

    def text(self, key: str) -> str:
        """A string, "" if missing."""
        return str(self._data.get(key) or "")

    def list(self, key: str) -> list[Any]:
        """A list, empty if missing."""
        return list(self._data.get(key) or ())

    def map(self, key: str) -> dict[str, Any]:
        """A mapping, empty if missing."""
        return dict(self._data.get(key) or {})

    @property
    def largest(self) -> int:
        """The largest number that is read as one number."""
        return int(self._data["largest"])

    @property
    def is_slavic(self) -> bool:
        """Whether numbers are inflected for case."""
        return self.text("agrees") == "slavic"

    def gender(self, noun: str) -> str | None:
        """Gender of a noun in the table, as it is spelt there."""
        return self._genders.get(noun)

    @property
    def _genders(self) -> dict[str, str]:
        nouns = self._data.get("nouns") or {}
        return {} if self.is_slavic else {noun: gender for gender, words in nouns.items() for noun in words}


@lru_cache(maxsize=16)
def context(kind: str) -> frozenset[str]:
    """Words of all languages that show what kind of number is next to them."""
    return frozenset(yaml.safe_load(FOLDER.with_name("context.yaml").read_text(encoding="utf-8"))[kind])


@lru_cache(maxsize=16)
def table_of(language: str) -> Table:
    """The table of one of LANGUAGES."""
    return Table(language, yaml.safe_load((FOLDER / f"{language}.yaml").read_text(encoding="utf-8")))
