"""One polite client: what every request has in common, whatever it is for.

Every limit on what a server may cost (bytes, seconds, redirects, addresses) and on what it may be asked (consent,
requests at a time and a second) is kept here, so that no other file has to think of one. An interrupted download is
continued as long as the server proves that the file is still the same, and begun anew when it does not.
"""

import email.utils
import random
import re
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self
from urllib.parse import urljoin

from pipeline.config import Fetch
from pipeline.fetch.addresses import Passing, host_of, pools
from pipeline.fetch.consent import MAX_FILE_BYTES, ROBOTS, Consent, read_headers
from pipeline.fetch.parts import encoding
from pipeline.records import Reason, Rejected
from pipeline.store import Store

if TYPE_CHECKING:
    import urllib3

CHUNK_BYTES = 64 * 1024
MAX_REDIRECTS = 10
MAX_RETRY_AFTER_S = 120.0  # a server that asks for more is tried again by the next run
POLL_S = 0.2  # how soon a pause notices that the run stops
REDIRECTS = (301, 302, 303, 307, 308)
SAME_METHOD = (307, 308)  # redirects after which a body is sent again (RFC 9110, 15.4)


class Stopped(Exception):  # noqa: N818 - an answer to a signal, not an error
    """The run stops. What was downloaded so far stays in place for the next one."""


def never() -> bool:
    """Say that the run goes on."""
    return False


@dataclass(slots=True, kw_only=True)
class Limits:
    """What a download may cost; `deadline` is on the monotonic clock."""

    config: Fetch
    max_bytes: int
    deadline: float
    stopping: Callable[[], bool]

    @classmethod
    def of(cls, config: Fetch, max_bytes: int, stopping: Callable[[], bool] = never) -> Self:
        """Limits of a config, from now on."""
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
        """Raise Rejected(TOO_BIG) for more than may come."""
        if count > self.max_bytes:
            raise Rejected(Reason.TOO_BIG, f"more than {self.max_bytes} bytes")

    def pause(self, seconds: float) -> None:
        """Wait. Raises as `check` does."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, POLL_S, self.check()))

    def back_off(self, failures: int, fault: Passing) -> None:
        """Wait before a request is repeated; longer with each failure. Raises the fault after too many of them."""
        if failures > self.config.retries:
            raise fault
        backoff = self.config.backoff * 2 ** (failures - 1) * random.uniform(0.5, 1.5)  # noqa: S311
        self.pause(max(backoff, fault.after_s))


class Client:
    """Makes the requests of one download: each from a host that consents, at a checked address, when it is its turn."""

    def __init__(self, store: Store, limits: Limits) -> None:
        self.limits = limits
        self._consent = Consent(store, self._small)
        self._headers = {"User-Agent": limits.config.user_agent, "Accept-Encoding": "identity"}

    def opened(
        self, method: str, url: str, headers: dict[str, str] | None = None, *, content: bytes | None = None
    ) -> AbstractContextManager["urllib3.BaseHTTPResponse"]:
        """Ask for a URL and follow redirects by hand, so that each address and host is looked at.

        `content` is the body of a POST; the response's `url` is where redirects led. Raises Rejected, and urllib3's
        HTTPError for what happens on the way.
        """
        return self._opened(method, url, self._headers | (headers or {}), consent=self._consent, content=content)

    @contextmanager
    def _opened(
        self, method: str, url: str, headers: dict[str, str], *, consent: Consent | None, content: bytes | None = None
    ) -> Iterator["urllib3.BaseHTTPResponse"]:
        config = self.limits.config
        for _ in range(MAX_REDIRECTS + 1):
            host = host_of(url)
            delay = max(config.delay, consent.ask(url) if consent else 0.0)
            with _turns_of(host).taken(self.limits, config.per_host, delay) as turns:
                response = pools(frozenset(config.allow_hosts)).urlopen(
                    method, url, body=content, headers=headers, retries=False, redirect=False, preload_content=False,
                    timeout=min(config.timeout, self.limits.check()),
                )  # fmt: skip
                response.url = url
                try:
                    location = response.headers.get("Location")
                    if response.status not in REDIRECTS or not location:
                        if consent:
                            read_headers(response.headers)
                        yield response
                        return
                except Passing as fault:
                    turns.hold(fault.after_s)
                    raise
                finally:
                    response.close()
            try:
                url = urljoin(url, location)
            except ValueError:
                raise Rejected(Reason.FORBIDDEN_ADDRESS, f"redirect to {location[:200]!r}") from None
            if method == "POST" and response.status not in SAME_METHOD:
                method, content = "GET", None
            headers = _for_redirect(headers, is_elsewhere=host_of(url) != host, has_content=content is not None)
        raise Rejected(Reason.UNREACHABLE, f"more than {MAX_REDIRECTS} redirects", retry=True)

    def _small(self, url: str) -> bytes | None:
        """A file in which a host says what may be taken; None where there is none.

        Whether there is a robots.txt must be known, so all that prevents it is raised; of other files only what passes.
        """
        import urllib3

        try:
            with self._opened("GET", url, self._headers, consent=None) as response:
                is_absent = 400 <= response.status < 500 and response.status != 429
                if response.status != 200 and not is_absent:
                    raise verdict(response)
                found = self._most_of(response)  # to its end, so that the connection serves again
                return None if is_absent else found
        except urllib3.exceptions.HTTPError as error:
            fault: Rejected = Passing(f"{url}: {type(error).__name__}: {error}"[:300])
        except Rejected as error:
            fault = error
        if url.endswith(ROBOTS) or "HTTP 429" in fault.detail or "HTTP 503" in fault.detail:
            raise fault
        return None

    def _most_of(self, response: "urllib3.BaseHTTPResponse") -> bytes:
        found = b""
        for chunk in body(response, self.limits):
            found += chunk
            if len(found) > MAX_FILE_BYTES:
                break
        return found[:MAX_FILE_BYTES]


def _for_redirect(headers: dict[str, str], *, is_elsewhere: bool, has_content: bool) -> dict[str, str]:
    """Headers for the next address: what was meant for one host is told to no other."""
    dropped = {"authorization"} if is_elsewhere else set()
    dropped |= set() if has_content else {"content-type"}
    return {name: value for name, value in headers.items() if name.lower() not in dropped}


class _Turns:
    """Of one host, in this process: how many requests are under way, and when the next may begin."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._open, self._next = 0, 0.0

    @contextmanager
    def taken(self, limits: Limits, most: int, delay: float) -> Iterator[Self]:
        """Wait for a turn, which costs none of the time that a download may take, and hold it."""
        asked = time.monotonic()
        with self._changed:
            while self._open >= most:
                self._changed.wait(POLL_S)
                _raise_if(limits)
            self._open += 1
            begin = max(time.monotonic(), self._next)
            self._next = begin + delay
        try:
            while (left := begin - time.monotonic()) > 0:
                time.sleep(min(left, POLL_S))
                _raise_if(limits)
            limits.deadline += time.monotonic() - asked
            yield self
        finally:
            with self._changed:
                self._open -= 1
                self._changed.notify()

    def hold(self, seconds: float) -> None:
        """Let nobody begin for a while."""
        with self._changed:
            self._next = max(self._next, time.monotonic() + seconds)


_turns: dict[tuple[str, int], _Turns] = {}  # by host and port
_turns_lock = threading.Lock()


def _turns_of(host: tuple[str, int]) -> _Turns:
    with _turns_lock:
        return _turns.setdefault(host, _Turns())


def _raise_if(limits: Limits) -> None:
    if limits.stopping():
        raise Stopped


def verdict(response: "urllib3.BaseHTTPResponse") -> Rejected:
    """What a status that brings no body means."""
    status = response.status
    detail = f"HTTP {status}"
    if status in (408, 425, 429) or status >= 500:
        return Passing(detail, after_s=_retry_after_s(response.headers.get("Retry-After", "")))
    if status in (401, 402, 403, 407, 451):
        return Rejected(Reason.FORBIDDEN, detail)
    if 400 <= status < 500:
        return Rejected(Reason.NOT_FOUND, detail)
    return Rejected(Reason.UNREACHABLE, f"{detail} was no answer to the request", retry=True)


def body(response: "urllib3.BaseHTTPResponse", limits: Limits) -> Iterator[bytes]:
    """Yield the body in pieces of at most CHUNK_BYTES, as they arrive: waiting for full ones would hide the time.

    Raises as `Limits.check` does, and Passing where the body is not what its headers say.
    """
    for chunk in _pieces(response):
        limits.check()
        yield chunk


def _pieces(response: "urllib3.BaseHTTPResponse") -> Iterator[bytes]:
    if not encoding(response):
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
        raise Passing(f"compressed body: {error}") from None
    if not inflate.eof:
        raise Passing("the compressed body ended early")


def _retry_after_s(value: str) -> float:
    """Seconds to wait by a Retry-After header (RFC 9110, 10.2.3): a number or a date."""
    if re.fullmatch("[0-9]{1,9}", value.strip()):
        return min(float(value), MAX_RETRY_AFTER_S)
    try:
        seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
    except (ValueError, OverflowError):
        return 0.0
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S)
