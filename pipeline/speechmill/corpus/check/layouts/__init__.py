"""Layouts of corpora that `speechmill check` reads, one file each; which one a corpus has is seen from its files."""

import os
from collections.abc import Iterator
from types import ModuleType

from speechmill.core.config_errors import ConfigError
from speechmill.core.ownership import MARK_FILE
from speechmill.corpus.check.items import Item
from speechmill.corpus.check.layouts import audiofolder, known, lhotse, nemo, parquet, webdataset

# The first that recognises a corpus reads it.
LAYOUTS: dict[str, ModuleType] = {
    "lhotse": lhotse,
    "parquet": parquet,
    "audiofolder": audiofolder,
    "webdataset": webdataset,
    "known": known,
    "nemo": nemo,
}


def names_below(path: str) -> list[str]:
    """Paths of the files of a corpus, relative to it and sorted, without hidden ones; one name for a file.

    Of a corpus of ours, only its clips.
    """
    if os.path.isfile(path):
        return [os.path.basename(path)]
    names = []
    for folder, folders, files in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        below = os.path.relpath(folder, path)
        names += [name if below == "." else f"{below}/{name}" for name in files if not name.startswith(".")]
    is_ours = MARK_FILE in names
    return sorted(name for name in names if not is_ours or name.startswith("data/"))


def layout_of(path: str, layout: str | None = None) -> str:
    """Name of the layout of a corpus. Raises ConfigError if nothing is there, or none is recognised.

    Args:
        path: A folder, or a manifest, index or archive.
        layout: The layout, where it is known.
    """
    if not os.path.exists(path):
        raise ConfigError(f"{path}: no such file or folder; give a local corpus")
    if layout is not None:
        return layout
    names = names_below(path)
    folder = path if os.path.isdir(path) else os.path.dirname(path) or "."
    found = next((name for name, module in LAYOUTS.items() if module.recognises(folder, names)), None)
    if found is None:
        fix = "name it with --layout, or score recordings without an index: speechmill run --set segment.profile=as_is"
        raise ConfigError(f"{path}: no layout of a corpus that is known ({', '.join(LAYOUTS)}); {fix}")
    return found


def items(path: str, layout: str) -> Iterator[Item]:
    """Items of a corpus, in the order of its files. What cannot be read is an item with a fault."""
    folder = path if os.path.isdir(path) else os.path.dirname(path) or "."
    found: Iterator[Item] = LAYOUTS[layout].items(os.path.abspath(folder), names_below(path))
    return found
