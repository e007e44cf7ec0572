"""Finds files that stand one behind the other in one file: links of a chained Ogg, WAVs or MP4s that were put together.

FFmpeg drops what is behind the first WAV or MP4, and follows a chain of Ogg only as long as rate, channels and codec
stay; none of it is an error. So each link is decoded as a file of its own.
"""

import io
import itertools
from collections.abc import Iterator
from typing import IO, Literal

from speechmill.audio.extent import Extent, Window, bounded

MAX_LINKS = 1_000  # as many as a day of songs of 90 s
PAGE_HEADER_BYTES = 27
BEGINS = 0x02  # flag of the first page of a stream
ATOM_BYTES = 16  # size, name, and a size of 64 bits
CHUNKED: dict[bytes, Literal["little", "big"]] = {b"RIFFWAVE": "little", b"FORMAIFF": "big", b"FORMAIFC": "big"}


def opened(file: IO[bytes]) -> list[tuple[IO[bytes], Extent]]:
    """Windows on the links, in order: the whole file where it has one, or more than MAX_LINKS."""
    window, extent = bounded(file)
    starts = list(itertools.islice(_starts(window), MAX_LINKS + 1))
    if not 1 < len(starts) <= MAX_LINKS:
        return [(window, extent)]
    size = window.seek(0, io.SEEK_END)
    parts = [Extent(start, end) for start, end in zip(starts, [*starts[1:], size], strict=True)]
    return [bounded(Window(window, part)) for part in parts]  # type: ignore[arg-type]


def _starts(file: IO[bytes]) -> Iterator[int]:
    """Offsets of the links; nothing where the format has none."""
    file.seek(0)
    head = file.read(12)
    if head[:4] == b"OggS":
        yield from _ogg(file)
    elif head[:4] + head[8:] in CHUNKED:
        yield from _chunked(file, head)
    elif head[4:8] == b"ftyp":
        yield from _mp4(file)


def _ogg(file: IO[bytes]) -> Iterator[int]:
    """First pages of streams; those of streams side by side are behind each other."""
    at, was_first = 0, False
    while True:
        file.seek(at)
        header = file.read(PAGE_HEADER_BYTES + 255)
        if len(header) < PAGE_HEADER_BYTES or header[:4] != b"OggS":
            return  # the end, or damage: FFmpeg looks for the next page
        is_first = bool(header[5] & BEGINS)
        if is_first and not was_first:
            yield at
        was_first = is_first
        at += PAGE_HEADER_BYTES + header[26] + sum(header[PAGE_HEADER_BYTES : PAGE_HEADER_BYTES + header[26]])


def _chunked(file: IO[bytes], head: bytes) -> Iterator[int]:
    at, found = 0, head
    while len(found) == len(head) and found[:4] + found[8:] == head[:4] + head[8:]:
        yield at
        length = int.from_bytes(found[4:8], CHUNKED[head[:4] + head[8:]])
        at += 8 + length + length % 2
        file.seek(at)
        found = file.read(len(head))


def _mp4(file: IO[bytes]) -> Iterator[int]:
    at = 0
    while True:
        file.seek(at)
        atom = file.read(ATOM_BYTES)
        size = int.from_bytes(atom[8:16] if atom[:4] == b"\0\0\0\1" else atom[:4], "big")
        if len(atom) < ATOM_BYTES or size < 8:
            return
        if atom[4:8] == b"ftyp":
            yield at
        at += size
