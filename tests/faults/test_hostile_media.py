"""Media made to harm: headers that change on the way, pictures that unpack to gigabytes, references to other files."""

import json
import resource
import struct
import subprocess
import sys
import zlib
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from speechmill.audio import Decoding, declared_duration_s
from speechmill.core import processes
from speechmill.core.config import Audio, RunConfig
from speechmill.core.footers import DecodeFooter
from speechmill.core.reasons import Reason
from speechmill.core.records import RejectedError
from speechmill.corpus import plan
from speechmill.stages import decode as decode_stage
from speechmill.stages.segment import segment_media

from tests.media import RATE, a_build, decode, encode, riff, tone, wav, work_for

MIB = 2**20


def wavpack_blocks(*rates: int) -> bytes:
    """A WavPack file of two seconds a block, each with a sample rate of its own."""
    made, sound = [], encode("wv", "wavpack", tone(300, 2))
    count = struct.unpack_from("<I", sound, 20)[0]
    for number, rate in enumerate(rates):
        block = bytearray(sound[: struct.unpack_from("<I", sound, 4)[0] + 8])
        struct.pack_into("<I", block, 16, number * count)
        struct.pack_into("<I", block, 24, struct.unpack_from("<I", block, 24)[0] | 15 << 23)  # rate follows
        block[32:32] = b"\x67\x02" + rate.to_bytes(3, "little") + b"\0"
        struct.pack_into("<I", block, 4, len(block) - 8)
        made.append(bytes(block))
    return b"".join(made)


def test_a_rate_that_changes_to_ten_hertz_midway_is_no_reason_to_take_memory() -> None:
    decoding, got = decode(wavpack_blocks(24_000, 48_000))
    assert (decoding.seconds, got.size) == (3.0, 3 * RATE)
    with pytest.raises(RejectedError, match="bad_header: 10 Hz"):
        decode(wavpack_blocks(24_000, 10))


def test_formats_that_change_over_and_over_are_no_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("speechmill.audio.decoding.MAX_FORMAT_CHANGES", 4)
    assert decode(wavpack_blocks(24_000, 48_000, 24_000, 48_000))[0].seconds == 6.0
    with pytest.raises(RejectedError, match="corrupt: rate or channels change over 4 times"):
        decode(wavpack_blocks(24_000, 48_000, 24_000, 48_000, 24_000))


def test_more_sound_than_the_bytes_can_hold_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    silence = encode("flac", "flac", np.zeros(100 * RATE))
    assert decode(silence)[0].samples == 100 * RATE  # digital silence packs well, and is sound
    monkeypatch.setattr("speechmill.audio.decoding.MAX_SECONDS_PER_BYTE", 50 / len(silence))
    with pytest.raises(RejectedError, match=r"too_long: 50 s of sound in"):
        decode(silence)


@lru_cache
def png(side: int) -> bytes:
    """A black picture: 3 bytes a pixel when it is decoded, 3 KB a million of them before."""
    packer, row = zlib.compressobj(9), bytes(3 * side + 1)
    rows = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def id3_with_cover(picture: bytes) -> bytes:
    body = b"\0image/png\0\x03\0" + picture
    frame = b"APIC" + struct.pack(">I", len(body)) + b"\0\0" + body
    return b"ID3\x03\0\0" + bytes(len(frame) >> shift & 0x7F for shift in (21, 14, 7, 0)) + frame


def flac_with_cover(picture: bytes) -> bytes:
    plain = encode("flac", "flac", tone(300, 2))
    body = struct.pack(">II", 3, 9) + b"image/png" + struct.pack(">IIIIII", 0, 0, 0, 24, 0, len(picture)) + picture
    return plain[:4] + b"\x06" + len(body).to_bytes(3, "big") + body + plain[4:]


PEAK = """
import re, sys
from pathlib import Path
from speechmill.audio import Decoding
from speechmill.core.config import Audio
def peak():
    return int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024
before = peak()
with open(sys.argv[1], "rb") as file:
    decoding = Decoding(file, 24_000, Audio())
    samples = sum(block.size for block in decoding)
print([samples, peak() - before])
"""


@pytest.mark.parametrize("kind", ["mp3", "flac"])
def test_no_picture_is_ever_decoded(kind: str, tmp_path: Path) -> None:
    cover = png(12_000)  # 432 MB
    assert len(cover) < MIB
    mp3 = encode("mp3", "libmp3lame", tone(300, 2), id3v2_version="0")
    (tmp_path / kind).write_bytes(id3_with_cover(cover) + mp3 if kind == "mp3" else flac_with_cover(cover))
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(tmp_path / kind)],
        stdout=subprocess.PIPE, check=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    samples, peak_mib = json.loads(done.stdout)
    assert samples == pytest.approx(2 * RATE, abs=3_000)
    assert peak_mib < 100


@pytest.mark.parametrize("tag", [b"alac", b".mp3", b"sowt"])
def test_an_mp4_whose_codec_nobody_knows_is_no_audio(tag: bytes) -> None:
    codec = {b"alac": "alac", b".mp3": "libmp3lame", b"sowt": "pcm_s16le"}[tag]
    whole = encode("mov", codec, tone(300, 1.0))
    assert whole.count(b"stsd") == 1
    at = whole.index(tag, whole.index(b"stsd"))
    with pytest.raises(RejectedError) as caught:
        decode(whole[:at] + b"xyzw" + whole[at + 4 :])
    assert caught.value.reason == Reason.NOT_AUDIO


def test_a_codec_that_is_not_known_to_be_safe_is_named() -> None:
    adpcm = riff(bytes(4_096), tag=0x61, bits=4)  # Duck DK4, of games
    with pytest.raises(RejectedError, match=r"not_audio: .*adpcm_ima_dk4"):
        decode(adpcm)


def mov_with_reference(target: str) -> bytes:
    """An MP4 whose samples lie in another file."""
    whole = encode("mp4", "alac", tone(300, 2))
    alias = b"url \0\0\0\0" + f"file://{target}".encode() + b"\0"
    at = whole.index(b"dref")
    old = struct.unpack_from(">I", whole, at - 4)[0]
    entry = struct.pack(">I", len(alias) + 4) + alias
    new = struct.pack(">I", 16 + len(entry)) + b"dref" + bytes(4) + struct.pack(">I", 1) + entry
    return _with_grown_parents(whole, at - 4, old, new)


def _with_grown_parents(data: bytes, at: int, old: int, new: bytes) -> bytes:
    grown = bytearray(data[:at] + new + data[at + old :])
    for parent in (b"dinf", b"minf", b"mdia", b"trak", b"moov"):
        place = grown.rindex(parent, 0, at) - 4
        struct.pack_into(">I", grown, place, struct.unpack_from(">I", grown, place)[0] + len(new) - old)
    return bytes(grown)


def test_fault_30_a_file_that_a_container_names_is_not_opened(tmp_path: Path) -> None:
    other = tmp_path / "other.raw"
    other.write_bytes(bytes(200_000))
    opened: list[str] = []
    sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
    data = mov_with_reference(str(other))
    assert str(other).encode() in data
    try:
        decode(data)
    except RejectedError as error:
        assert error.reason in (Reason.NOT_AUDIO, Reason.CORRUPT, Reason.BAD_HEADER, Reason.EMPTY)
    assert str(other) not in opened


def segment_with(spare_bytes: int, media: str, folder: str) -> str | None:
    """The segment stage with a memory limit of its own; the reason that it stores."""
    decode_stage.DECODER_BYTES = spare_bytes  # of this process, which is a worker's
    build, work = a_build(Path(folder)), work_for(Path(media))
    before = resource.getrlimit(resource.RLIMIT_DATA)
    segment_media(work, build)
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    return build.store.footer(build.segments(work.content_id), DecodeFooter).reason


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no limit of a process's data")
def test_a_file_that_takes_all_memory_costs_itself(tmp_path: Path) -> None:
    for name, channels in (("big", 64), ("small", 1)):
        (tmp_path / name).write_bytes(wav(np.zeros((192_000, channels), np.int16), 192_000))
    workers = processes.Pool(1)

    def reason_with(spare_bytes: int, name: str, folder: str) -> str | None:
        future = workers.submit(segment_with, spare_bytes, str(tmp_path / name), str(tmp_path / folder))
        return processes.result(future)[0]

    try:
        assert reason_with(30 * MIB, "big", "a") == Reason.TOO_BIG
        assert reason_with(2**30, "big", "b") is None
        assert reason_with(2**30, "small", "c") is None
    finally:
        workers.close()


def test_a_plan_reads_headers_in_a_process_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.wav").write_bytes(wav(tone(300, 5)))
    (tmp_path / "in" / "b.wav").write_bytes(riff(b"ab", rate=0))
    assert declared_duration_s(str(tmp_path / "in" / "a.wav"), Audio()) == 5
    config = RunConfig.model_validate(
        {"inputs": [str(tmp_path / "in")], "output": str(tmp_path / "out"), "asr": {"model": None}}
    )
    monkeypatch.setattr(Decoding, "describe", None)  # here; a worker has its own
    planned = plan.plan(config)
    assert (planned["recordings"], planned["hours"], planned["without_a_length"]) == (2, 5 / 3600, 1)
