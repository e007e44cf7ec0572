"""Downloads media, feeds and models: the only package that opens a network connection.

`addresses` says where a connection may go, `consent` what a host lets us take, `client` makes requests within their
limits, and `download` gets a whole file; `parts` is what is there of it so far.
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
from speechmill.fetch.models import PACKAGED_MODEL, model_folder
from speechmill.fetch.parts import Part
from speechmill.fetch.visit import Answer, Visit

__all__ = [
    "MAX_FEED_BYTES", "PACKAGED_MODEL", "Answer", "Fetched", "Permit", "StoppedError", "Visit", "check_logins",
    "delays", "fetch_media", "forget_document", "get_document", "hear_terms", "hold", "look_at_page", "model_folder",
    "never",
]  # fmt: skip

MAX_FEED_BYTES = 50_000_000
MAX_PAGE_BYTES, MAX_PAGE_AGE_S = 5_000_000, 24 * 3600.0
ALGORITHMS = ("md5", "sha1", "sha256", "sha384", "sha512")  # of checksums: against damage, not against forgers
_log = logging.getLogger("speechmill")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """Media bytes on disk: `content_id` is their SHA-256, `path` is where the store's filesystem has them."""

    content_id: str
    sha256: str
    bytes: int
    path: str
    permits: tuple[Permit, ...] = ()  # terms that let it be used


def fetch_media(
    recording: Recording,
    store: Store,
    config: Fetch,
    *,
    media_path: str | None = None,
    stopping: Callable[[], bool] = never,
) -> Fetched:
    """Get the media of a recording: by download to `work/media/<sha256>`, or in place where `media_path` is given.

    What a publisher says against it is heard before any byte of the media is asked for. Raises RejectedError, with
    `retry` where the cause may pass, and StoppedError as soon as `stopping()` is true. Another address of the same
    audio is tried where one is of lasting no use.
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
    """Raise RejectedError(CHECKSUM) for other bytes than the source announces, as `algorithm:hexadecimal`."""
    algorithm, _, expected = (announced or "").partition(":")
    if algorithm not in ALGORITHMS:
        return
    with part.path.open("rb") as file:
        found = hashlib.file_digest(file, algorithm).hexdigest()
    if found != expected.lower():
        raise RejectedError(Reason.CHECKSUM, f"{algorithm} {found}, announced was {expected[:128]}")


def _look(client: Client, url: str) -> None:
    """Ask for the headers alone, in which a publisher may reserve the file. Other faults are the download's to tell."""
    import urllib3

    try:
        with client.opened("HEAD", url) as response:
            response.drain_conn()  # nothing; but then the connection serves for the file as well
    except urllib3.exceptions.HTTPError:
        pass
    except RejectedError as fault:
        if not fault.retry:
            raise


def get_document(
    url: str, store: Store, config: Fetch, *, max_bytes: int = MAX_FEED_BYTES, max_age_s: float = 0.0,
    stopping: Callable[[], bool] = never, beside: str | None = None,
) -> bytes:  # fmt: skip
    """Get a feed, at most `max_bytes` long, anew only if it changed since it was cached in `work/feeds/`.

    The cached copy also serves while it is younger than `max_age_s`, or the server has a passing fault. User and
    password of the address `beside`, the feed that names the document, count where both have the same origin.
    Raises RejectedError.
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
    """What a web page says of itself, and terms that permit its use; None where it cannot be seen.

    Raises RejectedError(OPTED_OUT) where it, or terms that it names, forbid to learn from it. That robots may not visit
    it says nothing of what it is about. It is asked for once: a page is not worth the wait for a host that is away.
    """
    config = config.model_copy(update={"retries": 0})
    try:
        raw = get_document(
            url, store, config, max_bytes=MAX_PAGE_BYTES, max_age_s=MAX_PAGE_AGE_S, stopping=stopping
        )  # fmt: skip
        consent = Client(store, Limits.of(config, MAX_PAGE_BYTES, stopping)).consent
        return consent.read(raw.decode("utf-8", "replace"), url), tuple(consent.permits)
    except RejectedError as fault:
        if fault.reason is Reason.OPTED_OUT and any(one.signal != CRAWLING for one in fault.signals):
            raise
        return None


def hear_terms(
    documents: tuple[str, ...], places: tuple[str, ...], store: Store, config: Fetch, *,
    stopping: Callable[[], bool] = never, beside: str | None = None,
) -> tuple[Permit, ...]:  # fmt: skip
    """Terms in RSL documents that permit to learn from what has the addresses `places`.

    The login of the feed `beside` counts where the origin is the same. Raises RejectedError(OPTED_OUT) where the terms
    forbid it, and other RejectedError where they cannot be had: then nothing may be taken.
    """
    client = Client(store, Limits.of(config, MAX_PAGE_BYTES, stopping), logins_of(config, beside))
    client.consent.heed(tuple(map(web_address, documents)), places)
    return tuple(client.consent.permits)


def forget_document(url: str, store: Store) -> None:
    """Drop the copy of a document in which something went wrong, so that it is asked for anew, whole."""
    name = f"work/feeds/{stable_id('document', url)}"
    for one in (f"{name}.json", name):
        if store.exists(one):
            store.remove(one)


@contextlib.contextmanager
def _parts_folder(store: Store) -> Iterator[str]:
    """Where parts are kept: beside the media, to survive a crash; an object store cannot append, so not there."""
    if not store.is_local:
        with TemporaryDirectory() as folder:
            yield folder
        return
    folder = store.path("work/media/.parts")
    os.makedirs(folder, exist_ok=True)
    yield folder


def _keep(part: Part, store: Store, stopping: Callable[[], bool]) -> Fetched:
    """Move a whole part to the name of its content."""
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
    """The document of an earlier run, what asks whether it changed, and its age in s; empty if there is none."""
    try:
        facts = store.read_json(f"{name}.json")
    except (ValueError, RecursionError):
        facts = None
    is_sound = isinstance(facts, dict) and {"sha256", "etag", "last_modified"} <= facts.keys()
    if not facts or not is_sound or not store.exists(name):  # a damaged one is none
        return b"", None, 0.0
    with store.open(name) as file:
        body = file.read()
    if hashlib.sha256(body).hexdigest() != facts["sha256"]:
        return b"", None, 0.0
    asked = {"If-None-Match": facts["etag"], "If-Modified-Since": facts["last_modified"]}
    headers = {header: value for header, value in asked.items() if value}
    return body, Conditions(headers, facts.get("origin", "")), time.time() - facts.get("when", 0.0)
