"""What formats with a list of audio files and `|` between columns have in common."""

from collections.abc import Iterator
from pathlib import PurePosixPath

from speechmill.export.base import Exported


def ids_in(exported: Exported, names: list[str], columns: int, header: str | None = None) -> Iterator[str]:
    """Ids of the clips of lists, by the names of their audio files in the first column.

    Args:
        exported: The files.
        names: Lists to read.
        columns: Number of columns, none of them empty.
        header: First line of each list; None for lists without.

    Raises:
        ValueError: A line has another number of columns, or an empty one.
    """
    for name in names:
        for number, line in enumerate(exported.lines(name)):
            if number == 0 and header is not None:
                if line != header:
                    raise ValueError(f"{name}: its header is {line}")
                continue
            cells = line.split("|")
            if len(cells) != columns or not all(cells):
                raise ValueError(f"{name}: line {number + 1} has not {columns} columns")
            yield PurePosixPath(cells[0]).stem
