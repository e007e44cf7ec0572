"""Resolves media paths in a local feed: files in the feed's folder or below, never outside of it."""

import os
from dataclasses import replace
from urllib.parse import unquote, urlsplit

from speechmill.core.reasons import Reason
from speechmill.core.records import Attachment, Recording, RejectedError, Status
from speechmill.sources import Listed
from speechmill.sources.files.places import is_inside

WEB = ("http", "https")


def placed(listed: Listed, folder: str | None) -> Listed:
    """Add the path of the media to a recording of a local feed; a path outside of the folder is refused."""
    recording = listed.recording
    if recording.status is not Status.OK or folder is None or _is_web(recording.media_url):
        return listed
    try:
        path = path_inside(recording.media_url, folder)
    except RejectedError as fault:
        refused = replace(recording, status=Status.FAILED, reason=fault.reason, reason_detail=fault.detail)
        return replace(listed, recording=refused)
    beside = _beside(recording, path, folder)
    return Listed(recording=beside, media_path=path, terms=listed.terms, places=listed.places)


def path_inside(name: str, folder: str) -> str:
    """Path of a file that is named relative to a folder, as a path or an address.

    Raises RejectedError for one outside.
    """
    candidates = _paths(name, folder)
    path = next((path for path in candidates if os.path.lexists(path)), candidates[0] if candidates else None)
    if path is None or not is_inside(path, (os.path.realpath(folder),)):
        raise RejectedError(Reason.OUTSIDE, "a file outside of the feed's folder; it is not read")
    return os.path.abspath(path)


def _paths(name: str, folder: str) -> list[str]:
    """Possible paths of a name: as it is, unescaped, and without a query; a `file:` address gives only its path."""
    if "\0" in name:
        return []
    if name.lower().startswith("file:"):
        try:
            parts = urlsplit(name)
        except ValueError:
            return []
        is_here = parts.netloc.lower() in ("", "localhost") and parts.path.startswith("/")
        return [path for path in (unquote(parts.path),) if is_here and "\0" not in path]
    plain = name.partition("?")[0].partition("#")[0]
    return [os.path.join(folder, variant) for variant in (name, unquote(name), unquote(plain)) if "\0" not in variant]


def _is_web(url: str) -> bool:
    """Whether an address is not on this machine; unsupported schemes are refused when they are fetched."""
    scheme, mark, _ = url.partition("://")
    return bool(mark) and scheme.lower() != "file"


def _beside(recording: Recording, path: str, folder: str) -> Recording:
    """Replace the addresses of transcripts in the folder of the media by their file names."""
    attachments = tuple(_in_folder_of(path, attachment, folder) for attachment in recording.attachments)
    return replace(recording, attachments=attachments, alternates=tuple(filter(_is_web, recording.alternates)))


def _in_folder_of(path: str, attachment: Attachment, folder: str) -> Attachment:
    if _is_web(attachment.url):
        return attachment
    try:
        lies_at = path_inside(attachment.url, folder)
    except RejectedError:
        return attachment  # reading it will say what is wrong
    is_beside = os.path.dirname(lies_at) == os.path.dirname(path)
    return replace(attachment, url=os.path.basename(lies_at)) if is_beside else attachment
