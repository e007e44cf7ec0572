"""What a media file says of itself in a C2PA manifest: whether machines may learn from it, and whether one made it.

A no counts whoever signed it, and in whatever part of the file it was written. The library `c2pa-python` is optional:
without it, nothing is read. It is asked for nothing on the network. To be called in a worker process.
"""

import importlib.util
import itertools
import json
import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechmill.core import guards

MARK = b"c2pa"  # a manifest, whatever it is packed in, has this in the name of its box
MAX_MANIFESTS, MAX_S, MAX_BYTES = 1_000, 60.0, 1_000_000_000
UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, RecursionError, MemoryError)
TRAINING = ("cawg.training-mining", "c2pa.training-mining")
USES = ("ai_training", "ai_generative_training", "data_mining")  # without the vendor before them
GENERATED = ("trainedalgorithmicmedia", "compositewithtrainedalgorithmicmedia")
KINDS = {b"RIFF": ("audio/wav",), b"fLaC": ("audio/flac",), b"ID3": ("audio/mpeg", "audio/flac")}
OFFLINE = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}


@dataclass(frozen=True, slots=True)
class Marks:
    """What a manifest says: uses that are not allowed, or under conditions only; and what says a machine made it."""

    forbids: tuple[str, ...] = ()
    generated: tuple[str, ...] = ()


def is_installed() -> bool:
    """Whether manifests can be read."""
    return importlib.util.find_spec("c2pa") is not None


def may_have_marks(path: str) -> bool:
    """Whether a file has the bytes that every manifest has; takes as long as reading it once."""
    with Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(MARK) >= 0


def read(path: str) -> Marks:
    """Read the manifests of a media file; one that cannot be read says nothing. Ends its process if that takes long."""
    try:
        with guards.watchdog(MAX_S), guards.memory_limited(MAX_BYTES):
            return _marks(_manifests(path))
    except (*UNREADABLE, OSError):
        return Marks()


def _marks(store: dict[str, Any]) -> Marks:
    manifests = store.get("manifests")
    manifests = dict(itertools.islice(manifests.items(), MAX_MANIFESTS)) if isinstance(manifests, dict) else {}
    forbids = dict.fromkeys(word for one in manifests.values() for word in _forbidden(one))
    generated = dict.fromkeys(word for one in _own(store, manifests) for word in _generated(one))
    return Marks(tuple(forbids), tuple(generated))


def _manifests(path: str) -> dict[str, Any]:
    """The manifest store of a file, as the library tells it in JSON; empty if there is none."""
    from c2pa import C2paError, Context, Reader

    with Path(path).open("rb") as file:
        head = file.read(12)
        kinds = next((found for mark, found in KINDS.items() if head.startswith(mark)), ("audio/mpeg",))
        for kind in ("audio/mp4",) if head[4:8] == b"ftyp" else kinds:
            file.seek(0)
            try:
                with Context.from_dict(OFFLINE) as context:
                    reader = Reader.try_create(kind, file, context=context)
                    found: dict[str, Any] = json.loads(reader.json()) if reader else {}
            except (C2paError, *UNREADABLE):
                continue
            if found:
                return found
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
    """The manifest of the file, and those of what it is a version of, or what sounds in it: not of its pictures."""
    waiting, seen = [store.get("active_manifest")], set[str]()
    while waiting:
        label = waiting.pop()
        if not isinstance(label, str) or label in seen or not isinstance(manifest := manifests.get(label), dict):
            continue
        seen.add(label)
        yield manifest
        for one in _dicts(manifest.get("ingredients")):
            is_sound = str(one.get("format", "")).startswith(("audio/", "video/"))
            if one.get("relationship") == "parentOf" or is_sound:
                waiting.append(one.get("active_manifest"))


def _generated(manifest: dict[str, Any]) -> Iterator[str]:
    for label, data in _assertions(manifest):
        for action in _dicts(data.get("actions")) if label.startswith("c2pa.actions") else ():
            kind = str(action.get("digitalSourceType", "")).rpartition("/")[2]
            if kind.lower() in GENERATED:
                yield f"{action.get('action', 'made')}: {kind}"


def _assertions(manifest: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    for one in _dicts(manifest.get("assertions") if isinstance(manifest, dict) else None):
        if isinstance(one.get("data"), dict):
            yield str(one.get("label", "")), one["data"]


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
