"""Lists local recordings: a file, a folder, a glob, or a JSONL manifest of files and URLs.

The path below the input is the identity, so that a corpus can move to another disk and still be resumed. Beside
`talk.mp3`, `talk.json` may say what a line of a manifest may, and `talk.srt`, `.vtt`, `.html` or `.txt` what is spoken.
"""

import glob
import itertools
import json
import logging
import os
import re
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from pipeline.config import ConfigError, Input, RunConfig
from pipeline.records import Attachment, Reason, Recording, stable_id
from pipeline.sources import Listed, failed, language_tag, plain_text, rest_of
from pipeline.sources._licences import spdx_of
from pipeline.store import Store

SUFFIXES = (
    *(".3gp", ".aac", ".ac3", ".aif", ".aifc", ".aiff", ".amr", ".ape", ".au", ".avi", ".caf", ".dsf", ".flac", ".flv"),
    *(".g722", ".gsm", ".m4a", ".m4b", ".m4v", ".mka", ".mkv", ".mov", ".mp2", ".mp3", ".mp4", ".mpc", ".mpeg", ".mpg"),
    *(".oga", ".ogg", ".ogv", ".opus", ".ra", ".snd", ".spx", ".tta", ".ts", ".voc", ".w64", ".wav", ".webm", ".wma"),
    *(".wmv", ".wv"),
)
# Transcripts beside a recording: suffix and media type.
TRANSCRIPTS = {
    ".srt": "application/x-subrip", ".vtt": "text/vtt", ".html": "text/html", ".txt": "text/plain",
}  # fmt: skip
SPDX_LIKE = re.compile(r"[A-Za-z0-9.+-]{2,64}")
MAX_LINE_BYTES = 1_000_000
_log = logging.getLogger("speechmill")


def check(source: Input) -> None:
    """Raise ConfigError if nothing is at a local address."""
    address = rest_of(source.address, "local")
    if not os.path.lexists(address) and not glob.has_magic(address):
        fix = "give a file, a folder, a glob, a JSONL manifest or a feed's URL"
        raise ConfigError(f"inputs: no such file or folder: {plain_text(address)}; {fix}")
    if not os.path.lexists(address) and not glob.glob(address, recursive=True):
        raise ConfigError(f"inputs: no file matches {plain_text(address)}; give another pattern or a folder")


def list_recordings(source: Input, config: RunConfig, store: Store) -> Iterator[Listed]:  # noqa: ARG001
    """List the recordings of a local address, sorted. Raises ConfigError if nothing is there."""
    check(source)
    address = rest_of(source.address, "local")
    path = Path(address)
    licence = (source.licence, "inputs.licence") if source.licence else (config.licences.local, "licences.local")
    if os.path.isdir(path):
        return (_file(p, p.relative_to(path), licence) for p in _walk(path))
    if path.suffix.lower() == ".jsonl" and os.path.isfile(path):
        return _manifest(path, source, licence)
    if os.path.lexists(path):
        return iter([_file(path, Path(path.name), licence)])
    return _glob(address, licence)


def _glob(pattern: str, licence: tuple[str, str]) -> Iterator[Listed]:
    # The input is the folder above the first wildcard, as if that folder had been given.
    parts = Path(pattern).parts
    root = Path(*itertools.takewhile(lambda part: not glob.has_magic(part), parts))
    found = [Path(name) for name in sorted(glob.glob(pattern, recursive=True)) if os.path.isfile(name)]
    return (_file(path, path.relative_to(root), licence) for path in found)


def _walk(root: Path) -> Iterator[Path]:
    """Yield the media files below a folder, sorted. Links are followed, but into no folder for a second time."""
    others, visited = 0, set()
    for folder, folders, names in os.walk(root, onerror=_log_unreadable, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if (real := os.path.realpath(folder)) in visited:
            folders.clear()
            continue
        visited.add(real)
        media = sorted(name for name in names if not name.startswith(".") and name.lower().endswith(SUFFIXES))
        others += len(names) - len(media)
        yield from (Path(folder, name) for name in media)
    if others:
        _log.info("%s: %d files are hidden or have no suffix of audio or video; they are left out", root, others)


def _log_unreadable(error: OSError) -> None:
    _log.warning("%s: %s; nothing in it is used", error.filename, error.strerror)


def _file(path: Path, below: Path, licence: tuple[str, str], told: Mapping[str, Any] | None = None) -> Listed:
    name = below.as_posix()
    beside = _beside(path)
    about = _about(path.with_suffix(".json")) if path.with_suffix(".json").name in beside else {}
    stated = isinstance((told or {}).get("licence"), str)  # by the line of a manifest
    told = about | dict(told or {})
    recording = Recording(
        recording_id=stable_id("local", name),
        source="local",
        media_url=_arrow_text(name),
        attachments=tuple(_transcripts(path, beside, about)),
        **({} if stated else _licence(about)) or {"licence": licence[0], "licence_evidence": licence[1]},
        **({"title": plain_text(_arrow_text(below.stem))} | _described(told)),
    )
    return Listed(recording=recording, media_path=os.path.abspath(path))


def _beside(path: Path) -> frozenset[str]:
    """Names of the files in the folder of a file."""
    return _names(os.path.dirname(os.path.abspath(path)))


@lru_cache(maxsize=8)  # a folder is listed once for all of its files
def _names(folder: str) -> frozenset[str]:
    try:
        return frozenset(os.listdir(folder))
    except OSError:
        return frozenset()


def _about(path: Path) -> dict[str, Any]:
    """What a JSON file beside a recording says of it; nothing where it is no object, or too big to be about one."""
    try:
        if path.stat().st_size > MAX_LINE_BYTES:
            return {}
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        _log.warning("%s: not JSON; it is not used", path)
        return {}
    return found if isinstance(found, dict) else {}


def _transcripts(path: Path, beside: Collection[str], about: Mapping[str, Any]) -> Iterator[Attachment]:
    """Transcripts that lie beside a recording under its own name, by that name."""
    language = language_tag(about.get("language"))
    for suffix, kind in TRANSCRIPTS.items():
        name = path.with_suffix(suffix).name
        if name in beside:
            yield Attachment(kind="transcript", url=_arrow_text(name), type=kind, language=language)
    if "segments" in about:
        name = path.with_suffix(".json").name
        yield Attachment(kind="transcript", url=_arrow_text(name), type="application/json", language=language)


def _licence(about: Mapping[str, Any]) -> dict[str, Any]:
    """Licence fields by the JSON file beside a recording; empty where it states none."""
    told = plain_text(about.get("licence")) or plain_text(about.get("license"))
    if told is None:
        return {}
    known = spdx_of(told) or (told if SPDX_LIKE.fullmatch(told) else None)
    return {
        "licence": known or "unknown",
        "licence_evidence": "JSON file beside it" + ("" if known else f": {told[:200]}"),
    }


def _arrow_text(name: str) -> str:
    """A file name that is valid Unicode: Linux allows any bytes, Arrow does not."""
    return os.fsencode(name).decode("utf-8", "replace")


def _manifest(path: Path, source: Input, licence: tuple[str, str]) -> Iterator[Listed]:
    """Read a manifest line by line; what is wrong with a line costs that line."""
    with open(path, "rb") as lines:
        for number, line in enumerate(iter(lambda: lines.readline(MAX_LINE_BYTES), b""), start=1):
            if not line.strip():
                continue
            try:
                yield _manifest_line(json.loads(line), path.parent, source, licence)
            except (ValueError, RecursionError) as error:
                where, cause = f"{path.name} line {number}", str(error) or "nested too deeply"
                yield failed("local", where, reason=Reason.BAD_FEED, detail=f"line {number}: {cause}")


def _manifest_line(told: Any, folder: Path, source: Input, licence: tuple[str, str]) -> Listed:
    if not isinstance(told, dict):
        raise ValueError('not an object such as {"path": "a.flac"}')
    path, url = told.get("path", told.get("audio_filepath")), plain_text(told.get("url"))
    if isinstance(told.get("licence"), str):
        licence = (plain_text(told["licence"]) or "unknown", "manifest")
    if isinstance(path, str) and path and "\0" not in path:
        whole = folder / path
        return _file(whole, Path(os.path.relpath(whole, folder)), licence, told)
    if path is not None or url is None:
        raise ValueError("neither a path nor a url that can be used")
    if not isinstance(told.get("licence"), str):
        # The default for local files is about the user's own; what comes from the web is somebody else's.
        licence = (source.licence, "inputs.licence") if source.licence else ("unknown", "")
    recording = Recording(
        recording_id=stable_id("url", url),
        source="local",
        media_url=url,
        licence=licence[0],
        licence_evidence=licence[1] or None,
        **_described(told),
    )
    return Listed(recording=recording)


def _described(told: Mapping[str, Any]) -> dict[str, Any]:
    """The optional fields of a manifest line that can be used."""
    values = {name: plain_text(told.get(name)) for name in ("title", "author", "licence_url")}
    values["language"] = language_tag(told.get("language"))
    values["published"] = _utc(told.get("published"))
    return {name: value for name, value in values.items() if value}


def _utc(value: object) -> str | None:
    """A date or time in ISO 8601 as UTC, to the second; without a zone it is taken for UTC."""
    try:
        moment = datetime.fromisoformat(str(value))
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
