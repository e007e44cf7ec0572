"""One polite client: what every request has in common, whatever it is for.

Every limit on what a server may cost (bytes, seconds, redirects, addresses) and on what it may be asked (consent,
requests at a time and a second) is kept here, so that no other file has to think of one. An interrupted download is
continued as long as the server proves that the file is still the same, and begun anew when it does not.
"""

import email.utils
import re
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from speechmill.core.reasons import Reason
from speechmill.core.records import RejectedError
from speechmill.core.store import Store
from speechmill.fetch.addresses import PassingError, addresses_of, broken, host_of, pools
from speechmill.fetch.chain import Chain
from speechmill.fetch.coding import body
from speechmill.fetch.consent import MAX_FILE_BYTES, Consent
from speechmill.fetch.limits import Limits, turns_of
from speechmill.fetch.logins import Logins
from speechmill.fetch.proxies import proxy_of
from speechmill.fetch.wire import Exchange, serving

if TYPE_CHECKING:
    import urllib3

MAX_RETRY_AFTER_S = 120.0  # a server that asks for more is tried again by the next run


class Client:
    """Makes the requests of one download: each from a host that consents, at a checked address, when it is its turn."""

    def __init__(self, store: Store, limits: Limits, logins: Logins | None = None) -> None:
        self.limits = limits
        self._logins = logins or Logins(limits.config)
        self.consent = Consent(store, self._small, limits.config.user_agent)
        self._headers = {"User-Agent": limits.config.user_agent, "Accept-Encoding": "identity"}

    def opened(
        self, method: str, url: str, headers: dict[str, str] | None = None, *, origin: str | None = None,
        content: bytes | None = None,
    ) -> AbstractContextManager["urllib3.BaseHTTPResponse"]:  # fmt: skip
        """Ask for a URL and follow redirects by hand, so that each address and host is looked at.

        `headers` are for `origin` only, by default that of the URL; `content` is the body of a POST; the response's
        `url` is where redirects led. Raises RejectedError, and urllib3's HTTPError for what happens on the way.
        """
        told = self._headers | (headers or {})
        chain = Chain(method, url, told, origin=origin, content=content, logins=self._logins)
        return self._opened(chain, self.consent, self.limits.max_bytes)

    @contextmanager
    def _opened(self, chain: Chain, consent: Consent | None, max_bytes: int) -> Iterator["urllib3.BaseHTTPResponse"]:
        config, is_there = self.limits.config, False
        while not is_there:
            delay = max(config.delay_s, consent.ask(chain.url) if consent else 0.0)
            # What a host says of its use may be asked while an answer of the host is open that names it.
            most = config.per_host if consent else config.per_host + 1
            with turns_of(host_of(chain.url)).taken(self.limits, most, delay) as turns:
                response = self._answer(chain, max_bytes)
                try:
                    if consent:
                        consent.hear(chain.url, response.headers)
                    is_there = not chain.follow(response)
                    if is_there:
                        yield response
                except PassingError as fault:
                    turns.hold(fault.after_s)
                    raise
                finally:
                    response.close()

    def _answer(self, chain: Chain, max_bytes: int) -> "urllib3.BaseHTTPResponse":
        """Make the present request of a chain; the body is not read yet."""
        config = self.limits.config
        exchange, proxy = Exchange(self.limits.check, config.timeout_s), proxy_of(config, chain.url)
        with serving(exchange):
            if proxy:  # which resolves the name itself
                addresses_of(*host_of(chain.url), config.allow_hosts)
            response = pools(frozenset(config.allow_hosts), *((proxy.url, proxy.login) if proxy else ())).urlopen(
                chain.method, chain.url, body=chain.content, headers=chain.headers(), retries=False, redirect=False,
                preload_content=False, timeout=config.timeout_s,
            )  # fmt: skip
        exchange.begin_body(max_bytes)
        response.url = chain.url
        return response

    def _small(self, url: str, *, is_needed: bool) -> bytes | None:
        """A file in which a host says what may be taken; None where there is none.

        Of what is needed all that prevents it is raised, of other files only that the host asks to wait.
        """
        import urllib3

        try:
            chain = Chain("GET", url, self._headers, origin=None, content=None, logins=self._logins)
            with self._opened(chain, None, 2 * MAX_FILE_BYTES) as response:
                is_absent = 400 <= response.status < 500 and response.status != 429
                if response.status != 200 and not is_absent:
                    raise verdict(response)
                found = self._most_of(response)  # to its end, so that the connection serves again
                return None if is_absent else found
        except urllib3.exceptions.HTTPError as error:
            fault: RejectedError = broken(error)
        except RejectedError as error:
            fault = error
        if is_needed or "HTTP 429" in fault.detail or "HTTP 503" in fault.detail:
            raise fault
        return None

    def _most_of(self, response: "urllib3.BaseHTTPResponse") -> bytes:
        found = b""
        try:
            for chunk in body(response, self.limits):
                found += chunk
                if len(found) > MAX_FILE_BYTES:
                    break
        except RejectedError as fault:
            if fault.reason is not Reason.TOO_BIG:
                raise
        return found[:MAX_FILE_BYTES]


def verdict(response: "urllib3.BaseHTTPResponse") -> RejectedError:
    """What a status that brings no body means."""
    status = response.status
    detail = f"HTTP {status}"
    if status in (408, 425, 429) or status >= 500:
        return PassingError(detail, after_s=_retry_after_s(response.headers.get("Retry-After", "")))
    if status in (401, 402, 403, 407, 451):
        return RejectedError(Reason.FORBIDDEN, detail + _login_hint(response))
    if 400 <= status < 500:
        return RejectedError(Reason.NOT_FOUND, detail)
    return RejectedError(Reason.UNREACHABLE, f"{detail} was no answer to the request", retry=True)


def _login_hint(response: "urllib3.BaseHTTPResponse") -> str:
    if response.status == 407:
        return ": the proxy asks for a login; fetch.credentials names, for its host, the variable that holds one"
    if response.status not in (401, 403) or not response.url:
        return ""
    host, wanted = host_of(response.url)[0], response.headers.get("WWW-Authenticate", "").lower()
    if wanted and not any(scheme in wanted for scheme in ("basic", "bearer")):
        return f": {host} wants a login that is neither Basic nor Bearer; download it and give the file"
    what = "wants a login, or another one" if response.status == 401 else "refuses"
    fix = "give one" if response.status == 401 else "where that is for want of a login, give one"
    return f": {host} {what}; {fix} by fetch.credentials, which names the variable that holds it"


def _retry_after_s(value: str) -> float:
    """Seconds to wait by a Retry-After header (RFC 9110, 10.2.3): a number or a date."""
    if re.fullmatch("[0-9]{1,9}", value.strip()):
        return min(float(value), MAX_RETRY_AFTER_S)
    try:
        seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
    except (ValueError, OverflowError):
        return 0.0
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S)
