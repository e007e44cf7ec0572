"""Reads metadata of a recording from a manifest line or a JSON file beside it, with our keys or those of yt-dlp."""

import json
import logging
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from speechmill.sources import language_tag, plain_text
from speechmill.sources.licences import of_words, spdx_of

MAX_BYTES = 10_000_000  # yt-dlp lists every format and every caption language
SPDX_LIKE = re.compile(r"[A-Za-z0-9.+-]{2,64}")
AUTHORS = ("uploader", "channel", "creator", "artist")  # keys of yt-dlp, in order of preference
NO_LICENCE = ("none", "unknown", "unspecified")
_log = logging.getLogger("speechmill")


def read(path: str) -> dict[str, Any]:
    """Read a JSON file; empty where it is no object, or too big to be about one recording."""
    try:
        if os.path.getsize(path) > MAX_BYTES:
            raise ValueError(f"more than {MAX_BYTES} bytes")
        with open(path, "rb") as file:
            value = json.loads(file.read())  # in UTF-8, UTF-16 or UTF-32, with a mark or without
    except (OSError, ValueError, RecursionError) as error:
        _log.warning("%s: cannot be read as JSON; it is not used (%s)", plain_text(path), plain_text(str(error)))
        return {}
    if not isinstance(value, dict):
        return {}
    return _from_ytdlp(value) if "extractor" in value or "webpage_url" in value else value


def _from_ytdlp(info: Mapping[str, Any]) -> dict[str, Any]:
    """Convert yt-dlp's metadata of a recording to our keys."""
    fields = {key: info[key] for key in ("title", "language", "segments") if key in info}
    fields["author"] = next(filter(None, (plain_text(info.get(name)) for name in AUTHORS)), None)
    fields["page_url"] = info.get("webpage_url")
    fields["published"] = _published(info)
    text = plain_text(info.get("license"))
    if text is None or text.lower() in NO_LICENCE:
        return fields
    spdx, url = of_words(text)
    return fields | {"licence": spdx or text, "licence_url": url}


def _published(info: Mapping[str, Any]) -> str | None:
    stamp, day = info.get("timestamp"), str(info.get("upload_date"))
    try:
        if isinstance(stamp, int | float):
            return datetime.fromtimestamp(stamp, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        pass
    return f"{day[:4]}-{day[4:6]}-{day[6:]}" if re.fullmatch(r"[0-9]{8}", day) else None


def described(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The optional fields of a recording for which the metadata has usable values."""
    values: dict[str, Any] = {name: plain_text(metadata.get(name)) for name in ("title", "author", "licence_url")}
    values["licence_url"] = values["licence_url"] or plain_text(metadata.get("license_url"))
    values["language"] = language_tag(metadata.get("language") or metadata.get("lang"))
    values["published"] = _to_utc(metadata.get("published"))
    page = plain_text(metadata.get("page_url"))
    values["page_url"] = page if page and re.match(r"https?://", page, re.IGNORECASE) else None
    speaker = _speaker(metadata.get("speaker")) or _speaker(metadata.get("speaker_id"))
    values["persons"] = (speaker,) if speaker else ()
    return {name: value for name, value in values.items() if value}


def _speaker(value: object) -> str | None:
    """A speaker's name or number; many corpora have numbers."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else plain_text(value)


def licence(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Licence fields from the JSON file beside a recording; empty where it states none."""
    stated = plain_text(metadata.get("licence")) or plain_text(metadata.get("license"))
    if stated is None:
        return {}
    spdx = spdx_of(stated) or (stated if SPDX_LIKE.fullmatch(stated) else None)
    return {
        "licence": spdx or "unknown",
        "licence_evidence": "JSON file beside it" + ("" if spdx else f": {stated[:200]}"),
    }


def _to_utc(value: object) -> str | None:
    """Convert a date or time in ISO 8601 to UTC with seconds; without a time zone it is taken as UTC."""
    try:
        moment = datetime.fromisoformat(str(value))
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
