"""Lhotse: cuts in JSON lines, whose recordings are files, or lie in the tar files of Shar, in the same order."""

import gzip
import json
import os
import re
import tarfile
from collections.abc import Iterator
from typing import Any

from speechmill.corpus.check.items import Item, split_of

CUTS = re.compile(r"(.*[._-])?cuts([._-].*)?\.jsonl(\.gz)?")
SHARD = re.compile(r"(.*/)?cuts\.(\d+)\.jsonl(\.gz)?")


def recognises(_: str, names: list[str]) -> bool:
    """Whether a corpus has manifests of cuts, by their names."""
    return any(CUTS.fullmatch(os.path.basename(name)) for name in names)


def items(folder: str, names: list[str]) -> Iterator[Item]:
    """Cuts of all manifests."""
    for name in names:
        if not CUTS.fullmatch(os.path.basename(name)):
            continue
        shard = SHARD.fullmatch(name)
        tar = f"{shard.group(1) or ''}recording.{shard.group(2)}.tar" if shard else None
        try:
            if tar is not None and os.path.isfile(os.path.join(folder, tar)):
                yield from _stored(folder, name, tar)
            else:
                yield from (_in_file(folder, name, number, cut) for number, cut in _cuts(os.path.join(folder, name)))
        except (OSError, EOFError, tarfile.TarError, UnicodeDecodeError) as error:
            yield Item(id=name, fault=f"cannot be read: {error}")


def _cuts(path: str) -> Iterator[tuple[int, Any]]:
    """Number and cut, or error, of each line."""
    with gzip.open(path, "rt", encoding="utf-8") if path.endswith(".gz") else open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                cut = json.loads(line)
                yield number, cut if isinstance(cut, dict) else ValueError("not a JSON object")
            except (ValueError, RecursionError) as error:
                yield number, error


def _stored(folder: str, name: str, tar_name: str) -> Iterator[Item]:
    """Cuts whose sounds are in the tar file: of each cut a file and its description, both possibly empty."""
    with tarfile.open(os.path.join(folder, tar_name), "r:*") as tar:
        sounds = (tar.extractfile(member) for member in tar if not member.name.endswith((".json", ".nometa")))
        for number, cut in _cuts(os.path.join(folder, name)):
            file = next(sounds, None)
            sound = file.read() if file is not None else b""
            if isinstance(cut, Exception):
                yield Item(id=f"{name} line {number}", split=split_of(name), fault=str(cut))
            else:
                place = {"sound": sound} if sound else {"fault": f"no sound in {tar_name}"}
                yield _described(cut, name, number, place)


def _in_file(folder: str, name: str, number: int, cut: Any) -> Item:
    """A cut of a file."""
    if isinstance(cut, Exception):
        return Item(id=f"{name} line {number}", split=split_of(name), fault=str(cut))
    recording = cut.get("recording") if isinstance(cut.get("recording"), dict) else {}
    sources = [source for source in recording.get("sources") or () if isinstance(source, dict)]
    if len(sources) != 1 or sources[0].get("type") != "file" or not isinstance(sources[0].get("source"), str):
        return _described(cut, name, number, {"fault": "its recording is not one file"})
    path = sources[0]["source"]
    beside = os.path.join(folder, os.path.dirname(name), path)
    place = {"path": os.path.abspath(beside if os.path.exists(beside) else path)}  # lhotse's are of the working folder
    start, length = cut.get("start", 0.0), cut.get("duration")
    is_all = not start and length == recording.get("duration")
    return _described(cut, name, number, place | ({} if is_all else {"span": {"offset": start, "duration": length}}))


def _described(cut: dict[str, Any], name: str, number: int, place: dict[str, Any]) -> Item:
    """A cut with the texts of its supervisions, and its speaker if it is one."""
    said = [value for value in cut.get("supervisions") or () if isinstance(value, dict)]

    def only(key: str) -> str | None:
        values = {str(value[key]) for value in said if value.get(key)}
        return values.pop() if len(values) == 1 else None

    text = " ".join(value["text"] for value in said if isinstance(value.get("text"), str)) or None
    id_ = str(cut.get("id") or f"{name} line {number}")
    language, speaker = only("language"), only("speaker")
    return Item(id=id_, text=text, speaker=speaker, language=language, split=split_of(name), **place)
