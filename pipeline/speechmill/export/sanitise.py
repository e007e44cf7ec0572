"""Texts that fit on a line of a list, and names that fit into any path."""

import re
from functools import lru_cache

from speechmill.core.config_errors import ConfigError
from speechmill.core.terminal import CONTROL

_PLAIN_ID = re.compile(r"[0-9A-Za-z_-]{1,100}")


@lru_cache(1_000)  # titles, authors and licences are those of the clip before, and formats share texts
def one_line(text: str) -> str:
    r"""Remove control characters and replace white space, line breaks too, by single blanks.

    >>> one_line(" Well,\r\n\tthat is\u2028that.\x00 ")
    'Well, that is that.'
    """
    return " ".join(CONTROL.sub("", text).split())


def without_pipes(text: str) -> str:
    r"""Text for a column of a list with `|` between columns: on one line, with neither `|` nor `"`.

    Some readers split such a line at each `|`, others read it as CSV, where a field that begins with `"` swallows the
    lines after it.

    >>> without_pipes('"Yes | no",\nhe said.')
    'Yes no, he said.'
    """
    return one_line(text.replace("|", " ").replace('"', ""))


def check_id(clip_id: str) -> str:
    """Return a clip id. Raises ConfigError for one that is not fit for names of files, which no run of ours makes.

    >>> check_id("00d1-a")
    '00d1-a'
    """
    if not _PLAIN_ID.fullmatch(clip_id):
        raise ConfigError(f"clip_id {clip_id[:100]!r}: cannot be the name of a file; speechmill made no such corpus")
    return clip_id
