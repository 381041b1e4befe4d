"""IP addresses in one spelling, so that equal addresses compare as equal.

An IPv4 address from an IPv6 socket is written `::ffff:203.0.113.45` (RFC 4291, 2.5.5.2), and is the address
203.0.113.45. Every address that is compared or stored is parsed here.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

#: For a header that lists the proxies of a request.
MAX_TEXT_CHARACTERS = 1_024
#: IPv6 addresses that contain an IPv4 address begin with this number of fixed bits.
MAPPED_BITS = 96
#: An IPv6 customer has a network of this length, not one address (RFC 6177).
IPV6_CUSTOMER_BITS = 64

#: `[2001:db8::1]:443`, `[::1]`, `203.0.113.45:443`.
_BRACKETED = re.compile(r"\[([^\]]*)\](?::[0-9]{1,5})?")
_WITH_PORT = re.compile(r"([0-9.]+):[0-9]{1,5}")


def parse_address(text: str) -> Address:
    """Parse one address. Drop the zone of a link-local address, which has no meaning elsewhere. Raises ValueError."""
    address = ip_address(text)
    if isinstance(address, IPv4Address):
        return address
    return address.ipv4_mapped or IPv6Address(int(address))


def read_address(text: str) -> Address:
    """Parse an address as shops send it: the first of a list, in brackets, or with a port. Raises ValueError."""
    if len(text) > MAX_TEXT_CHARACTERS:
        raise ValueError("is too long for an address")
    first = text.partition(",")[0].strip()
    form = _BRACKETED.fullmatch(first) or _WITH_PORT.fullmatch(first)
    return parse_address(form[1].strip() if form else first)


@lru_cache(maxsize=4_096)
def normalize_address(text: str) -> str:
    """Return the normal form of an address. Return a text that is not an address unchanged."""
    try:
        return str(read_address(text))
    except ValueError:
        return text


def normalize_network(network: Network) -> Network:
    """Return the IPv4 network inside an IPv6 network, or the network itself."""
    if isinstance(network, IPv6Network) and network.prefixlen >= MAPPED_BITS:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((mapped, network.prefixlen - MAPPED_BITS))
    return network


def is_within(address: str, networks: tuple[Network, ...]) -> bool:
    """Return whether an address belongs to one of these networks. A text that is not an address belongs to none."""
    try:
        parsed = read_address(address)
    except ValueError:
        return False
    return any(parsed in normalize_network(network) for network in networks)


@lru_cache(maxsize=4_096)
def group_address(address: str, *, ipv4_bits: int = 32, ipv6_bits: int = IPV6_CUSTOMER_BITS) -> str:
    """Return the key by which an address is counted: itself or its network. Return other texts unchanged."""
    try:
        parsed = read_address(address)
    except ValueError:
        return address
    bits = ipv4_bits if isinstance(parsed, IPv4Address) else ipv6_bits
    return str(parsed) if bits == parsed.max_prefixlen else str(ip_network((parsed, bits), strict=False))
