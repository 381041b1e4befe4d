"""Internet addresses in one spelling, so that they compare, count, store and show as one.

An IPv4 address that came over an IPv6 socket is written `::ffff:203.0.113.45` (RFC 4291, 2.5.5.2), and is the address
203.0.113.45. Every address that is compared with another one, or kept, is read here.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

#: Of a header that lists the proxies on the way.
MAX_TEXT_CHARACTERS = 1_024
#: Addresses of IPv6 that hold one of IPv4 begin with so many fixed bits.
MAPPED_BITS = 96
#: A customer of IPv6 has a network of this length, not one address (RFC 6177).
IPV6_CUSTOMER_BITS = 64

#: `[2001:db8::1]:443`, `[::1]`, `203.0.113.45:443`.
_BRACKETED = re.compile(r"\[([^\]]*)\](?::[0-9]{1,5})?")
_WITH_PORT = re.compile(r"([0-9.]+):[0-9]{1,5}")


def parse_address(text: str) -> Address:
    """Read one address, without the zone of a link-local one, which means nothing elsewhere. Raises ValueError."""
    address = ip_address(text)
    if isinstance(address, IPv4Address):
        return address
    return address.ipv4_mapped or IPv6Address(int(address))


def read_address(text: str) -> Address:
    """Read an address as shops find it: the first of a list, in brackets, with a port. Raises ValueError."""
    if len(text) > MAX_TEXT_CHARACTERS:
        raise ValueError("is too long for an address")
    first = text.partition(",")[0].strip()
    form = _BRACKETED.fullmatch(first) or _WITH_PORT.fullmatch(first)
    return parse_address(form[1].strip() if form else first)


@lru_cache(maxsize=4_096)
def normalize_address(text: str) -> str:
    """Return the one spelling of an address; a text that is none stays as it is."""
    try:
        return str(read_address(text))
    except ValueError:
        return text


def normalize_network(network: Network) -> Network:
    """Return the IPv4 network that a network of IPv6 holds, or the network itself."""
    if isinstance(network, IPv6Network) and network.prefixlen >= MAPPED_BITS:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((mapped, network.prefixlen - MAPPED_BITS))
    return network


def is_within(address: str, networks: tuple[Network, ...]) -> bool:
    """Tell whether an address belongs to one of these networks; a text that is no address belongs to none."""
    try:
        parsed = read_address(address)
    except ValueError:
        return False
    return any(parsed in normalize_network(network) for network in networks)


@lru_cache(maxsize=4_096)
def group_address(address: str, *, ipv4_bits: int = 32, ipv6_bits: int = IPV6_CUSTOMER_BITS) -> str:
    """Return what is counted of an address: itself or its network. A text that is no address stays as it is."""
    try:
        parsed = read_address(address)
    except ValueError:
        return address
    bits = ipv4_bits if isinstance(parsed, IPv4Address) else ipv6_bits
    return str(parsed) if bits == parsed.max_prefixlen else str(ip_network((parsed, bits), strict=False))
