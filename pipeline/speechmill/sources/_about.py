"""What a line of a manifest or a JSON file beside a recording says of it: in our own keys, or in those of yt-dlp."""

import json
import logging
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from speechmill.sources import language_tag, plain_text
from speechmill.sources._licences import of_words, spdx_of

MAX_BYTES = 10_000_000  # yt-dlp lists every format and every language that captions are translated to
SPDX_LIKE = re.compile(r"[A-Za-z0-9.+-]{2,64}")
AUTHORS = ("uploader", "channel", "creator", "artist")  # by yt-dlp, in the order that a run takes them in
NO_LICENCE = ("none", "unknown", "unspecified")
_log = logging.getLogger("speechmill")


def read(path: str) -> dict[str, Any]:
    """What a JSON file says; nothing where it is no object, or too big to be about one recording."""
    try:
        if os.path.getsize(path) > MAX_BYTES:
            raise ValueError(f"more than {MAX_BYTES} bytes")
        with open(path, "rb") as file:
            found = json.loads(file.read())  # in UTF-8, UTF-16 or UTF-32, with a mark or without
    except (OSError, ValueError, RecursionError) as error:
        _log.warning("%s: cannot be read as JSON; it is not used (%s)", plain_text(path), plain_text(str(error)))
        return {}
    if not isinstance(found, dict):
        return {}
    return _of_ytdlp(found) if "extractor" in found or "webpage_url" in found else found


def _of_ytdlp(info: Mapping[str, Any]) -> dict[str, Any]:
    """What yt-dlp knows of a recording, in our own keys."""
    told = {key: info[key] for key in ("title", "language", "segments") if key in info}
    told["author"] = next(filter(None, (plain_text(info.get(name)) for name in AUTHORS)), None)
    told["page_url"] = info.get("webpage_url")
    told["published"] = _moment(info)
    text = plain_text(info.get("license"))
    if text is None or text.lower() in NO_LICENCE:
        return told
    spdx, url = of_words(text)
    return told | {"licence": spdx or text, "licence_url": url}


def _moment(info: Mapping[str, Any]) -> str | None:
    stamp, day = info.get("timestamp"), str(info.get("upload_date"))
    try:
        if isinstance(stamp, int | float):
            return datetime.fromtimestamp(stamp, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        pass
    return f"{day[:4]}-{day[4:6]}-{day[6:]}" if re.fullmatch(r"[0-9]{8}", day) else None


def described(told: Mapping[str, Any]) -> dict[str, Any]:
    """The optional fields of a recording that can be used."""
    values: dict[str, Any] = {name: plain_text(told.get(name)) for name in ("title", "author", "licence_url")}
    values["licence_url"] = values["licence_url"] or plain_text(told.get("license_url"))
    values["language"] = language_tag(told.get("language") or told.get("lang"))
    values["published"] = _utc(told.get("published"))
    page = plain_text(told.get("page_url"))
    values["page_url"] = page if page and re.match(r"https?://", page, re.IGNORECASE) else None
    speaker = _speaker(told.get("speaker")) or _speaker(told.get("speaker_id"))
    values["persons"] = (speaker,) if speaker else ()
    return {name: value for name, value in values.items() if value}


def _speaker(value: object) -> str | None:
    """A speaker's name, or number, as many corpora have it."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else plain_text(value)


def licence(about: Mapping[str, Any]) -> dict[str, Any]:
    """Licence fields by the JSON file beside a recording; empty where it states none."""
    told = plain_text(about.get("licence")) or plain_text(about.get("license"))
    if told is None:
        return {}
    known = spdx_of(told) or (told if SPDX_LIKE.fullmatch(told) else None)
    return {
        "licence": known or "unknown",
        "licence_evidence": "JSON file beside it" + ("" if known else f": {told[:200]}"),
    }


def _utc(value: object) -> str | None:
    """A date or time in ISO 8601 as UTC, to the second; without a zone it is taken for UTC."""
    try:
        moment = datetime.fromisoformat(str(value))
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
