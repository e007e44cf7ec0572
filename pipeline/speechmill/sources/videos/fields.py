"""Converts yt-dlp's metadata to the fields of a recording."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from speechmill.core.records import Attachment
from speechmill.sources import language_tag, plain_text
from speechmill.sources.licences import of_words
from speechmill.sources.videos.library import Library

MAX_FILES = 20  # subtitles of one recording
PLAYLISTS, LINKS = ("playlist", "multi_video", "compat_list"), ("url", "url_transparent")
SUBTITLES = {"vtt": "text/vtt", "srt": "application/x-subrip"}  # in order of preference
NO_LICENCE = ("none", "unknown", "unspecified")


def described(info: Mapping[str, Any], library: Library) -> dict[str, Any]:
    """Fields of a recording, None where yt-dlp has no value."""
    authors = (plain_text(info.get(name)) for name in ("uploader", "channel", "creator", "artist"))
    return {
        "title": plain_text(info.get("title")),
        "author": next(filter(None, authors), None),
        "language": language_tag(info.get("language")),
        "published": _published(info, library),
        "declared_duration_s": positive(info.get("duration")),
    }


def _published(info: Mapping[str, Any], library: Library) -> str | None:
    if info.get("_type") not in LINKS and not library.gives_ids(info["extractor_key"]):
        return None  # it is the modification time of the file
    moment, day = info.get("timestamp"), re.fullmatch(r"(\d{4})(\d\d)(\d\d)", str(info.get("upload_date")), re.ASCII)
    try:
        if isinstance(moment, int | float):
            return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return None
    return "-".join(day.groups()) if day else None


def positive(value: object) -> float | None:
    """A positive, finite number; None for anything else."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) and value > 0 else None


def licence_of(info: Mapping[str, Any], site: str) -> dict[str, Any]:
    """Licence fields, if the site states a licence; `unknown` if it is not understood, whatever the config says."""
    text = plain_text(info.get("license"))
    if text is None or text.lower() in NO_LICENCE:
        return {}
    spdx, url = of_words(text)
    return {"licence": spdx or "unknown", "licence_url": url, "licence_evidence": f"{site} says: {text[:200]}"}


def subtitles(info: Mapping[str, Any]) -> tuple[Attachment, ...]:
    """Subtitles written by people, in the preferred format of each language."""
    attachments = []
    for language, forms in (info.get("subtitles") or {}).items():
        urls = {form.get("ext"): plain_text(form.get("url")) for form in reversed(forms) if _is_file(form)}
        kind = next((kind for kind in SUBTITLES if urls.get(kind)), None)
        if kind:
            tag = language_tag(language)
            attachments.append(Attachment(kind="transcript", url=urls[kind] or "", type=SUBTITLES[kind], language=tag))
    return tuple(attachments)[:MAX_FILES]


def _is_file(form: Mapping[str, Any]) -> bool:
    return str(form.get("url")).startswith(("http://", "https://")) and "m3u8" not in str(form.get("protocol"))
