"""Reads the C2PA manifests of a media file: whether training on it is permitted, and whether it is AI-generated.

A refusal counts whoever signed it, and wherever in the file it is. The library `c2pa-python` is optional:
without it, nothing is read. It is not allowed to use the network. To be called in a worker process.
"""

import importlib.util
import itertools
import json
import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from speechmill.core import guards

MARK = b"c2pa"  # in the box name of every manifest, whatever the container
MAX_MANIFESTS, MAX_S, MAX_BYTES = 1_000, 60.0, 1_000_000_000
UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, RecursionError, MemoryError)
TRAINING = ("cawg.training-mining", "c2pa.training-mining")
USES = ("ai_training", "ai_generative_training", "data_mining")  # without their vendor prefix
GENERATED = ("trainedalgorithmicmedia", "compositewithtrainedalgorithmicmedia")
KINDS = {b"RIFF": ("audio/wav",), b"fLaC": ("audio/flac",), b"ID3": ("audio/mpeg", "audio/flac")}
OFFLINE = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}


@dataclass(frozen=True, slots=True)
class Marks:
    """Statements of a manifest: uses that are forbidden or restricted, and actions that are AI-generated."""

    forbids: tuple[str, ...] = ()
    generated: tuple[str, ...] = ()


@cache  # asked for each recording
def is_installed() -> bool:
    """Whether c2pa-python is installed."""
    return importlib.util.find_spec("c2pa") is not None


def may_have_marks(path: str) -> bool:
    """Whether a file contains the bytes that every manifest has; reads the file once."""
    with Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(MARK) >= 0


def read(path: str) -> Marks:
    """Read the manifests of a media file; empty where they cannot be read. Ends its process if that takes too long."""
    try:
        with guards.watchdog(MAX_S), guards.memory_limited(MAX_BYTES):
            return _marks(_manifests(path))
    except (*UNREADABLE, OSError):
        return Marks()


def _marks(store: dict[str, Any]) -> Marks:
    manifests = store.get("manifests")
    manifests = dict(itertools.islice(manifests.items(), MAX_MANIFESTS)) if isinstance(manifests, dict) else {}
    forbids = dict.fromkeys(statement for manifest in manifests.values() for statement in _forbidden(manifest))
    generated = dict.fromkeys(statement for manifest in _own(store, manifests) for statement in _generated(manifest))
    return Marks(tuple(forbids), tuple(generated))


def _manifests(path: str) -> dict[str, Any]:
    """The manifest store of a file as parsed JSON; empty if there is none."""
    from c2pa import C2paError, Context, Reader

    with Path(path).open("rb") as file:
        head = file.read(12)
        kinds = next((store for mark, store in KINDS.items() if head.startswith(mark)), ("audio/mpeg",))
        for kind in ("audio/mp4",) if head[4:8] == b"ftyp" else kinds:
            file.seek(0)
            try:
                with Context.from_dict(OFFLINE) as context:
                    reader = Reader.try_create(kind, file, context=context)
                    store: dict[str, Any] = json.loads(reader.json()) if reader else {}
            except (C2paError, *UNREADABLE):
                continue
            if store:
                return store
    return {}


def _forbidden(manifest: Any) -> Iterator[str]:
    for label, data in _assertions(manifest):
        entries = data.get("entries")
        if label.partition("__")[0].startswith(TRAINING) and isinstance(entries, dict):
            for name, entry in entries.items():
                use = entry.get("use") if isinstance(entry, dict) else None
                if str(name).rpartition(".")[2] in USES and use in ("notAllowed", "constrained"):
                    yield f"{name}: {use}"


def _own(store: dict[str, Any], manifests: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The manifest of the file, and those of its earlier versions and of the sound in it, but not of its pictures."""
    pending, seen = [store.get("active_manifest")], set[str]()
    while pending:
        label = pending.pop()
        if not isinstance(label, str) or label in seen or not isinstance(manifest := manifests.get(label), dict):
            continue
        seen.add(label)
        yield manifest
        for ingredient in _dicts(manifest.get("ingredients")):
            is_sound = str(ingredient.get("format", "")).startswith(("audio/", "video/"))
            if ingredient.get("relationship") == "parentOf" or is_sound:
                pending.append(ingredient.get("active_manifest"))


def _generated(manifest: dict[str, Any]) -> Iterator[str]:
    for label, data in _assertions(manifest):
        for action in _dicts(data.get("actions")) if label.startswith("c2pa.actions") else ():
            kind = str(action.get("digitalSourceType", "")).rpartition("/")[2]
            if kind.lower() in GENERATED:
                yield f"{action.get('action', 'made')}: {kind}"


def _assertions(manifest: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    for assertion in _dicts(manifest.get("assertions") if isinstance(manifest, dict) else None):
        if isinstance(assertion.get("data"), dict):
            yield str(assertion.get("label", "")), assertion["data"]


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []
