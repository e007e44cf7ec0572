"""Safe access to files below a folder: no name and no link leads out of it.

Names are read from footers and lists, which come with corpora of unknown origin, and anybody with write access can put
a link into a folder. So a name with `..` is refused, and no link is followed.
"""

import os
import stat
from collections.abc import Iterator
from typing import IO

from speechmill.core.config_errors import ConfigError


class OutsideError(ConfigError):
    """A name or a link leads out of a folder. The message names it."""


def check_name(name: str) -> None:
    """Raise OutsideError unless `name` is a path below a folder, such as `a/b`: no `..`, no empty part, no NUL."""
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
            return  # opening it raises the error
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
    """Names, each after the prefix `below`, and stats of all regular files in a local folder, sorted; skips links."""
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
    """Delete a local folder and its subfolders where they hold no files."""
    for entry in list(os.scandir(folder)):
        if entry.is_dir(follow_symlinks=False):
            remove_empty(entry.path)
    try:
        os.rmdir(folder)
    except OSError:
        pass  # it holds a file


def has_single_link(path: str) -> bool:
    """Whether a local file has no second name (hard link), under which others may use it too; True if it is missing."""
    try:
        return os.lstat(path).st_nlink == 1
    except FileNotFoundError:
        return True
