"""Filesystem and path for the address of an output: a local folder, or a URL of an object store."""

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
# Keys of fsspec listings that change with the content; each filesystem has some of them.
_VERSION_KEYS = ("size", "ETag", "etag", "LastModified", "last_modified", "updated", "mtime", "created")
_LOCAL_SCHEMES = ("file", "local")
# Whose listings fsspec would remember, and which have no folders.
_OBJECT_STORES = ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl")
_LIBRARY_ERRORS = (("botocore.exceptions", "BotoCoreError"), ("google.auth.exceptions", "GoogleAuthError"))
_READ_ONLY_SCHEMES = ("http", "https", "data", "github")


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a store: name, size in bytes, time of the last write (seconds since 1970, 0 if unknown)."""

    name: str
    bytes: int
    mtime: float
    version: str
    """Text that changes when the file is rewritten or copied."""

    @classmethod
    def local(cls, name: str, facts: os.stat_result) -> Self:
        """Entry of a local file."""
        version = f"{facts.st_size} {facts.st_mtime_ns} {facts.st_ino}"
        return cls(name, facts.st_size, facts.st_mtime, version)

    @classmethod
    def remote(cls, name: str, facts: Mapping[str, Any]) -> Self:
        """Entry of a file in a listing of an fsspec filesystem."""
        return cls(name, facts["size"] or 0, 0.0, " ".join(str(facts.get(key)) for key in _VERSION_KEYS))


def filesystem_of(root: str) -> tuple[Any, str]:
    """Fsspec filesystem of an output and its path there. Whatever is not a URL is a local path.

    Raises ConfigError for an address that cannot be written to.
    """
    scheme = _SCHEME.match(root)
    _check_address(root)
    if scheme is None and not _CHAIN.match(root):
        return fsspec.filesystem("file"), os.path.abspath(os.path.expanduser(root))
    kind = scheme[1].lower() if scheme else "::"
    if kind in _LOCAL_SCHEMES:
        return fsspec.filesystem("file"), os.path.abspath(root[len(kind) + 3 :])
    fix = "give a folder, or a URL such as s3://bucket/corpus"
    if "::" in root or kind in _READ_ONLY_SCHEMES:
        raise ConfigError(f"output: {root}: cannot be written to; {fix}")
    try:
        # Workers on other machines write too: a listing that one of them remembers would be an old one.
        options = {"use_listings_cache": False} if kind in _OBJECT_STORES else {}
        filesystem, base = fsspec.core.url_to_fs(root, **options)
    except ImportError as error:
        raise ConfigError(f"output: {root}: {error}; pip install 'speechmill[aws]' or 'speechmill[gcp]'") from None
    except ValueError as error:
        raise ConfigError(f"output: {root}: {error}; {fix}") from None
    if not base.strip("/"):
        raise ConfigError(f"output: {root}: names no bucket; {fix}")
    return filesystem, base


def is_local(fs: Any) -> bool:
    """Whether a filesystem is that of this machine."""
    return "file" in _protocols(fs)


def has_folders(fs: Any) -> bool:
    """Whether a folder must be there before a file in it."""
    return _protocols(fs).isdisjoint(_OBJECT_STORES)


def _protocols(fs: Any) -> set[str]:
    return {fs.protocol} if isinstance(fs.protocol, str) else {*fs.protocol}


def object_store_errors() -> tuple[type[Exception], ...]:
    """Exceptions of object-store libraries beside OSError, such as for missing credentials; loaded libraries only."""
    loaded = [(sys.modules.get(module), name) for module, name in _LIBRARY_ERRORS]
    return tuple(getattr(module, name) for module, name in loaded if module is not None)


def _check_address(root: str) -> None:
    """Raise ConfigError for a mistyped address that would make an odd folder, and for one that is not UTF-8."""
    if "\0" in root or not root.strip():
        raise ConfigError("output: empty, or with a NUL in it; give a folder with --output")
    if match := _ONE_SLASH.match(root):
        raise ConfigError(f"output: {root}: one slash; write {match[1]}://, or ./{root} for a folder")
    if not root.isascii() and root.encode(errors="ignore").decode() != root:
        shown = root.encode(errors="backslashreplace").decode()
        raise ConfigError(f"output: {shown}: not UTF-8, which run.json and the report are; choose another name")
