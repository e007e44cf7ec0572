"""addresses: what IANA's registries call public may be contacted, nothing else; odd addresses are refused in a line."""

import ipaddress

import pytest
from speechmill.core.reasons import Reason
from speechmill.core.records import RejectedError
from speechmill.fetch.addresses import MAX_URL_CHARS, host_of, is_public, origin_of

# The IANA IPv4 and IPv6 Special-Purpose Address Registries, each row with "Globally Reachable"; None is "N/A".
REGISTRY = {
    "0.0.0.0/8": False, "10.0.0.0/8": False, "100.64.0.0/10": False, "127.0.0.0/8": False, "169.254.0.0/16": False,
    "172.16.0.0/12": False, "192.0.0.0/24": False, "192.0.0.0/29": False, "192.0.0.8/32": False, "192.0.0.9/32": True,
    "192.0.0.10/32": True, "192.0.0.170/32": False, "192.0.0.171/32": False, "192.0.2.0/24": False,
    "192.31.196.0/24": True, "192.52.193.0/24": True, "192.88.99.0/24": None, "192.168.0.0/16": False,
    "192.175.48.0/24": True, "198.18.0.0/15": False, "198.51.100.0/24": False, "203.0.113.0/24": False,
    "240.0.0.0/4": False, "255.255.255.255/32": False,
    "::1/128": False, "::/128": False, "64:ff9b:1::/48": False, "100::/64": False, "100:0:0:1::/64": False,
    "2001::/32": None, "2001:1::1/128": True, "2001:1::2/128": True, "2001:1::3/128": True, "2001:2::/48": False,
    "2001:3::/32": True, "2001:4:112::/48": True, "2001:10::/28": None, "2001:20::/28": True, "2001:30::/28": True,
    "2001:db8::/32": False, "2620:4f:8000::/48": True, "3fff::/20": False, "5f00::/16": False, "fc00::/7": False,
    "fe80::/10": False,
}  # fmt: skip
# Of the registries of address space: multicast, site-local, IPv4-compatible, and what is not given out.
SPACE = ["224.0.0.0/4", "ff00::/8", "fec0::/10", "::/96", "200::/7", "400::/6", "4000::/3", "8000::/3", "e000::/4"]
WITHIN = {"192.0.0.0/24", "2001::/23"}  # rows that others are exceptions of
EMBEDDED = ["::ffff:{}", "64:ff9b::{}", "2002:{}::"]


def ends(network: str) -> list[str]:
    """First, last and a middle address of a network."""
    found = ipaddress.ip_network(network)
    return [str(found[0]), str(found[-1]), str(found[found.num_addresses // 3])]


@pytest.mark.parametrize("network", REGISTRY)
def test_every_row_of_the_registries(network: str) -> None:
    for address in ends(network):
        assert is_public(address) is bool(REGISTRY[network]), address


@pytest.mark.parametrize("network", SPACE)
def test_what_is_no_unicast_address_of_anybody(network: str) -> None:
    assert not any(is_public(address) for address in ends(network))


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.216.34", "1.0.0.0", "2606:4700::1111", "2a00::", "192.0.1.1"])
def test_public_addresses(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("form", EMBEDDED)
def test_an_address_within_an_address_counts(form: str) -> None:
    for network, expected in [*REGISTRY.items(), ("8.8.8.0/24", True), ("224.0.0.0/4", False)]:
        for address in ends(network) if "." in network else ():
            high, low = divmod(int(ipaddress.IPv4Address(address)), 1 << 16)
            assert is_public(form.format(f"{high:x}:{low:x}")) is bool(expected), address


def test_a_zone_changes_nothing() -> None:
    assert not is_public("fe80::1%eth0")
    assert is_public("2606:4700::1111%eth0")


@pytest.mark.parametrize(
    ("url", "host", "origin"),
    [
        ("http://münchen.example/ä?ö=ü", "xn--mnchen-3ya.example", "http://xn--mnchen-3ya.example:80"),
        ("HTTPS://EXAMPLE.org:443/", "example.org", "https://example.org:443"),
        ("https://[2606:4700::1111]/", "2606:4700::1111", "https://[2606:4700::1111]:443"),
        ("http://ann:pw@example.org:8080/", "example.org", "http://example.org:8080"),
        ("http://a_b.example/line\nbreak", "a_b.example", "http://a_b.example:80"),
    ],
)
def test_hosts_and_origins(url: str, host: str, origin: str) -> None:
    assert (host_of(url)[0], origin_of(url), origin_of(origin)) == (host, origin, origin)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org:0/", "http://example.org:70000/", "http://example.org:-1/", "http://example.org:8 0/",
        "http://１２７.０.０.１/", "http://exa\nmple.org/", "http://exa mple.org/", "http://\r\nHost: x/",
        f"http://example.org/{'a' * MAX_URL_CHARS}", "feed:x", "http:example.org", "http://ann:s3cret@/",
        "http://ann:s3/cret@example.org/",
    ],
)  # fmt: skip
def test_odd_addresses_are_refused_in_one_line_without_secrets(url: str) -> None:
    with pytest.raises(RejectedError) as caught:
        host_of(url)
    assert (caught.value.reason, caught.value.retry) == (Reason.FORBIDDEN_ADDRESS, False)
    assert caught.value.detail.isprintable()
    assert "s3" not in caught.value.detail
    assert len(caught.value.detail) < 400
