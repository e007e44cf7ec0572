"""Which addresses may be contacted, and connections that go to the very address that was checked.

A name is resolved once, when a connection is made; what is not on the public Internet is refused, and the socket goes
to the address that was looked at. A name server that changes its answer in between gains nothing.
"""

import ipaddress
import logging
import socket
import ssl
from collections.abc import Collection
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from speechmill.core.reasons import Reason
from speechmill.core.records import RejectedError
from speechmill.core.urls import public_url, without_secrets
from speechmill.fetch import wire

if TYPE_CHECKING:
    import urllib3

# By IANA's registries of special-purpose addresses and of address space (November 2026): all that is not globally
# reachable, and within it what is. Of IPv6, only 2000::/3 is given out, and 64:ff9b::/96 translated.
NOT_PUBLIC = [
    ipaddress.ip_network(one)
    for one in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
        "224.0.0.0/4", "240.0.0.0/4",
        "::/3", "2001::/23", "2001:db8::/32", "3fff::/20", "4000::/2", "8000::/1",
    )
]  # fmt: skip
PUBLIC_WITHIN = [
    ipaddress.ip_network(one)
    for one in (
        "192.0.0.9/32", "192.0.0.10/32", "2001:1::1/128", "2001:1::2/128", "2001:1::3/128", "2001:3::/32",
        "2001:4:112::/48", "2001:20::/28", "2001:30::/28",
    )
]  # fmt: skip
TRANSLATED = (0xFFFF, 0x64_FF9B << 64)  # ::ffff:0:0/96 (mapped) and 64:ff9b::/96 (NAT64): an IPv4 address follows
PORTS = {"http": 80, "https": 443}
MAX_URL_CHARS = 16_384  # servers take half of it
POOLS, CONNECTIONS = 64, 16  # hosts whose connections are kept open, and how many of each


class PassingError(RejectedError):
    """A fault that may be gone in a moment: the request is repeated, at the earliest after `after_s`."""

    def __init__(self, detail: str, *, after_s: float = 0.0) -> None:
        super().__init__(Reason.UNREACHABLE, without_secrets(detail), retry=True)
        self.after_s = after_s


def broken(error: Exception) -> PassingError:
    """What an error of urllib3 means."""
    return PassingError(f"{type(error).__name__}: {error}"[:300])


def host_of(url: str) -> tuple[str, int]:
    """Host, without brackets, and port of an http(s) URL. Raises RejectedError(FORBIDDEN_ADDRESS) for any other."""
    from urllib3.exceptions import LocationParseError
    from urllib3.util import parse_url  # the parser that the connection uses: two parsers may see two hosts

    told = "".join(mark if mark.isprintable() else " " for mark in public_url(url[:MAX_URL_CHARS])[:200])
    if len(url) > MAX_URL_CHARS:
        raise RejectedError(Reason.FORBIDDEN_ADDRESS, f"an address of more than {MAX_URL_CHARS} characters: {told}")
    try:
        parts = parse_url(url)
    except (LocationParseError, ValueError):
        raise RejectedError(Reason.FORBIDDEN_ADDRESS, f"not a host and a port that can be: {told}") from None
    host = (parts.host or "").strip("[]")
    if parts.scheme not in PORTS or not host or parts.port == 0:
        raise RejectedError(Reason.FORBIDDEN_ADDRESS, f"not an http or https address: {told}")
    return host, parts.port or PORTS[parts.scheme]


def origin_of(url: str) -> str:
    """Scheme, host and port of an http(s) URL, by which it is decided who gets a header. Raises as `host_of` does."""
    host, port = host_of(url)
    return f"{url.partition(':')[0].lower()}://{f'[{host}]' if ':' in host else host}:{port}"


def addresses_of(host: str, port: int, allow_hosts: Collection[str]) -> list[str]:
    """Resolve a host to IP addresses that may be contacted, in the resolver's order.

    `allow_hosts` lists exceptions, as `host` or `host:port`. Raises RejectedError(FORBIDDEN_ADDRESS) where one of the
    addresses is not on the public Internet, and PassingError where the name does not resolve.
    """
    try:
        found = wire.resolved(host, port)
    except OSError as error:
        raise PassingError(f"{host}: {error.strerror or error or 'no answer of the name server'}") from None
    except ValueError as error:
        raise RejectedError(Reason.FORBIDDEN_ADDRESS, f"{host[:200]}: {error}") from None
    if is_allowed(host, port, allow_hosts):
        return found
    if private := sorted(address for address in found if not is_public(address)):
        raise RejectedError(Reason.FORBIDDEN_ADDRESS, f"{host} is {private[0]}; fetch.allow_hosts lists exceptions")
    return found


def is_allowed(host: str, port: int, allow_hosts: Collection[str]) -> bool:
    """Whether a host is one of the exceptions."""
    names = {host, f"[{host}]", f"{host}:{port}", f"[{host}]:{port}"}
    return bool(names & {name.lower() for name in allow_hosts})


def is_public(address: str) -> bool:
    """Whether an IP address is on the public Internet, also by the IPv4 address that an IPv6 one stands for."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if int(ip) >> 32 in TRANSLATED:
            return is_public(str(ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)))
        if ip.sixtofour:
            return is_public(str(ip.sixtofour))
    networks = NOT_PUBLIC if not any(ip in one for one in PUBLIC_WITHIN) else ()
    return not any(ip in one for one in networks)


@lru_cache(maxsize=1)
def tls() -> ssl.SSLContext:
    """How certificates are checked: against the system's authorities."""
    from urllib3.util.ssl_ import create_urllib3_context

    context = create_urllib3_context()
    context.load_default_certs()
    context.sslsocket_class = wire.SecureSocket
    return context


@lru_cache(maxsize=4)
def pools(
    allow_hosts: frozenset[str], proxy: str | None = None, proxy_login: str | None = None
) -> "urllib3.PoolManager":
    """Connections of this process, kept open and shared by its threads, to checked addresses only, or to a proxy."""
    import urllib3

    logging.getLogger("urllib3").setLevel(logging.ERROR)  # its warnings name addresses, and answers of others, in full
    options: dict[str, Any] = {"num_pools": POOLS, "maxsize": CONNECTIONS, "ssl_context": tls()}
    manager = urllib3.PoolManager(**options)
    if proxy:
        told = {"Proxy-Authorization": proxy_login} if proxy_login else None
        manager = urllib3.ProxyManager(proxy, proxy_headers=told, proxy_ssl_context=tls(), **options)
    manager.pool_classes_by_scheme = _pool_classes(allow_hosts)
    return manager


def _pool_classes(allow_hosts: frozenset[str]) -> dict[str, Any]:
    """Pools of urllib3, by scheme, whose connections go to checked addresses only."""
    from urllib3.connection import HTTPConnection, HTTPSConnection
    from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
    from urllib3.exceptions import NewConnectionError

    class Checked(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            failure: OSError = OSError("no address")
            host = self.host.strip("[]")
            allowed = {host} if self.proxy else allow_hosts  # the config names it
            for address in addresses_of(host, self.port, allowed):
                try:
                    return wire.connected(address, self.port, self.socket_options or ())
                except OSError as error:
                    failure = error
            raise NewConnectionError(self, f"no connection to {self.host}: {failure}") from failure

        def request(self, *arguments: Any, **options: Any) -> None:
            if self.sock is not None:  # kept open since another exchange
                wire.take_up(self.sock)
            super().request(*arguments, **options)

    class Plain(Checked):
        pass

    class Secure(Checked, HTTPSConnection):
        pass

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}
