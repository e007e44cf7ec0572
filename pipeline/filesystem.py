"""What the address of an output means: a folder here, or a place on an object store."""

import os
import re
from typing import Any

import fsspec

from pipeline.config import ConfigError

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_CHAIN = re.compile(r"[a-z0-9]+::[a-z0-9]+(://|::)", re.IGNORECASE)  # as fsspec nests filesystems
_HERE = ("file", "local")
_READ_ONLY = ("http", "https", "data", "github")


def filesystem_of(root: str) -> tuple[Any, str]:
    """The filesystem of an output and its path there. What is no URL is a local path, whatever signs are in it.

    Raises ConfigError for an address that nothing can be written to.
    """
    scheme = _SCHEME.match(root)
    if "\0" in root or not root:
        raise ConfigError("output: empty, or with a NUL in it; give a folder with --output")
    if scheme is None and not _CHAIN.match(root):
        return fsspec.filesystem("file"), os.path.abspath(os.path.expanduser(root))
    kind = scheme[1].lower() if scheme else "::"
    if kind in _HERE:
        return fsspec.filesystem("file"), os.path.abspath(root[len(kind) + 3 :])
    fix = "give a folder, or a URL such as s3://bucket/corpus"
    if "::" in root or kind in _READ_ONLY:
        raise ConfigError(f"output: {root}: cannot be written to; {fix}")
    try:
        filesystem, base = fsspec.core.url_to_fs(root)
    except ImportError as error:
        raise ConfigError(f"output: {root}: {error}; pip install 'speechmill[aws]' or 'speechmill[gcp]'") from None
    except ValueError as error:
        raise ConfigError(f"output: {root}: {error}; {fix}") from None
    return filesystem, base
