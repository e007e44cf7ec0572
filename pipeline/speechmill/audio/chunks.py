"""Walks the chunks of WAV, AIFF, CAF and Wave64, whose sizes and padding are often wrong."""

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

MAX_CHUNKS = 1_000
MAX_BYTES = 2**43  # sizes of 64 bits may point beyond what file systems can seek to
WRAP = 2**32


@dataclass(frozen=True, slots=True)
class Chunks:
    """How a format chains its chunks: identifier, size, content."""

    first: int  # offset of the first chunk
    data: bytes  # identifier of the audio chunk
    size: str  # of a chunk: format for struct
    own: int = 0  # bytes of the chunk's header that are included in its size
    align: int = 1
    unknown: int | None = None  # size that makes FFmpeg read to the end; None: the true size is written
    describing: bytes = b""  # identifier of the chunk that states rate and channels


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk: where its content begins, the size of that, and whether FFmpeg looks for it one byte further."""

    name: bytes
    content: int
    size: int
    is_shifted: bool = False


RIFF = Chunks(12, b"data", "<I", align=2, unknown=WRAP - 1, describing=b"fmt ")
RIFX = Chunks(12, b"data", ">I", align=2, describing=b"fmt ")
AU = Chunks(0, b"", ">I", unknown=WRAP - 1)
FORMATS = {
    b"RIFF": RIFF,
    b"RF64": RIFF,
    b"BW64": RIFF,
    b"FORM": Chunks(12, b"SSND", ">I", align=2, describing=b"COMM"),
    b"caff": Chunks(8, b"data", ">q", unknown=-1),
    b"riff": Chunks(40, b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a", "<Q", own=24, align=8),
}


def walk(file: IO[bytes], start: int, kind: Chunks) -> Iterator[Chunk]:
    """The chunks of a file that begins at `start`. A byte that pads one of odd length may be missing."""
    at, is_shifted = start + kind.first, False
    width = len(kind.data) + struct.calcsize(kind.size)
    for _ in range(MAX_CHUNKS):
        if (head := _header(file, kind, at)) is None:
            return
        name, stated = head
        yield Chunk(name, at + width, stated - kind.own, is_shifted)
        if stated < kind.own:
            return
        end = at + width + stated - kind.own
        at = at + width + whole(stated - kind.own, kind.align)
        if at != end and _lacks_padding(file, kind, end):
            at, is_shifted = end, True


def _lacks_padding(file: IO[bytes], kind: Chunks, end: int) -> bool:
    """Whether the next chunk begins right behind one of odd length: its name can be one, and its size can be true."""
    if kind.align != 2:
        return False
    first, second = _header(file, kind, end), _header(file, kind, end + 1)
    if first is None or not is_name(first[0]):
        return False
    if first[0] in (kind.data, kind.describing) or second is None or not is_name(second[0]):
        return True
    size = file.seek(0, io.SEEK_END)
    return end + first[1] <= size < end + second[1] and second[0] != kind.data


def _header(file: IO[bytes], kind: Chunks, at: int) -> tuple[bytes, int] | None:
    """Name and stated size of a chunk; None at the end of the file."""
    head = read(file, at, len(kind.data) + struct.calcsize(kind.size))
    if len(head) < len(kind.data) + struct.calcsize(kind.size):
        return None
    return head[: len(kind.data)], struct.unpack(kind.size, head[len(kind.data) :])[0]


def is_name(name: bytes) -> bool:
    """Whether four bytes may be the identifier of a chunk."""
    return all(32 <= letter < 127 for letter in name[:4])


def read(file: IO[bytes], at: int, count: int) -> bytes:
    """Bytes of a file from an offset on; none where it cannot be sought."""
    if not 0 <= at < MAX_BYTES:
        return b""
    file.seek(at)
    return file.read(count)


def whole(size: int, align: int) -> int:
    """The next multiple of `align`."""
    return -(-size // align) * align
