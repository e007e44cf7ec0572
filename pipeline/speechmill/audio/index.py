"""Reads a container's index for the bytes that should be there, which shows that a file was truncated.

A duration alone does not: headers are copied, estimated, and wrong.
"""

import io
from typing import IO, Any

HEAD_BYTES = 65_536
ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")  # File Properties
EBML, SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
BITRATES = {  # kbit/s: MPEG 1 layers 1 to 3, MPEG 2 layer 1, layers 2 and 3
    (1, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
RATES_HZ = (44_100, 48_000, 32_000)  # MPEG 1; the half in MPEG 2, a quarter in 2.5


def frame_bytes(header: bytes) -> int:
    """Length of the MPEG audio frame that begins with these four bytes; 0 if there is none."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return 0
    version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)
    rate_index, bitrate_index = header[2] >> 2 & 3, header[2] >> 4
    if version == 1 or layer == 4 or rate_index == 3 or not 0 < bitrate_index < 15:
        return 0
    generation = 1 if version == 3 else 2
    rate = RATES_HZ[rate_index] >> {3: 0, 2: 1, 0: 2}[version]
    kbits = BITRATES[generation, layer if generation == 1 else min(layer, 2)][bitrate_index]
    padding = header[2] >> 1 & 1
    if layer == 1:
        return (12_000 * kbits // rate + padding) * 4
    return (72_000 if layer == 3 and generation == 2 else 144_000) * kbits // rate + padding


def mp3_header(file: IO[bytes]) -> bytes | None:
    """The Xing, Info or VBRI header in the first frame; None if it has none."""
    file.seek(0)
    head = file.read(HEAD_BYTES)
    at = head.find(b"\xff")
    while at >= 0:
        length = frame_bytes(head[at : at + 4])
        if length and (frame_bytes(head[at + length : at + length + 4]) or at + length >= len(head)):
            break
        at = head.find(b"\xff", at + 1)
    if at < 0:
        return None
    is_mono, is_first = head[at + 3] >> 6 == 3, head[at + 1] & 8
    side = (17 if is_mono else 32) if is_first else (9 if is_mono else 17)
    frame = head[at : at + 4 + 200]
    if frame[4 + side : 8 + side] in (b"Xing", b"Info"):
        return frame[4 + side :]
    return frame[36:] if frame[36:40] == b"VBRI" else None


def excess(container: Any, stream: Any, file: IO[bytes]) -> float:
    """Bytes stated in the container's index divided by bytes of the file; 1 if complete, or without an index."""
    size = file.seek(0, io.SEEK_END)
    stated = _stated_bytes(container.format.name, file)
    if container.format.name.startswith("mov"):
        ends = [entry.pos + entry.size for entry in stream.index_entries]
        return len(ends) / max(sum(end <= size for end in ends), 1) if ends else 1.0
    return max(stated / max(size, 1), 1.0)


def _stated_bytes(name: str, file: IO[bytes]) -> int:
    file.seek(0)
    head = file.read(HEAD_BYTES)
    if name == "asf" and ASF_FILE in head:
        at = head.index(ASF_FILE) + 40
        return int.from_bytes(head[at : at + 8], "little")
    if name.startswith("matroska") and head[:4] == EBML:
        length, width = _vint(head[4:])
        at = 4 + width + length
        if head[at : at + 4] == SEGMENT:
            length, width = _vint(head[at + 4 :])
            return 0 if length == 2 ** (7 * width) - 1 else at + 4 + width + length
    return 0


def _vint(data: bytes) -> tuple[int, int]:
    """An EBML integer, and its number of bytes."""
    width = 9 - data[0].bit_length() if data and data[0] else 8
    return int.from_bytes(data[:width], "big") & 2 ** (7 * width) - 1, width
