"""The folder of an export: `export.json`, which marks it as ours, and `SHA256SUMS`, which lists its files.

An export is written into a new or empty folder, or into one with such a mark. A finished export of other options, or of
a corpus that has changed, is replaced: its files are deleted where they are as they were written. Files of anybody else
are in the way.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, Literal

from speechmill.core.config_errors import ConfigError
from speechmill.core.own_names import UNFINISHED
from speechmill.core.ownership import IGNORED_NAMES, shorten
from speechmill.core.store import Store
from speechmill.core.version import __version__

MARK_FILE, SUMS_FILE = "export.json", "SHA256SUMS"
FORMAT, FORMAT_VERSION = "speechmill export", 1
STAGING = ".speechmill"  # what is needed until the export is finished
LOCK_FILE = f"{STAGING}/lock"
# Our files there, beside the lock, and what a killed export left of files elsewhere.
STAGED = re.compile(rf"\.speechmill/[0-9]{{5}}(\.json|/.+)|(.+/)?{UNFINISHED.pattern}")
Mark = dict[str, Any]
State = Literal["new", "unfinished", "finished", "replaced"]


class HashedFile:
    """A file that is being written, and the SHA-256 of what was written so far."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._digest, self._bytes = file, hashlib.sha256(), 0

    def write(self, data: bytes | memoryview) -> int:
        """Write bytes."""
        self._digest.update(data)
        self._bytes += len(data)
        return self._file.write(data)

    def tell(self) -> int:
        """Bytes written."""
        return self._bytes

    def flush(self) -> None:
        """Pass on what was written."""
        self._file.flush()

    def sums_line(self, name: str) -> str:
        """Line of the file in SHA256SUMS."""
        return f"{self._digest.hexdigest()}  {name}"


@contextmanager
def hashed(store: Store, name: str) -> Iterator[HashedFile]:
    """Open a file for writing that appears, complete, when the block ends."""
    with store.create(name) as file:
        yield HashedFile(file)


def check(output: Store, request: str) -> State:
    """What an export with the digest `request` finds in its folder. Writes nothing.

    Raises ConfigError where it may not write, naming what is in the way and the fix.
    """
    mark = load(output)
    if mark is None:
        names = [name for name in output.top_level_names() if name not in (*IGNORED_NAMES, STAGING)]
        names = [name for name in names if not (name.startswith(f".{MARK_FILE}.") and UNFINISHED.fullmatch(name))]
        if names or any(entry.name != LOCK_FILE for entry in output.files(STAGING)):
            fix = "give a new or an empty folder with --output"
            raise ConfigError(f"--output {output.root}: no export and not empty, it has {shorten(names)}; {fix}")
        return "new"
    if not mark["finished"]:
        if mark["request"] != request:
            fix = "finish it with the same command, or delete the folder"
            raise ConfigError(f"--output {output.root}: an unfinished export of other options or clips; {fix}")
        return "unfinished"
    if mark["request"] == request and all(output.exists(name) for _, name in sums(output)):
        return "finished"
    _refuse_foreign(output)
    return "replaced"


def load(output: Store) -> Mark | None:
    """Contents of `export.json`; None without the file. Raises ConfigError for a file that is not ours."""
    try:
        mark = output.read_json(MARK_FILE)
        if mark is None or (mark["format"] == FORMAT and mark["version"] == FORMAT_VERSION and "finished" in mark):
            return mark
        is_newer = mark["format"] == FORMAT
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        is_newer = False
    if is_newer:
        raise ConfigError(f"{output.root}/{MARK_FILE}: of a newer speechmill than {__version__}; upgrade it first")
    raise ConfigError(f"{output.root}/{MARK_FILE}: not a mark that speechmill made; choose another --output")


def save(output: Store, request: str, facts: Mark, *, finished: bool) -> None:
    """Write `export.json`."""
    header = {"format": FORMAT, "version": FORMAT_VERSION, "speechmill": __version__}
    text = json.dumps(header | {"request": request, "finished": finished} | facts, indent=2, ensure_ascii=False)
    output.write_text(MARK_FILE, text + "\n")


def sums(output: Store) -> Iterator[tuple[str, str]]:
    """SHA-256 and name of each file of a finished export, except the mark."""
    if output.exists(SUMS_FILE):
        with output.open(SUMS_FILE) as file:
            for line in file:
                digest, _, name = line.decode().rstrip("\n").partition("  ")
                yield digest, name


def _refuse_foreign(output: Store) -> None:
    """Raise ConfigError if a folder has a file that is not of its export, or not as it was written."""
    expected = {name: digest for digest, name in sums(output)}
    foreign = []
    for entry in output.files():
        name = entry.name
        if name in (MARK_FILE, SUMS_FILE, LOCK_FILE) or name.rpartition("/")[2] in IGNORED_NAMES:
            continue
        if expected.get(name) != digest(output, name):
            foreign.append(name)
    if foreign:
        fix = "move it elsewhere, or give another --output"
        raise ConfigError(f"--output {output.root}: not as speechmill wrote it: {shorten(foreign)}; {fix}")


def digest(output: Store, name: str) -> str:
    """SHA-256 of a file."""
    with output.open(name) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


def remove_old(output: Store) -> None:
    """Delete the files of a finished export, which `check` has compared with their hashes; the list of them last."""
    folders = set()
    for _, name in sums(output):
        if output.is_file(name):
            output.remove(name)
            folders.add(name.rpartition("/")[0])
    remove_folders(output, folders)
    output.remove(SUMS_FILE)


def remove_folders(output: Store, names: set[str]) -> None:
    """Remove empty local folders, and those above them within the export."""
    above = {name[:at] for name in names for at in range(len(name)) if name[at] == "/"}
    for name in sorted({*names, *above} - {""}, reverse=True):
        if output.is_local and os.path.isdir(output.path(name)) and not os.listdir(output.path(name)):
            os.rmdir(output.path(name))
