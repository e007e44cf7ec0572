"""Downloads media, feeds and models: the only package that opens a network connection.

`addresses` decides where a connection may go, `consent` what a host permits, `client` makes requests within these
limits, and `download` gets a whole file; `parts` are unfinished downloads.
"""

import contextlib
import hashlib
import logging
import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from speechmill.core.fetch_config import Fetch
from speechmill.core.paths import check_name
from speechmill.core.reasons import Reason
from speechmill.core.records import Recording, RejectedError, stable_id
from speechmill.core.store import Store
from speechmill.core.urls import public_url, web_address
from speechmill.fetch.client import Client
from speechmill.fetch.coding import CHUNK_BYTES
from speechmill.fetch.consent import CRAWLING, Permit
from speechmill.fetch.consent.page import Page
from speechmill.fetch.download import Conditions, complete
from speechmill.fetch.limits import Limits, StoppedError, delays, hold, never
from speechmill.fetch.logins import check as check_logins
from speechmill.fetch.logins import logins_of
from speechmill.fetch.models import PACKAGED_MODEL, model_folder, where_found, with_model_at_hand
from speechmill.fetch.parts import Part
from speechmill.fetch.visit import Answer, Visit

__all__ = [
    "MAX_FEED_BYTES", "PACKAGED_MODEL", "Answer", "Fetched", "Permit", "StoppedError", "Visit", "check_logins",
    "delays", "fetch_media", "forget_document", "get_document", "hold", "look_at_page", "model_folder",
    "never", "read_terms", "where_found", "with_model_at_hand",
]  # fmt: skip

MAX_FEED_BYTES = 50_000_000
MAX_PAGE_BYTES, MAX_PAGE_AGE_S = 5_000_000, 24 * 3600.0
ALGORITHMS = ("md5", "sha1", "sha256", "sha384", "sha512")  # of checksums: they detect damage, not forgery
_log = logging.getLogger("speechmill")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """Media on disk: `content_id` is their SHA-256, `path` their path on the store's filesystem."""

    content_id: str
    sha256: str
    bytes: int
    path: str
    permits: tuple[Permit, ...] = ()  # terms that permit its use


def fetch_media(
    recording: Recording, store: Store, config: Fetch, *, media_path: str | None = None,
    stopping: Callable[[], bool] = never,
) -> Fetched:  # fmt: skip
    """Get the media of a recording: by download to `work/media/<sha256>`, or in place.

    The publisher's reservations are checked before any byte of the media is requested. If an address is permanently
    of no use, alternates with the same audio are tried.

    Args:
        recording: With the addresses of its media.
        store: Where media are kept.
        config: Limits and logins.
        media_path: A local file to use in place.
        stopping: Whether the run stops; StoppedError is raised as soon as it does.

    Raises:
        RejectedError: With `retry` where the cause may be temporary.
    """
    if media_path is not None:
        return _read_in_place(media_path, stopping)
    faults = []
    for url in (recording.media_url, *recording.alternates):
        logins = logins_of(config, recording.feed_url)
        client = Client(store, Limits.of(config, config.max_bytes, stopping), logins)
        try:
            return _download(recording, web_address(url), client, store)
        except RejectedError as fault:
            faults.append(fault)
            if fault.retry or fault.reason is Reason.OPTED_OUT:
                break
    raise faults[0]


def _download(recording: Recording, url: str, client: Client, store: Store) -> Fetched:
    check_name(recording.recording_id)
    with _parts_folder(store) as folder:
        part = Part.open(Path(folder) / f"{recording.recording_id}.part", url)
        try:
            if not part.size:
                _look(client, url)
            complete(part, client)
            if url == web_address(recording.media_url):
                _check(part, recording.checksum)
        except RejectedError as fault:
            if not fault.retry:
                part.clear()
            raise
        return replace(_keep(part, store, client.limits.stopping), permits=tuple(client.consent.permits))


def _check(part: Part, announced: str | None) -> None:
    """Raise RejectedError(CHECKSUM) where the bytes do not match the announced `algorithm:hexadecimal`."""
    algorithm, _, expected = (announced or "").partition(":")
    if algorithm not in ALGORITHMS:
        return
    with part.path.open("rb") as file:
        digest = hashlib.file_digest(file, algorithm).hexdigest()
    if digest != expected.lower():
        raise RejectedError(Reason.CHECKSUM, f"{algorithm} {digest}, announced was {expected[:128]}")


def _look(client: Client, url: str) -> None:
    """Request the headers only, in which a publisher may reserve the file. Other faults are left to the download."""
    import urllib3

    try:
        with client.opened("HEAD", url) as response:
            response.drain_conn()  # empty, but then the connection can be reused for the file
    except urllib3.exceptions.HTTPError:
        pass
    except RejectedError as fault:
        if not fault.retry:
            raise


def get_document(
    url: str, store: Store, config: Fetch, *, max_bytes: int = MAX_FEED_BYTES, max_age_s: float = 0.0,
    stopping: Callable[[], bool] = never, beside: str | None = None,
) -> bytes:  # fmt: skip
    """Get a feed; a copy cached in `work/feeds/` is fetched again only if it changed. Raises RejectedError.

    Args:
        url: Its address.
        store: With the cache.
        config: Limits and logins.
        max_bytes: Largest size.
        max_age_s: A younger cached copy is used without a request; an older one after a temporary fault.
        stopping: Whether the run stops.
        beside: Address of the feed that names the document; its login is used where the origin is the same.
    """
    url = web_address(url)
    name = f"work/feeds/{stable_id('document', url)}"
    cached, conditions, age_s = _cached(store, name)
    if cached and age_s < max_age_s:
        return cached
    with TemporaryDirectory() as folder:
        part = Part.open(Path(folder) / "document", url)
        try:
            client = Client(store, Limits.of(config, max_bytes, stopping), logins_of(config, beside))
            if not complete(part, client, conditions):
                store.write_json(f"{name}.json", (store.read_json(f"{name}.json") or {}) | {"when": time.time()})
                return cached
        except RejectedError as fault:
            if not (fault.retry and cached):
                raise
            _log.warning("%s: %s; using the copy of the last run", public_url(url), fault)
            return cached
        body = part.path.read_bytes()
    with store.create(name) as file:
        file.write(body)
    digest = hashlib.sha256(body).hexdigest()
    facts = {
        "url": public_url(url), "origin": part.origin, "etag": part.etag, "last_modified": part.last_modified,
        "sha256": digest, "when": time.time(),
    }  # fmt: skip
    store.write_json(f"{name}.json", facts)
    return body


def look_at_page(
    url: str, store: Store, config: Fetch, *, stopping: Callable[[], bool] = never
) -> tuple[Page, tuple[Permit, ...]] | None:
    """Read a web page and collect terms that permit its use; None where it cannot be read.

    Raises RejectedError(OPTED_OUT) where it, or terms that it names, forbid training. A ban on robots does not: it says
    nothing about the content. There are no retries: a page is not worth the wait for an unavailable host.
    """
    config = config.model_copy(update={"retries": 0})
    try:
        raw = get_document(
            url, store, config, max_bytes=MAX_PAGE_BYTES, max_age_s=MAX_PAGE_AGE_S, stopping=stopping
        )  # fmt: skip
        consent = Client(store, Limits.of(config, MAX_PAGE_BYTES, stopping)).consent
        return consent.read(raw, url), tuple(consent.permits)
    except RejectedError as fault:
        if fault.reason is Reason.OPTED_OUT and any(signal.signal != CRAWLING for signal in fault.signals):
            raise
        return None


def read_terms(
    documents: tuple[str, ...], places: tuple[str, ...], store: Store, config: Fetch, *,
    stopping: Callable[[], bool] = never, beside: str | None = None,
) -> tuple[Permit, ...]:  # fmt: skip
    """Collect the terms in RSL documents that permit training.

    Raises RejectedError(OPTED_OUT) where they forbid it, and others where they cannot be had: then nothing may be used.

    Args:
        documents: Addresses of the RSL documents.
        places: Addresses under which they may list the recording.
        store: With the cache.
        config: Limits and logins.
        stopping: Whether the run stops.
        beside: Address of the feed; its login is used where the origin is the same.
    """
    client = Client(store, Limits.of(config, MAX_PAGE_BYTES, stopping), logins_of(config, beside))
    client.consent.heed(tuple(map(web_address, documents)), places)
    return tuple(client.consent.permits)


def forget_document(url: str, store: Store) -> None:
    """Drop the cached copy of a document that could not be read, so that it is fetched anew."""
    name = f"work/feeds/{stable_id('document', url)}"
    for entry in (f"{name}.json", name):
        if store.exists(entry):
            store.remove(entry)


@contextlib.contextmanager
def _parts_folder(store: Store) -> Iterator[str]:
    """Folder of unfinished downloads: beside the media, to survive a crash; temporary for an object store."""
    if not store.is_local:
        with TemporaryDirectory() as folder:
            yield folder
        return
    folder = store.path("work/media/.parts")
    os.makedirs(folder, exist_ok=True)
    yield folder


def _keep(part: Part, store: Store, stopping: Callable[[], bool]) -> Fetched:
    """Move a finished download to the name of its content."""
    digest, size = _sha256(part.path, stopping), part.size
    name = f"work/media/{digest}"
    if not store.exists(name):
        if store.is_local:
            with open(part.path, "rb") as file:
                os.fsync(file.fileno())
            os.replace(part.path, store.path(name))
        else:
            with open(part.path, "rb") as file, store.create(name) as target:
                while chunk := file.read(CHUNK_BYTES):
                    target.write(chunk)
    part.clear()
    return Fetched(content_id=digest, sha256=digest, bytes=size, path=store.path(name))


def _read_in_place(media_path: str, stopping: Callable[[], bool]) -> Fetched:
    path = Path(os.path.abspath(media_path))
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):  # reading a pipe or a device may never end
            raise RejectedError(Reason.NOT_AUDIO, "not a file")
        if facts.st_size == 0:
            raise RejectedError(Reason.EMPTY, "no bytes")
        digest = _sha256(path, stopping)
    except PermissionError:
        raise RejectedError(Reason.FORBIDDEN, "no permission to read the file") from None
    except (OSError, ValueError) as error:
        raise RejectedError(Reason.NOT_FOUND, getattr(error, "strerror", None) or str(error)) from None
    return Fetched(content_id=digest, sha256=digest, bytes=facts.st_size, path=str(path))


def _sha256(path: Path, stopping: Callable[[], bool]) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(16 * CHUNK_BYTES):
            if stopping():
                raise StoppedError
            digest.update(chunk)
    return digest.hexdigest()


def _cached(store: Store, name: str) -> tuple[bytes, Conditions | None, float]:
    """Cached document, the conditions for asking whether it changed, and its age in s; empty if there is none."""
    try:
        facts = store.read_json(f"{name}.json")
    except (ValueError, RecursionError):
        facts = None
    is_sound = isinstance(facts, dict) and {"sha256", "etag", "last_modified"} <= facts.keys()
    if not facts or not is_sound or not store.exists(name):  # a damaged copy counts as missing
        return b"", None, 0.0
    with store.open(name) as file:
        body = file.read()
    if hashlib.sha256(body).hexdigest() != facts["sha256"]:
        return b"", None, 0.0
    conditions = {"If-None-Match": facts["etag"], "If-Modified-Since": facts["last_modified"]}
    headers = {header: value for header, value in conditions.items() if value}
    return body, Conditions(headers, facts.get("origin", "")), time.time() - facts.get("when", 0.0)
