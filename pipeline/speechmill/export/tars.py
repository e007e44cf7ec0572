"""Tar files that are written in one go: each byte of a member is hashed once and written once.

Python's tarfile copies members through a file object, and makes an object of each. These have the same bytes.
"""

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager

from speechmill.core.store import Store
from speechmill.export import folder

EMPTY_BLOCKS = 2  # at the end of a tar file


class TarWriter:
    """A tar file that is being written, as GNU tar makes them; members have neither times nor owners."""

    def __init__(self, file: folder.HashedFile) -> None:
        self._file = file

    def add(self, name: str, content: bytes) -> None:
        """Add a member."""
        header = tarfile.TarInfo(name)
        header.size = len(content)
        padding = bytes(-len(content) % tarfile.BLOCKSIZE)
        self._file.write(header.tobuf(tarfile.GNU_FORMAT))
        self._file.write(content)
        self._file.write(padding)

    def close(self) -> None:
        """Write the end, up to a whole record."""
        end = self._file.tell() + EMPTY_BLOCKS * tarfile.BLOCKSIZE
        self._file.write(bytes(EMPTY_BLOCKS * tarfile.BLOCKSIZE + -end % tarfile.RECORDSIZE))


@contextmanager
def tar_file(output: Store, name: str) -> Iterator[tuple[TarWriter, folder.HashedFile]]:
    """Open a tar file that appears, complete, when the block ends; also the file, for its hash and size."""
    with folder.hashed(output, name) as file:
        tar = TarWriter(file)
        yield tar, file
        tar.close()
