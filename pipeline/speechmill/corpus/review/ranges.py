"""Parts of a file that a player asks for: the header Range of RFC 9110, section 14."""

import re

_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")


class RangeError(ValueError):
    """A range that the file does not have."""


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """First byte, and one past the last, of the part asked for; None for the whole file.

    Several parts in one request, and units other than bytes, may be answered with the whole file, and are. Raises
    RangeError for a part that lies beyond the end.

    >>> parse_range("bytes=10-19", 100), parse_range("bytes=-5", 100), parse_range("bytes=0-0, 5-9", 100)
    ((10, 20), (95, 100), None)
    """
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        length = int(match[2])
        if not length or not size:
            raise RangeError("no such part")
        return max(0, size - length), size
    first, last = int(match[1]), int(match[2]) if match[2] else size - 1
    if match[2] and last < first:
        return None  # not a range at all
    if first >= size:
        raise RangeError("no such part")
    return first, min(last + 1, size)
