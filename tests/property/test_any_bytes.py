"""Any bytes are either segmented or rejected with a reason: never an exception, never a crash."""

import functools
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.media import assert_accounted, encode, segmented, tone, wav

MAGIC = [
    b"RIFF\xff\xff\xff\xffWAVEfmt ",
    b"fLaC",
    b"OggS\0",
    b"ID3\x04\0\0\0\0\0\0",
    b"\xff\xfb\x90\x64",
    b"\0\0\0\x18ftypM4A ",
]
MAGIC += [
    b"\x1aE\xdf\xa3",
    b"FORM\0\0\0\0AIFF",
    b"caff\0\1",
    b"\xff\xf1\x50\x80",
    b"0&\xb2u\x8ef\xcf\x11",
    b"#!AMR\n",
    b"FLV\1\5",
]
MAGIC += [
    b".snd",
    b"MAC ",
    b"wvpk",
    b"MPCK",
    b"TTA1",
    b"NIST_1A\n   1024\n",
    b"Creative Voice File\x1a",
    b"#EXTM3U\n",
    b"ffconcat",
]


@functools.cache
def whole_files() -> dict[str, bytes]:
    sound = 0.4 * np.random.default_rng(0).standard_normal(30_000) * np.abs(tone(3, 30_000 / 24_000))
    made = [
        ("mp3", "libmp3lame"),
        ("mp4", "aac"),
        ("ogg", "flac"),
        ("ogg", "libopus"),
        ("webm", "libopus"),
        ("adts", "aac"),
    ]
    files = {f"{container}/{codec}": encode(container, codec, sound) for container, codec in made}
    files |= {kind.lower(): wav(sound, kind=kind) for kind in ("WAV", "FLAC", "AIFF", "CAF", "AU", "W64", "RF64")}
    others = [("mov", "pcm_s16le"), ("matroska", "flac"), ("wv", "wavpack")]
    files |= {f"{container}/{codec}": encode(container, codec, sound) for container, codec in others}
    return files | {"stereo": wav(np.stack([sound, -sound], axis=1))}


def check(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        assert_accounted(*segmented(data, Path(folder), audio={"max_duration_s": 120}))


@settings(max_examples=150)
@given(st.binary(max_size=600), st.sampled_from([b"", *MAGIC]))
def test_any_bytes(tail: bytes, magic: bytes) -> None:
    check(magic + tail)


@settings(max_examples=300)
@given(st.data())
def test_a_broken_file(data: st.DataObject) -> None:
    files = whole_files()
    whole = files[data.draw(st.sampled_from(sorted(files)))]
    broken = bytearray(whole[: data.draw(st.integers(0, len(whole)))] if data.draw(st.booleans()) else whole)
    if broken:
        near_the_head = st.integers(0, min(len(broken), 400) - 1)
        where = st.one_of(near_the_head, st.integers(0, len(broken) - 1))
        for at, value in data.draw(st.lists(st.tuples(where, st.integers(0, 255)), max_size=20)):
            broken[at] = value
    check(bytes(broken))


SIZES = [b"\0" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\x80\0\0\0", b"\0\x10\0\0"]


@settings(max_examples=150)
@given(st.data())
def test_a_header_whose_numbers_are_wrong(data: st.DataObject) -> None:
    files = whole_files()
    broken = bytearray(files[data.draw(st.sampled_from(sorted(files)))])
    for at in data.draw(st.lists(st.integers(0, min(len(broken), 1_000) - 8), min_size=1, max_size=4)):
        number = data.draw(st.sampled_from([*SIZES, *(size * 2 for size in SIZES), b"\xff"]))
        broken[at : at + len(number)] = number
    check(bytes(broken))


@settings(max_examples=100)
@given(st.data())
def test_a_file_spliced_from_two(data: st.DataObject) -> None:
    files = whole_files()
    one, two = (files[data.draw(st.sampled_from(sorted(files)))] for _ in range(2))
    check(one[: data.draw(st.integers(0, len(one)))] + two[data.draw(st.integers(0, len(two))) :])


@pytest.mark.parametrize("name", ["mp3/libmp3lame", "mp4/aac", "ogg/libopus", "flac", "wav"])
def test_a_file_cut_anywhere(name: str) -> None:
    whole = whole_files()[name]
    for size in [*range(0, 120, 3), *range(120, len(whole), max(len(whole) // 12, 1))]:
        check(whole[:size])
