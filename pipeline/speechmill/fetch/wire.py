"""Sockets that enforce the limits of an exchange on every wait, whatever layer is waiting.

An HTTP library reads on as long as the other side sends a byte now and then: interim answers, header lines, chunk
sizes, trailers, a TLS handshake. So deadline, byte limit and stop of the run are enforced below it,
where all of these waits end up. A connection serves one exchange after another: see `serving`.
"""

import errno
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from speechmill.core.reasons import Reason
from speechmill.core.records import RejectedError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

HEAD_BYTES = 1_000_000  # of status lines, headers and trailers: far more than any server sends
POLL_S = 0.2  # interval at which a wait checks the deadline and the stop of the run

_Result = TypeVar("_Result")
_serving = threading.local()  # .exchange: the exchange of this thread's connections


class Exchange:
    """A request and its answer: `check` raises when time is over, `timeout_s` is the longest silence."""

    def __init__(self, check: Callable[[], object], timeout_s: float) -> None:
        self._check, self._timeout_s = check, timeout_s
        self._left, self._next_check = HEAD_BYTES, 0.0
        self._refusal = RejectedError(Reason.UNREACHABLE, f"more than {HEAD_BYTES} bytes before an answer", retry=True)

    def begin_body(self, max_bytes: int) -> None:
        """Allow a body of `max_bytes`, after the headers were read."""
        self._left += max_bytes
        self._refusal = RejectedError(Reason.TOO_BIG, f"more than {max_bytes} bytes on the wire")

    def count(self, count: int) -> int:
        """Count received bytes, and return their number. Raises RejectedError for too many."""
        self._left -= count
        if self._left < 0:
            raise self._refusal
        return count

    def wait(self, attempt: Callable[[], _Result]) -> _Result:
        """Repeat an attempt that raises TimeoutError after POLL_S.

        Raises TimeoutError after the timeout, and as `check` does.
        """
        until = time.monotonic() + self._timeout_s
        while True:
            now = time.monotonic()
            if now >= self._next_check:
                self._next_check = now + POLL_S
                self._check()
            try:
                return attempt()
            except TimeoutError:
                if now >= until:
                    raise


@contextmanager
def serving(exchange: Exchange) -> Iterator[None]:
    """Assign an exchange to the connections that this thread makes or reuses in the block."""
    _serving.exchange = exchange
    try:
        yield
    finally:
        del _serving.exchange


def current() -> Exchange:
    """The exchange of this thread; outside `serving` one without limits."""
    exchange: Exchange | None = getattr(_serving, "exchange", None)
    return exchange or Exchange(lambda: None, float("inf"))


class PlainSocket(socket.socket):
    """A TCP socket that waits within the limits of its exchange."""

    exchange: Exchange

    def settimeout(self, value: float | None, /) -> None:  # noqa: ARG002 - the exchange has the timeout
        """Wait for POLL_S at a time, whatever timeout a library sets."""
        super().settimeout(POLL_S)

    def recv_into(self, buffer: "WriteableBuffer", nbytes: int | None = None, flags: int = 0) -> int:
        """Receive at most `nbytes`, or as many as there is room for."""
        most = nbytes or memoryview(buffer).nbytes
        return self.exchange.count(self.exchange.wait(partial(super().recv_into, buffer, most, flags)))

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """Receive at most `bufsize` bytes."""
        data = self.exchange.wait(partial(super().recv, bufsize, flags))
        self.exchange.count(len(data))
        return data

    def send(self, data: "ReadableBuffer", flags: int = 0, /) -> int:
        """Send some of the bytes; returns how many."""
        return self.exchange.wait(partial(super().send, data, flags))

    def sendall(self, data: "ReadableBuffer", flags: int = 0, /) -> None:
        """Send all bytes."""
        left = memoryview(data).cast("B")
        while left:
            left = left[self.send(left, flags) :]


class SecureSocket(PlainSocket, ssl.SSLSocket):  # type: ignore[misc] # recv of both is the same but for a name
    """The same over TLS."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - as ssl has it
        """Make the handshake within one timeout."""
        self.exchange = current()
        self.exchange.wait(partial(super().do_handshake, block))


def take_up(kept: Any) -> None:
    """Assign the current exchange to a reused connection; of TLS within TLS, to the socket below."""
    getattr(kept, "socket", kept).exchange = current()


def connected(address: str, port: int, options: Iterable[tuple[Any, ...]]) -> PlainSocket:
    """Connect to an IP address. Raises OSError, including TimeoutError, and as the exchange's check does."""
    connection = PlainSocket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    connection.exchange = current()
    try:
        for option in options:
            connection.setsockopt(*option)
        connection.setblocking(False)  # noqa: FBT003
        code = connection.connect_ex((address, port))
        if code == errno.EINPROGRESS:
            connection.exchange.wait(partial(_raise_unless_writable, connection))
            code = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
        connection.settimeout(None)
    except BaseException:
        connection.close()
        raise
    return connection


def _raise_unless_writable(waiting: socket.socket) -> None:
    from urllib3.util.wait import wait_for_write

    if not wait_for_write(waiting, POLL_S):
        raise TimeoutError("no connection yet")


def resolved(host: str, port: int) -> list[str]:
    """Resolve a name to IP addresses, in the resolver's order. Raises OSError and UnicodeError.

    The system's resolver cannot be interrupted: it runs in a thread, which is abandoned when time is over.
    """
    answer: Future[list[str]] = Future()

    def ask() -> None:
        try:
            entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, ValueError) as error:  # UnicodeError is a ValueError
            answer.set_exception(error)
        else:
            answer.set_result([str(info[4][0]) for info in entries])

    threading.Thread(target=ask, daemon=True, name="resolver").start()
    return current().wait(partial(answer.result, POLL_S))
