"""Reads manifests: an object a line, or a JSON array of them, in our own keys or in those of NeMo and lhotse.

Whatever its encoding and size, it is read as a stream; what is wrong with a line costs that line.
"""

import codecs
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TextIO

from pipeline.config import Input, RunConfig
from pipeline.filenames import readable
from pipeline.records import Reason, Recording, Rejected
from pipeline.sources import Listed, failed, left_out, plain_text
from pipeline.sources._about import described
from pipeline.sources._beside import shelf_of
from pipeline.sources._file import Licence, identity_of, recording_of, stated_text, timed
from pipeline.sources._spans import KEYS, span_of

MAX_LINE = 1_000_000  # characters
MAX_WHOLE_BYTES = 64_000_000  # of an object that has the lines in it, which is read at once
CHUNK = 65_536  # characters
LINES, WHOLE = (".jsonl", ".ndjson"), ".json"
LISTS = ("items", "recordings", "data")  # keys that may hold the lines
PATHS = ("path", "audio_filepath", "file", "audio_path", "audio_file")
USED = {
    *PATHS, "url", "title", "author", "language", "lang", "licence", "license", "licence_url", "license_url",
    "published", "page_url", "speaker", "speaker_id", "text", *KEYS,
}  # fmt: skip
BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
        (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))  # fmt: skip


def is_manifest(path: str) -> bool:
    """Whether a file is read as a manifest, by its name."""
    return path.lower().endswith((*LINES, WHOLE))


@dataclass
class Manifest:
    """One manifest; `listed` yields its recordings, and what could not be used of it."""

    path: str
    source: Input
    config: RunConfig
    default: Licence
    roots: tuple[str, ...]
    unused: set[str] = field(default_factory=set)

    def listed(self) -> Iterator[Listed]:
        """List it line by line. Raises Rejected where it cannot be opened."""
        name = os.path.basename(self.path)
        for number, told in _lines(self.path):
            try:
                if isinstance(told, Exception):
                    raise told
                yield self._recording(told)
            except Rejected as error:
                yield failed(
                    "local", f"{name} line {number}", reason=error.reason, detail=f"line {number}: {error.detail}"
                )
            except (ValueError, RecursionError) as error:
                cause = plain_text(str(error)) or "nested too deeply"
                yield failed("local", f"{name} line {number}", reason=Reason.BAD_FEED, detail=f"line {number}: {cause}")
        if self.unused:
            keys = ", ".join(sorted(self.unused)[:20])
            yield left_out("local", name, reason=Reason.UNUSED_KEYS, detail=f"keys that are not used: {keys}")

    def _recording(self, told: Any) -> Listed:
        if not isinstance(told, dict):
            raise ValueError('not an object such as {"path": "a.flac"}')
        self.unused |= {plain_text(key) or "" for key in told.keys() - USED}
        path = next((told[key] for key in PATHS if key in told), None)
        url = plain_text(told.get("url"))
        licence = plain_text(told.get("licence")) or plain_text(told.get("license"))
        if isinstance(path, str) and path and "\0" not in path:
            return self._file(path, told, licence)
        if path is not None or url is None:
            raise ValueError("neither a path nor a url that can be used")
        # The default for local files is about the user's own; what comes from the web is somebody else's.
        own = (self.source.licence, "inputs.licence") if self.source.licence else ("unknown", None)
        spdx, evidence = (licence, "manifest") if licence else own
        known, span = described(told), span_of(told, None, self.config)
        text = stated_text(told, readable(os.path.basename(self.path)), known.get("language"))
        recording = Recording(
            recording_id=identity_of("url", url, span), source="local", media_url=url, licence=spdx,
            licence_evidence=evidence, attachments=tuple(text), **known, **timed(span),
        )  # fmt: skip
        return Listed(recording=recording)

    def _file(self, path: str, told: dict[str, Any], licence: str | None) -> Listed:
        os.fsencode(path)  # raises UnicodeEncodeError, a ValueError, for what is no name
        folder = os.path.dirname(self.path)
        whole = os.path.join(folder, os.path.expanduser(path))
        below = os.path.relpath(whole, folder or ".")
        told = told | {"licence": licence}
        default = (licence, "manifest") if licence else self.default
        beside = shelf_of(whole).of(os.path.basename(whole))
        return recording_of(
            whole, below, beside, roots=self.roots, default=default, told=told, span=span_of(told, whole, self.config),
            where=readable(os.path.basename(self.path)),
        )  # fmt: skip


def _lines(path: str) -> Iterator[tuple[int, Any]]:
    """Number and value of each line that is not blank, or of each item; a ValueError for one that is no JSON."""
    try:
        encoding = _encoding(path)
        # Names of files that are no UTF-8 stand in a manifest as they are.
        with open(path, encoding=encoding, errors="surrogateescape" if encoding == "utf-8" else "replace") as text:
            begin = text.read(CHUNK).lstrip("\ufeff \t\r\n")[:1]
            text.seek(0)
            items = _whole(path, text) if begin == "{" and path.lower().endswith(WHOLE) else None
            text.seek(0)
            yield from enumerate(items, 1) if items is not None else _array(text) if begin == "[" else _each(text)
    except OSError as error:
        raise Rejected(Reason.FORBIDDEN, f"{plain_text(path)}: {error.strerror}") from None


def _encoding(path: str) -> str:
    """By byte order mark; without one, by where the zeros are that ASCII has in UTF-16; else UTF-8."""
    with open(path, "rb") as file:
        head = file.read(4)
    if found := next((name for mark, name in BOMS if head.startswith(mark)), None):
        return found
    return "utf-16-le" if head[1:2] == b"\0" else "utf-16-be" if head[:1] == b"\0" else "utf-8"


def _each(text: TextIO) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(iter(lambda: text.readline(MAX_LINE), ""), start=1):
        if line := line.lstrip("\ufeff").strip():
            yield number, _value(line)


def _value(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        return error


def _array(text: TextIO) -> Iterator[tuple[int, Any]]:
    """Items of an array, one at a time; after one that is no JSON the rest cannot be told apart."""
    decoder, number = json.JSONDecoder(), 1
    buffer = text.read(CHUNK).lstrip("\ufeff \t\r\n")[1:]
    while True:
        buffer = buffer.lstrip(" \t\r\n,")
        try:
            if buffer.startswith("]"):
                return
            value, end = decoder.raw_decode(buffer)
        except (ValueError, RecursionError) as error:
            more = text.read(CHUNK) if len(buffer) < MAX_LINE and isinstance(error, ValueError) else ""
            if not more:
                yield number, error
                return
            buffer += more
            continue
        yield number, value
        number, buffer = number + 1, buffer[end:]


def _whole(path: str, text: TextIO) -> list[Any] | None:
    """The lines of one object that has them under a key, or is itself one; None where it is several objects."""
    if os.path.getsize(path) > MAX_WHOLE_BYTES:
        return None
    try:
        told = json.loads(text.read().lstrip("\ufeff"))
    except (ValueError, RecursionError):
        return None
    return next((told[key] for key in LISTS if isinstance(told.get(key), list)), [told])
