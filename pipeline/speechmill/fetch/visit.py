"""Requests that another library, such as yt-dlp, chooses and that are made here: the library opens no connection."""

import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from speechmill.core.fetch_config import Fetch
from speechmill.core.records import RejectedError
from speechmill.core.store import Store
from speechmill.fetch.addresses import PassingError, broken
from speechmill.fetch.client import Client, verdict
from speechmill.fetch.coding import body
from speechmill.fetch.limits import Limits, never

if TYPE_CHECKING:
    import urllib3
    from _typeshed import WriteableBuffer


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer whose body is read on demand; `fault` is the meaning of a status other than success."""

    url: str  # where redirects led
    status: int
    headers: "urllib3.HTTPHeaderDict"
    body: io.BufferedReader
    fault: RejectedError | None


class Visit:
    """A series of requests chosen by another library, within all limits, one answer open at a time.

    An answer is closed at its end, at the next request, or by `close`, so that none keeps its turn at the host.
    """

    def __init__(self, store: Store, config: Fetch, *, max_bytes: int, stopping: Callable[[], bool] = never) -> None:
        self._store, self._config, self._max_bytes, self._stopping = store, config, max_bytes, stopping
        self._open = ExitStack()

    def ask(self, method: str, url: str, *, headers: dict[str, str], content: bytes | None = None) -> Answer:
        """Make a request, and repeat it after temporary faults.

        Raises RejectedError and StoppedError, also while the body is read.

        Args:
            method: GET, HEAD or POST.
            url: Address.
            headers: Sent to the origin of the URL only.
            content: Body of a POST.
        """
        limits, failures = self._limits(), 0
        while True:
            try:
                return self._ask(limits, method, url, headers=headers, content=content)
            except PassingError as fault:
                failures += 1
                limits.back_off(failures, fault)

    def look(self, url: str, *, headers: dict[str, str]) -> Answer | None:
        """Request the headers only; None where the server does not give them.

        Raises RejectedError and StoppedError.
        """
        try:
            answer = self._ask(self._limits(), "HEAD", url, headers=headers, content=None)
        except PassingError:
            return None
        return answer if answer.fault is None else None

    def close(self) -> None:
        """Close the open answer, and give back its turn."""
        self._open.close()
        self._open = ExitStack()

    def _limits(self) -> Limits:
        """Limits of one request: a listing may pause for hours between two of them."""
        return Limits.of(self._config, self._max_bytes, self._stopping)

    def _ask(self, limits: Limits, method: str, url: str, *, headers: dict[str, str], content: bytes | None) -> Answer:
        import urllib3

        self.close()
        with ExitStack() as opened:
            try:
                client = Client(self._store, limits)
                response = opened.enter_context(client.opened(method, url, headers, content=content))
            except urllib3.exceptions.HTTPError as error:
                raise broken(error) from None
            fault = None if 200 <= response.status < 300 else verdict(response)
            if isinstance(fault, PassingError):
                raise fault
            self._open = opened.pop_all()
        raw = _Body(self._chunks(response, limits, self._open))
        where = response.url or url
        return Answer(
            url=where, status=response.status, headers=response.headers, body=io.BufferedReader(raw), fault=fault
        )

    def _chunks(self, response: "urllib3.BaseHTTPResponse", limits: Limits, answer_stack: ExitStack) -> Iterator[bytes]:
        import urllib3

        size, fault = 0, None
        try:
            for chunk in body(response, limits):
                size += len(chunk)
                limits.check_bytes(size)
                yield chunk
        except urllib3.exceptions.HTTPError as error:
            fault = broken(error)
        if self._open is not answer_stack:  # closed early, which may look like the end
            fault = PassingError("the next request was made before this answer was read")
        if fault:
            raise fault
        self.close()


class _Body(io.RawIOBase):
    """Chunks of a body as a file."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._left = chunks, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        if not self._left:
            self._left = memoryview(next((chunk for chunk in self._chunks if chunk), b""))
        into = memoryview(buffer)
        count = min(len(into), len(self._left))
        into[:count], self._left = self._left[:count], self._left[count:]
        return count
