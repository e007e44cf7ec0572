"""The clip tables of a corpus in a folder of this process: a review reads a corpus while a run may be writing it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from speechmill.core.store import Store
from speechmill.publish.groups import FOLDER, RECORDS


class ScratchStore(Store):
    """The store of a corpus, with its clip tables elsewhere: what is tabulated changes nothing in the corpus.

    >>> import tempfile
    >>> store = ScratchStore("corpus", tempfile.mkdtemp())
    >>> store.exists("work/tables/00000-of-00001/clips.parquet")
    False
    """

    def __init__(self, root: str, scratch: str) -> None:
        """Open a corpus.

        Args:
            root: Folder or fsspec URL of the corpus.
            scratch: Local folder for clip tables.
        """
        super().__init__(root)
        self._scratch = Store(scratch)

    def exists(self, name: str) -> bool:
        """See Store."""
        return self._scratch.exists(name) if _is_table(name) else super().exists(name)

    def names(self, folder: str) -> list[str]:
        """See Store."""
        return self._scratch.names(folder) if _is_table(folder) else super().names(folder)

    def open(self, name: str) -> IO[bytes]:
        """See Store."""
        return self._scratch.open(name) if _is_table(name) else super().open(name)

    @contextmanager
    def create(self, name: str, *, new: bool = False) -> Iterator[IO[bytes]]:
        """See Store."""
        with self._scratch.create(name, new=new) if _is_table(name) else super().create(name, new=new) as file:
            yield file

    def copy_tables(self) -> None:
        """Copy the clip tables that the corpus has.

        The recordings come first: they name the inputs of a group, so that a group that a run writes at this moment is
        recognised as stale, whichever of its tables were copied.
        """
        names = [entry.name for entry in super().finished_files(FOLDER)]
        for name in sorted(names, key=lambda name: not name.endswith(f"/{RECORDS}.parquet")):
            with super().open(name) as source, self._scratch.create(name) as copy:
                shutil.copyfileobj(source, copy)


def _is_table(name: str) -> bool:
    return name == FOLDER or name.startswith(f"{FOLDER}/")
