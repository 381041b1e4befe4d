"""A bound port: under which address it is reached, and what is said when it cannot be bound."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import pytest

from tollhouse.http.serving.ports import PortUnavailable, bind, build_url


def reach(url: str) -> bool:
    """Connect to the host and port of a URL."""
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    with socket.create_connection((parts.hostname, parts.port), timeout=5):
        return True


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0", "::", "::1", "127.0.0.2"])  # noqa: S104 - tested
def test_both_urls_reach_the_port(host: str) -> None:
    """Whatever host is bound, the URL that is announced and that of the bank's pages lead to it."""
    with bind(host, 0) as port:
        port.socket.listen()
        assert reach(port.url)
        assert reach(port.other_url)
        assert port.number == urlsplit(port.url).port == urlsplit(port.other_url).port


def test_the_bank_has_another_name_where_there_is_one() -> None:
    """Browsers see two sites where the port has two names, and one where it has one."""
    with bind("127.0.0.1", 0) as port:
        assert urlsplit(port.other_url).hostname == "localhost"
    with bind("localhost", 0) as port:
        assert urlsplit(port.other_url).hostname == "127.0.0.1"
    with bind("127.0.0.2", 0) as port:
        assert port.other_url == port.url


def test_every_address_is_both_families() -> None:
    """`::` is every address, those of IPv4 too."""
    with bind("::", 0) as port:
        port.socket.listen()
        assert reach(f"http://127.0.0.1:{port.number}")
        assert reach(f"http://[::1]:{port.number}")


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [("127.0.0.1", True), ("::1", True), ("::ffff:127.0.0.1", True), ("0.0.0.0", False), ("::", False)],  # noqa: S104 - tested
)
def test_loopback_is_told_from_the_rest(host: str, is_loopback: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """A port is private if only this machine reaches it."""
    with bind(host, 0) as port:
        assert port.is_loopback is is_loopback


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1"])
def test_a_host_that_cannot_be_bound_is_a_sentence(host: str) -> None:
    """What the system refuses is told in words, and without its number."""
    with pytest.raises(PortUnavailable) as refused, bind(host, 0):
        pass
    assert str(refused.value) == f"{host} is not an address of this machine; choose one that is, or 0.0.0.0 for all."


def test_urls_of_hosts() -> None:
    """IPv6 stands in brackets, and what is every address is one of this machine."""
    assert [build_url(host, 80) for host in ("::1", "::", "0.0.0.0", "pay.example", "fe80::1%eth0")] == [  # noqa: S104 - tested
        "http://[::1]:80",
        "http://127.0.0.1:80",
        "http://127.0.0.1:80",
        "http://pay.example:80",
        "http://[fe80::1%25eth0]:80",
    ]
