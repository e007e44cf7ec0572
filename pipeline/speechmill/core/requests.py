"""Asks an object store for files with one request each: a request takes its 20 ms, and costs.

fsspec asks for the size of a file before it reads any of it, and lists the folder of that name where no file is. What
follows reads instead. It is for files that are not empty; others take the longer way.
"""

import io
import time
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

TAIL_BYTES = 32_768  # of a Parquet file, which hold the metadata of most
ABSENT_S = 0.5
# Files of which a part is read: with sound, or with the clips of many recordings. Others are read whole.
_LARGE = (
    "work/media/", "work/segment/", "work/passages/", "work/restore/", "work/tables/", "work/publish/",
    "data/", "pool.parquet/", "ledger.parquet", "recordings.parquet",
)  # fmt: skip

_absent_until: dict[str, float] = {}  # by path, on the clock of this process


def has_file(fs: Any, path: str) -> bool:
    """Whether a file is there: by its last byte."""
    try:
        fs.cat_file(path, start=-1)
    except FileNotFoundError:
        return False
    except OSError:  # an empty file has no last byte
        return bool(fs.exists(path))
    return True


def has_appeared(fs: Any, path: str) -> bool:
    """As `has_file`; a file that was not there is looked for again after ABSENT_S."""
    if time.monotonic() < _absent_until.get(path, 0.0):
        return False
    is_there = has_file(fs, path)
    if not is_there:
        _absent_until[path] = time.monotonic() + ABSENT_S
    return is_there


def open_file(fs: Any, path: str, name: str) -> IO[bytes]:
    """Open a file for reading; `name` is that in the store. Raises FileNotFoundError."""
    if name.startswith(_LARGE):
        return _opened(fs, path)
    try:
        return io.BytesIO(fs.cat_file(path, start=0))
    except FileNotFoundError:
        raise
    except OSError:
        return _opened(fs, path)


def read_metadata(fs: Any, path: str) -> pq.FileMetaData:
    """Metadata of a Parquet file, from its end. Raises FileNotFoundError."""
    try:
        return pq.read_metadata(pa.BufferReader(fs.cat_file(path, start=-TAIL_BYTES)))
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowInvalid):  # longer metadata
        with _opened(fs, path) as file:
            return pq.read_metadata(file)


def _opened(fs: Any, path: str) -> IO[bytes]:
    file: IO[bytes] = fs.open(path, "rb")
    return file
