"""Atomic writes of local files: to a temporary name, synced, then renamed into place."""

import errno
import os
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO


@contextmanager
def atomic_write(path: str, *, new: bool, private: bool) -> Iterator[IO[bytes]]:
    """Open a file for writing; it appears at `path`, complete, when the block ends without an exception.

    Args:
        path: Where it appears, in an existing folder.
        new: Whether to raise FileExistsError where `path` exists.
        private: Whether only its owner may read it.

    Raises:
        OSError: With the path as its `filename`.
    """
    folder, leaf = os.path.split(path)
    temporary = f"{folder}/.{leaf}.{os.getpid()}-{threading.get_ident()}-{uuid.uuid4().hex[:8]}.tmp"
    try:
        with open(temporary, "xb", opener=_private if private else None) as file:  # "x" follows no link
            yield file
            file.flush()
            os.fsync(file.fileno())
        (_link if new else os.replace)(temporary, path)
        _sync_folder(folder)
    except OSError as error:
        error.filename = error.filename or path
        raise
    finally:
        _unlink(temporary)  # does not exist any more where it was renamed


def _private(path: str, flags: int) -> int:
    """Open a file that only its owner may read."""
    return os.open(path, flags, 0o600)


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _link(temporary: str, path: str) -> None:
    """Move a file to a path that does not exist yet. Raises FileExistsError."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path) from None
    except OSError:  # a disk without hard links
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path) from None
        os.replace(temporary, path)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
