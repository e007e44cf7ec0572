"""A real HTTP server on this machine that answers each request by a script.

Faults are made, not imitated: the client under test meets real sockets that stall, lie and break.
"""

import email.utils
import http.client
import itertools
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

LAST_MODIFIED = email.utils.formatdate(1_767_225_600, usegmt=True)  # 2026-01-01


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asked; header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]


Behaviour = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Passes each request to the next behaviour of its path."""

    protocol_version = "HTTP/1.1"
    server: "_Server"

    def do_GET(self) -> None:
        scripted = self.server.scripted
        headers = {name.lower(): value for name, value in self.headers.items()}
        behaviour = scripted.next_behaviour(self.command, self.path)
        told = scripted.questions if behaviour is None else scripted.requests
        told.append(Request(self.command, self.path, headers))
        self.close_connection = True
        try:
            (behaviour or status(404))(self)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the client had enough

    do_HEAD = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: requests are kept in `ScriptedServer.requests`."""

    def start(self, status: int, headers: dict[str, str | int | None]) -> None:
        """Send status line and headers; a header that is None is left out."""
        self.send_response(status)
        for name, value in {"Connection": "close", **headers}.items():
            if value is not None:
                self.send_header(name, str(value))
        self.end_headers()

    def write(self, data: bytes) -> None:
        self.wfile.write(data)
        self.wfile.flush()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, scripted: "ScriptedServer") -> None:
        self.scripted = scripted
        super().__init__(("127.0.0.1", 0), Handler)


class ScriptedServer:
    """`script(path, first, second, …)`: the behaviours answer one request each, the last one all further ones.

    HEAD has a script of its own, by `HEAD path`. What no script is about is answered by 404, and kept in `questions`.
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.questions: list[Request] = []
        self.closing = threading.Event()
        self._scripts: dict[str, Iterator[Behaviour]] = {}
        self._lock = threading.Lock()
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def host(self) -> str:
        """host:port."""
        return f"127.0.0.1:{self._server.server_port}"

    def url(self, path: str) -> str:
        return f"http://{self.host}{path}"

    def script(self, path: str, *behaviours: Behaviour) -> str:
        """Set what a path does; returns its URL."""
        self._scripts[path] = itertools.chain(behaviours, itertools.repeat(behaviours[-1]))
        return self.url(path)

    def asked(self, path: str) -> list[Request]:
        """GETs of one path, in order."""
        return [request for request in self.requests if request.path == path and request.method == "GET"]

    def next_behaviour(self, method: str, path: str) -> Behaviour | None:
        with self._lock:
            script = self._scripts.get(path if method == "GET" else f"{method} {path}")
            return next(script) if script else None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()


def ok(body: bytes, *, etag: str | None = '"v1"', modified: str | None = LAST_MODIFIED, **headers: str) -> Behaviour:
    """Serve a body as a good server does: ranges, If-Range, If-None-Match."""
    told = {name.replace("_", "-"): value for name, value in headers.items()}

    def answer(handler: Handler) -> None:
        common = {"ETag": etag, "Last-Modified": modified, **told}
        if etag and handler.headers.get("If-None-Match") == etag:
            handler.start(304, common)
            return
        wanted = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        if not wanted or handler.headers.get("If-Range", etag) not in (etag, modified):
            handler.start(200, {**common, "Content-Length": len(body)})
            handler.write(body)
            return
        first = int(wanted[1])
        if first >= len(body):
            handler.start(416, {**common, "Content-Range": f"bytes */{len(body)}", "Content-Length": 0})
            return
        span = f"bytes {first}-{len(body) - 1}/{len(body)}"
        handler.start(206, {**common, "Content-Range": span, "Content-Length": len(body) - first})
        handler.write(body[first:])

    return answer


def cut(body: bytes, after: int, *, etag: str | None = '"v1"', reset: bool = False) -> Behaviour:
    """Announce the body (or the rest that is asked for), send `after` bytes of it and break the connection."""

    def answer(handler: Handler) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        first = int(wanted[1]) if wanted else 0
        span = f"bytes {first}-{len(body) - 1}/{len(body)}" if wanted else None
        length = len(body) - first
        handler.start(206 if wanted else 200, {"ETag": etag, "Content-Length": length, "Content-Range": span})
        handler.write(body[first : first + after])
        if reset:
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    return answer


def stall(body: bytes, after: int, *, etag: str | None = '"v1"') -> Behaviour:
    """Announce the body, send `after` bytes of it, and then nothing until the server closes."""

    def answer(handler: Handler) -> None:
        handler.start(200, {"ETag": etag, "Content-Length": len(body)})
        handler.write(body[:after])
        handler.server.scripted.closing.wait(60)

    return answer


def slow(body: bytes, *, pause_s: float, step: int = 1) -> Behaviour:
    """Send `step` bytes, pause, and so on."""

    def answer(handler: Handler) -> None:
        handler.start(200, {"Content-Length": len(body)})
        for first in range(0, len(body), step):
            handler.write(body[first : first + step])
            if handler.server.scripted.closing.wait(pause_s):
                return

    return answer


def respond(code: int, headers: dict[str, str | int | None], body: bytes = b"") -> Behaviour:
    """Send exactly this: no Content-Length unless given, so that the body ends with the connection."""

    def answer(handler: Handler) -> None:
        handler.start(code, headers)
        handler.write(body)

    return answer


def status(code: int, **headers: str) -> Behaviour:
    """Send a status without a body."""
    told: dict[str, str | int | None] = {name.replace("_", "-"): value for name, value in headers.items()}
    return respond(code, {**told, "Content-Length": 0})


def redirect(to: str, code: int = 302) -> Behaviour:
    """Send the client elsewhere."""
    return status(code, Location=to)


def endless(chunk: bytes, **headers: str) -> Behaviour:
    """Send a chunk again and again, without a Content-Length, until the client leaves."""
    told: dict[str, str | int | None] = {name.replace("_", "-"): value for name, value in headers.items()}

    def answer(handler: Handler) -> None:
        handler.start(200, told)
        while not handler.server.scripted.closing.is_set():
            handler.write(chunk)

    return answer


def chunked(body: bytes, *, finish: bool = True) -> Behaviour:
    """Send the body in HTTP chunks; without `finish` break off before the last one."""

    def answer(handler: Handler) -> None:
        handler.start(200, {"Transfer-Encoding": "chunked"})
        for first in range(0, len(body), 1000):
            piece = body[first : first + 1000]
            handler.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        if finish:
            handler.write(b"0\r\n\r\n")

    return answer


def raw(first: bytes, again: bytes = b"", *, pause_s: float = 0.0) -> Behaviour:
    """Send bytes as they are: `first`, then `again` without end, after a pause each; nothing more if there is none."""

    def answer(handler: Handler) -> None:
        handler.write(first)
        while not handler.server.scripted.closing.wait(pause_s if again else 60):
            handler.write(again)

    return answer


class RawServer:
    """Accepts connections and does as `behaviour` says with each, below HTTP; `asked` counts them."""

    def __init__(self, behaviour: Callable[[socket.socket, threading.Event], None]) -> None:
        self.asked, self._behaviour, self._closing = 0, behaviour, threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.asked += 1
            threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                self._behaviour(connection, self._closing)
            except OSError:
                pass  # the client had enough

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._closing.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


class ProxyServer:
    """An HTTP proxy that works: tunnels, and requests passed on. `asked` has method, target and headers of each.

    It wants a Proxy-Authorization if `login` is one, and speaks TLS with a `context`.
    """

    def __init__(self, login: str | None = None, context: ssl.SSLContext | None = None) -> None:
        self.asked: list[Request] = []
        proxy = self

        class PassingError(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def is_let_in(self) -> bool:
                headers = {name.lower(): value for name, value in self.headers.items()}
                proxy.asked.append(Request(self.command, self.path, headers))
                self.close_connection = True
                if login in (None, headers.get("proxy-authorization")):
                    return True
                self.send_response(407)
                self.send_header("Content-Length", "0")
                self.send_header("Connection", "close")
                self.end_headers()
                return False

            def do_CONNECT(self) -> None:
                if self.is_let_in():
                    host, _, port = self.path.rpartition(":")
                    with socket.create_connection((host, int(port))) as target:
                        self.send_response(200)
                        self.end_headers()
                        there = threading.Thread(target=_pump, args=[self.connection, target], daemon=True)
                        there.start()
                        _pump(target, self.connection)

            def do_GET(self) -> None:
                if self.is_let_in():
                    place = urlsplit(self.path)
                    kept = {name: value for name, value in self.headers.items() if not name.lower().startswith("proxy")}
                    target = http.client.HTTPConnection(place.netloc)
                    target.request(self.command, place._replace(scheme="", netloc="").geturl(), headers=kept)
                    answer = target.getresponse()
                    self.send_response(answer.status)
                    for name, value in answer.getheaders():
                        self.send_header(name, value)
                    self.send_header("Connection", "close")  # or the next request may find it closed
                    self.end_headers()
                    self.wfile.write(answer.read())

            do_HEAD = do_GET

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), PassingError)
        self._server.daemon_threads = True
        if context:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.host = f"127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65_536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def disconnect(handler: Handler) -> None:
    """Close the connection without a word."""
