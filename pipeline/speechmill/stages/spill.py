"""Sorts more records than memory holds into numbered files."""

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

WAITING_RECORDS = 2_000_000  # in memory before they are written: 50 MB, and three times as much while they are sorted

Records = npt.NDArray[Any]


class Spill:
    """Records of one type in files by number; memory holds those of one file at a time.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, Spill(Path(folder), 2, np.dtype("<u8")) as spill:
    ...     spill.add(np.array([1, 0, 1]), np.array([5, 6, 7], np.uint64))
    ...     [part.tolist() for part in spill.parts()]
    [[6], [5, 7]]
    """

    def __init__(self, folder: Path, parts: int, dtype: np.dtype[Any]) -> None:
        """Write into an existing folder, which must be empty."""
        self._folder, self._parts, self._dtype = folder, parts, dtype
        self._numbers: list[npt.NDArray[np.integer]] = []
        self._records: list[Records] = []
        self._waiting = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for path in self._folder.iterdir():
            path.unlink()

    def add(self, numbers: npt.NDArray[np.integer], records: Records) -> None:
        """Add records [n] to the files of these numbers [n], each below `parts`. Raises OSError if the disk is full."""
        self._numbers.append(numbers)
        self._records.append(records)
        self._waiting += records.size
        if self._waiting >= WAITING_RECORDS:
            self._write()

    def parts(self) -> Iterator[Records]:
        """Yield the records of each file in turn, [m], in the order in which they were added, and delete it."""
        self._write()
        for number in range(self._parts):
            path = self._path(number)
            if path.exists():
                yield np.fromfile(path, self._dtype)
                path.unlink()
            else:
                yield np.zeros(0, self._dtype)

    def _write(self) -> None:
        if not self._waiting:
            return
        numbers, records = np.concatenate(self._numbers), np.concatenate(self._records)
        self._numbers, self._records, self._waiting = [], [], 0
        order = np.argsort(numbers, kind="stable")
        present, firsts = np.unique(numbers[order], return_index=True)
        records = records[order]
        for number, part in zip(present.tolist(), np.split(records, firsts[1:]), strict=True):
            with self._path(number).open("ab") as file:
                file.write(part.tobytes())  # not `tofile`, whose error does not say that the disk is full

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:05}"
