"""Tar files that are written in one go: each byte of a member is hashed once and written once.

Python's tarfile copies members through a file object, and makes an object of each. These have the same bytes, in a
fifth of the time for a header. They are read back by tarfile, which is spared the parsing of headers that are plain.
"""

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from speechmill.core.store import Store
from speechmill.export import folder
from speechmill.export.base import Content

EMPTY_BLOCKS = 2  # at the end of a tar file
LONGEST_NAME, LARGEST = 100, 8**11 - 1  # that a plain header holds, in bytes
TEMPLATE = tarfile.TarInfo("").tobuf(tarfile.GNU_FORMAT)
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
        self._file.write(header(name, len(content)))
        self._file.write(content)
        self._file.write(padding)

    def close(self) -> None:
        """Write the end, up to a whole record."""
        end = self._file.tell() + EMPTY_BLOCKS * tarfile.BLOCKSIZE
        self._file.write(bytes(EMPTY_BLOCKS * tarfile.BLOCKSIZE + -end % tarfile.RECORDSIZE))


class _Member(tarfile.TarInfo):
    """A member whose header is compared with one that `header` makes, and parsed where it is another."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Member":
        try:
            name, size = buf[:LONGEST_NAME].rstrip(b"\0").decode("ascii"), int(buf[SIZE], 8)
            is_plain = buf == header(name, size)
        except ValueError:
            is_plain = False
        if not is_plain:
            return super().frombuf(buf, encoding, errors)
        member = cls(name)
        member.size = size
        return member


def members(file: IO[bytes]) -> Iterator[tuple[str, IO[bytes]]]:
    """Names of the members of a tar file, each with a file to read it from before the next one."""
    with tarfile.open(fileobj=file, mode="r:", tarinfo=_Member) as tar:
        for member in tar:
            content = tar.extractfile(member)
            assert content is not None
            yield member.name, content


@contextmanager
def tar_file(output: Store, name: str) -> Iterator[tuple[TarWriter, folder.HashedFile]]:
    """Open a tar file that appears, complete, when the block ends; also the file, for its hash and size."""
    with folder.hashed(output, name) as file:
        tar = TarWriter(file)
        yield tar, file
        tar.close()
