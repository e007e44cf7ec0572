"""Tar files of exports are read back with the names, sizes and contents that went in, whatever their names."""

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from speechmill.export import tars
from speechmill.export.folder import HashedFile

NAMES = st.text(st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="/"), min_size=1, max_size=130)
MEMBERS = st.lists(st.tuples(NAMES, st.binary(max_size=2_000)), max_size=6)


def written(members: list[tuple[str, bytes]]) -> io.BytesIO:
    file = io.BytesIO()
    tar = tars.TarWriter(HashedFile(file))
    for name, content in members:
        tar.add(name, memoryview(content))
    tar.close()
    file.seek(0)
    return file


@given(MEMBERS)
def test_members_are_read_as_they_were_written(members: list[tuple[str, bytes]]) -> None:
    assert [(name, content.read()) for name, content in tars.members(written(members))] == members


def test_a_header_that_was_changed_counts_as_none() -> None:
    """As for tarfile, whose readers find the end of the file there: verification then misses clips."""
    file = written([("a.txt", b"one"), ("b.txt", b"two")])
    file.getbuffer()[1024:1030] = b"other."
    assert [name for name, _ in tars.members(file)] == ["a.txt"]
    file.getbuffer()[:5] = b"c.txt"
    file.seek(0)
    with pytest.raises(tarfile.ReadError, match="checksum"):
        list(tars.members(file))


@pytest.mark.parametrize("lost", [1, 3_000])
def test_a_file_that_ends_within_its_last_member_is_no_tar_file(lost: int) -> None:
    file = written([("a.txt", b"one"), ("b.flac", bytes(5_000))])
    file.truncate(512 + 512 + 512 + 5_000 - lost)
    with pytest.raises(ValueError, match="ends within a member"):
        list(tars.members(file))
    file.seek(0)
    with pytest.raises(ValueError, match="ends within a member"):
        [content.read() for _, content in tars.members(file)]


@pytest.mark.parametrize("size", [0, 1, 511, 512, tars.COPIED_BYTES - 1, tars.COPIED_BYTES, tars.COPIED_BYTES + 1])
def test_a_tar_file_has_the_bytes_that_tarfile_writes(size: int) -> None:
    expected = io.BytesIO()
    with tarfile.open(fileobj=expected, mode="w", format=tarfile.GNU_FORMAT) as tar:
        member = tarfile.TarInfo("a.flac")
        member.size = size
        tar.addfile(member, io.BytesIO(bytes(size)))
    assert written([("a.flac", bytes(size))]).getvalue() == expected.getvalue()
