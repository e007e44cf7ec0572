"""The HTTP client for all requests.

All limits on what a server may cost (bytes, seconds, redirects, addresses) and on what it is asked for (consent,
parallel requests and requests a second) are enforced here, so that no other module has to.
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

MAX_RETRY_AFTER_S = 120.0  # a server that asks for longer is tried again by the next run


class Client:
    """Makes the requests of one download: only with the host's consent, to checked addresses, and in turn."""

    def __init__(self, store: Store, limits: Limits, logins: Logins | None = None) -> None:
        self.limits = limits
        self._logins = logins or Logins(limits.config)
        self.consent = Consent(store, self._small, limits.config.user_agent)
        self._headers = {"User-Agent": limits.config.user_agent, "Accept-Encoding": "identity"}

    def opened(
        self, method: str, url: str, headers: dict[str, str] | None = None, *, origin: str | None = None,
        content: bytes | None = None,
    ) -> AbstractContextManager["urllib3.BaseHTTPResponse"]:  # fmt: skip
        """Make a request and follow redirects, checking each address and host.

        Args:
            method: GET, HEAD or POST.
            url: Address.
            headers: Sent to `origin` only.
            origin: By default that of the URL.
            content: Body of a POST.

        Raises:
            RejectedError: See the module; urllib3's HTTPError for connection failures.

        Returns:
            The response, whose `url` is where redirects led.
        """
        all_headers = self._headers | (headers or {})
        chain = Chain(method, url, all_headers, origin=origin, content=content, logins=self._logins)
        return self._opened(chain, self.consent, self.limits.max_bytes)

    @contextmanager
    def _opened(self, chain: Chain, consent: Consent | None, max_bytes: int) -> Iterator["urllib3.BaseHTTPResponse"]:
        config, is_there = self.limits.config, False
        while not is_there:
            delay = config.host_workers * max(config.delay_s, consent.ask(chain.url) if consent else 0.0)
            # One more for a host's own rules, which may be requested while the answer that names them is open.
            most = config.per_host_here if consent else config.per_host_here + 1
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
        """Make the current request of a chain without reading its body."""
        config = self.limits.config
        exchange, proxy = Exchange(self.limits.check, config.timeout_s), proxy_of(config, chain.url)
        with serving(exchange):
            if proxy:  # the proxy resolves the name itself
                addresses_of(*host_of(chain.url), config.allow_hosts)
            response = pools(frozenset(config.allow_hosts), *((proxy.url, proxy.login) if proxy else ())).urlopen(
                chain.method, chain.url, body=chain.content, headers=chain.headers(), retries=False, redirect=False,
                preload_content=False, timeout=config.timeout_s,
            )  # fmt: skip
        exchange.begin_body(max_bytes)
        response.url = chain.url
        return response

    def _small(self, url: str, *, is_needed: bool) -> bytes | None:
        """Get a small file with a host's rules; None where there is none.

        For a needed file every fault is raised, for others only a host's request to wait.
        """
        import urllib3

        try:
            chain = Chain("GET", url, self._headers, origin=None, content=None, logins=self._logins)
            with self._opened(chain, None, 2 * MAX_FILE_BYTES) as response:
                is_absent = 400 <= response.status < 500 and response.status != 429
                if response.status != 200 and not is_absent:
                    raise verdict(response)
                content = self._most_of(response)  # to its end, so that the connection can be reused
                return None if is_absent else content
        except urllib3.exceptions.HTTPError as error:
            fault: RejectedError = broken(error)
        except RejectedError as error:
            fault = error
        if is_needed or "HTTP 429" in fault.detail or "HTTP 503" in fault.detail:
            raise fault
        return None

    def _most_of(self, response: "urllib3.BaseHTTPResponse") -> bytes:
        content = b""
        try:
            for chunk in body(response, self.limits):
                content += chunk
                if len(content) > MAX_FILE_BYTES:
                    break
        except RejectedError as fault:
            if fault.reason is not Reason.TOO_BIG:
                raise
        return content[:MAX_FILE_BYTES]


def verdict(response: "urllib3.BaseHTTPResponse") -> RejectedError:
    """The fault that a status without a body means."""
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
    cause = "wants a login, or another one" if response.status == 401 else "refuses"
    fix = "give one" if response.status == 401 else "where that is for want of a login, give one"
    return f": {host} {cause}; {fix} by fetch.credentials, which names the variable that holds it"


def _retry_after_s(value: str) -> float:
    """Seconds of a Retry-After header (RFC 9110, 10.2.3): a number or a date."""
    if re.fullmatch("[0-9]{1,9}", value.strip()):
        return min(float(value), MAX_RETRY_AFTER_S)
    try:
        seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
    except (ValueError, OverflowError):
        return 0.0
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S)
