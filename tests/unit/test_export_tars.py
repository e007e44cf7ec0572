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
