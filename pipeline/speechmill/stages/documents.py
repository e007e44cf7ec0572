"""Fetches the documents of a recording: transcripts of its publisher, and the text that is read in it.

They are stored unchanged, named by their SHA-256, so that a book's text is stored once for all its chapters.
"""

import hashlib
import os
import stat
from dataclasses import dataclass, field

from speechmill import fetch
from speechmill.core.build import Build
from speechmill.core.filenames import readable
from speechmill.core.footers import StoredDocument
from speechmill.core.reasons import Reason
from speechmill.core.records import Attachment, Recording, RejectedError
from speechmill.core.store import Store
from speechmill.sources.builtin import local
from speechmill.text import reference

WANTED = ("transcript", "text")
ABOUT = "about"  # a JSON file beside a recording that was unreadable when the recording was listed
MAX_DOCUMENT_BYTES = 20_000_000
MAX_AGE_S = 24 * 3600.0  # a book's text is fetched once a day, not for each chapter


@dataclass(slots=True)
class Documents:
    """The documents of a recording."""

    by_path: dict[str, StoredDocument] = field(default_factory=dict)  # path in the store
    remarks: list[str] = field(default_factory=list)  # why documents are missing
    retry: bool = False  # whether a missing one may be available later


def fetch_documents(recording: Recording, media_path: str | None, build: Build) -> Documents:
    """Fetch and store the documents of a recording; an unavailable or unreadable one gives a remark."""
    documents = Documents()
    for attachment in recording.attachments if build.config.fetch.transcripts else ():
        if attachment.kind not in (*WANTED, ABOUT):
            continue
        try:
            raw = _read(attachment, media_path, build, recording.feed_url)
            if attachment.kind == ABOUT:  # readable by now; the next listing reads it
                continue
            reference.read(raw, attachment.type, format_hint(recording, attachment.url))
        except RejectedError as error:
            documents.remarks.append(f"{attachment.kind} {attachment.url[:200]}: {error}"[:500])
            documents.retry |= error.retry
            continue
        documents.by_path[_store(raw, build.store)] = StoredDocument(
            kind=attachment.kind, url=attachment.url, type=attachment.type, language=attachment.language
        )
    return documents


def format_hint(recording: Recording, url: str) -> str:
    """Name to parse a document by: its URL, after the title, which selects the line of an utterance in LibriSpeech."""
    return f"{recording.title or ''} {url}"


def _read(attachment: Attachment, media_path: str | None, build: Build, feed_url: str | None) -> bytes:
    """Content of an attachment. Raises RejectedError."""
    if attachment.text is not None:
        return attachment.text.encode()
    if attachment.url.startswith(("http://", "https://")):
        config = build.config.fetch
        return fetch.get_document(
            attachment.url, build.store, config, max_bytes=MAX_DOCUMENT_BYTES, max_age_s=MAX_AGE_S,
            stopping=build.is_stopping, beside=feed_url,
        )  # fmt: skip
    if media_path is None or os.path.basename(attachment.url) != attachment.url:
        raise RejectedError(Reason.FORBIDDEN_ADDRESS, "not a web address, and no file beside the recording")
    path = _path_beside(media_path, attachment.url)
    if not local.may_be_read(path, build.config.inputs):
        raise RejectedError(Reason.OUTSIDE, "a link that leads out of the inputs; it is not read")
    return _read_file(path)


def _path_beside(media_path: str, shown: str) -> str:
    """Path of a file beside a recording; `shown` is its readable name, which lacks bytes that are not UTF-8."""
    folder = os.path.dirname(media_path)
    if not os.path.lexists(path := os.path.join(folder, shown)):
        try:
            return next((entry.path for entry in os.scandir(folder) if readable(entry.name) == shown), path)
        except OSError:
            pass
    return path


def _read_file(path: str) -> bytes:
    """Content of a regular file. Raises RejectedError."""
    try:
        facts = os.stat(path)
        if not stat.S_ISREG(facts.st_mode):  # reading a pipe or a device may never end
            raise RejectedError(Reason.NOT_FOUND, "not a file")
        if facts.st_size > MAX_DOCUMENT_BYTES:
            raise RejectedError(Reason.TOO_BIG, f"more than {MAX_DOCUMENT_BYTES} bytes")
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise RejectedError(Reason.NOT_FOUND, error.strerror or str(error)) from None


def _store(raw: bytes, store: Store) -> str:
    """Store a document under its SHA-256; returns its path in the store."""
    name = f"work/documents/{hashlib.sha256(raw).hexdigest()}"
    if not store.exists(name):
        with store.create(name) as file:
            file.write(raw)
    return name
