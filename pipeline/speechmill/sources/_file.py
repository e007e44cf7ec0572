"""Makes the recording of a local file, with all that its name, a manifest and what lies beside it say of it."""

import os
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any

from speechmill.core.filenames import readable
from speechmill.core.manifest import DIGITS, Span
from speechmill.core.records import Attachment, Recording, stable_id
from speechmill.sources import Listed, plain_text
from speechmill.sources._about import described, licence, read
from speechmill.sources._beside import INFO, JSON, Beside, stem_of, transcripts
from speechmill.sources._places import is_inside

Licence = tuple[str, str]  # SPDX id, and where it was seen


def identity_of(kind: str, name: str, span: Span | None) -> str:
    """recording_id by the path below an input, so that a corpus can move to another disk, or a URL; and by times."""
    return stable_id(kind, name, *(() if span is None else map(repr, span)))


def timed(span: Span | None) -> dict[str, Any]:
    """Fields of a recording that is a stretch of its media."""
    if span is None:
        return {}
    start, end = span
    return {"start_s": start, "end_s": end, "declared_duration_s": None if end is None else round(end - start, DIGITS)}


def stated_text(told: Mapping[str, Any], where: str, language: str | None) -> list[Attachment]:
    """The text of a line of a manifest, as what its publisher says is spoken."""
    text = told.get("text")
    if not isinstance(text, str) or not (plain := plain_text(text)):
        return []
    return [Attachment(kind="transcript", url=where, type="text/plain", language=language, text=plain)]


def recording_of(
    path: str, below: str, beside: Iterable[Beside], *, roots: tuple[str, ...], default: Licence,
    told: Mapping[str, Any] | None = None, span: Span | None = None, where: str = "",
) -> Listed:  # fmt: skip
    """List a file, `below` its input; `told`, a line of the manifest `where`, counts more than what lies beside it."""
    folder, own = os.path.dirname(os.path.abspath(path)), told or {}
    abouts = {one.name: one for one in beside if one.is_json}
    barred = [name for name in abouts if leads_outside(os.path.join(folder, name), roots)]
    said = {name: read(os.path.join(folder, name)) for name in abouts if name not in barred}
    about = _merged(said)
    told = about | {key: value for key, value in own.items() if value is not None}
    known = described(told)
    attachments = [
        *stated_text(own, where, known.get("language")),
        *transcripts(beside, known.get("language")),
        *(_json(name, "transcript", known) for name, found in said.items() if "segments" in found),
        *(_json(name, "about", known) for name in barred),
    ]
    recording = Recording(
        recording_id=identity_of("local", below, span),
        source="local",
        media_url=readable(below),
        attachments=tuple(attachments),
        **({} if isinstance(own.get("licence"), str) else licence(about))
        or {"licence": default[0], "licence_evidence": default[1]},
        **({"title": plain_text(readable(stem_of(PurePath(below).name)))} | known),
        **timed(span),
    )
    return Listed(recording=recording, media_path=os.path.abspath(path))


def _merged(said: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What several JSON files say: those of the user's own count more than those of a downloader."""
    merged: dict[str, Any] = {}
    for name in sorted(said, key=lambda name: (not name.lower().endswith(INFO + JSON), name)):
        merged |= {key: value for key, value in said[name].items() if value is not None}
    return merged


def _json(name: str, kind: str, known: Mapping[str, Any]) -> Attachment:
    return Attachment(kind=kind, url=readable(name), type="application/json", language=known.get("language"))


def leads_outside(path: str, roots: tuple[str, ...]) -> bool:
    """Whether what lies beside a recording is a link that leads out of the inputs and out of its folder."""
    return os.path.islink(path) and not is_inside(path, (*roots, os.path.realpath(os.path.dirname(path))))
