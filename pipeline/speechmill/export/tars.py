"""Tar files that are written in one go: each byte of a member is hashed once and written once.

Python's tarfile copies members through a file object, and makes an object of each. These have the same bytes, in a
fifth of the time for a header. They are read back alike, by tarfile only where a header is not plain.
"""

import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from speechmill.core.store import Store
from speechmill.export import folder
from speechmill.export.base import Content

ENDS_EARLY = "a tar file ends within a member"
EMPTY_BLOCKS = 2  # at the end of a tar file
LONGEST_NAME, LARGEST = 100, 8**11 - 1  # that a plain header holds, in bytes
TEMPLATE = tarfile.TarInfo("").tobuf(tarfile.GNU_FORMAT)
COPIED_BYTES = 1 << 14  # up to here copying a member costs less than three calls to write it
SIZE, CHECKSUM = slice(124, 135), slice(148, 155)  # octal digits; the checksum is of the block with blanks for it


def header(name: str, size: int) -> bytes:
    """Header of a member, as tarfile makes it.

    >>> tarfile.TarInfo.frombuf(header("a.txt", 5), "utf-8", "strict").size
    5
    """
    encoded = name.encode()
    if len(encoded) > LONGEST_NAME or size > LARGEST or not encoded.isascii():
        member = tarfile.TarInfo(name)
        member.size = size
        return member.tobuf(tarfile.GNU_FORMAT)
    block = bytearray(TEMPLATE)
    block[: len(encoded)] = encoded
    block[SIZE] = b"%011o" % size
    block[CHECKSUM] = b" " * 7
    block[CHECKSUM] = b"%06o\0" % sum(block)
    return bytes(block)


class TarWriter:
    """A tar file that is being written, as GNU tar makes them; members have neither times nor owners."""

    def __init__(self, file: folder.HashedFile) -> None:
        self._file = file

    def add(self, name: str, content: Content) -> None:
        """Add a member."""
        padding = bytes(-len(content) % tarfile.BLOCKSIZE)
        parts = (header(name, len(content)), content, padding)
        for part in (b"".join(parts),) if len(content) < COPIED_BYTES else parts:
            self._file.write(part)

    def close(self) -> None:
        """Write the end, up to a whole record."""
        end = self._file.tell() + EMPTY_BLOCKS * tarfile.BLOCKSIZE
        self._file.write(bytes(EMPTY_BLOCKS * tarfile.BLOCKSIZE + -end % tarfile.RECORDSIZE))


class Member:
    """Content of a member, which is read on demand."""

    def __init__(self, file: IO[bytes], at: int, size: int) -> None:
        self._file, self._at, self._size = file, at, size

    def read(self) -> bytes:
        """All of it. Raises ValueError where the file ends before."""
        self._file.seek(self._at)
        content = self._file.read(self._size)
        if len(content) < self._size:
            raise ValueError(ENDS_EARLY)
        return content


def members(file: IO[bytes]) -> Iterator[tuple[str, Member]]:
    """Names of the members of a tar file that begins where `file` stands, each with its content.

    Plain headers are compared with those that `header` makes; others are parsed by tarfile. Raises ValueError for a
    file that ends within a member, and tarfile.ReadError for one that is no tar file.
    """
    at = file.tell()
    while True:
        file.seek(at)
        plain = _plain(file.read(tarfile.BLOCKSIZE))
        name, begin, size = (plain[0], at + tarfile.BLOCKSIZE, plain[1]) if plain else _parsed(file, at)
        if not name:
            if file.seek(0, io.SEEK_END) < at:
                raise ValueError(ENDS_EARLY)
            return
        yield name, Member(file, begin, size)
        at = begin + size + -size % tarfile.BLOCKSIZE


def _plain(block: bytes) -> tuple[str, int] | None:
    """Name and size of a member with a plain header; None for any other block."""
    try:
        name, size = block[:LONGEST_NAME].rstrip(b"\0").decode("ascii"), int(block[SIZE], 8)
        return (name, size) if name and block == header(name, size) else None
    except ValueError:
        return None


def _parsed(file: IO[bytes], at: int) -> tuple[str, int, int]:
    """Name, first byte and size of the next member from byte `at` on; no name at the end. As tarfile raises."""
    file.seek(at)
    with tarfile.open(fileobj=file, mode="r:") as tar:
        member = tar.next()
    return (member.name, member.offset_data, member.size) if member else ("", 0, 0)


@contextmanager
def tar_file(output: Store, name: str) -> Iterator[tuple[TarWriter, folder.HashedFile]]:
    """Open a tar file that appears, complete, when the block ends; also the file, for its hash and size."""
    with folder.hashed(output, name) as file:
        tar = TarWriter(file)
        yield tar, file
        tar.close()
