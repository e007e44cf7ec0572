"""Which proxy a request goes through: the one that the config names, and only if it names one.

The address behind it is checked all the same, by what the name servers here know of it; the proxy may be anywhere.
"""

from dataclasses import dataclass, field
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

from speechmill.core.fetch_config import Fetch
from speechmill.fetch.addresses import host_of
from speechmill.fetch.logins import of_config, of_userinfo, without_userinfo


@dataclass(frozen=True, slots=True)
class Proxy:
    """Address of a proxy, and its Proxy-Authorization if it wants one."""

    url: str
    login: str | None = field(default=None, repr=False)


def proxy_of(config: Fetch, url: str) -> Proxy | None:
    """The proxy for a URL; None where it is asked directly. Raises RejectedError for a proxy that cannot be one."""
    if config.proxy is None:
        return None
    if config.proxy != "environment":
        return Proxy(config.proxy, of_config(config, *host_of(config.proxy)))
    known, (host, port) = getproxies_environment(), host_of(url)
    address = known.get(url.partition(":")[0].lower()) or known.get("all")
    if not address or proxy_bypass_environment(f"{host}:{port}", known):
        return None
    plain, userinfo = without_userinfo(address if "://" in address else f"http://{address}")
    return Proxy(plain, of_userinfo(userinfo) or of_config(config, *host_of(plain)))
