"""yt-dlp as a library that knows sites and nothing else: it runs no program, touches no file, and opens no connection.

Every request that it makes goes through `speechmill.fetch`, and what goes wrong in it becomes a reason.
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

MAX_REQUESTS = 200  # without anything new found: a site that leads in circles
MAX_WARNINGS, MAX_DETAIL_CHARACTERS = 50, 300
METHODS = ("GET", "HEAD", "POST")
# Headers in which yt-dlp passes for a browser, or that are the client's to set.
NOT_SENT = re.compile(r"user-agent|accept-encoding|cookie|host|connection|content-length|x-forwarded-for|sec-.*", re.I)
MEDIA = re.compile(r"(?:audio|video)/(?!\S*(?:mpegurl|dash))|application/ogg", re.IGNORECASE)  # whole files, no lists
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
# What the words of an error mean, the first that fit.
SAID = (
    (Reason.FORBIDDEN_ADDRESS, re.compile(r"unsupported url scheme", re.IGNORECASE)),
    (Reason.FORBIDDEN, re.compile(
        r"\bdrm\b|log ?in|sign ?in|registered|account|subscri[bp]|premium|members|password|private|age.restrict"
        r"|your age|not a bot|purchase|geo.?restrict|your country|your location", re.IGNORECASE)),
    (Reason.NEEDS_TOOL, TOOL),
    (Reason.NOT_FOUND, re.compile(
        r"removed|deleted|no longer|not available|unavailable|not exist|not found|terminated", re.IGNORECASE)),
)  # fmt: skip
# What yt-dlp raises, and what its thousand extractors do on a page of another form than they know.
# What yt-dlp raises, and what its thousand extractors do on a page of another form than they know.
ERRORS = (
    YoutubeDLError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, AssertionError, RuntimeError,
    SyntaxError, OSError, re.error,
)  # fmt: skip


def _no_program(*_: object, **__: object) -> None:
    raise FileNotFoundError("speechmill lets yt-dlp run no program")


# Both hold for the whole process, of which no other part uses yt-dlp. Every program that it runs is run by its Popen.
Popen.__init__ = _no_program
yt_dlp.globals.plugin_dirs.value = []  # code of whoever can write into a folder of plugins


class Log:
    """Takes what yt-dlp would print, and keeps the last warnings, which may explain a failure."""

    def __init__(self) -> None:
        self._warnings: deque[str] = deque(maxlen=MAX_WARNINGS)

    def debug(self, message: str) -> None:
        """Hear of progress."""

    def warning(self, message: str) -> None:
        """Hear of something odd."""
        self._warnings.append(message)

    def error(self, message: str) -> None:
        """Hear of what is raised as well."""

    @property
    def missing(self) -> str | None:
        """The last warning of a program that is not there."""
        return next((_words(one) for one in reversed(self._warnings) if TOOL.search(one)), None)


class Library(YoutubeDL):  # type: ignore[misc]
    """yt-dlp with `speechmill.fetch` as its only way to the network."""

    def __init__(self, store: Store, config: Fetch, stopping: Callable[[], bool] = never, **options: Any) -> None:
        self.visit = Visit(store, config, max_bytes=MAX_FEED_BYTES, stopping=stopping)
        self.log = Log()
        self.refused: RejectedError | StoppedError | None = None
        self.requests = 0
        super().__init__({**OPTIONS, "js_runtimes": {}, "logger": self.log, **options}, "no_verbose_header")

    def build_request_director(self, handlers: object, preferences: object = None) -> Any:  # noqa: ARG002
        """Leave out every handler that opens a connection of its own."""
        return super().build_request_director([functools.partial(VisitRH, library=self)])

    def refusal(self, fault: RejectedError | StoppedError) -> RequestError:
        """Wrap a fault for the extractor, which may go on without the answer only where the fault may pass."""
        if isinstance(fault, RejectedError) and fault.retry:
            return TransportError(cause=fault)
        self.refused = self.refused or fault
        return RequestError(cause=fault)

    def gives_ids(self, key: str) -> bool:
        """Whether an extractor's ids are a site's own; those for any page are names of files, of which there are many.

        Those for any page also take the time at which a file changed for that of its publication.
        """
        return key != "Generic" and getattr(self._ies.get(key), "_VALID_URL", False) is not False

    def count_request(self) -> None:
        """Raise RejectedError for one too many."""
        self.requests += 1
        if self.requests > MAX_REQUESTS:
            raise RejectedError(Reason.BAD_FEED, f"more than {MAX_REQUESTS} requests, and nothing found")


class VisitRH(RequestHandler):  # type: ignore[misc] # RH is what yt-dlp wants its name to end with
    """Makes requests as `speechmill.fetch` does: where it may, when it may, and as who it is."""

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
        """Answer a request; of what turns out to be media only the headers."""
        headers = {name: value for name, value in self._get_headers(request).items() if not NOT_SENT.fullmatch(name)}
        visit = self._library.visit
        if request.method == "GET" and request.headers.get("Accept-Encoding") == "identity":  # it may be a big file
            seen = visit.look(request.url, headers=headers)
            if seen and MEDIA.match(seen.headers.get("Content-Type", "")):
                return seen
        return visit.ask(request.method, request.url, headers=headers, content=request.data)


@contextmanager
def asking(library: Library) -> Iterator[None]:
    """Raise as RejectedError what goes wrong in yt-dlp; leave no answer open, which would keep a turn of its host."""
    library.refused = None
    try:
        yield
    except ERRORS as error:
        if library.refused is None:
            raise _verdict(error, library.log) from error
    finally:
        library.visit.close()
    if library.refused:  # also where an extractor went on without what was refused
        raise library.refused


def _verdict(error: BaseException, log: Log) -> RejectedError | StoppedError:
    """What an error of yt-dlp means."""
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
    said = SAID if isinstance(error, YoutubeDLError) else ()
    reason = next((reason for reason, words in said if words.search(detail)), None)
    if reason is Reason.NEEDS_TOOL or (reason is None and log.missing):
        return needs_tool(detail, log)
    # What nobody can explain may be yt-dlp's to mend, and its next version be installed.
    return RejectedError(reason or Reason.BAD_FEED, detail, retry=reason is None)


def needs_tool(detail: str, log: Log) -> RejectedError:
    told = "; ".join(dict.fromkeys(filter(None, (detail, log.missing))))
    return RejectedError(Reason.NEEDS_TOOL, f"{told}; {ELSEWHERE}", retry=True)


def _words(message: str) -> str:
    """A message of yt-dlp without its advice on options that we have not, and on reports."""
    text = plain_text(re.split(r"; please report this|\. Use --|\(caused by", message)[0]) or ""
    return text[:MAX_DETAIL_CHARACTERS]
