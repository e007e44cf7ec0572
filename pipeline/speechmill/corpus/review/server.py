"""The server of a review: one corpus, one address with a token, on loopback unless another host is given.

    GET  /TOKEN/                         the page
    GET  /TOKEN/sound/CLIP.flac          a clip; with ranges
    GET  /TOKEN/surroundings/CLIP.flac   a clip with some seconds before and after it; with ranges
    GET  /TOKEN/api/state                queue, progress, decisions, agreement
    GET  /TOKEN/api/clips/CLIP           a clip and its surroundings
    POST /TOKEN/api/judgements           one decision: a JSON object like a line of decisions.jsonl
    POST /TOKEN/api/undo                 takes the last one back

Clips are looked up by id among those of the corpus: no part of an address becomes a path.
"""

import json
import logging
import secrets
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any
from urllib.parse import urlsplit

from speechmill.core.config_errors import ConfigError
from speechmill.corpus.review.guard import Guard
from speechmill.corpus.review.judgements import JudgementError
from speechmill.corpus.review.ranges import RangeError, parse_range
from speechmill.corpus.review.session import Session

MAX_BODY_BYTES = 100_000  # a text by hand is far shorter
MOST_DIGITS = 20  # of a length that is read as a number
TIMEOUT_S = 30.0  # of a client that stops talking
TOKEN_BYTES = 32
ICON, SUFFIX, MOST_PARTS = "/favicon.ico", ".flac", 8
FLAC, HTML, JSON = "audio/flac", "text/html; charset=utf-8", "application/json"
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",  # the page has its own policy beside this one
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",  # the address has the token
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

log = logging.getLogger(__name__)


class AnswerError(Exception):
    """A request that is refused, with its status and one line for people."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class ReviewServer(ThreadingHTTPServer):
    """Serves one session. `address` is what people open."""

    daemon_threads = True

    def __init__(self, session: Session, *, host: str, port: int) -> None:
        """Listen. Raises ConfigError if the host or the port cannot be had.

        Args:
            session: The review.
            host: Address to listen on, such as 127.0.0.1.
            port: Port, 0 for any that is free.
        """
        self.session = session
        self.guard = Guard(token=secrets.token_urlsafe(TOKEN_BYTES), host=host)
        try:
            super().__init__((host, port), _Handler)
        except OSError as error:
            fix = "give another --port or --host"
            raise ConfigError(f"review: cannot listen on {host}:{port} ({error.strerror}); {fix}") from None

    def server_bind(self) -> None:
        """Bind, without the look-up of a name that HTTPServer does, which may wait for a network."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.guard.host, self.server_address[1]

    @property
    def address(self) -> str:
        """URL of the page, with the token."""
        return f"http://{self.guard.host}:{self.server_address[1]}/{self.guard.token}/"

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Clients that hang up are no news."""
        log.debug("a request was not answered", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    """One request at a time: checks who asks, finds the answer, and sends it."""

    server: ReviewServer
    protocol_version = "HTTP/1.1"
    timeout = TIMEOUT_S

    def do_GET(self) -> None:
        """Send the page, a sound, or facts."""
        if self.path == ICON:  # which browsers ask for by themselves
            self._write(HTTPStatus.NO_CONTENT, b"", {})
        else:
            self._answer(self._get)

    def do_HEAD(self) -> None:
        """Send what GET would, without its content."""
        self._answer(self._get)

    def do_POST(self) -> None:
        """Take a decision."""
        self._answer(self._post)

    def _answer(self, find: Callable[[list[str]], None]) -> None:
        try:
            find(self._checked())
        except AnswerError as error:
            self._refuse(error.status, str(error))
        except JudgementError as error:
            self._refuse(HTTPStatus.BAD_REQUEST, str(error))
        except KeyError:
            self._refuse(HTTPStatus.NOT_FOUND, "no such clip")
        except (ConnectionError, TimeoutError):
            raise
        except (OSError, ConfigError) as error:
            log.warning("a request failed", exc_info=True)
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))

    def _checked(self) -> list[str]:
        """The parts of the path after the token. Raises AnswerError for whoever may not ask."""
        guard = self.server.guard
        if not guard.is_for_us(self.headers):
            raise AnswerError(HTTPStatus.MISDIRECTED_REQUEST, "not a name of this server")
        _, token, *parts = [*urlsplit(self.path).path.split("/"), ""][:MOST_PARTS]
        if not guard.knows(token):
            raise AnswerError(HTTPStatus.NOT_FOUND, "not the address that `speechmill review` printed")
        if not guard.is_from_us(self.headers, only_reads=self.command != "POST"):
            raise AnswerError(HTTPStatus.FORBIDDEN, "asked from a page of another site")
        return parts[:-1]

    def _get(self, parts: list[str]) -> None:
        session = self.server.session
        match parts:
            case [""]:
                self._send(session.page().encode(), HTML)
            case ["sound", name] if name.endswith(SUFFIX):
                self._send(session.sound(name.removesuffix(SUFFIX)), FLAC)
            case ["surroundings", name] if name.endswith(SUFFIX):
                self._send(session.surroundings(name.removesuffix(SUFFIX)), FLAC)
            case ["api", "state"]:
                self._send_json(session.state())
            case ["api", "clips", clip_id]:
                self._send_json(session.clip(clip_id))
            case _:
                raise AnswerError(HTTPStatus.NOT_FOUND, "nothing here")

    def _post(self, parts: list[str]) -> None:
        request, session = self._body(), self.server.session
        match parts:
            case ["api", "judgements"]:
                self._send_json(session.judge(request))
            case ["api", "undo"]:
                self._send_json(session.undo())
            case _:
                raise AnswerError(HTTPStatus.NOT_FOUND, "nothing here")

    def _body(self) -> dict[str, Any]:
        """The JSON object in a request. A form of another site cannot send this type without asking first."""
        if self.headers.get_content_type() != JSON:
            raise AnswerError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"send {JSON}")
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit():
            raise AnswerError(HTTPStatus.LENGTH_REQUIRED, "send a Content-Length")
        if len(length) > MOST_DIGITS or int(length) > MAX_BODY_BYTES:
            raise AnswerError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"send at most {MAX_BODY_BYTES} bytes")
        try:
            value = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError):
            raise AnswerError(HTTPStatus.BAD_REQUEST, "not JSON") from None
        if not isinstance(value, dict):
            raise AnswerError(HTTPStatus.BAD_REQUEST, "not a JSON object")
        return value

    # --- answers ---

    def _send_json(self, value: dict[str, Any]) -> None:
        self._send(json.dumps(value, allow_nan=False, default=str).encode(), JSON)

    def _send(self, content: bytes, kind: str) -> None:
        """Send a file, or the part of it that was asked for."""
        status, headers = HTTPStatus.OK, {"Content-Type": kind, "Accept-Ranges": "bytes"}
        try:
            part = parse_range(self.headers.get("Range"), len(content))
        except RangeError:
            self._refuse(
                HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "no such part", {"Content-Range": f"bytes */{len(content)}"}
            )
            return
        if part is not None:
            first, end = part
            status = HTTPStatus.PARTIAL_CONTENT
            headers["Content-Range"] = f"bytes {first}-{end - 1}/{len(content)}"
            content = content[first:end]
        self._write(status, content, headers)

    def _refuse(self, status: HTTPStatus, reason: str, headers: dict[str, str] | None = None) -> None:
        self.close_connection = True  # what is left of the request is not read
        plain = {"Content-Type": "text/plain; charset=utf-8", "Connection": "close"}
        self._write(status, f"{reason}\n".encode(), plain | (headers or {}))

    def _write(self, status: HTTPStatus, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in (HEADERS | headers | {"Content-Length": str(len(content))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def version_string(self) -> str:
        """What the server says that it is: no versions."""
        return "speechmill"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Addresses have the token, and stay out of logs."""
