"""Finds files that stand one behind the other in one file: links of a chained Ogg, WAVs or MP4s that were put together.

FFmpeg drops what is behind the first WAV, MP4 or TTA, takes the head of a second CAF for sound, and follows a chain of
Ogg only as long as rate, channels and codec stay; none of it is an error. So each link is decoded as a file of its own.
"""

import io
import itertools
import struct
from collections.abc import Iterator
from typing import IO, Literal

from speechmill.audio.chunks import read, whole
from speechmill.audio.extent import MAX_TAGS, Extent, Window, after_tags, bounded, stated_sound

TTA_BYTES, WAVPACK_BYTES, ID3V1_BYTES = 22, 32, 128
TTA_FRAMES = 1_000_000  # of about a second: 11 days
MAX_LINKS = 1_000  # as many as a day of songs of 90 s
PAGE_HEADER_BYTES = 27
BEGINS = 0x02  # flag of the first page of a stream
ATOM_BYTES = 16  # size, name, and a size of 64 bits
CHUNKED: dict[bytes, Literal["little", "big"]] = {b"RIFFWAVE": "little", b"FORMAIFF": "big", b"FORMAIFC": "big"}


def opened(file: IO[bytes]) -> list[tuple[IO[bytes], Extent]]:
    """Windows on the links, in order: the whole file where it has one, or more than MAX_LINKS."""
    size = file.seek(0, io.SEEK_END)
    first = after_tags(file, size)
    window: IO[bytes] = Window(file, Extent(first, size))  # type: ignore[assignment]
    starts = list(itertools.islice(_starts(window), MAX_LINKS + 1))
    if not 1 < len(starts) <= MAX_LINKS:
        return [bounded(file)]
    parts = [Extent(start, end) for start, end in zip(starts, [*starts[1:], size - first], strict=True)]
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
    elif head[:4] == b"wvpk":
        yield from _wavpack(file)
    elif head[:4] == b"TTA1":
        yield from _tta(file)
    else:
        yield from _stated(file, head[:4])


def _stated(file: IO[bytes], magic: bytes) -> Iterator[int]:
    """CAF, Wave64 and AU, which state where their sound ends."""
    at = 0
    while True:
        yield at
        kind, sound = stated_sound(file, at, read(file, at, 24))
        if sound is None or sound.size <= 0:
            return
        at = sound.data + whole(sound.size, kind.align)
        if read(file, at, 4) != magic:
            return


def _wavpack(file: IO[bytes]) -> Iterator[int]:
    """Blocks that hold the first sample; those of further channels are behind each other."""
    at, was_first = 0, False
    while len(header := read(file, at := _behind_tags(file, at), WAVPACK_BYTES)) == WAVPACK_BYTES:
        if header[:4] != b"wvpk":
            return  # damage: FFmpeg looks for the next block
        is_first = not any(header[16:20]) and any(header[20:24])
        if is_first and not was_first:
            yield at
        was_first = is_first
        at += 8 + int.from_bytes(header[4:8], "little")


def _tta(file: IO[bytes]) -> Iterator[int]:
    at = 0
    while (header := read(file, at := _behind_tags(file, at), TTA_BYTES))[:4] == b"TTA1" and len(header) == TTA_BYTES:
        yield at
        rate, samples = int.from_bytes(header[10:14], "little"), int.from_bytes(header[14:18], "little")
        count = -(-samples // max(rate * 256 // 245, 1))
        if not 0 < count <= TTA_FRAMES:
            return
        table = read(file, at + TTA_BYTES, 4 * count)
        at += TTA_BYTES + len(table) + 4 + sum(entry for (entry,) in struct.iter_unpack("<I", table[: len(table) & ~3]))


def _behind_tags(file: IO[bytes], at: int) -> int:
    """Offset behind APE and ID3v1 tags, which end a file; another file may follow."""
    for _ in range(MAX_TAGS):
        head = read(file, at, 16)
        if head[:8] == b"APETAGEX":
            at += 32 + int.from_bytes(head[12:16], "little")
        elif head[:3] == b"TAG":
            at += ID3V1_BYTES
        else:
            break
    return at


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
