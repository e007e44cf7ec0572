"""Who may ask a review's server: pages that it served itself, by people who know its address.

The token in the address keeps other users and programs of the machine out. A page of another site that a browser shows
knows no token; and if it did, its requests are refused by what browsers say about them, and a name that was pointed at
this machine (DNS rebinding) is not one that the server answers to.
"""

import hmac
import ipaddress
from dataclasses import dataclass
from email.message import Message
from urllib.parse import urlsplit

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """The token of a server, and the host that it listens on."""

    token: str
    host: str

    def knows(self, token: str) -> bool:
        """Whether a token is that of the server, compared in constant time."""
        return hmac.compare_digest(token.encode(), self.token.encode())

    def is_for_us(self, headers: Message) -> bool:
        """Whether `Host` is a name of this server: its own, loopback, or an address where it listens on all."""
        try:
            name = urlsplit(f"//{headers.get('Host', '')}").hostname or ""
        except ValueError:
            return False
        return name in (*LOOPBACK, self.host) or (_is_any(self.host) and _is_address(name))

    def is_from_us(self, headers: Message, *, only_reads: bool) -> bool:
        """Whether a browser says that its request comes from a page of this server; other programs say nothing.

        Whoever follows a link to the page comes from elsewhere too, and only reads.
        """
        is_visit = only_reads and headers.get("Sec-Fetch-Mode") == "navigate"
        if not is_visit and headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            return False
        origin = headers.get("Origin")
        return origin is None or urlsplit(origin).netloc == headers.get("Host")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_any(host: str) -> bool:
    return _is_address(host) and ipaddress.ip_address(host).is_unspecified
