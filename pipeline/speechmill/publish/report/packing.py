"""Makes the table of the report small: bytes side by side that are alike, texts as long as there is room."""

import gzip
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

TEXT_CHARACTERS = (1_000, 200, 100, 60, 40, 25, 12)  # lengths to which texts are cut, until they fit


def planes(values: npt.NDArray[Any]) -> bytes:
    """Bytes of an array of integers, all lowest bytes first: they compress better than numbers side by side.

    >>> planes(np.array([1, 258], "<u2")).hex()
    '01020001'
    """
    if values.ndim > 1:
        return values.tobytes()
    return values.view(np.uint8).reshape(-1, values.itemsize).T.tobytes()


def cut_lines(texts: Sequence[str], most_bytes: int) -> tuple[bytes, int | None]:
    """Texts as lines, cut to so many characters that they compress to `most_bytes`, and that number; None: whole.

    >>> cut_lines(["one", "two"], 1_000)[0].split()
    [b'one', b'two']
    """
    joined = b""
    longest = max(map(len, texts), default=0)
    for characters in TEXT_CHARACTERS:
        joined = "\n".join(text[:characters] for text in texts).encode()
        if len(joined) < most_bytes or len(gzipped(joined)) <= most_bytes:
            return joined, None if longest <= characters else characters
    return b"\n" * max(len(texts) - 1, 0), 0


def gzipped(data: bytes) -> bytes:
    """The same bytes for the same data."""
    return gzip.compress(data, 6, mtime=0)
