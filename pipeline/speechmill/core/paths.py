"""Names below a folder: checked, opened and deleted without leaving the folder by a name or a link.

Names are read from footers and lists, which whoever handed a corpus on may have written; and whoever may write into a
folder may put a link there. Neither leads out: a name with `..` is refused, and no link is followed.
"""

import os
import stat
from collections.abc import Iterator
from typing import IO

from speechmill.core.config_errors import ConfigError


class OutsideError(ConfigError):
    """A name or a link leads out of a folder that is worked in. The message names it."""


def check_name(name: str) -> None:
    """Raise OutsideError unless `name` is that of something below a folder: `a/b`, no `..`, no empty part, no NUL."""
    if "\0" in name or any(part in ("", ".", "..") for part in name.split("/")):
        raise OutsideError(f"{name[:200]!r}: not a name of a file below the corpus; what names it is damaged")


def refuse_links(folder: str, name: str) -> None:
    """Raise OutsideError if `name` below a local folder is a link, or is reached through one."""
    path = folder
    for part in name.split("/"):
        path = f"{path}/{part}"
        try:
            facts = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return  # so that whoever opens it is answered
        except ValueError as error:
            raise OutsideError(f"{name[:200]!r}: {error}") from None
        if stat.S_ISLNK(facts.st_mode):
            fix = "put the files themselves in its place, or delete the link"
            raise OutsideError(f"{path}: is a link, and links in a corpus are not followed; {fix}")


def open_file(path: str) -> IO[bytes]:
    """Open a local file for reading. Raises OSError for a link, and OutsideError for a pipe, which may never end."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    file = os.fdopen(descriptor, "rb") if stat.S_ISREG(os.fstat(descriptor).st_mode) else None
    if file is None:
        os.close(descriptor)
        raise OutsideError(f"{path}: is not a file; delete it")
    return file


def files_below(folder: str, below: str = "") -> Iterator[tuple[str, os.stat_result]]:
    """Names and facts of the regular files of a local folder, in order; no link is followed, and none is named."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from files_below(entry.path, f"{below}{entry.name}/")
        elif entry.is_file(follow_symlinks=False):
            yield f"{below}{entry.name}", entry.stat(follow_symlinks=False)


def remove_empty(folder: str) -> None:
    """Delete a local folder and those in it as far as nothing is in them."""
    for entry in list(os.scandir(folder)):
        if entry.is_dir(follow_symlinks=False):
            remove_empty(entry.path)
    try:
        os.rmdir(folder)
    except OSError:
        pass  # somebody's file is in it


def is_only_ours(path: str) -> bool:
    """Whether a local file has no second name (hard link), under which it may be somebody else's too."""
    try:
        return os.lstat(path).st_nlink == 1
    except FileNotFoundError:
        return True
