"""Tools of the checks of `verify`: the tables of a finished corpus, row by row, and the result of a check."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from speechmill.core.config import RunConfig
from speechmill.core.store import Store
from speechmill.corpus.reader import names_below
from speechmill.publish.columns import Columns, columns_in

MAX_PROBLEMS = 5  # problems listed for each check
BATCH_ROWS = 1_000

Row = dict[str, Any]


@dataclass(slots=True)
class Check:
    """Result of a check. Only the first MAX_PROBLEMS are kept; all are counted."""

    checked: int = 0
    failed: int = 0
    of: int | None = None
    """Number of all clips, where only a sample of them is checked."""
    problems: list[str] = field(default_factory=list)
    note: str | None = None

    def fail(self, problem: str) -> None:
        """Add a problem."""
        self.failed += 1
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(problem)

    def expect(self, *, that: bool, problem: str) -> None:
        """Add a problem unless `that` is true."""
        if not that:
            self.fail(problem)

    def result(self) -> dict[str, Any]:
        """The result as JSON values."""
        facts: dict[str, Any] = {"ok": not self.failed, "checked": self.checked}
        facts |= {} if self.of is None else {"of": self.of}
        facts |= {"failed": self.failed, "problems": self.problems}
        return facts | ({"note": self.note} if self.note else {})


@dataclass(frozen=True, slots=True)
class CorpusTables:
    """A finished corpus whose tables are read row by row."""

    store: Store
    run: dict[str, Any]
    config: RunConfig
    report: Callable[[str], None] = lambda _: None
    """Called with what is being read."""

    @property
    def columns(self) -> Columns:
        """Columns of the corpus, by its config and the stages that ran."""
        return columns_in(self.config, self.run["profiles"])

    def has(self, stage: str) -> bool:
        """Whether a stage ran."""
        return self.run["profiles"].get(stage) is not None

    def shards(self, split: str) -> list[str]:
        """Names of the files of a split, in order."""
        return names_below(self.run, f"data/{split}-")

    @property
    def pool(self) -> list[str]:
        """Names of the files of the pool, in order."""
        return names_below(self.run, "pool.parquet/")

    def rows(self, names: Iterable[str], columns: list[str] | None = None) -> Iterator[Row]:
        """Rows of files, one file after another."""
        rows = 0
        for name in names:
            for batch in self.store.batches(name, columns, BATCH_ROWS):
                self.report(f"{name}, {rows:,} rows so far" if rows else name)
                yield from batch.to_pylist()
                rows += batch.num_rows
