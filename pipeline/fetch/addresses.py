"""Which addresses may be contacted, and connections that go to the very address that was checked.

A name is resolved once, when a connection is made; what is not on the public Internet is refused, and the socket goes
to the address that was looked at. A name server that changes its answer in between gains nothing.
"""

import ipaddress
import socket
from collections.abc import Collection
from functools import lru_cache
from typing import TYPE_CHECKING

from pipeline.records import Reason, Rejected

if TYPE_CHECKING:
    import urllib3

LOCAL_NAT64 = ipaddress.ip_network("64:ff9b:1::/48")  # RFC 8215; Python 3.11 calls it global
PORTS = {"http": 80, "https": 443}
POOLS, CONNECTIONS = 64, 16  # hosts whose connections are kept open, and how many of each


class Passing(Rejected):
    """A fault that may be gone in a moment: the request is repeated, at the earliest after `after_s`."""

    def __init__(self, detail: str, *, after_s: float = 0.0) -> None:
        super().__init__(Reason.UNREACHABLE, detail, retry=True)
        self.after_s = after_s


def host_of(url: str) -> tuple[str, int]:
    """Host, without brackets, and port of an http(s) URL. Raises Rejected(FORBIDDEN_ADDRESS) for any other."""
    from urllib3.exceptions import LocationParseError
    from urllib3.util import parse_url  # the parser that the connection uses: two parsers may see two hosts

    try:
        parts = parse_url(url)
    except (LocationParseError, ValueError) as error:
        raise Rejected(Reason.FORBIDDEN_ADDRESS, f"{url[:200]}: {error}") from None
    host = (parts.host or "").strip("[]")
    if parts.scheme not in PORTS or not host:
        raise Rejected(Reason.FORBIDDEN_ADDRESS, f"not an http or https address: {url[:200]}")
    return host, parts.port or PORTS[parts.scheme]


def addresses_of(host: str, port: int, allow_hosts: Collection[str]) -> list[str]:
    """Resolve a host to IP addresses that may be contacted, in the resolver's order.

    `allow_hosts` lists exceptions, as `host` or `host:port`. Raises Rejected(FORBIDDEN_ADDRESS) where one of the
    addresses is not on the public Internet, and Passing where the name does not resolve.
    """
    try:
        found = [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except OSError as error:
        raise Passing(f"{host}: {error.strerror or error}") from None
    except UnicodeError as error:
        raise Rejected(Reason.FORBIDDEN_ADDRESS, f"{host[:200]}: {error}") from None
    if {host, f"[{host}]", f"{host}:{port}", f"[{host}]:{port}"} & {name.lower() for name in allow_hosts}:
        return found
    if private := sorted(address for address in found if not is_public(address)):
        raise Rejected(Reason.FORBIDDEN_ADDRESS, f"{host} is {private[0]}; fetch.allow_hosts lists exceptions")
    return found


def is_public(address: str) -> bool:
    """Whether an IP address is on the public Internet, also by the IPv4 address that an IPv6 one stands for."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        bits = int(ip)
        if bits >> 32 in (0, 0xFFFF, 0x64_FF9B << 64):  # ::/96, ::ffff:0:0/96 (mapped), 64:ff9b::/96 (NAT64)
            return is_public(str(ipaddress.IPv4Address(bits & 0xFFFF_FFFF)))
        if ip.sixtofour:
            return is_public(str(ip.sixtofour))
        if ip in LOCAL_NAT64:
            return False
    return ip.is_global and not ip.is_multicast


@lru_cache(maxsize=4)
def pools(allow_hosts: frozenset[str]) -> "urllib3.PoolManager":
    """Connections of this process, kept open and shared by its threads, to checked addresses only."""
    import urllib3
    from urllib3.connection import HTTPConnection, HTTPSConnection
    from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError
    from urllib3.util.connection import create_connection

    class Checked(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            failure: OSError = OSError("no address")
            for address in addresses_of(self.host.strip("[]"), self.port, allow_hosts):
                try:
                    return create_connection(
                        (address, self.port), self.timeout, self.source_address, self.socket_options
                    )
                except TimeoutError as error:
                    raise ConnectTimeoutError(self, f"connection to {self.host} timed out") from error
                except OSError as error:
                    failure = error
            raise NewConnectionError(self, f"no connection to {self.host}: {failure}") from failure

    class Plain(Checked):
        pass

    class Secure(Checked, HTTPSConnection):
        pass

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    manager = urllib3.PoolManager(num_pools=POOLS, maxsize=CONNECTIONS)
    manager.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}
    return manager
