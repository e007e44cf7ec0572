"""Makes the recording of a local file from its name, a manifest line and the files beside it."""

import os
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any

from speechmill.core.filenames import readable
from speechmill.core.manifest import DIGITS, Span
from speechmill.core.records import Attachment, Recording, stable_id
from speechmill.sources import Listed, plain_text
from speechmill.sources.files.about import described, licence, read
from speechmill.sources.files.beside import INFO, JSON, Beside, stem_of, transcripts
from speechmill.sources.files.places import is_inside

Licence = tuple[str, str]  # SPDX id and its source


def identity_of(kind: str, name: str, span: Span | None) -> str:
    """recording_id from the span and from a URL or a path below an input, so that a corpus can move to another disk."""
    return stable_id(kind, name, *(() if span is None else map(repr, span)))


def timed(span: Span | None) -> dict[str, Any]:
    """Fields of a recording that is a span of its media."""
    if span is None:
        return {}
    start, end = span
    return {"start_s": start, "end_s": end, "declared_duration_s": None if end is None else round(end - start, DIGITS)}


def stated_text(line: Mapping[str, Any], where: str, language: str | None) -> list[Attachment]:
    """The text of a manifest line, as reference text."""
    text = line.get("text")
    if not isinstance(text, str) or not (plain := plain_text(text)):
        return []
    return [Attachment(kind="transcript", url=where, type="text/plain", language=language, text=plain)]


def recording_of(
    path: str, below: str, beside: Iterable[Beside], *, roots: tuple[str, ...], default: Licence,
    line: Mapping[str, Any] | None = None, span: Span | None = None, where: str = "",
) -> Listed:  # fmt: skip
    """Make the recording of a local file.

    Args:
        path: The file.
        below: Its path below the input, which identifies it.
        beside: Files beside it that belong to it.
        roots: Real paths of all inputs; links may lead there.
        default: Licence if none is stated.
        line: The manifest line of the file, which takes precedence over the files beside it.
        span: The part of the file to use; None for all of it.
        where: Name of the manifest.
    """
    folder, stated = os.path.dirname(os.path.abspath(path)), line or {}
    json_files = {file.name: file for file in beside if file.is_json}
    barred = [name for name in json_files if leads_outside(os.path.join(folder, name), roots)]
    contents = {name: read(os.path.join(folder, name)) for name in json_files if name not in barred}
    merged = _merged(contents)
    metadata = merged | {key: value for key, value in stated.items() if value is not None}
    fields = described(metadata)
    attachments = [
        *stated_text(stated, where, fields.get("language")),
        *transcripts(beside, fields.get("language")),
        *(_json(name, "transcript", fields) for name, content in contents.items() if "segments" in content),
        *(_json(name, "about", fields) for name in barred),
    ]
    recording = Recording(
        recording_id=identity_of("local", below, span),
        source="local",
        media_url=readable(below),
        attachments=tuple(attachments),
        **({} if isinstance(stated.get("licence"), str) else licence(merged))
        or {"licence": default[0], "licence_evidence": default[1]},
        **({"title": plain_text(readable(stem_of(PurePath(below).name)))} | fields),
        **timed(span),
    )
    return Listed(recording=recording, media_path=os.path.abspath(path))


def _merged(contents: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Merge several JSON files: the user's own take precedence over a downloader's."""
    merged: dict[str, Any] = {}
    for name in sorted(contents, key=lambda name: (not name.lower().endswith(INFO + JSON), name)):
        merged |= {key: value for key, value in contents[name].items() if value is not None}
    return merged


def _json(name: str, kind: str, fields: Mapping[str, Any]) -> Attachment:
    return Attachment(kind=kind, url=readable(name), type="application/json", language=fields.get("language"))


def leads_outside(path: str, roots: tuple[str, ...]) -> bool:
    """Whether a file beside a recording is a link to outside of the inputs and of its folder."""
    return os.path.islink(path) and not is_inside(path, (*roots, os.path.realpath(os.path.dirname(path))))
