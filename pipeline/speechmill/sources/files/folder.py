"""Walks a folder and separates recordings, by name or first bytes, from other files, with the reason for each."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

from speechmill.core.reasons import Reason
from speechmill.core.records import RejectedError
from speechmill.sources.files.beside import BESIDE, Beside, Shelf, has_media_suffix
from speechmill.sources.files.places import is_inside
from speechmill.sources.files.probe import probe

SYSTEM = {  # files and folders that operating systems and network shares create, in lower case
    "thumbs.db", "desktop.ini", "ehthumbs.db", "icon\r", "@eadir", "__macosx", "$recycle.bin", "lost+found",
    "system volume information",
}  # fmt: skip
OUTSIDE = "a link that leads out of the inputs; give what it leads to as an input of its own"


@dataclass(frozen=True, slots=True)
class Found:
    """A path in a folder: a recording with the files that belong to it, or a file that is left out, and why."""

    path: str
    beside: tuple[Beside, ...] = ()
    fault: RejectedError | None = None


def walk(root: str, roots: tuple[str, ...], output: str) -> Iterator[Found]:
    """Yield all paths in a folder and below, sorted, a folder's files before its subfolders; hidden ones as a count.

    Links are followed within `roots`, real paths, and no folder is visited twice. `output` and other corpora are not
    entered.
    """
    hidden, visited, pending = 0, {os.path.realpath(output)}, [root]
    while pending:
        folder = pending.pop()
        if (real := os.path.realpath(folder)) in visited:
            continue
        visited.add(real)
        if _is_corpus(folder):
            yield Found(folder, fault=RejectedError(Reason.NOT_AUDIO, "a corpus that speechmill made"))
            continue
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            yield Found(folder, fault=_unreadable(error))
            continue
        visible = [entry for entry in entries if not is_hidden(entry.name)]
        hidden += len(entries) - len(visible)
        folders, files = _sorted(visible, roots)
        yield from _files(folder, files)
        pending += reversed(folders)
    if hidden:
        yield Found(root, fault=RejectedError(Reason.HIDDEN, f"{hidden} hidden or system files or folders"))


def is_hidden(name: str) -> bool:
    """Whether a name is hidden or created by the operating system."""
    return name.startswith((".", "~$")) or name.lower() in SYSTEM


def _is_corpus(folder: str) -> bool:
    inside = (os.path.isfile(os.path.join(folder, name)) for name in ("run.json", "ledger.parquet"))
    return os.path.isfile(os.path.join(folder, "corpus.json")) or all(inside)


def _sorted(
    entries: list["os.DirEntry[str]"], roots: tuple[str, ...]
) -> tuple[list[str], dict[str, RejectedError | None]]:
    """Paths of subfolders; and names of other entries, with a fault for those that must not be followed or opened."""
    folders, files = [], {}
    for entry in entries:
        fault = fault_of(entry.path, roots) if entry.is_symlink() else None
        if fault is None and entry.is_dir():
            folders.append(entry.path)
        else:
            files[entry.name] = fault or (None if entry.is_file() else _no_file())
    return folders, files


def fault_of(path: str, roots: tuple[str, ...]) -> RejectedError | None:
    """Why a path that is a link, or below one, must not be used; None if it may."""
    if not os.path.exists(path):
        return RejectedError(Reason.NOT_FOUND, "a link to nothing")
    return None if is_inside(path, roots) else RejectedError(Reason.OUTSIDE, OUTSIDE)


def _files(folder: str, fault_of_name: dict[str, RejectedError | None]) -> Iterator[Found]:
    """The files of one folder. Files that may belong to a recording are probed last, and only if they do not."""
    faults = {
        name: fault or (None if has_media_suffix(name) else fault_in(os.path.join(folder, name)))
        for name, fault in fault_of_name.items()
        if fault or not name.lower().endswith(BESIDE)
    }
    media = [name for name, fault in faults.items() if fault is None]
    shelf = Shelf(fault_of_name, media)
    beside = {name: shelf.of(name) for name in media}
    taken = {file.name for files in beside.values() for file in files}
    for name in fault_of_name:
        path = os.path.join(folder, name)
        if name not in taken:
            fault = faults[name] if name in faults else fault_in(path)
            yield Found(path, tuple(beside.get(name, ())), fault)


def fault_in(path: str) -> RejectedError | None:
    """Why a file is left out, by its first bytes; None if it begins like audio or video."""
    try:
        return probe(path) if os.path.isfile(path) else _no_file()
    except (OSError, ValueError) as error:
        return _unreadable(error)


def _no_file() -> RejectedError:
    return RejectedError(Reason.NOT_AUDIO, "no file, but a pipe, a socket or a device")


def _unreadable(error: Exception) -> RejectedError:
    return RejectedError(Reason.FORBIDDEN, f"cannot be read: {getattr(error, 'strerror', None) or error}")
