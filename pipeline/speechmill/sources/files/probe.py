"""Recognises media files by their first bytes: no decoder runs, so that probing a folder of anything is fast and safe.

Whether a file that begins like audio can be decoded is found out later, in a process of its own.
"""

import os
import re
from itertools import pairwise

from speechmill.core.reasons import Reason
from speechmill.core.records import RejectedError

SUFFIXES = (
    *(".3gp", ".aac", ".ac3", ".aif", ".aifc", ".aiff", ".amr", ".ape", ".au", ".avi", ".caf", ".dsf", ".flac", ".flv"),
    *(".g722", ".gsm", ".m4a", ".m4b", ".m4v", ".mka", ".mkv", ".mov", ".mp2", ".mp3", ".mp4", ".mpc", ".mpeg", ".mpg"),
    *(".oga", ".ogg", ".ogv", ".opus", ".ra", ".snd", ".spx", ".tta", ".ts", ".voc", ".w64", ".wav", ".webm", ".wma"),
    *(".wmv", ".wv"),
)  # of files that are taken for audio or video without a probe
HEAD_BYTES = 4096
FAR_BYTES = 65_536  # other bytes may precede the first frame of MPEG audio
FRAMES_IN_A_ROW = 4  # two bytes that look like a frame header are common; four successive frames are not
# Offset and bytes of each signature.
MEDIA = (
    (0, b"ID3"), (0, b"OggS"), (0, b"fLaC"), (0, b"\x1aE\xdf\xa3"), (0, b"FLV\x01"), (0, b"MAC "), (0, b"wvpk"),
    (0, b"TTA1"), (0, b"TTA2"), (0, b"MPCK"), (0, b"MP+"), (0, b".snd"), (0, b"caff"), (0, b"#!AMR"), (0, b"DSD "),
    (0, b".RMF"), (0, b".ra\xfd"), (0, b"Creative Voice File"), (0, b"riff\x2e\x91\xcf\x11"), (0, b"ADIF"),
    (0, b"0&\xb2u\x8ef\xcf\x11"), (0, b"\x00\x00\x01\xba"), (0, b"NIST_1A"), (0, b"ajkg"), (0, b"tBaK"),
    (0, b"EA3\x03"), (4, b"moov"), (4, b"mdat"), (4, b"wide"), (4, b"ftyp"),
)  # fmt: skip
RIFF_KINDS = {b"WAVE", b"AVI ", b"XWMA", b"AIFF", b"AIFC", b"8SVX"}
LOCKED = "is protected; give a copy without protection, such as MP3 or M4B"
UNPACK = "unpack it, and give the folder of what is inside"
LIST = "names recordings and has none; give the files or the folder that it names"
ALONE = "give it as an input of its own"
PICTURE = (Reason.NOT_AUDIO, "a picture")
OTHERS = (
    (0, b"\xff\xd8\xff", *PICTURE), (0, b"\x89PNG", *PICTURE), (0, b"GIF8", *PICTURE), (0, b"BM", *PICTURE),
    (0, b"II*\0", *PICTURE), (0, b"MM\0*", *PICTURE), (0, b"%PDF", Reason.NOT_AUDIO, "a PDF document"),
    (0, b"PK\x03\x04", Reason.NEEDS_TOOL, f"a ZIP archive; {UNPACK}"),
    (0, b"Rar!", Reason.NEEDS_TOOL, f"a RAR archive; {UNPACK}"),
    (0, b"7z\xbc\xaf", Reason.NEEDS_TOOL, f"a 7z archive; {UNPACK}"),
    (0, b"\x1f\x8b", Reason.NEEDS_TOOL, f"a gzip archive; {UNPACK}"),
    (0, b"BZh", Reason.NEEDS_TOOL, f"a bzip2 archive; {UNPACK}"),
    (0, b"\xfd7zXZ", Reason.NEEDS_TOOL, f"an xz archive; {UNPACK}"),
    (0, b"(\xb5/\xfd", Reason.NEEDS_TOOL, f"a zstd archive; {UNPACK}"),
    (257, b"ustar", Reason.NEEDS_TOOL, f"a tar archive; {UNPACK}"),
    (4, b"\x57\x90\x75\x36", Reason.NEEDS_TOOL, f"an audiobook of Audible, which {LOCKED}"),
    (0, b"MThd", Reason.NOT_AUDIO, "MIDI, which has notes and no sound"),
    (0, b"PAR1", Reason.NOT_AUDIO, "a table in Parquet; write the sound in it to files"),
    (0, b"#EXTM3U", Reason.NEEDS_TOOL, f"a playlist: it {LIST}"),
    (0, b"[playlist]", Reason.NEEDS_TOOL, f"a playlist: it {LIST}"),
)  # fmt: skip
BRANDS = {  # brands of files in the MP4 family that cannot be decoded
    b"aax ": (Reason.NEEDS_TOOL, f"an audiobook of Audible, which {LOCKED}"),
    b"aaxc": (Reason.NEEDS_TOOL, f"an audiobook of Audible, which {LOCKED}"),
    b"M4P ": (Reason.NEEDS_TOOL, f"a purchase of iTunes, which {LOCKED}"),
    **dict.fromkeys((b"heic", b"heix", b"mif1", b"msf1", b"avif", b"avis"), PICTURE),
}
NAMES = {  # suffixes that decide whatever the content is
    **dict.fromkeys((".part", ".partial", ".crdownload", ".download", ".ytdl", ".aria2", ".!ut", ".!qb"),
                    (Reason.TRUNCATED, "an unfinished download; finish it, or give the file its own name")),
    **dict.fromkeys((".m3u", ".m3u8", ".pls", ".xspf", ".cue", ".asx"), (Reason.NEEDS_TOOL, f"a playlist: it {LIST}")),
    **dict.fromkeys((".aax", ".aaxc", ".aa"), (Reason.NEEDS_TOOL, f"an audiobook of Audible, which {LOCKED}")),
    **dict.fromkeys((".jsonl", ".ndjson"), (Reason.NOT_AUDIO, f"perhaps a manifest; {ALONE}")),
    **dict.fromkeys((".xml", ".rss", ".atom", ".opml"), (Reason.NOT_AUDIO, f"perhaps a feed; {ALONE}")),
}  # fmt: skip
NOTHING = "begins like nothing that is known as audio or video"
# For the size of MPEG audio frames: bit rates in kbit/s by version and layer, sample rates in Hz by version.
BIT_RATES = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
RATES_HZ = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
SYNC = re.compile(rb"\xff[\xe0-\xff]")


def probe(path: str) -> RejectedError | None:
    """Classify a regular file by at most 64 kB; None if it is audio or video. Raises OSError."""
    suffix = os.path.splitext(path)[1].casefold()
    if suffix in NAMES:
        return RejectedError(*NAMES[suffix])
    with open(path, "rb") as file:
        head = file.read(HEAD_BYTES)
        fault = verdict(head)
        if fault and fault.detail == NOTHING:
            fault = verdict(head + file.read(FAR_BYTES - HEAD_BYTES))
    return fault


def verdict(head: bytes) -> RejectedError | None:
    """Why a file that begins with `head` is no recording; None if it begins like audio or video."""
    if not head:
        return RejectedError(Reason.EMPTY, "no bytes")
    is_text = _is_text(head)
    if not is_text and _is_media(head):  # a text may begin with "MAC " too
        return None
    for at, signature, reason, detail in OTHERS:
        if head.startswith(signature, at):
            return RejectedError(reason, detail)
    if head.startswith(b"ftyp", 4):
        return RejectedError(*BRANDS.get(head[8:12], PICTURE))
    if head.startswith(b"WEBP", 8) or (head.startswith(b"BM") and head[6:10] == bytes(4)):
        return RejectedError(*PICTURE)
    return RejectedError(Reason.NOT_AUDIO, "text" if is_text else NOTHING)


def _is_media(head: bytes) -> bool:
    if head[4:8] == b"ftyp" and head[8:12] in BRANDS:
        return False
    if any(head.startswith(signature, at) for at, signature in MEDIA):
        return True
    if head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64", b"FORM"):
        return head[8:12] in RIFF_KINDS
    is_stream = any(head[at : at + 3 * step + 1 : step] == b"GGGG" for at, step in ((0, 188), (4, 192)))  # MPEG-TS
    is_ac3 = head.startswith(b"\x0bw") and len(head) > 5 and head[5] >> 3 <= 16
    return is_stream or is_ac3 or _has_frames(head)


def _has_frames(head: bytes) -> bool:
    """Whether successive frames of MPEG audio or ADTS occur anywhere."""
    return any(_follow(head, match.start()) for match in SYNC.finditer(head, 0, len(head) - 4))


def _follow(head: bytes, at: int) -> bool:
    """Whether FRAMES_IN_A_ROW frames of the same kind follow each other from `at`."""
    kinds = []
    for _ in range(FRAMES_IN_A_ROW):
        kind, size = _frame(head[at : at + 6])
        if not size:
            return False
        kinds.append(kind)
        at += size
    return all(kind_before == kind_after for kind_before, kind_after in pairwise(kinds))


def _frame(header: bytes) -> tuple[int, int]:
    """Fields of a frame header that are constant in a stream, and bytes of the frame; 0, 0 for no header.

    ISO 11172-3, 14496-3.
    """
    if len(header) < 6 or header[0] != 0xFF or header[1] < 0xE0:
        return 0, 0
    if header[1] & 0xF6 == 0xF0:  # ADTS
        return header[1] << 8 | header[2] & 0xFC, (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
    version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)
    rate, hertz = header[2] >> 4, header[2] >> 2 & 3
    if version == 1 or layer == 4 or not 0 < rate < 15 or hertz == 3:
        return 0, 0
    bits = 1000 * BIT_RATES[1 if version == 3 else 2, layer][rate - 1]
    padding, sample_rate = header[2] >> 1 & 1, RATES_HZ[version][hertz]
    kind = header[1] << 8 | header[2] & 0x0C
    if layer == 1:
        return kind, (12 * bits // sample_rate + padding) * 4
    return kind, (72 if layer == 3 and version != 3 else 144) * bits // sample_rate + padding


def _is_text(head: bytes) -> bool:
    """Whether the bytes are text: UTF-8, an 8-bit encoding of Latin letters, or UTF-16 with a byte order mark."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) and not _has_frames(head):
        return True
    return not re.search(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]", head)
