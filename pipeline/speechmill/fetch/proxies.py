"""Chooses the proxy of a request: the one that the config names, and only if it names one.

The target address is checked all the same, as the name servers here resolve it; the proxy may be anywhere.
"""

from dataclasses import dataclass, field
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

from speechmill.core.fetch_config import Fetch
from speechmill.fetch.addresses import host_of
from speechmill.fetch.logins import of_config, of_userinfo, without_userinfo


@dataclass(frozen=True, slots=True)
class Proxy:
    """Address of a proxy, and its Proxy-Authorization if it needs one."""

    url: str
    login: str | None = field(default=None, repr=False)


def proxy_of(config: Fetch, url: str) -> Proxy | None:
    """The proxy for a URL; None for a direct request. Raises RejectedError for an invalid proxy."""
    if config.proxy is None:
        return None
    if config.proxy != "environment":
        return Proxy(config.proxy, of_config(config, *host_of(config.proxy)))
    proxies, (host, port) = getproxies_environment(), host_of(url)
    address = proxies.get(url.partition(":")[0].lower()) or proxies.get("all")
    if not address or proxy_bypass_environment(f"{host}:{port}", proxies):
        return None
    plain, userinfo = without_userinfo(address if "://" in address else f"http://{address}")
    return Proxy(plain, of_userinfo(userinfo) or of_config(config, *host_of(plain)))
