"""Decides which addresses may be contacted, and connects to the very address that was checked.

A name is resolved once, when a connection is made; addresses outside the public Internet are refused, and the socket
connects to the address that was checked. A name server that changes its answer in between gains nothing.
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

# From IANA's registries of special-purpose addresses and of address space (November 2026): what is not globally
# reachable, and the exceptions in it. Of IPv6, only 2000::/3 is assigned, and 64:ff9b::/96 translated.
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
MAX_URL_CHARS = 16_384  # twice what servers accept
POOLS, CONNECTIONS = 64, 16  # hosts whose connections are kept open, and connections of each


class PassingError(RejectedError):
    """A temporary fault: the request is repeated, after `after_s` at the earliest."""

    def __init__(self, detail: str, *, after_s: float = 0.0) -> None:
        super().__init__(Reason.UNREACHABLE, without_secrets(detail), retry=True)
        self.after_s = after_s


def broken(error: Exception) -> PassingError:
    """The fault that an error of urllib3 means."""
    return PassingError(f"{type(error).__name__}: {error}"[:300])


def host_of(url: str) -> tuple[str, int]:
    """Host, without brackets, and port of an http(s) URL. Raises RejectedError(FORBIDDEN_ADDRESS) for any other URL."""
    from urllib3.exceptions import LocationParseError
    from urllib3.util import parse_url  # the parser that the connection uses: two parsers may see two hosts

    shown = "".join(
        character if character.isprintable() else " " for character in public_url(url[:MAX_URL_CHARS])[:200]
    )
    if len(url) > MAX_URL_CHARS:
        raise RejectedError(Reason.FORBIDDEN_ADDRESS, f"an address of more than {MAX_URL_CHARS} characters: {shown}")
    try:
        parts = parse_url(url)
    except (LocationParseError, ValueError):
        raise RejectedError(Reason.FORBIDDEN_ADDRESS, f"not a host and a port that can be: {shown}") from None
    host = (parts.host or "").strip("[]")
    if parts.scheme not in PORTS or not host or parts.port == 0:
        raise RejectedError(Reason.FORBIDDEN_ADDRESS, f"not an http or https address: {shown}")
    return host, parts.port or PORTS[parts.scheme]


def origin_of(url: str) -> str:
    """Origin (scheme, host and port) of an http(s) URL; headers are sent by origin. Raises as `host_of` does."""
    host, port = host_of(url)
    return f"{url.partition(':')[0].lower()}://{f'[{host}]' if ':' in host else host}:{port}"


def addresses_of(host: str, port: int, allow_hosts: Collection[str]) -> list[str]:
    """Resolve a host to IP addresses that may be contacted, in the resolver's order.

    `allow_hosts` lists exceptions, as `host` or `host:port`. Raises RejectedError(FORBIDDEN_ADDRESS) where one of the
    addresses is not on the public Internet, and PassingError where the name does not resolve.
    """
    try:
        addresses = wire.resolved(host, port)
    except OSError as error:
        raise PassingError(f"{host}: {error.strerror or error or 'no answer of the name server'}") from None
    except ValueError as error:
        raise RejectedError(Reason.FORBIDDEN_ADDRESS, f"{host[:200]}: {error}") from None
    if is_allowed(host, port, allow_hosts):
        return addresses
    if private := sorted(address for address in addresses if not is_public(address)):
        raise RejectedError(Reason.FORBIDDEN_ADDRESS, f"{host} is {private[0]}; fetch.allow_hosts lists exceptions")
    return addresses


def is_allowed(host: str, port: int, allow_hosts: Collection[str]) -> bool:
    """Whether a host is one of the exceptions."""
    names = {host, f"[{host}]", f"{host}:{port}", f"[{host}]:{port}"}
    return bool(names & {name.lower() for name in allow_hosts})


def is_public(address: str) -> bool:
    """Whether an IP address is on the public Internet; for translated IPv6 addresses, whether the IPv4 address is."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if int(ip) >> 32 in TRANSLATED:
            return is_public(str(ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)))
        if ip.sixtofour:
            return is_public(str(ip.sixtofour))
    networks = NOT_PUBLIC if not any(ip in network for network in PUBLIC_WITHIN) else ()
    return not any(ip in network for network in networks)


@lru_cache(maxsize=1)
def tls() -> ssl.SSLContext:
    """TLS context that checks certificates against the system's authorities."""
    from urllib3.util.ssl_ import create_urllib3_context

    context = create_urllib3_context()
    context.load_default_certs()
    context.sslsocket_class = wire.SecureSocket
    return context


@lru_cache(maxsize=4)
def pools(
    allow_hosts: frozenset[str], proxy: str | None = None, proxy_login: str | None = None
) -> "urllib3.PoolManager":
    """Connection pools of this process, shared by its threads, to checked addresses only, or to a proxy."""
    import urllib3

    logging.getLogger("urllib3").setLevel(logging.ERROR)  # its warnings contain addresses and foreign answers in full
    options: dict[str, Any] = {"num_pools": POOLS, "maxsize": CONNECTIONS, "ssl_context": tls()}
    manager = urllib3.PoolManager(**options)
    if proxy:
        headers = {"Proxy-Authorization": proxy_login} if proxy_login else None
        manager = urllib3.ProxyManager(proxy, proxy_headers=headers, proxy_ssl_context=tls(), **options)
    manager.pool_classes_by_scheme = _pool_classes(allow_hosts)
    return manager


def _pool_classes(allow_hosts: frozenset[str]) -> dict[str, Any]:
    """Pool classes of urllib3, by scheme, whose connections go to checked addresses only."""
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
