"""Manifests of NeMo, tarred ones too, and of ours: JSON lines that name a file, and a part of it."""

import os
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from speechmill.core.manifest import SPAN_KEYS, is_manifest, lines, path_of
from speechmill.corpus.check.items import Item, described, split_of

TARRED = "tarred_audio_manifest.json"  # has all lines of the manifests of its shards
SAMPLED_LINES = 3


def recognises(folder: str, names: list[str]) -> bool:
    """Whether a corpus has manifests."""
    return bool(_manifests(folder, names))


def items(folder: str, names: list[str]) -> Iterator[Item]:
    """Lines of all manifests."""
    for name in _manifests(folder, names):
        with ExitStack() as stack:
            reader = _Tars(os.path.join(folder, os.path.dirname(name)), stack)
            for number, line in lines(os.path.join(folder, name)):
                yield _item(folder, name, number, line, reader)


def _manifests(folder: str, names: list[str]) -> list[str]:
    named = [name for name in names if is_manifest(name) and _names_files(os.path.join(folder, name))]
    joint = [name for name in named if os.path.basename(name) == TARRED]
    return joint or named


def _names_files(path: str) -> bool:
    """Whether the first lines are objects with a path."""
    try:
        first = [line for _, (_, line) in zip(range(SAMPLED_LINES), lines(path), strict=False)]
    except OSError:
        return False
    return any(isinstance(line, dict) and isinstance(path_of(line), str) for line in first)


class _Tars:
    """The tar files beside a manifest, `audio_0.tar` and so on; they are opened as they are needed."""

    def __init__(self, folder: str, stack: ExitStack) -> None:
        self._folder, self._stack = folder, stack
        self._tars: dict[int, tarfile.TarFile] = {}

    def read(self, shard: int, member: str) -> bytes:
        """Content of a member. Raises OSError, TarError or KeyError."""
        if shard not in self._tars:
            path = os.path.join(self._folder, f"audio_{shard}.tar")
            self._tars[shard] = self._stack.enter_context(tarfile.open(path, "r:"))  # noqa: SIM115 - the stack closes it
        file = self._tars[shard].extractfile(member)
        if file is None:
            raise KeyError(f"{member} is no file")
        return file.read()


def _item(folder: str, name: str, number: int, line: Any, tars: _Tars) -> Item:
    where = f"{name} line {number}"
    path = path_of(line) if isinstance(line, dict) else None
    if not isinstance(path, str) or not path:
        fault = str(line) if isinstance(line, Exception) else "names no file"
        return Item(id=where, split=split_of(name), fault=fault)
    id_ = str(line.get("id") or line.get("clip_id") or path)
    if isinstance(line.get("shard_id"), int):
        try:
            return described(id_, line, split_of(name), sound=tars.read(line["shard_id"], path))
        except (OSError, tarfile.TarError, KeyError) as error:
            return Item(id=id_, split=split_of(name), fault=f"its tar file: {error}")
    span = {key: line[key] for key in SPAN_KEYS if isinstance(line.get(key), int | float)}
    if set(span) & {*SPAN_KEYS} - {"duration"}:
        id_ = f"{id_} {where}" if id_ == path else id_  # several parts of one file
    else:
        span = {}  # a duration alone is that of the file
    whole = os.path.normpath(os.path.join(folder, os.path.dirname(name), os.path.expanduser(path)))
    return described(id_, line, split_of(name), path=whole, span=span)
