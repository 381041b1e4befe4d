"""Which addresses callbacks may go to. Pure; `tollhouse.ipn.session` applies it to every connection that is made.

A merchant chooses the URL, so the gateway must not be talked into calling its own network: nothing but public
addresses, in their plain form. What an address says is checked here twice: the URL as written, and each address that
its host resolves to.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from urllib.parse import SplitResult, urlsplit

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAX_URL_LENGTH = 2048
MAX_HOST_LENGTH = 253

#: What Python's tables, some editions of them, call global, and no web server of a merchant is there.
_SPECIAL_V4 = tuple(
    ipaddress.ip_network(text)
    for text in (
        "168.63.129.16/32",  # the host agent of a large cloud
        "192.0.0.0/24",  # protocol assignments; one cloud has its metadata there
        "192.88.99.0/24",  # relays of 6to4
    )
)

#: The only part of IPv6 from which global unicast addresses are given out, and what is not so within it.
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
_SPECIAL_V6 = tuple(
    ipaddress.ip_network(text)
    for text in (
        "2001::/23",  # protocol assignments: Teredo (with an IPv4 address inside), ORCHID, benchmarking
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: an IPv4 address inside
        "3fff::/20",  # documentation
    )
)

#: ISATAP: any prefix, then 5efe and an IPv4 address.
_ISATAP = (0x00005EFE, 0x02005EFE)

_HOST_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9_-]{1,63}(?<!-))*\.?", re.ASCII)
_LOOKS_NUMERIC = re.compile(r"\d+|0x[0-9a-f]*", re.ASCII)
_UNWANTED = re.compile(r"[\x00-\x20\x7f\\]")


class AddressRefused(OSError):
    """Callbacks may not go to this address.

    An OSError, so that the HTTP client treats it as a connection that failed.
    """


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """`allowed` are the networks that are let through although they are not public."""

    https_only: bool
    allowed: tuple[Network, ...] = ()


LIVE = AddressPolicy(https_only=True)
STAGE = AddressPolicy(https_only=False, allowed=(ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128")))


def check_url(url: str, policy: AddressPolicy) -> None:
    """Check a URL as it is written; a host that is a name is checked when it is resolved. Raises AddressRefused."""
    if len(url) > MAX_URL_LENGTH or _UNWANTED.search(url):
        raise AddressRefused("The URL is too long or has characters that do not belong in one.")
    parts = _split(url)
    if parts.scheme not in ("https", "http") or (policy.https_only and parts.scheme != "https"):
        raise AddressRefused("The URL has to begin with https://.")
    if "@" in parts.netloc:
        raise AddressRefused("The URL must not hold a user name or a password.")
    if "[" in parts.netloc:
        check_address(parts.hostname or "", policy)
    else:
        _check_name(parts.hostname or "", policy)


def check_address(text: str, policy: AddressPolicy) -> None:
    """Check an address that a host resolved to, or that is about to be connected to. Raises AddressRefused."""
    address = _parse_address(text)
    if not is_public(address) and not any(address in network for network in policy.allowed):
        raise AddressRefused(f"{address} is not a public address.")


def check_addresses(texts: Iterable[str], policy: AddressPolicy) -> None:
    """Check all addresses of a host: one that is refused spoils the others. Raises AddressRefused."""
    for text in texts:
        check_address(text, policy)


def is_public(address: Address) -> bool:
    """Say whether an address is one of the public internet, for one receiver, with no other address hidden in it."""
    if isinstance(address, IPv4Address):
        special = address.is_multicast or address.is_reserved or any(address in network for network in _SPECIAL_V4)
        return address.is_global and not special
    hidden = (int(address) >> 32) & 0xFFFFFFFF in _ISATAP
    inside = address in _GLOBAL_UNICAST and not any(address in network for network in _SPECIAL_V6)
    return inside and not hidden and address.is_global


@lru_cache(maxsize=1024)
def origin_of(url: str) -> str:
    """Return scheme, host and port of a URL in one spelling; "invalid" for what is no URL and always refused."""
    try:
        parts = _split(url)
    except AddressRefused:
        return "invalid"
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else (parts.hostname or "").rstrip(".")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return f"{parts.scheme}://{host}:{port}"


def _split(url: str) -> SplitResult:
    """Take a URL apart. Raises AddressRefused where it cannot be."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise AddressRefused("The URL cannot be read.") from error
    if not parts.hostname or port == 0:
        raise AddressRefused("The URL has no host, or port 0.")
    return parts


def _check_name(host: str, policy: AddressPolicy) -> None:
    """Check a host that is a name, or an IPv4 address."""
    try:
        name = host if host.isascii() else host.encode("idna").decode().lower()
    except UnicodeError as error:
        raise AddressRefused("The host is not a name.") from error
    if len(name) > MAX_HOST_LENGTH or not _HOST_NAME.fullmatch(name):
        raise AddressRefused("The host is not a name.")
    # 127.1, 0x7f000001, 2130706433, 0177.0.0.1: what ends in a number is an address, and has to be a plain one.
    if _LOOKS_NUMERIC.fullmatch(name.rstrip(".").rpartition(".")[2]):
        check_address(host, policy)


def _parse_address(text: str) -> Address:
    try:
        address = ipaddress.ip_address(text)
    except ValueError as error:
        raise AddressRefused("The address is not written in its plain form.") from error
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise AddressRefused("The address belongs to one network link.")
    return address
