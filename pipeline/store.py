"""Artifacts: immutable files that are there whole or not at all.

A stage's result for one content is `work/<stage>/<profile>/<content_id>.parquet`. It is written under a
temporary name, synced and renamed, so that a crash at any instant leaves either the old state or the new
one. On object stores a file appears when it is closed, which is the same promise. A failure is an artifact
too: no rows, and in its footer the reason.
"""

import errno
import json
import os
import tempfile
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import IO, Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

LOCK_FILE = "work/lock"
FOOTER_KEY = b"speechmill"
ROW_GROUP_BYTES = 8_000_000  # several are in memory while one is written; readers refuse more than 286 MB
ROW_GROUP_ROWS = 100


NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Busy(Exception):  # noqa: N818 - a state of the output
    """Another run is at work on the same output."""


class OutOfSpace(Exception):  # noqa: N818 - a state of the disk
    """The disk is full. The message names the file that could not be written."""


def raise_if_out_of_space(error: Exception, root: str) -> None:
    """Turn the operating system's word for a full disk into OutOfSpace, which ends a run; ignore the rest."""
    if isinstance(error, OSError) and error.errno in NO_SPACE:
        place = error.filename or root
        raise OutOfSpace(f"no space left to write {place}: free some, or choose another output, and run again")


class Store:
    """A folder, local or on an object store (any fsspec URL), that holds a corpus and its artifacts."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.fs, self._base = fsspec.core.url_to_fs(root)
        self.is_local = "file" in (self.fs.protocol if isinstance(self.fs.protocol, tuple) else (self.fs.protocol,))

    def __reduce__(self) -> tuple[Any, ...]:
        return Store, (self.root,)

    def path(self, name: str) -> str:
        """Full path, for the filesystem, of a name below the root."""
        return f"{self._base.rstrip('/')}/{name}"

    def artifact(self, stage: str, profile: str, key: str) -> str:
        """Name of the artifact that a stage makes of `key` (a content or recording id)."""
        return f"work/{stage}/{profile}/{key}.parquet"

    def exists(self, name: str) -> bool:
        """Whether the file is there (and therefore whole)."""
        return bool(self.fs.exists(self.path(name)))

    def size(self, name: str) -> int:
        """Bytes of a file."""
        return int(self.fs.size(self.path(name)))

    def names(self, folder: str) -> list[str]:
        """Names of the finished files in a folder, sorted; empty if there is no such folder."""
        try:
            found = self.fs.ls(self.path(folder), detail=False)
        except FileNotFoundError:
            return []
        return sorted(n for n in (PurePosixPath(p).name for p in found) if not n.startswith("."))

    def open(self, name: str) -> IO[bytes]:
        """Open a file for reading."""
        handle: IO[bytes] = self.fs.open(self.path(name), "rb")
        return handle

    def scratch(self) -> str | None:
        """Folder for temporary files, on the same disk; None, the system's own, where the store is remote."""
        if not self.is_local:
            return None
        os.makedirs(self.path("work/tmp"), exist_ok=True)
        return self.path("work/tmp")

    def read_json(self, name: str) -> dict[str, Any] | None:
        """Contents of a JSON file, or None if it is not there."""
        if not self.exists(name):
            return None
        with self.open(name) as file:
            value: dict[str, Any] = json.load(file)
        return value

    @contextmanager
    def create(self, name: str) -> Iterator[IO[bytes]]:
        """Write a file that appears, whole, when the block ends without an exception."""
        final = self.path(name)
        self.fs.makedirs(os.path.dirname(final), exist_ok=True)
        if not self.is_local:
            with tempfile.NamedTemporaryFile() as file:  # not fsspec's transactions: all threads share one
                yield file
                file.flush()
                self.fs.put_file(file.name, final)
            return
        folder, leaf = os.path.split(final)
        temporary = f"{folder}/.{leaf}.{os.getpid()}-{threading.get_ident()}-{uuid.uuid4().hex[:8]}.tmp"
        try:
            with open(temporary, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, final)
            _sync_folder(folder)
        except OSError as error:
            error.filename = error.filename or final
            raise
        finally:
            _unlink(temporary)  # which is no more where it was renamed

    def write_text(self, name: str, text: str) -> None:
        """Write a small text file whole."""
        with self.create(name) as file:
            file.write(text.encode())

    def write_json(self, name: str, value: Any) -> None:
        """Write a JSON file whole, keys sorted."""
        self.write_text(name, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")

    @contextmanager
    def parquet(self, name: str, schema: pa.Schema, **options: Any) -> Iterator[pq.ParquetWriter]:
        """Write a Parquet file whole, row group by row group."""
        with self.create(name) as file, pq.ParquetWriter(file, schema, **(_PARQUET | options)) as writer:
            yield writer

    def write_table(self, name: str, table: pa.Table, footer: dict[str, Any] | None = None) -> None:
        """Write a table whole, with facts about all of it in the footer."""
        with self.parquet(name, table.schema) as writer:
            writer.write_table(table)
            add_footer(writer, footer or {})

    def write_failure(self, name: str, schema: pa.Schema, footer: dict[str, Any]) -> None:
        """Write an artifact without rows whose footer says why there are none."""
        self.write_table(name, schema.empty_table(), footer)

    def footer(self, name: str) -> dict[str, Any]:
        """Facts about an artifact as a whole."""
        with self.open(name) as file:
            metadata = pq.read_metadata(file).metadata or {}
        value: dict[str, Any] = json.loads(metadata.get(FOOTER_KEY, b"{}"))
        return value

    def is_done(self, name: str) -> bool:
        """Whether an artifact needs no more work: it is there, and not a failure that may pass."""
        return self.exists(name) and not self.footer(name).get("retry", False)

    def read(self, name: str, columns: list[str] | None = None) -> pa.Table:
        """Read an artifact, or some of its columns."""
        with self.open(name) as file:
            return pq.ParquetFile(file).read(columns=columns)  # read_table would load pandas first

    def batches(self, name: str, columns: list[str] | None = None, rows: int = 32) -> Iterator[pa.RecordBatch]:
        """Read an artifact in bounded memory."""
        with self.open(name) as file:
            parquet = pq.ParquetFile(file, pre_buffer=False)  # a buffer would grow to the whole file
            yield from parquet.iter_batches(batch_size=rows, columns=columns)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the corpus for this process; the lock goes with it, however it ends. Raises Busy."""
        if not self.is_local:  # object stores have no locks; artifacts are idempotent: two runs waste time only
            yield
            return
        from filelock import FileLock, Timeout

        lock = FileLock(self.path(LOCK_FILE))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise Busy(f"another run is at work on {self.root}: wait for it, or choose another --output") from None
        try:
            yield
        finally:
            lock.release()

    def move(self, source: str, target: str) -> None:
        """Rename a file, replacing what is there."""
        if self.is_local:
            os.makedirs(os.path.dirname(self.path(target)), exist_ok=True)
            os.replace(self.path(source), self.path(target))
        else:
            self.fs.mv(self.path(source), self.path(target))

    def remove(self, name: str) -> None:
        """Delete a file or a folder with all that is in it; nothing happens if it is not there."""
        if self.fs.exists(self.path(name)):
            self.fs.rm(self.path(name), recursive=True)


def add_footer(writer: pq.ParquetWriter, facts: dict[str, Any]) -> None:
    """Add facts about the whole artifact, known only at its end."""
    writer.add_key_value_metadata({FOOTER_KEY: json.dumps(facts, sort_keys=True).encode()})


_PARQUET: dict[str, Any] = {"compression": "zstd", "write_page_index": True, "store_schema": True}


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
