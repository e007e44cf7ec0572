"""WebDataset: tar files whose members of one key, sound, metadata and text, follow each other."""

import json
import os
import tarfile
from collections.abc import Iterator
from itertools import groupby

from speechmill.corpus.check.items import Item, described, split_of

SOUNDS = ("flac", "wav", "mp3", "ogg", "opus", "m4a")
MAX_MEMBER_BYTES = 500_000_000  # of a sound: hours of it


def recognises(folder: str, names: list[str]) -> bool:
    """Whether a corpus has tar files whose first members are those of a sample with a text."""
    return any(_has_samples(os.path.join(folder, name)) for name in names if name.endswith(".tar"))


def items(folder: str, names: list[str]) -> Iterator[Item]:
    """Samples of all tar files."""
    for name in names:
        if name.endswith(".tar"):
            try:
                for key, members in groupby(_members(os.path.join(folder, name)), lambda member: member[0]):
                    yield _sample(key, {extension: content for _, extension, content in members}, split_of(name))
            except (OSError, tarfile.TarError, EOFError) as error:
                yield Item(id=name, fault=f"the tar file cannot be read: {error}")


def _has_samples(path: str) -> bool:
    try:
        with tarfile.open(path, "r:") as tar:
            extensions = {key_of(member.name)[1] for member, _ in zip(tar, range(4), strict=False)}
    except (OSError, tarfile.TarError, EOFError):
        return False
    return bool({"json", "txt"} & extensions) and bool({*SOUNDS} & extensions)


def key_of(name: str) -> tuple[str, str]:
    """Key and extension of a member: a key ends at the first dot of the file's own name.

    >>> key_of("en/a.b.flac")
    ('en/a', 'b.flac')
    """
    folder, _, leaf = name.rpartition("/")
    stem, _, extension = leaf.partition(".")
    return (f"{folder}/{stem}" if folder else stem), extension.lower()


def _members(path: str) -> Iterator[tuple[str, str, bytes]]:
    """Key, extension and content of each regular member; nothing is extracted to a path that the tar file names."""
    with tarfile.open(path, "r|") as tar:
        for member in tar:
            if member.isreg() and member.size <= MAX_MEMBER_BYTES and (file := tar.extractfile(member)):
                yield *key_of(member.name), file.read()


def _sample(key: str, members: dict[str, bytes], split: str | None) -> Item:
    try:
        values = json.loads(members.get("json", b"{}"))
    except (ValueError, RecursionError) as error:
        return Item(id=key, split=split, fault=f"its metadata: {error}")
    values = values if isinstance(values, dict) else {}
    if "txt" in members:
        values["text"] = members["txt"].decode("utf-8", "replace")
    sound = next((members[extension] for extension in SOUNDS if extension in members), None)
    place = {"fault": "no sound with its key"} if sound is None else {"sound": sound}
    return described(key, values, split, **place)
