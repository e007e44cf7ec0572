"""Local files that appear whole: written under a temporary name, synced, and renamed into place."""

import errno
import os
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO


@contextmanager
def written(final: str, *, new: bool, private: bool) -> Iterator[IO[bytes]]:
    """Write a file that appears, whole, when the block ends without an exception.

    Args:
        final: its path, in a folder that is there.
        new: whether to raise FileExistsError where it is there.
        private: whether only its owner may read it.

    Raises:
        OSError: with the path as its `filename`.
    """
    folder, leaf = os.path.split(final)
    temporary = f"{folder}/.{leaf}.{os.getpid()}-{threading.get_ident()}-{uuid.uuid4().hex[:8]}.tmp"
    try:
        with open(temporary, "xb", opener=_private if private else None) as file:  # through no link
            yield file
            file.flush()
            os.fsync(file.fileno())
        (_link if new else os.replace)(temporary, final)
        _sync_folder(folder)
    except OSError as error:
        error.filename = error.filename or final
        raise
    finally:
        _unlink(temporary)  # which is no more where it was renamed


def _private(path: str, flags: int) -> int:
    """Open a file that only its owner may read."""
    return os.open(path, flags, 0o600)


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _link(temporary: str, final: str) -> None:
    """Give a file its name unless it is taken. Raises FileExistsError."""
    try:
        os.link(temporary, final)
    except FileExistsError:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), final) from None
    except OSError:  # a disk without hard links
        if os.path.lexists(final):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), final) from None
        os.replace(temporary, final)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
