"""References to the models that stages run: their files, and a hash that becomes part of artifact names."""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from speechmill.core.config_errors import ConfigError
from speechmill.core.store import Store

MODELS_FILE = "work/models.json"
MODEL_FILES = {".bin", ".json", ".safetensors", ".txt"}  # endings of the files in a folder that results depend on
FindModel = Callable[[str, str], Path]  # (name of a model, config key that names it) to its folder


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRef:
    """A model of a stage. Small, since it is sent to every worker, which loads the files itself."""

    key: str
    """Config key that names it, for errors."""
    name: str
    """Name in the config: a word such as `shipped`, a name on the hub, or a path."""
    files: tuple[str, ...]
    """Paths of its files, or of its folder; empty where an earlier run used it."""
    sha256: str
    """Hash of the contents of its files."""


def model_file(key: str, name: str, *paths: Path) -> ModelRef:
    """Reference to a model of one or more files. Raises ConfigError for a file that cannot be read."""
    digests = []
    for path in paths:
        try:
            digests.append(file_sha256(path))
        except OSError as error:
            fix = "give a file that can be read, or leave the key out"
            raise ConfigError(f"{key}: {path}: {error.strerror}; {fix}") from None
    whole = digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
    return ModelRef(key=key, name=name, files=tuple(map(str, paths)), sha256=whole)


def model_in_folder(key: str, name: str, folder: Path, store: Store, *, every_file: bool = False) -> ModelRef:
    """Reference to a model that is a folder.

    Args:
        key: Config key that names it.
        name: Its name in the config.
        folder: The folder.
        store: Store that caches hashes.
        every_file: Hash all files, not only those with the endings of MODEL_FILES.
    """
    digest = folder_sha256(folder, store, every_file=every_file)
    return ModelRef(key=key, name=name, files=(str(folder),), sha256=digest)


def folder_sha256(folder: Path, store: Store, *, every_file: bool = False) -> str:
    """SHA-256 over a model's files, cached in `store` by path, size and time, since large files take seconds."""
    files = _files_of(folder, every_file=every_file)
    key = json.dumps([[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in files])
    known = store.read_json(MODELS_FILE) or {}
    name = f"{os.path.realpath(folder)} {key}"
    if name not in known:
        known[name] = sha256_of_folder(folder, every_file=every_file)
        store.write_json(MODELS_FILE, known)
    return str(known[name])


def sha256_of_folder(folder: Path, *, every_file: bool = False) -> str:
    """SHA-256 over a model's files: those that `folder_sha256` hashes."""
    digests = [[path.name, file_sha256(path)] for path in _files_of(folder, every_file=every_file)]
    return hashlib.sha256(json.dumps(digests).encode()).hexdigest()


def _files_of(folder: Path, *, every_file: bool) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file() and (every_file or path.suffix in MODEL_FILES))


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, 64 hexadecimal digits. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def find_device(wanted: str) -> str:
    """Resolve `auto` to cuda where there is a GPU, else cpu."""
    if wanted == "auto":
        import ctranslate2

        return "cuda" if ctranslate2.get_cuda_device_count() else "cpu"
    return wanted
