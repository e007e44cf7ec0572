"""A request and its redirects: the next address, and the headers that are sent to it.

Headers for one origin (scheme, host and port) are sent to no other, except a few
general ones. Cookies are kept for the length of a chain, by the usual rules, and dropped after it.
"""

import warnings
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING
from urllib.parse import urljoin
from urllib.request import Request

from speechmill.core.reasons import Reason
from speechmill.core.records import RejectedError
from speechmill.core.urls import public_url
from speechmill.fetch.addresses import PORTS, host_of, origin_of
from speechmill.fetch.logins import Logins, without_userinfo

if TYPE_CHECKING:
    import urllib3

MAX_REDIRECTS = 30
REDIRECTS = (301, 302, 303, 307, 308)
SAME_METHOD = (307, 308)  # redirects after which a body is sent again (RFC 9110, 15.4)
FOR_EVERYBODY = {"accept", "accept-encoding", "accept-language", "user-agent"}
# The jar's warning, with a traceback, about a malformed cookie, which is ignored.
warnings.filterwarnings("ignore", message="http.cookiejar bug", module="http.cookiejar")
MAX_COOKIE_CHARS, MAX_COOKIES = 4096, 50  # of one cookie, and cookies of an answer, as in browsers


class Chain:
    """State of a request: `url` without user and password, `method`, `content`; `headers()` are for this address."""

    def __init__(
        self, method: str, url: str, headers: dict[str, str], *, origin: str | None, content: bytes | None,
        logins: Logins,
    ) -> None:  # fmt: skip
        self.url, userinfo = without_userinfo(url)
        self.method, self.content = method, content
        self._given, self._origin = headers, origin or origin_of(self.url)
        self._logins = logins.beside(self.url, userinfo)
        self._jars: dict[int, CookieJar] = {}
        self._seen = [self._place()]
        self._was_secure = self.url.lower().startswith("https:")

    def headers(self) -> dict[str, str]:
        """Headers of the current request. Raises RejectedError where a password would be sent without encryption."""
        origin, is_same_origin = origin_of(self.url), origin_of(self.url) == self._origin
        headers = {
            name: value for name, value in self._given.items() if is_same_origin or name.lower() in FOR_EVERYBODY
        }
        if self.content is None:
            headers = {name: value for name, value in headers.items() if name.lower() != "content-type"}
        login = self._logins.of(origin)
        if login and self._was_secure and origin.startswith("http:"):
            raise RejectedError(
                Reason.FORBIDDEN, f"{public_url(self.url)}: https led to http, where a password is not sent"
            )
        if login and not any(name.lower() == "authorization" for name in headers):
            headers["Authorization"] = login
        cookies_given = [value for name, value in headers.items() if name.lower() == "cookie"]
        if cookies := "; ".join([*cookies_given, *self._cookies()]):
            headers = {name: value for name, value in headers.items() if name.lower() != "cookie"} | {"Cookie": cookies}
        return headers

    def follow(self, response: "urllib3.BaseHTTPResponse") -> bool:
        """Follow a redirect; False if the answer is none. Raises RejectedError."""
        location = response.headers.get("Location")
        if response.status not in REDIRECTS or not location:
            return False
        self._keep_cookies(response)
        before = self.url
        try:
            after, userinfo = without_userinfo(urljoin(before, _as_sent(location)))
        except ValueError:
            raise RejectedError(Reason.FORBIDDEN_ADDRESS, f"redirect to {public_url(location)[:200]!r}") from None
        host_of(after)
        self.url = after
        self._logins = self._logins.beside(after, userinfo)
        if self.method == "POST" and response.status not in SAME_METHOD:
            self.method, self.content = "GET", None
        self._was_secure |= after.lower().startswith("https:")
        if self._place() in self._seen:
            raise RejectedError(Reason.UNREACHABLE, f"redirects in a circle, to {public_url(after)[:200]}", retry=True)
        self._seen.append(self._place())
        if len(self._seen) > MAX_REDIRECTS + 1:
            raise RejectedError(Reason.UNREACHABLE, f"more than {MAX_REDIRECTS} redirects", retry=True)
        return True

    def _place(self) -> tuple[str, str, str]:
        """All that an answer may depend on: where it repeats, redirects are circular."""
        return self.method, self.url, "; ".join(self._cookies())

    def _jar(self) -> CookieJar:
        """Cookie jar by port, shared by the usual ports: cookies ignore ports, whose services may differ."""
        port = host_of(self.url)[1]
        policy = DefaultCookiePolicy(strict_domain=True)
        return self._jars.setdefault(0 if port in PORTS.values() else port, CookieJar(policy))

    def _place_of_cookies(self) -> Request:
        """The current address for the jar, in the form in which both parsers see the same host."""
        from urllib3.util import parse_url

        return Request(parse_url(self.url).url)  # noqa: S310 - nothing is opened

    def _cookies(self) -> list[str]:
        request = self._place_of_cookies()
        self._jar().add_cookie_header(request)
        value = request.get_header("Cookie")
        return [value] if value else []

    def _keep_cookies(self, response: "urllib3.BaseHTTPResponse") -> None:
        values = [value for value in response.headers.getlist("Set-Cookie") if len(value) <= MAX_COOKIE_CHARS]
        for value in values[:MAX_COOKIES]:  # one by one: the jar drops all cookies of an answer with a malformed one
            self._jar().extract_cookies(_Cookie(value), self._place_of_cookies())  # type: ignore[arg-type]


class _Cookie:
    """The part of an answer that a cookie jar reads."""

    def __init__(self, value: str) -> None:
        self._value = value

    def info(self) -> "_Cookie":
        return self

    def get_all(self, name: str, default: list[str]) -> list[str]:
        return [self._value] if name.lower() == "set-cookie" else default


def _as_sent(location: str) -> str:
    """Decode a Location header as UTF-8 where it is that; http.client decodes it as Latin-1."""
    try:
        return location.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return location
