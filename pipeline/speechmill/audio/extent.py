"""Finds where the audio of a file begins and ends; sizes in headers of PCM files are often wrong.

A size of 32 bits wraps beyond 4 GiB, a writer to a pipe or one that was killed leaves 0 or the highest number,
and FFmpeg trusts it: of 6 hours it decodes 10 s. Here a size is trusted if the file ends where it
says, or if other chunks follow there; else the audio goes on to the end of the file.
"""

import io
import struct
from dataclasses import dataclass
from typing import IO

from speechmill.audio.chunks import AU, FORMATS, MAX_BYTES, RIFX, WRAP, Chunk, Chunks, is_name, read, walk, whole

ID3_BYTES = 10
APE_BYTES = 32
MAX_TAGS = 100
SEARCHED_BYTES = 4_096  # for the chunk that describes an AIFF, which comes first by custom
AU_ENCODINGS = {(1, 16): 3, (1, 24): 4, (1, 32): 5, (3, 32): 6, (3, 64): 7}  # by the format tag and bits of a WAV
NEAR = 65_536  # distance from 2 or 4 GiB: writers to pipes put the highest number there, less the header


@dataclass(frozen=True, slots=True)
class Sound:
    """The audio of a file: offset of its size (negative: in a ds64 chunk), its own offset, the stated size."""

    place: int
    data: int
    size: int
    described: Chunk | None = None
    is_lost: bool = False  # FFmpeg does not find it, or not its size


@dataclass(slots=True)
class Extent:
    """The bytes to decode, from `start` to `end`, and patches for wrong sizes.

    `excess`: audio stated in the header divided by audio in the file; 1 if the file is complete.
    """

    start: int
    end: int
    patches: tuple[tuple[int, bytes], ...] = ()
    excess: float = 1.0
    remark: str | None = None


class Window(io.RawIOBase):
    """A file as its extent describes it, with the methods that a demuxer needs."""

    def __init__(self, file: IO[bytes], extent: Extent) -> None:
        super().__init__()
        self._file, self._extent, self._at = file, extent, 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Read bytes at the current position, with patches applied."""
        start, left = self._extent.start + self._at, self._extent.end - self._extent.start - self._at
        if left <= 0:
            return b""
        self._file.seek(start)
        data = self._file.read(left if size is None or size < 0 else min(size, left))
        self._at += len(data)
        for place, new in self._extent.patches:
            at = place - start
            if -len(new) < at < len(data):
                new = new[max(-at, 0) : len(data) - at]
                data = data[: max(at, 0)] + new + data[max(at, 0) + len(new) :]
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position in the extent."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at}.get(whence, self._extent.end - self._extent.start)
        self._at = max(base + offset, 0)
        return self._at

    def tell(self) -> int:
        """Current position in the extent."""
        return self._at


def bounded(file: IO[bytes]) -> tuple[IO[bytes], Extent]:
    """Window on a file, without its tags and with correct sizes; unlike a file, it accepts any seek of FFmpeg."""
    extent = extent_of(file)
    return Window(file, extent), extent  # type: ignore[return-value]


def extent_of(file: IO[bytes]) -> Extent:
    """Compare the stated size of the audio with the bytes of the file."""
    size = file.seek(0, io.SEEK_END)
    start = after_tags(file, size)
    head = read(file, start, 24)
    if head[:4] == b"RIFX":
        return _as_au(file, start, size)
    kind, sound = stated_sound(file, start, head)
    if sound is None:
        extent = Extent(start, size)
    else:
        extent = _judged(file, kind, Extent(start, size), sound.place, sound.data, sound.size)
        if sound.is_lost and extent.end > sound.data:
            return _with_new_head(file, start, kind, sound, extent)
    extent.patches += _refused_by_ffmpeg(file, start, head)
    return extent


def _as_au(file: IO[bytes], start: int, size: int) -> Extent:
    """The sound of a RIFX, a big-endian WAV, behind the head of an AU: FFmpeg swaps its bytes, and decodes noise."""
    sound = _find_sound(file, start, RIFX)
    form = read(file, sound.described.content, 16) if sound and sound.described else b""
    if sound is None or len(form) < 16:
        return Extent(start, size)
    tag, channels, rate, _, _, bits = struct.unpack(">HHIIHH", form)
    encoding = AU_ENCODINGS.get((tag, bits))
    if encoding is None:
        return Extent(start, size)
    end = sound.data + sound.size if _fits(file, RIFX, sound.data, sound.size, size) else size
    head = struct.pack(">4sIIIII", b".snd", 24, WRAP - 1, encoding, rate, channels)
    return Extent(sound.data - len(head), end, ((sound.data - len(head), head),))


def stated_sound(file: IO[bytes], start: int, head: bytes) -> tuple[Chunks, Sound | None]:
    """The audio of the PCM file that begins at `start` with the 24 bytes `head`, as stated; None for other files."""
    if head[:4] == b".snd" and len(head) == 24:
        size = int.from_bytes(head[8:12], "big")
        return AU, Sound(start + 8, start + int.from_bytes(head[4:8], "big"), size)
    kind = FORMATS.get(head[:4])
    return (AU, None) if kind is None else (kind, _find_sound(file, start, kind))


def _refused_by_ffmpeg(file: IO[bytes], start: int, head: bytes) -> tuple[tuple[int, bytes], ...]:
    """Patches for sizes of no consequence for which FFmpeg refuses a file: of the whole, and frames of an AIFF."""
    if head[:4] == b"riff" and not 0 < int.from_bytes(read(file, start + 16, 8), "little") < 2**63:
        return ((start + 16, struct.pack("<Q", MAX_BYTES)),)
    if head[:4] != b"FORM":
        return ()
    patches = [] if any(head[4:8]) else [(start + 4, struct.pack(">I", 2**31 - 1))]  # of a writer to a pipe
    common = read(file, start + 12, SEARCHED_BYTES).find(b"COMM")
    if common >= 0 and read(file, start + 12 + common + 10, 1) >= b"\x80":
        patches.append((start + 12 + common + 10, bytes(4)))
    return tuple(patches)


def _judged(file: IO[bytes], kind: Chunks, extent: Extent, place: int, data: int, stated: int) -> Extent:
    size, present = extent.end, extent.end - data
    if present <= 0 or _fits(file, kind, data, stated, size):
        return extent
    is_unknown = not 0 < stated < MAX_BYTES or (
        struct.calcsize(kind.size) == 4 and min(abs(stated - 2**31), abs(stated - WRAP)) < NEAR
    )
    if stated > present and not is_unknown:
        extent.excess = stated / present
        return extent
    ends = [data + stated + WRAP * i for i in range(1, present // WRAP + 1)] if stated > 0 else []
    end = next((end for end in ends if end < size and _fits(file, kind, data, end - data, size)), size)
    extent.end = end
    extent.patches = (_patch(kind, place, end - data),)
    most = WRAP - 1 - kind.own if _is_bounded(kind) else end - data
    if not is_unknown or end - data > most:
        decoded = "all are decoded" if end - data <= most else f"FFmpeg decodes the first {most}"
        extent.remark = f"the header states {stated} bytes of sound, and there are {end - data}: {decoded}"
    return extent


def _is_bounded(kind: Chunks) -> bool:
    """Whether FFmpeg decodes at most what a size of 32 bits can express (AIFF)."""
    return kind.unknown is None and struct.calcsize(kind.size) == 4


def _patch(kind: Chunks, place: int, size: int) -> tuple[int, bytes]:
    """Patch with the true size or the mark for an unknown one; 64 bits long in a ds64 chunk."""
    if place < 0:
        return -place, struct.pack("<Q", size)
    value = size + kind.own if kind.unknown is None else kind.unknown
    return place, struct.pack(kind.size, min(value, WRAP - 1) if _is_bounded(kind) else value)


def _find_sound(file: IO[bytes], start: int, kind: Chunks) -> "Sound | None":
    """The audio chunk; None where there is none."""
    wide = described = None
    for chunk in walk(file, start, kind):
        if chunk.name == b"ds64":
            wide = chunk.content + 8
        elif chunk.name == kind.describing:
            described = chunk
        elif chunk.name == kind.data:
            place, size = chunk.content - struct.calcsize(kind.size), chunk.size
            if wide is None:
                return Sound(place, chunk.content, size, described, is_lost=chunk.is_shifted)
            wide_size = int.from_bytes(read(file, wide, 8), "little")
            if size == WRAP - 1:
                return Sound(-wide, chunk.content, wide_size, described, is_lost=chunk.is_shifted)
            return Sound(place, chunk.content, size, described, is_lost=chunk.is_shifted or size != wide_size)
    return None


def _with_new_head(file: IO[bytes], start: int, kind: Chunks, sound: Sound, extent: Extent) -> Extent:
    """The sound behind a head that FFmpeg reads, where it does not find the sound by the head of the file."""
    described = sound.described
    if described is None or described.size > SEARCHED_BYTES:
        return extent
    size = extent.end - sound.data
    content = bytearray(read(file, described.content, described.size))
    if kind.describing == b"COMM" and content[2:3] >= b"\x80":
        content[2:6] = bytes(4)
    form = read(file, start + 8, 4)
    head = kind.describing + struct.pack(kind.size, described.size) + content + bytes(described.size % kind.align)
    head += kind.data + struct.pack(kind.size, min(size, WRAP - 1))
    length = struct.pack(kind.size, min(4 + len(head) + size, 2**31 - 1))
    head = (b"RIFF" if form == b"WAVE" else b"FORM") + length + form + head
    extent.start, extent.patches = sound.data - len(head), ((sound.data - len(head), bytes(head)),)
    return extent


def _fits(file: IO[bytes], kind: Chunks, data: int, stated: int, size: int) -> bool:
    """Whether the file ends with the audio, or goes on with chunks after it."""
    if stated < 0 or data + stated > size:
        return False
    if not kind.data:  # AU has no chunks
        return data + stated == size
    return any(_is_chain(file, kind, end, size) for end in {data + stated, data + whole(stated, kind.align)})


def _is_chain(file: IO[bytes], kind: Chunks, at: int, size: int) -> bool:
    end = padded = at
    for chunk in walk(file, at - kind.first, kind):
        if not is_name(chunk.name) or chunk.name == kind.data:
            return end > at and not any(read(file, end, len(chunk.name)))  # padding
        end, padded = chunk.content + chunk.size, chunk.content + whole(chunk.size, kind.align)
    return any(place in range(size, size + kind.align) for place in (end, padded))


def after_tags(file: IO[bytes], size: int) -> int:
    """Offset after any number of ID3v2 and APE tags."""
    at = 0
    for _ in range(MAX_TAGS):
        head = read(file, at, APE_BYTES)
        length = 0
        if head[:3] == b"ID3" and len(head) >= ID3_BYTES and not any(byte & 0x80 for byte in head[6:10]):
            length = ID3_BYTES + sum(byte << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
            length += ID3_BYTES * bool(head[5] & 0x10)  # a footer
            length = length if at + length < size else ID3_BYTES  # a size that lies: FFmpeg looks for the sound
        elif head[:8] == b"APETAGEX" and len(head) == APE_BYTES and head[23] & 0x20:
            length = APE_BYTES + int.from_bytes(head[12:16], "little")
        if not length or at + length >= size:
            break
        at += length
    return at
