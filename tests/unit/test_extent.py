"""Headers that lie about length: the bytes decide, nothing is lost, and only missing bytes make a file truncated."""

import io
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from speechmill.audio import Decoding
from speechmill.audio.extent import extent_of
from speechmill.core.config import Audio
from speechmill.core.reasons import Reason
from speechmill.core.records import RejectedError

from tests.media import RATE, decode, encode, riff, tone, wav

SOUND = tone(300, 6)
LENGTH = 6 * RATE
UNKNOWN = {0, 2**32 - 1, 2**32 - 45, 2**31 - 1, -1}  # of writers that could not know


def patched(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def size_field(kind: str) -> tuple[bytes, int, str, int]:
    """A file, where the size of its sound stands, its form, and what of its own header it counts."""
    data = wav(SOUND, kind=kind)
    if kind == "AU":
        return data, 8, ">I", 0
    name, form, own = {
        "WAV": (b"data", "<I", 0), "RF64": (b"ds64", "<Q", 0), "AIFF": (b"SSND", ">I", 8), "CAF": (b"data", ">q", 4),
        "W64": (b"data\xf3\xac", "<Q", 24),
    }[kind]  # fmt: skip
    return data, data.index(name) + {"W64": 16, "RF64": 16}.get(kind, 4), form, own


@pytest.mark.parametrize("kind", ["WAV", "RF64", "AIFF", "CAF", "W64", "AU"])
@pytest.mark.parametrize("stated", [2 * RATE, 2 * RATE + 1, 0, 2**32 - 1, -1, 6 * LENGTH])
def test_a_wrong_size_loses_nothing_and_is_told_unless_its_writer_could_not_know(kind: str, stated: int) -> None:
    data, at, form, own = size_field(kind)
    wide = struct.calcsize(form) == 8
    if stated == -1 and form != ">q":
        pytest.skip("this size has no sign")
    if stated == 2**32 - 1 and wide:
        pytest.skip("a real size where it is 64 bits long")
    stored = stated if stated in UNKNOWN else stated + own
    lying = patched(data, at, struct.pack(form, stored))
    if stated > 2 * LENGTH and stated not in UNKNOWN:
        with pytest.raises(RejectedError, match=r"truncated: decoded 6\.0 s of (18|36)\.\d s declared"):
            decode(lying)
        return
    decoding, got = decode(lying)
    assert got.size == LENGTH
    assert not decoding.is_cut
    assert (decoding.remarks != []) == (stated not in UNKNOWN)
    np.testing.assert_allclose(got, SOUND, atol=1e-4)


@pytest.mark.parametrize("kind", ["WAV", "RF64", "AIFF", "CAF", "W64", "AU"])
def test_a_right_size_is_believed_and_what_follows_is_no_sound(kind: str) -> None:
    data, at, form, _ = size_field(kind)
    assert extent_of(io.BytesIO(data)).patches == ()
    after = {
        "WAV": b"LIST" + struct.pack("<I", 400), "RF64": b"LIST" + struct.pack("<I", 400),
        "AIFF": b"NAME" + struct.pack(">I", 400), "CAF": b"info" + struct.pack(">q", 400),
        "W64": b"list\x2f\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\0\0" + struct.pack("<Q", 424),
    }  # fmt: skip
    if kind in after:
        assert struct.unpack_from(form, data, at)[0] > 0
        decoding, got = decode(data + after[kind] + b"\x7f" * 400)
        assert (got.size, decoding.remarks) == (LENGTH, [])


def test_a_wav_over_four_gibibytes_is_decoded_to_its_end(tmp_path: Path) -> None:
    """Sparse, and at a high rate in 64 channels, so that there is little to decode."""
    frame, seconds = 64 * 4, 88
    size = frame * 192_000 * seconds
    assert size > 2**32
    header = riff(b"", rate=192_000, channels=64, bits=32, size=size % 2**32)
    path = tmp_path / "big.wav"
    with open(path, "wb") as file:
        file.write(header)
        file.truncate(len(header) + size)
        file.seek(len(header) + size - frame * 192_000)
        file.write((2**30 * np.ones((1_000, 64), np.int32)).tobytes())
    if os.stat(path).st_blocks * 512 > size // 2:
        pytest.skip("this file system has no sparse files")
    with open(path, "rb") as file:
        extent = extent_of(file)
        assert (extent.end, extent.excess) == (len(header) + size, 1)
        assert (
            extent.remark == f"the header states {size % 2**32} bytes of sound, and there are {size}: all are decoded"
        )
        decoding = Decoding(file, RATE, Audio())
        decoding.describe()
        assert decoding.declared_duration_s == pytest.approx(seconds)


@pytest.mark.parametrize("stated", [2 * RATE, 0])
def test_of_an_aiff_over_four_gibibytes_it_is_told_that_not_all_is_decoded(tmp_path: Path, stated: int) -> None:
    """Sparse."""
    path, frame = tmp_path / "big.aiff", 64 * 4
    size = 90 * 192_000 * frame  # of samples; their chunk has 8 bytes more
    header = aiff(64, 90 * 192_000, 192_000, stated)
    with open(path, "wb") as file:
        file.write(header)
        file.truncate(len(header) + size)
    with open(path, "rb") as file:
        extent = extent_of(file)
        decoding = Decoding(file, RATE, Audio())
        decoding.describe()
    assert decoding.remarks == [extent.remark]
    assert extent.remark == (
        f"the header states {stated} bytes of sound, and there are {size + 8}: FFmpeg decodes the first {2**32 - 1}"
    )


def test_an_aiff_that_was_written_to_a_pipe_is_decoded() -> None:
    samples = (2**30 * SOUND).astype(">i4").tobytes()
    for frames in (0, LENGTH):
        header = aiff(1, frames, RATE, 0).replace(b"FORM\x7f\xff\xff\xff", b"FORM\0\0\0\0")
        _, got = decode(header + samples)
        np.testing.assert_allclose(got, SOUND / 2, atol=1e-4)


@pytest.mark.parametrize("frames", [0, 1_000, 2**31, 2**32 - 1])
def test_an_aiff_is_decoded_whatever_number_of_frames_it_states(frames: int) -> None:
    data = wav(SOUND, kind="AIFF")
    _, got = decode(patched(data, data.index(b"COMM") + 10, struct.pack(">I", frames)))
    np.testing.assert_allclose(got, SOUND, atol=1e-4)


@pytest.mark.parametrize("kind", ["RF64", "CAF", "W64"])
@pytest.mark.parametrize("stated", [2**44, 2**62])
def test_a_size_that_no_disk_holds_is_none(kind: str, stated: int) -> None:
    data, at, form, _ = size_field(kind)
    decoding, got = decode(patched(data, at, struct.pack(form, stated)))
    assert (got.size, decoding.is_cut) == (LENGTH, False)


@pytest.mark.parametrize("stated", [0, 2**63, 2**64 - 1])
def test_a_w64_is_decoded_whatever_size_of_the_whole_it_states(stated: int) -> None:
    data = wav(SOUND, kind="W64")
    assert decode(patched(data, 16, struct.pack("<Q", stated)))[1].size == LENGTH


def test_an_id3_tag_that_states_more_than_the_file_has_hides_no_sound() -> None:
    bare = encode("mp3", "libmp3lame", SOUND, id3v2_version="0")
    assert decode(b"ID3\4\0\0\x7f\x7f\x7f\x7f" + bare)[1].size == pytest.approx(LENGTH, abs=3_000)


def test_pcm_in_a_mov_has_no_edit_list_to_tell_of() -> None:
    decoding, got = decode(encode("mov", "pcm_s16be", SOUND))
    assert (got.size, decoding.remarks) == (LENGTH, [])


def aiff(channels: int, frames: int, rate: int, stated: int) -> bytes:
    """The header of an AIFF file of 32 bits, up to its samples."""
    exponent = rate.bit_length() - 1
    extended = struct.pack(">HQ", 16383 + exponent, rate << (63 - exponent))
    comm = b"COMM" + struct.pack(">IhIh", 18, channels, frames, 32) + extended
    return b"FORM\x7f\xff\xff\xffAIFF" + comm + b"SSND" + struct.pack(">III", stated, 0, 0)


def test_a_chunk_after_four_gibibytes_ends_the_sound(tmp_path: Path) -> None:
    path, size = tmp_path / "big.wav", 2**32 + 2 * RATE
    with open(path, "wb") as file:
        file.write(riff(b"", size=2 * RATE))
        file.seek(44 + size)
        file.write(b"LIST" + struct.pack("<I", 4) + b"INFO")
    with open(path, "rb") as file:
        assert extent_of(file).end == 44 + size


def test_sizes_that_point_anywhere_end_the_search() -> None:
    for kind, form in (("CAF", ">q"), ("W64", "<Q"), ("RF64", "<Q")):
        data, at, _, _ = size_field(kind)
        for number in (2**63 - 1, 2**62, -(2**63), -5):
            lying = patched(data, at, struct.pack(form, number % 2**64 if form == "<Q" else number))
            extent_of(io.BytesIO(lying))
            extent_of(io.BytesIO(patched(lying, lying.index(b"data"), b"dat1")))


def id3(body: bytes) -> bytes:
    return b"ID3\x03\0\0" + bytes(len(body) >> shift & 0x7F for shift in (21, 14, 7, 0)) + body


COMMENT = b"COMM" + struct.pack(">I", 40) + b"\0\0\0eng\0Info about the show: Xing, VBRI..."
APE = b"APETAGEX" + struct.pack("<IIII", 2_000, 200, 1, 0xA0000000) + bytes(8 + 200)
FRONTS = {
    "two tags": id3(bytes(100)) + id3(COMMENT), "APE": APE, "both": id3(COMMENT) + APE, "zeros": bytes(700),
    "a page": b"<html>no</html>" * 90,
}  # fmt: skip


@pytest.mark.parametrize("name", FRONTS)
def test_what_comes_before_an_mp3_is_neither_its_header_nor_its_end(name: str) -> None:
    uneven = np.concatenate([np.zeros(25 * RATE), SOUND])
    varying = {"flags": "+qscale", "global_quality": "0", "write_xing": "0", "id3v2_version": "0"}
    bare = encode("mp3", "libmp3lame", uneven, **varying)
    decoding, got = decode(FRONTS[name] + bare)
    assert got.size == pytest.approx(uneven.size, abs=3_000)
    assert decoding.declared_duration_s is None
    assert decoding.remarks == []


@pytest.mark.parametrize(("frames", "size"), [(5, 1), (5, 5), (0.2, 1), (0.2, 0.2)])
def test_an_mp3_header_that_lies_makes_no_difference(frames: float, size: float) -> None:
    data = encode("mp3", "libmp3lame", SOUND, id3v2_version="0")
    at = max(data.find(b"Info"), data.find(b"Xing")) + 8
    numbers = struct.unpack_from(">II", data, at)
    lying = patched(data, at, struct.pack(">II", round(numbers[0] * frames), round(numbers[1] * size)))
    decoding, got = decode(lying)
    assert got.size == pytest.approx(LENGTH, abs=3_000)
    if frames > 1:
        assert decoding.remarks == ["the header states 30.2 s: all 6.0 s are decoded"]


def test_mp3s_that_were_put_together_are_all_decoded() -> None:
    parts = [encode("mp3", "libmp3lame", tone(300, seconds), id3v2_version="0") for seconds in (6, 30, 2)]
    assert decode(b"".join(parts))[0].samples == pytest.approx(38 * RATE, abs=6_000)


@pytest.mark.parametrize("total", [0, RATE, 10**6])
def test_a_flac_is_decoded_whatever_total_it_states(total: int) -> None:
    data = wav(SOUND, kind="FLAC")
    known = int.from_bytes(data[18:26], "big") >> 36 << 36
    decoding, got = decode(patched(data, 18, (known | total).to_bytes(8, "big")))
    assert got.size == LENGTH
    assert len(decoding.remarks) == (total > 0)
    with pytest.raises(RejectedError) as caught:
        decode(data[: len(data) // 3])
    assert caught.value.reason is Reason.TRUNCATED


@pytest.mark.parametrize("atom", [b"mvhd", b"mdhd", b"elst"])
@pytest.mark.parametrize("factor", [10, 0.1])
def test_an_mp4_is_decoded_whatever_its_durations(atom: bytes, factor: float) -> None:
    data = encode("mp4", "aac", SOUND)
    at = data.index(atom) + (12 if atom == b"elst" else 20)
    wrong = round(struct.unpack_from(">I", data, at)[0] * factor)
    decoding, got = decode(patched(data, at, struct.pack(">I", wrong)))
    assert got.size == pytest.approx(LENGTH, abs=3_000)
    assert decoding.breaks == []
    if atom == b"elst" and factor < 1:
        assert decoding.remarks == ["an edit list hides 5.4 s of the sound: decoded without it"]


def test_an_mp4_whose_index_points_beyond_the_file_is_truncated() -> None:
    data = encode("mp4", "aac", SOUND)
    at = data.index(b"moov") - 4
    head, moov = data[: data.index(b"mdat") - 4], bytearray(data[at:])
    place = moov.index(b"stco") + 12
    struct.pack_into(">I", moov, place, struct.unpack_from(">I", moov, place)[0] + len(moov))
    first = head + bytes(moov) + data[len(head) : at]
    assert decode(first)[0].samples == pytest.approx(LENGTH, abs=3_000)
    with pytest.raises(RejectedError) as caught:
        decode(first[: len(head) + len(moov) + (at - len(head)) // 3])
    assert caught.value.reason is Reason.TRUNCATED


@pytest.mark.parametrize("seconds", [60.0, 0.6])
def test_a_matroska_file_is_decoded_whatever_its_duration(seconds: float) -> None:
    data = encode("matroska", "flac", SOUND)
    at = data.index(b"\x44\x89\x88") + 3
    decoding, got = decode(patched(data, at, struct.pack(">d", 1_000 * seconds)))
    assert (got.size, len(decoding.remarks)) == (LENGTH, 1)
    with pytest.raises(RejectedError) as caught:
        decode(data[: len(data) // 3])
    assert caught.value.reason is Reason.TRUNCATED


def test_streams_without_any_length_have_theirs() -> None:
    for container, codec in (("adts", "aac"), ("ogg", "libopus"), ("matroska", "flac")):
        data = encode(container, codec, SOUND, 48_000 if codec == "libopus" else RATE, live="1")
        decoding, got = decode(data)
        assert got.size == pytest.approx(LENGTH / (2 if codec == "libopus" else 1), abs=3_000)
        assert decoding.remarks == []


def chunk(name: bytes, content: bytes, form: str = "<I", *, padded: bool) -> bytes:
    return name + struct.pack(form, len(content)) + content + bytes(padded and len(content) % 2)


@pytest.mark.parametrize("padding", [(False,), (False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("before", [b"fmt ", b"data", b""])
def test_chunks_of_odd_length_need_no_byte_behind_them(before: bytes, padding: tuple[bool, ...]) -> None:
    whole = wav(SOUND)
    lengths = (7, 603)  # 603 makes the first byte of the size a letter
    odd = b"".join(
        chunk(b"JUNK", bytes(range(100, 107)) + bytes(length - 7), padded=padded)
        for length, padded in zip(lengths, padding, strict=False)
    )
    at = whole.index(before) if before else len(whole)
    decoding, got = decode(whole[:at] + odd + whole[at:])
    np.testing.assert_array_equal(got, decode(whole)[1])
    assert decoding.remarks == []


@pytest.mark.parametrize("before", [b"COMM", b"SSND"])
def test_chunks_of_an_aiff_need_no_byte_behind_them(before: bytes) -> None:
    whole = encode("aiff", "pcm_s16be", SOUND)
    at = whole.index(before)
    _, got = decode(whole[:at] + chunk(b"NAME", b"abc", ">I", padded=False) + whole[at:])
    np.testing.assert_array_equal(got, decode(whole)[1])


@pytest.mark.parametrize("wide", [0, 1_000, 2**40])
def test_an_rf64_that_states_its_size_in_32_bits_is_decoded(wide: int) -> None:
    whole = wav(SOUND, kind="RF64")
    at, data = whole.index(b"ds64") + 16, whole.index(b"data") + 4
    stated = patched(patched(whole, at, struct.pack("<Q", wide)), data, struct.pack("<I", 2 * LENGTH))
    np.testing.assert_array_equal(decode(stated)[1], decode(whole)[1])


@pytest.mark.parametrize(("tag", "kind"), [(1, ">i2"), (1, ">i4"), (3, ">f4")])
def test_a_big_endian_wav_is_decoded_to_its_samples(tag: int, kind: str) -> None:
    sine = 0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    width, full = np.dtype(kind).itemsize, 1 if tag == 3 else 2 ** (8 * np.dtype(kind).itemsize - 1)
    data = (sine * full).astype(kind).tobytes()
    form = struct.pack(">4sIHHIIHH", b"fmt ", 16, tag, 1, RATE, RATE * width, width, 8 * width)
    head = b"RIFX" + struct.pack(">I", 36 + len(data)) + b"WAVE" + form
    for trailer in (b"", b"LIST" + struct.pack(">I", 4) + b"INFO"):
        _, got = decode(head + b"data" + struct.pack(">I", len(data)) + data + trailer)
        assert got == pytest.approx(sine, abs=1e-4)
