"""The store of a corpus and its artifacts: immutable files that exist complete or not at all.

A stage's result for one content is `work/<stage>/<profile>/<content_id>.parquet`. It is written under a temporary name,
synced and renamed, so that a crash at any instant leaves either the old state or the new one. On object stores a file
appears when it is closed, which is as safe. A failure is an artifact too, without rows: its footer has the reason.
"""

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import PurePosixPath
from typing import IO, Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from speechmill.core import arrow_files, atomic, paths, requests
from speechmill.core.filesystem import Entry, filesystem_of, has_folders, is_local
from speechmill.core.footers import Footer
from speechmill.core.locks import locked
from speechmill.core.own_names import OWN_FILE

LOCK_FILE = "work/lock"
FOOTER_KEY = b"speechmill"
FINISHED = Footer()
F = TypeVar("F", bound=Footer)
ROW_GROUP_BYTES = 8_000_000  # several are in memory while one is written; readers refuse more than 286 MB
ROW_GROUP_ROWS = 100

# Files and folders whose addresses keep the users, passwords and tokens that are needed to fetch again.
PRIVATE = (
    "work/config.json", "work/finished.json", "work/fetch/", "work/feeds/", "work/tables/", "work/known.parquet",
    "work/compared/",
)  # fmt: skip
NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class OutOfSpaceError(Exception):
    """The disk is full. The message names the file that could not be written."""


def raise_if_out_of_space(error: Exception, root: str) -> None:
    """Raise OutOfSpaceError, which ends a run, if an error means that the disk is full."""
    if isinstance(error, OSError) and error.errno in NO_SPACE:
        place = error.filename or root
        raise OutOfSpaceError(f"no space left to write {place}: free some, or choose another output, and run again")


class Store:
    """A folder, local or on an object store (any fsspec URL), that holds a corpus and its artifacts.

    Methods take names relative to the folder, and raise OutsideError for a name that leads out of it or through a link.
    The constructor raises ConfigError for an address that cannot be used.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self.fs, self._base = filesystem_of(root)
        self.is_local, self._has_folders = is_local(self.fs), has_folders(self.fs)

    def __reduce__(self) -> tuple[Any, ...]:
        return Store, (self._base if self.is_local else self.root,)  # another process may have another working folder

    def path(self, name: str) -> str:
        """Full path of a name for the filesystem; of the root for an empty name."""
        base = self._base.rstrip("/")
        if name:
            paths.check_name(name)
            if self.is_local:
                paths.refuse_links(base, name)
        return f"{base}/{name}"

    def artifact(self, stage: str, profile: str, key: str) -> str:
        """Name of the artifact that a stage makes of `key` (a content or recording id)."""
        return f"work/{stage}/{profile}/{key}.parquet"

    def exists(self, name: str) -> bool:
        """Whether a file exists, which is then complete."""
        path = self.path(name)
        return bool(self.fs.exists(path)) if self.is_local else requests.has_file(self.fs, path)

    def has_appeared(self, name: str) -> bool:
        """As `exists`, for what many ask for: on an object store half a second late."""
        return self.exists(name) if self.is_local else requests.has_appeared(self.fs, self.path(name))

    def is_file(self, name: str) -> bool:
        """Whether a file exists."""
        return bool(self.fs.isfile(self.path(name)))

    def size(self, name: str) -> int:
        """Size of a file in bytes."""
        return int(self.fs.size(self.path(name)))

    def sha256(self, name: str) -> str:
        """SHA-256 of a file, 64 hexadecimal digits."""
        with self.open(name) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]

    def version(self, name: str) -> str | None:
        """Text that changes when a file is rewritten or copied, as in entries of `files`; None without the file."""
        self.fs.invalidate_cache()
        if not self.exists(name):
            return None
        path = self.path(name)
        return (Entry.local(name, os.stat(path)) if self.is_local else Entry.remote(name, self.fs.info(path))).version

    def names(self, folder: str) -> list[str]:
        """Names of the finished files and folders in a folder, sorted, without links; empty if it does not exist."""
        path = self.path(folder)
        try:
            if self.is_local:
                names = [entry.name for entry in os.scandir(path) if not entry.is_symlink()]
            else:
                names = [PurePosixPath(name).name for name in self.fs.ls(path, detail=False)]
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(name for name in names if not name.startswith("."))

    def files(self, folder: str = "") -> Iterator[Entry]:
        """All files in a folder and its subfolders, also unfinished ones, sorted within each folder; skips links."""
        root = self.path(folder).rstrip("/")
        below = f"{folder}/" if folder else ""
        if self.is_local:
            for name, facts in paths.files_below(root, below):
                yield Entry.local(name, facts)
            return
        self.fs.invalidate_cache()
        for path, facts in sorted(self.fs.find(root, detail=True).items()):
            if path.startswith(f"{root}/"):  # not `corpus2` for `corpus`
                yield Entry.remote(below + path.removeprefix(f"{root}/"), facts)

    def finished_files(self, folder: str) -> Iterator[Entry]:
        """Files of `files` that are complete, without those that a process is writing or left unfinished."""
        return (entry for entry in self.files(folder) if not entry.name.rpartition("/")[2].startswith("."))

    def artifact_files(self, folder: str) -> Iterator[Entry]:
        """Files of `files` that are ours by their names; `folder` is in `work/`."""
        return (entry for entry in self.files(folder) if OWN_FILE.fullmatch(entry.name))

    def top_level_names(self) -> list[str]:
        """Names of files, folders and links at the top, sorted; empty if the folder does not exist."""
        self.fs.invalidate_cache()
        try:
            if self.is_local:
                return sorted(os.listdir(self.path("")))
            listing = self.fs.ls(self.path("").rstrip("/"), detail=True)
        except FileNotFoundError:
            return []
        root = self.path("").strip("/")
        paths_ = {facts["name"].strip("/") for facts in listing if facts["size"] or facts["name"].strip("/") != root}
        return sorted(PurePosixPath(path).name for path in paths_)  # without the empty object that stands for a folder

    def open(self, name: str) -> IO[bytes]:
        """Open a file for reading."""
        path = self.path(name)
        return paths.open_file(path) if self.is_local else requests.open_file(self.fs, path, name)

    def temporary_folder(self) -> str | None:
        """Path of a folder for temporary files on the same disk; None, for the system's default, on object stores."""
        if not self.is_local:
            return None
        os.makedirs(self.path("work/tmp"), exist_ok=True)
        return self.path("work/tmp")

    def read_json(self, name: str) -> dict[str, Any] | None:
        """Contents of a JSON file; None if it does not exist."""
        try:
            with self.open(name) as file:
                value: dict[str, Any] = json.load(file)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return value

    @contextmanager
    def create(self, name: str, *, new: bool = False) -> Iterator[IO[bytes]]:
        """Open a file for writing; it appears, complete, when the block ends without an exception.

        Raises FileExistsError if it is to be `new` and exists (not checked on object stores).
        """
        path = self.path(name)
        if self._has_folders:
            self.fs.makedirs(os.path.dirname(path), exist_ok=True)
        if not self.is_local:
            with tempfile.NamedTemporaryFile() as file:  # not fsspec's transactions: all threads share one
                yield file
                file.flush()
                self.fs.put_file(file.name, path)
            return
        with atomic.atomic_write(path, new=new, private=name.startswith(PRIVATE)) as file:
            yield file

    def write_text(self, name: str, text: str) -> None:
        """Write a small text file."""
        with self.create(name) as file:
            file.write(text.encode())

    def write_json(self, name: str, value: Any) -> None:
        """Write a JSON file with sorted keys."""
        self.write_text(name, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")

    @contextmanager
    def parquet(self, name: str, schema: pa.Schema, **options: Any) -> Iterator[pq.ParquetWriter]:
        """Open a Parquet file for writing row group by row group; `options` are those of pyarrow.ParquetWriter."""
        with self.create(name) as file, arrow_files.parquet_writer(file, schema, _PARQUET | options) as writer:
            yield writer

    def write_table(self, name: str, table: pa.Table, footer: Footer = FINISHED) -> None:
        """Write an artifact."""
        with self.parquet(name, table.schema) as writer:
            writer.write_table(table)
            add_footer(writer, footer)

    def footer(self, name: str, kind: type[F]) -> F:
        """Footer of an artifact. Raises ValueError for one of another kind."""
        if self.is_local:
            with self.open(name) as file, arrow_files.naming(name):
                return _footer(pq.read_metadata(file), kind)
        return _footer(requests.read_metadata(self.fs, self.path(name)), kind)

    def is_done(self, name: str) -> bool:
        """Whether an artifact needs no more work: it is there, and not a failure that may pass."""
        try:
            return not self.footer(name, Footer).retry
        except FileNotFoundError:
            return False

    def read(self, name: str, columns: list[str] | None = None) -> pa.Table:
        """Read an artifact, or some of its columns."""
        with self.open(name) as file, arrow_files.naming(name):
            return pq.ParquetFile(file).read(columns=columns)  # read_table would load pandas first

    def load(self, name: str, kind: type[F]) -> tuple[pa.Table, F]:
        """Read an artifact and its footer, opening it once. Raises ValueError for a footer of another kind."""
        with self.open(name) as file, arrow_files.naming(name):
            parquet = pq.ParquetFile(file)
            return parquet.read(use_threads=False), _footer(parquet.metadata, kind)

    def batches(self, name: str, columns: list[str] | None = None, rows: int = 32) -> Iterator[pa.RecordBatch]:
        """Read an artifact in batches of at most `rows` rows."""
        with self.open(name) as file, arrow_files.naming(name):
            parquet = pq.ParquetFile(file, pre_buffer=False)  # a buffer would grow to the whole file
            yield from parquet.iter_batches(batch_size=rows, columns=columns)

    @contextmanager
    def locked(self, name: str = LOCK_FILE, *, shared: bool = False) -> Iterator[None]:
        """Lock the corpus for this process, until the block or the process ends. Raises BusyError, or ConfigError.

        `shared`: with other runs that share it. Object stores have no locks: two runs there only waste time.
        """
        with locked(self.path(name), self.root, shared=shared) if self.is_local else nullcontext():
            yield

    def path_for_append(self, name: str) -> str:
        """Path of a local file to append to in place; a file with a second name (hard link) is copied first."""
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if not paths.has_single_link(path):
            with self.open(name) as shared, self.create(name) as own:
                shutil.copyfileobj(shared, own)
        return path

    def move(self, source: str, target: str) -> None:
        """Rename a file, replacing an existing one."""
        if self.is_local:
            os.makedirs(os.path.dirname(self.path(target)), exist_ok=True)
            os.replace(self.path(source), self.path(target))
        else:  # not fsspec's mv, for which `[` and `*` in a name are patterns
            self.fs.cp_file(self.path(source), self.path(target))
            self.fs.rm_file(self.path(source))

    def remove(self, name: str) -> None:
        """Delete a file, or the files of a folder that are ours by their names, and its empty folders.

        Does nothing if it does not exist. Links in a folder are kept and not followed.
        """
        path = self.path(name)
        if self.is_file(name):
            self.fs.rm_file(path)
        else:
            for entry in list(self.artifact_files(name)):
                self.remove(entry.name)
            if self.is_local and os.path.isdir(path):
                paths.remove_empty(path)


def add_footer(writer: pq.ParquetWriter, footer: Footer = FINISHED) -> None:
    """Put the footer into an artifact that is being written."""
    writer.add_key_value_metadata({FOOTER_KEY: footer.to_json().encode()})


def _footer(metadata: pq.FileMetaData, kind: type[F]) -> F:
    return kind.from_json((metadata.metadata or {}).get(FOOTER_KEY, b"{}"))


_PARQUET: dict[str, Any] = {"compression": "zstd", "write_page_index": True, "store_schema": True}
