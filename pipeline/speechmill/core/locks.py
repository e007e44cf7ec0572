"""The lock of a corpus: held by one run of the whole of it, or shared by the runs of its shards."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from speechmill.core.config_errors import ConfigError

MAX_LOCK_BYTES = 100  # a lock file is empty, or has the id of a process


class BusyError(Exception):
    """Another run is at work on the same output."""


@contextmanager
def locked(path: str, root: str, *, shared: bool = False) -> Iterator[None]:
    """Hold the lock file `path` of the corpus `root` until the block or the process ends.

    Raises BusyError if another process holds it that does not share it, ConfigError for a file that is no lock.
    """
    from filelock import FileLock, Timeout

    if os.path.lexists(path) and not (os.path.isfile(path) and os.path.getsize(path) < MAX_LOCK_BYTES):
        raise ConfigError(f"{path}: is no lock of a run, which would be overwritten; move it elsewhere")
    busy = BusyError(f"another run is at work on {root}: wait for it, or choose another --output")
    if shared:
        with _shared(path, busy):
            yield
        return
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise busy from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _shared(path: str, busy: BusyError) -> Iterator[None]:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    file = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        raise busy from None
    try:
        yield
    finally:
        os.close(file)


def is_held(path: str) -> bool:
    """Whether a run holds a lock file; it is not created."""
    with open(path, "rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
