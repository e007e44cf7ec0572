"""One request and the redirects after it: which address is next, and which headers it is sent.

What was meant for one origin (scheme, host and port) goes to no other: of the headers that a caller gives, all but a
few that mean the same to everybody. Cookies are kept for the length of a chain, by their rules, and forgotten after it.
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
# What the jar says, with a traceback, of a cookie that it cannot make sense of; it goes without.
warnings.filterwarnings("ignore", message="http.cookiejar bug", module="http.cookiejar")
MAX_COOKIE_CHARS, MAX_COOKIES = 4096, 50  # of one, and of an answer, as browsers have it


class Chain:
    """Where a request is: `url` without user and password, `method`, `content`. `headers()` are for this place."""

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
        """Headers of the present request. Raises RejectedError where they would tell a password without encryption."""
        here, is_mine = origin_of(self.url), origin_of(self.url) == self._origin
        found = {name: value for name, value in self._given.items() if is_mine or name.lower() in FOR_EVERYBODY}
        if self.content is None:
            found = {name: value for name, value in found.items() if name.lower() != "content-type"}
        login = self._logins.of(here)
        if login and self._was_secure and here.startswith("http:"):
            raise RejectedError(
                Reason.FORBIDDEN, f"{public_url(self.url)}: https led to http, where a password is not sent"
            )
        if login and not any(name.lower() == "authorization" for name in found):
            found["Authorization"] = login
        own = [value for name, value in found.items() if name.lower() == "cookie"]
        if cookies := "; ".join([*own, *self._cookies()]):
            found = {name: value for name, value in found.items() if name.lower() != "cookie"} | {"Cookie": cookies}
        return found

    def follow(self, response: "urllib3.BaseHTTPResponse") -> bool:
        """Go where an answer leads; False if it is no redirect. Raises RejectedError."""
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
        """What an answer may depend on: where it is the same as before, so is the answer."""
        return self.method, self.url, "; ".join(self._cookies())

    def _jar(self) -> CookieJar:
        """Cookies by port, but those of the usual ports together: cookies know no ports, whose services may differ."""
        port = host_of(self.url)[1]
        policy = DefaultCookiePolicy(strict_domain=True)
        return self._jars.setdefault(0 if port in PORTS.values() else port, CookieJar(policy))

    def _place_of_cookies(self) -> Request:
        """The present address as a jar asks for it: in the one form in which two parsers see the same host."""
        from urllib3.util import parse_url

        return Request(parse_url(self.url).url)  # noqa: S310 - nothing is opened

    def _cookies(self) -> list[str]:
        request = self._place_of_cookies()
        self._jar().add_cookie_header(request)
        value = request.get_header("Cookie")
        return [value] if value else []

    def _keep_cookies(self, response: "urllib3.BaseHTTPResponse") -> None:
        given = [one for one in response.headers.getlist("Set-Cookie") if len(one) <= MAX_COOKIE_CHARS]
        for one in given[:MAX_COOKIES]:  # each alone: the jar drops all that it gets together with an odd one
            self._jar().extract_cookies(_Cookie(one), self._place_of_cookies())  # type: ignore[arg-type]


class _Cookie:
    """As much of an answer as a cookie jar reads."""

    def __init__(self, value: str) -> None:
        self._value = value

    def info(self) -> "_Cookie":
        return self

    def get_all(self, name: str, default: list[str]) -> list[str]:
        return [self._value] if name.lower() == "set-cookie" else default


def _as_sent(location: str) -> str:
    """A Location as its bytes are meant: UTF-8 where they are that, although http.client reads Latin-1."""
    try:
        return location.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return location
