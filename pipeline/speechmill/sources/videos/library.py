"""yt-dlp as a library that only extracts metadata: it runs no program, touches no file, and opens no connection.

Every request that it makes goes through `speechmill.fetch`, and every error becomes a reason.
"""

import functools
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import yt_dlp.globals
from yt_dlp import YoutubeDL
from yt_dlp.networking.common import Request, RequestHandler, Response
from yt_dlp.networking.exceptions import HTTPError, RequestError, TransportError, UnsupportedRequest
from yt_dlp.utils import (
    DownloadError,
    GeoRestrictedError,
    Popen,
    UnsupportedError,
    UserNotLive,
    YoutubeDLError,
)

from speechmill.core.fetch_config import Fetch
from speechmill.core.reasons import Reason
from speechmill.core.records import RejectedError
from speechmill.core.store import Store
from speechmill.fetch import MAX_FEED_BYTES, Answer, StoppedError, Visit, never
from speechmill.sources import plain_text

MAX_REQUESTS = 200  # without a new entry: a site that leads in circles
MAX_WARNINGS, MAX_DETAIL_CHARACTERS = 50, 300
METHODS = ("GET", "HEAD", "POST")
# Headers with which yt-dlp imitates a browser, or that the client sets.
NOT_SENT = re.compile(r"user-agent|accept-encoding|cookie|host|connection|content-length|x-forwarded-for|sec-.*", re.I)
MEDIA = re.compile(
    r"(?:audio|video)/(?!\S*(?:mpegurl|dash))|application/ogg", re.IGNORECASE
)  # whole files, no playlists
ELSEWHERE = "get it with yt-dlp itself, and give the folder of it as an input"
OPTIONS: Mapping[str, Any] = {
    "cachedir": False, "check_formats": False, "color": "no_color", "extract_flat": "in_playlist",
    "extractor_retries": 0, "format": lambda told: told["formats"][-1:], "geo_bypass": False, "js_runtimes": {},
    "lazy_playlist": True, "proxy": "", "quiet": True, "simulate": True, "writesubtitles": True,
}  # fmt: skip
TOOL = re.compile(
    r"javascript runtime|js runtime|phantomjs|impersonat|ffmpeg|websocket|not installed|to be installed|pycryptodome"
    r"|challenge solv",
    re.IGNORECASE,
)
# Reasons by words of an error message; the first match is used.
SAID = (
    (Reason.FORBIDDEN_ADDRESS, re.compile(r"unsupported url scheme", re.IGNORECASE)),
    (Reason.FORBIDDEN, re.compile(
        r"\bdrm\b|log ?in|sign ?in|registered|account|subscri[bp]|premium|members|password|private|age.restrict"
        r"|your age|not a bot|purchase|geo.?restrict|your country|your location", re.IGNORECASE)),
    (Reason.NEEDS_TOOL, TOOL),
    (Reason.NOT_FOUND, re.compile(
        r"removed|deleted|no longer|not available|unavailable|not exist|not found|terminated", re.IGNORECASE)),
)  # fmt: skip
# What yt-dlp raises, and what its thousand extractors raise on a page of unknown form.
ERRORS = (
    YoutubeDLError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, AssertionError, RuntimeError,
    SyntaxError, OSError, re.error,
)  # fmt: skip


def _no_program(*_: object, **__: object) -> None:
    raise FileNotFoundError("speechmill lets yt-dlp run no program")


# Both apply to the whole process, of which no other part uses yt-dlp. It runs every program by its Popen.
Popen.__init__ = _no_program
yt_dlp.globals.plugin_dirs.value = []  # plugins are code from a folder that others may write to


class Log:
    """Receives yt-dlp's messages, and keeps the last warnings, which may explain a failure."""

    def __init__(self) -> None:
        self._warnings: deque[str] = deque(maxlen=MAX_WARNINGS)

    def debug(self, message: str) -> None:
        """Ignore a message about progress."""

    def warning(self, message: str) -> None:
        """Keep a warning."""
        self._warnings.append(message)

    def error(self, message: str) -> None:
        """Ignore an error message, since the error is raised too."""

    @property
    def missing(self) -> str | None:
        """The last warning about a missing program."""
        return next((_words(warning) for warning in reversed(self._warnings) if TOOL.search(warning)), None)


class Library(YoutubeDL):  # type: ignore[misc]
    """yt-dlp with `speechmill.fetch` as its only access to the network."""

    def __init__(self, store: Store, config: Fetch, stopping: Callable[[], bool] = never, **options: Any) -> None:
        self.visit = Visit(store, config, max_bytes=MAX_FEED_BYTES, stopping=stopping)
        self.log = Log()
        self.refused: RejectedError | StoppedError | None = None
        self.requests = 0
        super().__init__({**OPTIONS, "js_runtimes": {}, "logger": self.log, **options}, "no_verbose_header")

    def build_request_director(self, handlers: object, preferences: object = None) -> Any:  # noqa: ARG002
        """Register only the handler that uses `speechmill.fetch`."""
        return super().build_request_director([functools.partial(VisitRH, library=self)])

    def refusal(self, fault: RejectedError | StoppedError) -> RequestError:
        """Wrap a fault for the extractor, which may continue without the answer only if the fault is temporary."""
        if isinstance(fault, RejectedError) and fault.retry:
            return TransportError(cause=fault)
        self.refused = self.refused or fault
        return RequestError(cause=fault)

    def gives_ids(self, key: str) -> bool:
        """Whether the ids of an extractor identify a recording; those of the generic extractor are file names.

        The generic extractor also takes the modification time of a file as its date of publication.
        """
        return key != "Generic" and getattr(self._ies.get(key), "_VALID_URL", False) is not False

    def count_request(self) -> None:
        """Count a request. Raises RejectedError above MAX_REQUESTS."""
        self.requests += 1
        if self.requests > MAX_REQUESTS:
            raise RejectedError(Reason.BAD_FEED, f"more than {MAX_REQUESTS} requests, and nothing found")


class VisitRH(RequestHandler):  # type: ignore[misc] # RH is what yt-dlp wants its name to end with
    """Makes requests through `speechmill.fetch`, with its consent, turns and identity."""

    _SUPPORTED_URL_SCHEMES = ("http", "https")
    _SUPPORTED_PROXY_SCHEMES = _SUPPORTED_FEATURES = None  # proxies are not looked at

    def __init__(self, *, library: Library, **options: Any) -> None:
        super().__init__(**options)
        self._library = library

    def _check_extensions(self, extensions: dict[str, Any]) -> None:
        super()._check_extensions(extensions)
        for name in ("cookiejar", "timeout", "legacy_ssl", "keep_header_casing"):
            extensions.pop(name, None)

    def _send(self, request: Request) -> Response:
        if request.method not in METHODS or not isinstance(request.data, bytes | None):
            raise UnsupportedRequest(f"Unsupported request: {request.method}")
        try:
            self._library.count_request()
            answer = self._answer(request)
        except (RejectedError, StoppedError) as fault:
            raise self._library.refusal(fault) from fault
        response = Response(answer.body, answer.url, answer.headers, answer.status)
        if answer.fault:
            error = HTTPError(response)
            error.cause = answer.fault
            raise error
        return response

    def _answer(self, request: Request) -> Answer:
        """Answer a request; for media only with the headers."""
        headers = {name: value for name, value in self._get_headers(request).items() if not NOT_SENT.fullmatch(name)}
        visit = self._library.visit
        if request.method == "GET" and request.headers.get("Accept-Encoding") == "identity":  # it may be a large file
            head = visit.look(request.url, headers=headers)
            if head and MEDIA.match(head.headers.get("Content-Type", "")):
                return head
        return visit.ask(request.method, request.url, headers=headers, content=request.data)


@contextmanager
def asking(library: Library) -> Iterator[None]:
    """Turn errors of yt-dlp into RejectedError; close the open answer, which would occupy its host."""
    library.refused = None
    try:
        yield
    except ERRORS as error:
        if library.refused is None:
            raise _verdict(error, library.log) from error
    finally:
        library.visit.close()
    if library.refused:  # also where the extractor continued without the refused answer
        raise library.refused


def _verdict(error: BaseException, log: Log) -> RejectedError | StoppedError:
    """The fault that an error of yt-dlp means."""
    if isinstance(error, DownloadError):
        error = error.__context__ or error
    cause: object = error
    while cause is not None and not isinstance(cause, RejectedError | StoppedError):
        cause = getattr(cause, "cause", None)
    if cause is not None:
        return cause
    detail = _words(getattr(error, "orig_msg", None) or f"{type(error).__name__}: {error}")
    if isinstance(error, UnsupportedError):
        return RejectedError(Reason.NOT_AUDIO, f"yt-dlp finds no audio or video at {error.url[:200]}")
    if isinstance(error, GeoRestrictedError):
        return RejectedError(Reason.FORBIDDEN, detail)
    if isinstance(error, UserNotLive):
        return RejectedError(Reason.NOT_FOUND, detail, retry=True)
    reasons = SAID if isinstance(error, YoutubeDLError) else ()
    reason = next((reason for reason, words in reasons if words.search(detail)), None)
    if reason is Reason.NEEDS_TOOL or (reason is None and log.missing):
        return needs_tool(detail, log)
    # An unexplained error may be fixed in the next version of yt-dlp.
    return RejectedError(reason or Reason.BAD_FEED, detail, retry=reason is None)


def needs_tool(detail: str, log: Log) -> RejectedError:
    """The fault of a recording that needs more than a download."""
    parts = "; ".join(dict.fromkeys(filter(None, (detail, log.missing))))
    return RejectedError(Reason.NEEDS_TOOL, f"{parts}; {ELSEWHERE}", retry=True)


def _words(message: str) -> str:
    """A message of yt-dlp without its advice on options and bug reports."""
    text = plain_text(re.split(r"; please report this|\. Use --|\(caused by", message)[0]) or ""
    return text[:MAX_DETAIL_CHARACTERS]
