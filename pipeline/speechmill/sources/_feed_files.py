"""Files that a feed on this machine names: beside it or below, never outside of its folder."""

import os
from dataclasses import replace
from urllib.parse import unquote, urlsplit

from speechmill.core.reasons import Reason
from speechmill.core.records import Attachment, Recording, RejectedError, Status
from speechmill.sources import Listed
from speechmill.sources._places import is_inside

WEB = ("http", "https")


def placed(listed: Listed, folder: str | None) -> Listed:
    """A recording of a local feed with the path of its media, if they are a file; one outside is refused."""
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
    meant = _paths(name, folder)
    path = next((path for path in meant if os.path.lexists(path)), meant[0] if meant else None)
    if path is None or not is_inside(path, (os.path.realpath(folder),)):
        raise RejectedError(Reason.OUTSIDE, "a file outside of the feed's folder; it is not read")
    return os.path.abspath(path)


def _paths(name: str, folder: str) -> list[str]:
    """What a name may mean: itself, without escapes, without a query; a `file:` address only a path."""
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
    return [os.path.join(folder, one) for one in (name, unquote(name), unquote(plain)) if "\0" not in one]


def _is_web(url: str) -> bool:
    """Whether an address is not of this machine: fetching it says what is wrong with any other scheme."""
    scheme, mark, _ = url.partition("://")
    return bool(mark) and scheme.lower() != "file"


def _beside(recording: Recording, path: str, folder: str) -> Recording:
    """A recording whose transcripts, if they lie in the folder of its media, are named as files there are."""
    found = tuple(_in_folder_of(path, one, folder) for one in recording.attachments)
    return replace(recording, attachments=found, alternates=tuple(filter(_is_web, recording.alternates)))


def _in_folder_of(path: str, attachment: Attachment, folder: str) -> Attachment:
    if _is_web(attachment.url):
        return attachment
    try:
        lies_at = path_inside(attachment.url, folder)
    except RejectedError:
        return attachment  # reading it will say what is wrong
    is_beside = os.path.dirname(lies_at) == os.path.dirname(path)
    return replace(attachment, url=os.path.basename(lies_at)) if is_beside else attachment
