"""Adds text, speaker and language from the indexes of known corpora to the files beside and below them.

Indexes only add fields: each file is a recording with the same id as without an index, so that a folder
whose index was misread loses nothing. That is why a known layout needs no kind of source of its own.
"""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from speechmill.core.filenames import readable
from speechmill.core.known_corpora import Layout, Row, indexes
from speechmill.core.reasons import Reason
from speechmill.sources import Listed, failed, left_out, plain_text
from speechmill.sources.files.folder import is_hidden
from speechmill.sources.files.recording import leads_outside

MAX_ROWS = 1_000_000  # that have no file yet: as many as an input may have recordings


@dataclass(slots=True)
class Indexes:
    """The indexes below an input, `top`; `roots` are the real paths of all inputs."""

    top: str
    roots: tuple[str, ...]
    _rows: dict[str, tuple[Row, str]] = field(default_factory=dict)  # row and path of its index, by path of the file
    _met: set[str] = field(default_factory=set)  # folders
    _used: set[str] = field(default_factory=set)

    def enter(self, folder: str) -> Iterator[Listed]:
        """Read the indexes of a folder, before the files that they name; yields a row for each broken one."""
        if folder in self._met:
            return
        self._met.add(folder)
        try:
            names = [name for name in os.listdir(folder) if not is_hidden(name)]
        except OSError:  # reported by the walk
            return
        for path, layout in indexes(folder, names):
            if not leads_outside(path, self.roots):
                self._used.add(path)
                yield from self._read(path, layout)

    def _read(self, path: str, layout: Layout) -> Iterator[Listed]:
        folder, below = os.path.dirname(path), self._below(path)
        try:
            for number, row in layout.rows(path):
                if isinstance(row, Exception):
                    detail = f"line {number}: {row}"
                    yield failed("local", f"{below} line {number}", reason=Reason.BAD_FEED, detail=detail)
                elif len(self._rows) >= MAX_ROWS:
                    detail = f"more than {MAX_ROWS} lines; what follows line {number - 1} is not read"
                    yield failed("local", below, reason=Reason.TOO_BIG, detail=detail)
                    return
                else:
                    self._rows[os.path.normpath(os.path.join(folder, row["path"]))] = row, path
        except OSError as error:
            yield failed("local", below, reason=Reason.BAD_FEED, detail=f"{layout.name}: {error.strerror}")

    def is_used(self, path: str) -> bool:
        """Whether a file is an index that was read."""
        return path in self._used

    def row_of(self, path: str) -> tuple[Row, str] | None:
        """Index row of a file, and the name of that index; None if there is none. Each row is returned once."""
        entry = self._rows.pop(os.path.normpath(path), None)
        return entry and (entry[0], readable(os.path.basename(entry[1])))

    def missing(self) -> Iterator[Listed]:
        """A row for each index that names files which do not exist."""
        counts = Counter(index for path, (_, index) in self._rows.items() if not os.path.lexists(path))
        for index, count in sorted(counts.items()):
            detail = f"it names {count} files that are not there"
            yield left_out("local", self._below(index), reason=Reason.NOT_FOUND, detail=detail)

    def _below(self, path: str) -> str:
        return plain_text(readable(os.path.relpath(path, self.top))) or ""
