"""What the address of an output means: a folder here, or a place on an object store."""

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import fsspec

from speechmill.core.config_errors import ConfigError

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_CHAIN = re.compile(r"[a-z0-9]+::[a-z0-9]+(://|::)", re.IGNORECASE)  # as fsspec nests filesystems
_ONE_SLASH = re.compile(r"(s3a?|gc?s|abfss?|az|adl|hdfs|ftp|sftp|https?|file|local|memory):/(?!/)", re.IGNORECASE)
_VERSION = ("size", "ETag", "etag", "LastModified", "last_modified", "updated", "mtime", "created")  # of any of them
_HERE = ("file", "local")
_LIBRARIES = (("botocore.exceptions", "BotoCoreError"), ("google.auth.exceptions", "GoogleAuthError"))
_READ_ONLY = ("http", "https", "data", "github")


@dataclass(frozen=True, slots=True)
class Entry:
    """A file below a store: its name, its bytes, when it was last written (seconds since 1970, 0 if unknown)."""

    name: str
    bytes: int
    mtime: float
    version: str
    """Changes when the file is written anew, and where it is copied."""

    @classmethod
    def local(cls, name: str, facts: os.stat_result) -> Self:
        """A file on a disk."""
        version = f"{facts.st_size} {facts.st_mtime_ns} {facts.st_ino}"
        return cls(name, facts.st_size, facts.st_mtime, version)

    @classmethod
    def remote(cls, name: str, facts: Mapping[str, Any]) -> Self:
        """A file as an fsspec filesystem lists it."""
        return cls(name, facts["size"] or 0, 0.0, " ".join(str(facts.get(key)) for key in _VERSION))


def filesystem_of(root: str) -> tuple[Any, str]:
    """The filesystem of an output and its path there. What is no URL is a local path, whatever signs are in it.

    Raises ConfigError for an address that nothing can be written to.
    """
    scheme = _SCHEME.match(root)
    _refuse_slips(root)
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
    if not base.strip("/"):
        raise ConfigError(f"output: {root}: names no bucket; {fix}")
    return filesystem, base


def errors_of_stores() -> tuple[type[Exception], ...]:
    """What libraries of object stores raise beside OSError, such as for want of credentials; none unloaded."""
    loaded = [(sys.modules.get(module), name) for module, name in _LIBRARIES]
    return tuple(getattr(module, name) for module, name in loaded if module is not None)


def _refuse_slips(root: str) -> None:
    """Raise ConfigError for what would make a folder of a name that nobody means, or that no report can state."""
    if "\0" in root or not root.strip():
        raise ConfigError("output: empty, or with a NUL in it; give a folder with --output")
    if found := _ONE_SLASH.match(root):
        raise ConfigError(f"output: {root}: one slash; write {found[1]}://, or ./{root} for a folder")
    if not root.isascii() and root.encode(errors="ignore").decode() != root:
        shown = root.encode(errors="backslashreplace").decode()
        raise ConfigError(f"output: {shown}: not UTF-8, which run.json and the report are; choose another name")
