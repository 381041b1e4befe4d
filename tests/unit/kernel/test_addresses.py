"""One address has one spelling, wherever addresses are compared, counted, stored or shown."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.kernel.addresses import (
    group_address,
    is_within,
    normalize_address,
    normalize_network,
    parse_address,
    read_address,
)
from tollhouse.simulator.test_data import is_allowed

ipv4 = st.integers(0, 2**32 - 1).map(IPv4Address)
#: Few of them embed an address of IPv4, and then they are that address.
ipv6 = st.integers(2**64, 2**128 - 1).map(IPv6Address)
ports = st.integers(1, 65_535)


def spell(address: IPv4Address | IPv6Address, port: int) -> list[str]:
    """Return the forms in which servers and proxies write an address."""
    if isinstance(address, IPv4Address):
        mapped = IPv6Address(f"::ffff:{address}")
        plain = [f"::ffff:{address}", f"::FFFF:{address}", str(mapped), mapped.exploded]
        return [str(address), f"{address}:{port}", *plain, *(f"[{text}]" for text in plain), f"[{mapped}]:{port}"]
    plain = [str(address), address.exploded, str(address).upper(), f"{address}%eth0", f"{address}%25eth0"]
    return [*plain, *(f"[{text}]" for text in plain), *(f"[{text}]:{port}" for text in plain)]


@given(ipv4 | ipv6, ports, st.sampled_from(["", ", 198.51.100.7", ",10.0.0.1, 10.0.0.2", " ,unknown"]))
def test_every_spelling_is_the_same_address(address: IPv4Address | IPv6Address, port: int, others: str) -> None:
    """Mapped, exploded, in brackets, with a port, with a zone, first of a list: the same address, written one way."""
    for text in spell(address, port):
        assert read_address(f" {text}{others}") == address
        assert normalize_address(text) == str(address)
        assert group_address(text) == group_address(str(address))
        assert is_within(text, (ip_network(address),))


@given(ipv4, st.integers(0, 32))
def test_networks_have_one_spelling_too(address: IPv4Address, bits: int) -> None:
    """A network of mapped addresses is the network of IPv4 that it holds."""
    mapped = ip_network((f"::ffff:{address}", 96 + bits), strict=False)
    plain = ip_network((address, bits), strict=False)
    assert normalize_network(mapped) == normalize_network(plain) == plain
    assert is_within(f"::ffff:{address}", (mapped,))
    assert is_within(str(address), (mapped,))


@given(ipv4, ipv4)
def test_lists_of_addresses_compare_addresses(one: IPv4Address, other: IPv4Address) -> None:
    """A test card's list allows an address in either spelling, and no other address."""
    for address in (str(one), f"::ffff:{one}"):
        for listed in (str(other), f"::ffff:{other}"):
            assert is_allowed(address, [listed]) is (one == other)


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "unknown", "300.1.1.1", "203.0.113.045", "203.0.113.45:", "203.0.113.45:x", "203.0.113.45:123456"),
        *("[203.0.113.45", "203.0.113.45]", "1.2.3", "0x7f000001", "2130706433", ",203.0.113.45", "::1::", "12345::1"),
        *("[::1]]", "[::1]:", "[]", "shop.example", "1" * 2_000),
    ],
)
def test_invalid_address_is_rejected(text: str) -> None:
    """A text that is not clearly one address is rejected, and unchanged if it is only counted."""
    with pytest.raises(ValueError, match=r"address|IPv"):
        read_address(text)
    assert normalize_address(text) == text
    assert not is_within(text, (ip_network("0.0.0.0/0"), ip_network("::/0")))


@pytest.mark.parametrize("text", ["203.0.113.45:80", "[::1]", "203.0.113.45, 203.0.113.46"])
def test_lists_and_ports_are_for_headers_only(text: str) -> None:
    """A port or a list is a fault in a field for one address."""
    with pytest.raises(ValueError, match="IPv4 or IPv6"):
        parse_address(text)
