"""Rules for callback URLs: a corpus of ways to name an address that callbacks must not reach."""

from __future__ import annotations

import ipaddress
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.kernel.urls import (
    LIVE,
    STAGE,
    AddressPolicy,
    AddressRefused,
    build_live_policy,
    build_target,
    check_address,
    check_return_url,
    check_url,
    escape,
    get_origin,
    is_public,
)
from tollhouse.transport.http import build_exact_url

PUBLIC = ["8.8.8.8", "52.58.234.180", "1.1.1.1", "2606:4700::1111", "2a00:1450:4001:80e::200e"]

PRIVATE = [
    "0.0.0.0",  # noqa: S104 - refused, not bound to
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.168.0.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "233.252.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::808:808",
    "64:ff9b:1::a00:1",
    "100::1",
    "2001::1",
    "2001:0:808:808::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:a00:1::1",
    "2a00:1450::5efe:7f00:1",
    "2a00:1450::200:5efe:a00:1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "2a00:1450:4001:80e::200e%1",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
    "4000::1",
]

ODD = [
    "http://127.1/",
    "http://127.0.1/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7f.0.0.1/",
    "http://0x7f.1/",
    "http://0177.0.0.1/",
    "http://017700000001/",
    "http://127.0.0.1./",
    "http://127.0.0.01/",
    "http://8.8.8.8./",
    "http://8.8.2056/",
    "http://0/",
    "http://0x/",
    "http://1.2.3.4.5/",
    "http://example.0x10/",
    "http://[::ffff:7f00:1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::]/",
    "http://[fe80::1%25lo]/",
    "http://[v1.x]/",
    "http://[::1/",
    "http://１２７.０.０.１/",
    "http://127。0。0。1/",
    "http://①②⑦.0.0.1/",
    "http://user@example.com/",
    "http://user:password@example.com/",
    "http://@example.com/",
    "http://example.com@127.0.0.1/",
    "http://127.0.0.1\\@example.com/",
    "http://example.com\\.evil.test/",
    "http://exa mple.com/",
    "http://example.com/\r\nX-Injected: 1",
    "http://example.com/\x00",
    " http://example.com/",
    "http://example.com\t/",
    "http:///path",
    "http://",
    "http:example.com",
    "//example.com/",
    "example.com",
    "",
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:70/",
    "javascript:alert(1)",
    "http+unix://socket/",
    "http://example.com:0/",
    "http://example.com:65536/",
    "http://example.com:port/",
    "http://-example.com/",
    "http://example..com/",
    "http://.example.com/",
    "http://exam%70le.com/",
    "http://example.com%2f@127.0.0.1/",
    "http://" + "a" * 64 + ".com/",
    "http://" + "a." * 127 + "com/",
    "http://example.com/" + "a" * 2048,
]

GOOD = [
    "https://example.com",
    "https://example.com/ipn?shop=1&x=%20",
    "https://EXAMPLE.com:8443/",
    "https://my_shop.example.com./x",
    "https://xn--bcher-kva.example/",
    "https://bücher.example/",
    "https://3com.com/",
    "https://0x.example.com/",
    "https://8.8.8.8/",
    "https://[2606:4700::1111]:8443/x",
]


@pytest.mark.parametrize("text", PRIVATE)
def test_addresses_that_are_not_public_are_refused(text: str) -> None:
    """Live refuses what is private, local, of one link, for many, unspecified, reserved, or hides another."""
    with pytest.raises(AddressRefused):
        check_address(text, LIVE)


@pytest.mark.parametrize("text", PRIVATE)
def test_addresses_that_are_not_public_are_refused_in_urls(text: str) -> None:
    """The same, for an address that a URL has in place of a name."""
    host = f"[{text}]" if ":" in text else text
    with pytest.raises(AddressRefused):
        check_url(f"https://{host}/ipn", LIVE)


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses_pass(text: str) -> None:
    """Public addresses of both families pass."""
    check_address(text, LIVE)


LOCAL = ["127.0.0.1", "127.255.255.254", "::1", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.0.1", "fc00::1"]


@pytest.mark.parametrize("text", LOCAL)
def test_stage_allows_this_machine_and_private_networks(text: str) -> None:
    """Stage allows loopback, the private networks of RFC 1918, and fc00::/7."""
    check_address(text, STAGE)


@pytest.mark.parametrize("text", [*(text for text in PRIVATE if text not in LOCAL), "fd20:ce::254"])
def test_stage_refuses_everything_else_that_live_refuses(text: str) -> None:
    """Stage refuses link-local addresses, those at which clouds answer with credentials, and disguised ones."""
    with pytest.raises(AddressRefused):
        check_address(text, STAGE)


def test_live_allows_the_networks_that_a_setting_names() -> None:
    """Live lets callbacks into the private networks that were named, and into no other."""
    policy = build_live_policy([ipaddress.ip_network("10.1.0.0/16")])
    check_url("https://10.1.2.3/ipn", policy)
    check_url("https://shop.internal/ipn", policy)
    for url in ("https://10.2.0.1/", "https://127.0.0.1/", "http://10.1.2.3/"):
        with pytest.raises(AddressRefused):
            check_url(url, policy)


@pytest.mark.parametrize(
    "host", ["localhost", "a.localhost", "db", "shop.local", "metadata.google.internal", "x.onion"]
)
def test_live_refuses_names_that_lead_to_no_public_address(host: str) -> None:
    """Names of this machine or of a private network are refused when they are given: no attempt could succeed."""
    with pytest.raises(AddressRefused):
        check_url(f"https://{host}/ipn", LIVE)


@pytest.mark.parametrize("port", [1, 22, 25, 79, 444, 1023, 2375, 3306, 5432, 6379, 6667, 9200, 11211, 27017])
def test_live_refuses_ports_of_other_services(port: int) -> None:
    """A callback cannot be made to speak to something that is no web server."""
    check_url(f"http://127.0.0.1:{port}/", STAGE)
    with pytest.raises(AddressRefused):
        check_url(f"https://shop.example:{port}/", LIVE)


@pytest.mark.parametrize("port", [80, 443, 1024, 3000, 8080, 8443, 9443, 65535])
def test_live_takes_ports_of_web_servers(port: int) -> None:
    """The ports at which web servers listen are taken."""
    check_url(f"https://shop.example:{port}/", LIVE)


RETURNS = ["https://shop.example/a?b#c", "myshop://paid", "com.shop.app:/done?x=1", "shop+1.x-y:paid", "MyShop://a"]
FOREIGN = [
    "javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "file:///etc/passwd", "vbscript:x", "blob:x",
    "about:blank", "view-source:x", "filesystem:x", "mailto:a@b.c", "tel:1", "intent://x", "ms-msdt:/id", "ws://a/",
    "ftp://a/", "http:shop.example", "https:///x", "myshop", "myshop:", "1shop://x", "://x", "//shop.example/", "",
    "my shop://x", "myshop://a b", "myshop://a\\b", "myshop://a\nb", "myshop://user:pw@a", "myshop://a:0/", "/path",
    " myshop://a", "java\tscript:alert(1)", "\x01javascript:alert(1)",
]  # fmt: skip


@pytest.mark.parametrize("url", RETURNS)
@pytest.mark.parametrize("policy", [LIVE, STAGE], ids=["live", "stage"])
def test_browsers_may_return_to_an_app(url: str, policy: AddressPolicy) -> None:
    """A cardholder may be sent to an address of the web or to an app's own scheme."""
    check_return_url(url, policy)


@pytest.mark.parametrize("url", FOREIGN)
@pytest.mark.parametrize("policy", [LIVE, STAGE], ids=["live", "stage"])
def test_browsers_are_sent_nowhere_else(url: str, policy: AddressPolicy) -> None:
    """Schemes that a browser runs, reads or gives to another program are refused, however they are written."""
    with pytest.raises(AddressRefused):
        check_return_url(url, policy)


EXACT = [
    (
        "http://h:9/ipn?back=https%3A%2F%2Fs%2Fx%3Fa%3D1&sig=Zm9v%2Fw%3D%3D",
        "/ipn?back=https%3A%2F%2Fs%2Fx%3Fa%3D1&sig=Zm9v%2Fw%3D%3D",
    ),
    ("http://h/a/../b/./c//d", "/a/../b/./c//d"),
    ("http://h/%7Eme/%7eme/~me", "/%7Eme/%7eme/~me"),
    ("http://h/x?", "/x?"),
    ("http://h?a", "/?a"),
    ("http://h", "/"),
    ("http://h/x?a?b=c&&d;e=+%20%2B", "/x?a?b=c&&d;e=+%20%2B"),
    ("http://h/x?items[]=1&q='(!*)'", "/x?items[]=1&q='(!*)'"),
    ("http://h/gr\u00fcn?\U0001f6d2", "/gr%C3%BCn?%F0%9F%9B%92"),
    ("http://h/100%?5%zz%4", "/100%25?5%25zz%254"),
    ('http://h/<"{|}^`>', "/%3C%22%7B%7C%7D%5E%60%3E"),
    ("http://h/x#fragment?no", "/x"),
]


@pytest.mark.parametrize(("url", "path"), EXACT)
def test_a_url_is_called_as_it_was_given(url: str, path: str) -> None:
    """Path and query are called byte for byte; only what no URL may hold is escaped, and the fragment is left out."""
    check_url(url, STAGE)
    assert build_target(url).path == path
    assert build_exact_url(url).raw_path_qs == path


@given(st.text("abcXYZ019-._~!$&'()*+,;=:@/?[]%", max_size=60))
def test_any_legal_url_is_called_byte_for_byte(rest: str) -> None:
    """Legal characters after the host are sent unchanged."""
    rest = re.sub(r"%(?![0-9A-Fa-f]{2})", "%2F", rest)
    exact = build_exact_url(f"http://h:9/{rest}")
    assert exact.raw_path_qs == f"/{rest}"
    assert (exact.host, exact.port) == ("h", 9)


@given(st.text(max_size=40))
def test_any_url_is_called_in_ascii(rest: str) -> None:
    """An accepted URL makes a request line of printable ASCII, and escaping it twice changes nothing."""
    try:
        check_url(f"http://h/{rest}", STAGE)
    except AddressRefused:
        return
    path = build_target(f"http://h/{rest}").path
    assert path.isascii()
    assert path.isprintable()
    assert " " not in path
    assert escape(path) == path


@pytest.mark.parametrize("url", ODD)
@pytest.mark.parametrize("policy", [LIVE, STAGE, AddressPolicy(https_only=False)], ids=["live", "stage", "plain"])
def test_odd_urls_are_refused(url: str, policy: AddressPolicy) -> None:
    """URLs that different readers take for different hosts are refused in any environment."""
    with pytest.raises(AddressRefused):
        check_url(url, policy)


@pytest.mark.parametrize("url", GOOD)
def test_plain_urls_pass(url: str) -> None:
    """Usual URLs are accepted: names, ports, queries, names beyond ASCII, public addresses."""
    check_url(url, LIVE)


def test_live_takes_https_only() -> None:
    """Live takes https only, stage http as well."""
    check_url("http://localhost:8081/", STAGE)
    with pytest.raises(AddressRefused):
        check_url("http://example.com/", LIVE)


@given(st.ip_addresses(v=4))
def test_no_address_of_a_special_range_is_public(address: ipaddress.IPv4Address) -> None:
    """An address that Python's tables call private, reserved, multicast or unspecified is not public."""
    special = address.is_private or address.is_reserved or address.is_multicast or address.is_unspecified
    assert not (special and is_public(address))


@given(st.ip_addresses(v=6))
def test_no_ipv6_address_outside_global_unicast_is_public(address: ipaddress.IPv6Address) -> None:
    """Outside 2000::/3 nothing is public."""
    assert not is_public(address) or address in ipaddress.ip_network("2000::/3")


@given(st.text(max_size=60))
def test_any_text_is_refused_or_passes(text: str) -> None:
    """No text makes the check fail in another way than by refusing; whatever it is, it has an origin to count for."""
    for url in (text, f"https://{text}/"):
        assert get_origin(url)
        try:
            check_url(url, LIVE)
        except AddressRefused:
            continue
        assert get_origin(url).startswith("https://")


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Example.com/a?b", "https://example.com:443"),
        ("HTTPS://example.com:443/c", "https://example.com:443"),
        ("https://example.com./", "https://example.com:443"),
        ("http://example.com/", "http://example.com:80"),
        ("http://127.0.0.1:8081/ipn", "http://127.0.0.1:8081"),
        ("https://[2606:4700::1111]/", "https://[2606:4700::1111]:443"),
        ("nonsense", "invalid"),
        ("http://[::1", "invalid"),
    ],
)
def test_origin_has_one_spelling(url: str, origin: str) -> None:
    """URLs of one endpoint have one origin, so that its failures and connections are counted together."""
    assert get_origin(url) == origin


def test_a_remembered_url_is_checked_by_each_policy() -> None:
    """A URL that one policy takes is refused by another, whichever is asked first; equal live policies are one."""
    for _ in range(2):
        check_url("http://10.1.2.3/ipn", STAGE)
        with pytest.raises(AddressRefused):
            check_url("http://10.1.2.3/ipn", LIVE)
    assert build_live_policy() is LIVE
