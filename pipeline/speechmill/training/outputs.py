"""Output folders of `train`, `evaluate` and `degrade`: existing files are kept unless these commands wrote them.

A list of the written names is in the folder, and is written first. Other files with these names are the user's.
"""

import os
from collections.abc import Collection
from pathlib import Path

from speechmill.core.config_errors import ConfigError
from speechmill.core.store import Store

MARK_FILE = ".speechmill.json"
FORMAT = "speechmill output"


def claim(output: str, names: Collection[str]) -> Path:
    """Register names at the top of a folder as ours to write; returns the folder.

    Raises ConfigError, and changes nothing, if one of them exists and is not ours, or is or contains a link.
    """
    store = Store(output)
    if not store.is_local:
        raise ConfigError(f"--output {output}: give a folder on this machine")
    folder, listed = store.path(""), _listed(store)
    if taken := [name for name in names if store.exists(name) and name not in listed]:
        fix = "give another folder with --output, or rename them"
        raise ConfigError(f"--output {output}: it has {', '.join(taken)}, which would be overwritten; {fix}")
    if links := [link for name in names if (link := _link_below(f"{folder}{name}"))]:
        raise ConfigError(f"{links[0]}: is a link, and would be followed; delete it, or give another --output")
    store.write_json(MARK_FILE, {"format": FORMAT, "version": 1, "names": sorted({*listed, *names})})
    return Path(folder)


def _listed(store: Store) -> set[str]:
    """The names that are registered already."""
    try:
        content = store.read_json(MARK_FILE)
        if content is None:
            return set()
        if content["format"] == FORMAT:
            return {name for name in content["names"] if isinstance(name, str)}
    except (ValueError, TypeError, KeyError, RecursionError):
        pass
    raise ConfigError(f"{store.path(MARK_FILE)}: not a list that speechmill made; give another --output")


def _link_below(path: str) -> str | None:
    """The first link in a folder or below; None if there is none."""
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            if os.path.islink(entry := os.path.join(folder, name)):
                return entry
    return None
