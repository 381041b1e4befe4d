"""Rules for URLs that merchants set: which are accepted, which addresses they may resolve to, and how they are called.

The merchant chooses the URL, so the gateway must not be tricked into calling its own network. The same policy is
applied three times: when the URL is set, before it is called, and to each address that its host resolves to. A URL that
would be rejected at every call is therefore rejected when it is set.

A URL is called byte for byte as it was set. Only illegal characters are escaped. The fragment is dropped, because it is
never sent.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import NamedTuple
from urllib.parse import SplitResult, quote, urlencode, urlsplit

import idna

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAX_URL_LENGTH = 2048
MAX_HOST_LENGTH = 253
#: Checked URLs in the cache. Merchants send the same ones repeatedly.
MAX_REMEMBERED = 1024

#: Networks that some editions of Python's tables call global, although merchants have no web servers in them.
_SPECIAL_V4 = tuple(
    ipaddress.ip_network(text)
    for text in (
        "168.63.129.16/32",  # the host agent of a large cloud
        "192.0.0.0/24",  # protocol assignments; one cloud has its metadata there
        "192.88.99.0/24",  # relays of 6to4
    )
)

#: The only part of IPv6 with global unicast addresses, and the special networks within it.
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

#: Networks that stage rejects although they are private: link-local addresses, and those at which clouds return
#: credentials.
_NEVER = tuple(
    ipaddress.ip_network(text)
    for text in ("169.254.0.0/16", "fe80::/10", "fd00:ec2::/32", "fd20:ce::254/128", "fd00:a9fe:a9fe::/48")
)

_LOOPBACK = ("127.0.0.0/8", "::1/128")
_PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")

#: The only ports below 1024 of web servers.
_WEB_PORTS = frozenset({80, 443})
FIRST_FREE_PORT = 1024
#: Ports from 1024 up that belong to other services: the list of the Fetch standard
#: (https://fetch.spec.whatwg.org/#bad-port), then databases, queues, caches and the control ports of clusters.
_SERVICE_PORTS = frozenset({
    1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
    1433, 1521, 1883, 2181, 2375, 2376, 2379, 2380, 3306, 3389, 4369, 5432, 5671, 5672, 5900, 5984, 5985, 5986, 6379,
    6443, 7000, 7001, 8300, 8301, 8500, 9042, 9092, 9200, 9300, 10250, 10255, 11211, 25672, 27017, 27018, 50051,
})  # fmt: skip

#: Last labels of names that resolve to no public address. A host without a dot is not a public name either.
_LOCAL_NAMES = frozenset({"internal", "invalid", "lan", "local", "localdomain", "localhost", "onion"})

#: Schemes that a browser executes, reads from the device, or passes to something other than a shop's app.
_FOREIGN_SCHEMES = frozenset({
    "about", "afp", "android-app", "blob", "bolo", "callto", "chrome", "chrome-extension", "cid", "content", "data",
    "edge", "feed", "file", "filesystem", "ftp", "ftps", "geo", "git", "gopher", "help", "hcp", "intent", "irc", "jar",
    "javascript", "ldap", "ldaps", "livescript", "mailto", "mhtml", "mid", "mms", "mocha", "moz-extension", "news",
    "nfs", "nntp", "opera", "res", "resource", "safari-extension", "search", "search-ms", "sftp", "shell", "sip",
    "sips", "sms", "smsto", "smb", "ssh", "tel", "telnet", "tftp", "urn", "vbs", "vbscript", "view-source", "vnc", "ws",
    "wss", "wyciwyg", "xmpp",
})  # fmt: skip
_APP_URL = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]{1,63}):(?P<rest>.*)", re.ASCII | re.IGNORECASE | re.DOTALL)
_WEB_URL = re.compile(r"(?P<scheme>https?)://(?P<authority>[^/?#]*)(?P<rest>.*)", re.ASCII | re.IGNORECASE | re.DOTALL)

#: Characters that are illegal after the host, and percent signs that begin no escape. Brackets are illegal there too,
#: but shops use them and every server accepts them.
_ILLEGAL = re.compile(r"[^!#$%&'()*+,\-./0-9:;=?@A-Z\[\]_a-z~]|%(?![0-9A-Fa-f]{2})", re.ASCII)

_HOST_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9_-]{1,63}(?<!-))*\.?", re.ASCII)
_LOOKS_NUMERIC = re.compile(r"\d+|0x[0-9a-f]*", re.ASCII)
_UNWANTED = re.compile(r"[\x00-\x20\x7f\\\ud800-\udfff]")


class AddressRefused(OSError):
    """Callbacks may not be sent to this address.

    An OSError, so that the HTTP client treats it as a failed connection.
    """


@dataclass(frozen=True, slots=True, eq=False)
class AddressPolicy:
    """The rules for URLs that may be called. Policies compare by identity, so that they are cache keys of checked URLs.

    `allowed` lists networks that are permitted although they are not public; `never` lists those that are always
    rejected. `public_only` also rejects ports of other services, and names that resolve to no public address.
    """

    https_only: bool
    allowed: tuple[Network, ...] = ()
    never: tuple[Network, ...] = ()
    public_only: bool = False


class Target(NamedTuple):
    """A URL split for the request: `authority` is host and port, `path` everything after it."""

    scheme: str
    authority: str
    path: str


def build_live_policy(allowed: Iterable[Network] = ()) -> AddressPolicy:
    """Return the policy of live, which also permits the networks of a setting."""
    return _build_live_policy(tuple(allowed))


@lru_cache(maxsize=16)
def _build_live_policy(allowed: tuple[Network, ...]) -> AddressPolicy:
    return AddressPolicy(https_only=True, allowed=allowed, public_only=True)


LIVE = build_live_policy()
#: For URLs that developers give on their own command line.
ANY_ADDRESS = AddressPolicy(https_only=False, allowed=(ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0")))
STAGE = AddressPolicy(
    https_only=False, allowed=tuple(ipaddress.ip_network(text) for text in (*_LOOPBACK, *_PRIVATE)), never=_NEVER
)


@lru_cache(maxsize=MAX_REMEMBERED)
def check_url(url: str, policy: AddressPolicy) -> None:
    """Check a URL as written. A host name is checked again when it is resolved.

    Raises AddressRefused, whose text completes a sentence that begins with the name of the field.
    """
    if len(url) > MAX_URL_LENGTH:
        raise AddressRefused(f"must have at most {MAX_URL_LENGTH} characters")
    if _UNWANTED.search(url):
        raise AddressRefused("must be a URL without blanks, control characters and backslashes")
    parts = _split(url)
    if policy.https_only and parts.scheme != "https":
        raise AddressRefused("must begin with https://")
    if "@" in parts.netloc:
        raise AddressRefused("must not have a user name or a password")
    host = parts.hostname or ""
    if "[" in parts.netloc:
        check_address(host, policy)
    else:
        _check_name(host, policy)
    if policy.public_only:
        _check_port(parts)


@lru_cache(maxsize=MAX_REMEMBERED)
def check_return_url(url: str, policy: AddressPolicy) -> None:
    """Check a URL to which a browser is sent: one that may be called, or one with an app's own scheme.

    Raises AddressRefused.
    """
    if is_web_url(url):
        check_url(url, policy)
        return
    if len(url) > MAX_URL_LENGTH or _UNWANTED.search(url):
        raise AddressRefused("must be a URL without blanks, control characters and backslashes")
    form = _APP_URL.fullmatch(url)
    scheme = form["scheme"].lower() if form else ""
    if form is None or scheme in ("http", "https") or not form["rest"]:
        raise AddressRefused("must be a URL that begins with https://, http:// or the scheme of an app")
    if scheme in _FOREIGN_SCHEMES or scheme.startswith("ms-"):
        raise AddressRefused("must not have this scheme, which browsers do not pass to a shop's app")
    authority = re.match(r"//([^/?#]*)", form["rest"])
    if authority and ("@" in authority[1] or re.search(r":0*$", authority[1])):
        raise AddressRefused("must not have a user name or port 0")


def is_web_url(url: str) -> bool:
    """Return whether a URL has a scheme of the web, rather than of an app."""
    return _WEB_URL.fullmatch(url) is not None


def build_target(url: str) -> Target:
    """Split a checked URL into the parts of a request.

    Illegal characters are escaped, a host beyond ASCII is written in ASCII, and the fragment is dropped. Everything
    else stays unchanged. Raises AddressRefused.
    """
    form = _WEB_URL.fullmatch(url)
    if form is None:
        raise AddressRefused("must be a URL that begins with http:// or https://")
    path = escape(form["rest"].partition("#")[0])
    return Target(form["scheme"].lower(), _write_authority(form["authority"]), path if path[:1] == "/" else f"/{path}")


def append_query(url: str, fields: Mapping[str, object]) -> str:
    """Append fields to the query of a URL. Keep its other parts, including a fragment.

    The result is ASCII, as headers require.
    """
    head, mark, fragment = url.partition("#")
    _, question_mark, query = head.partition("?")
    # A question mark inside the query is part of its last field.
    joint = "?" if not question_mark else "" if not query or query.endswith("&") else "&"
    return write_url(f"{head}{joint}{urlencode(fields)}{mark}{fragment}")


def write_url(url: str) -> str:
    """Write a URL in ASCII for a header or a link, with a fragment if it has one."""
    form = _WEB_URL.fullmatch(url)
    if form is None:
        return escape(url)
    try:
        authority = _write_authority(form["authority"])
    except AddressRefused:
        authority = escape(form["authority"])
    return f"{form['scheme']}://{authority}{escape(form['rest'])}"


def escape(text: str) -> str:
    """Escape illegal characters as UTF-8, and percent signs that begin no escape."""
    return _ILLEGAL.sub(lambda found: quote(found[0], safe="", errors="replace"), text)


def check_address(text: str, policy: AddressPolicy) -> None:
    """Check a resolved address, or one that is about to be connected to. Raises AddressRefused."""
    address = _parse_address(text)
    forbidden = any(address in network for network in policy.never)
    if forbidden or not (is_public(address) or any(address in network for network in policy.allowed)):
        raise AddressRefused("must not be a private, local or reserved address")


def check_addresses(texts: Iterable[str], policy: AddressPolicy) -> None:
    """Check all addresses of a host. One rejected address rejects the host. Raises AddressRefused."""
    for text in texts:
        check_address(text, policy)


def is_public(address: Address) -> bool:
    """Return whether an address is public and unicast, with no other address embedded in it."""
    if isinstance(address, IPv4Address):
        special = address.is_multicast or address.is_reserved or any(address in network for network in _SPECIAL_V4)
        return address.is_global and not special
    hidden = (int(address) >> 32) & 0xFFFFFFFF in _ISATAP
    inside = address in _GLOBAL_UNICAST and not any(address in network for network in _SPECIAL_V6)
    return inside and not hidden and address.is_global


@lru_cache(maxsize=1024)
def get_origin(url: str) -> str:
    """Return scheme, host and port of a URL in one spelling, or "invalid" if it is not a URL."""
    try:
        parts = _split(url)
    except AddressRefused:
        return "invalid"
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else (parts.hostname or "").rstrip(".")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return f"{parts.scheme}://{host}:{port}"


def _split(url: str) -> SplitResult:
    """Split a URL. Raises AddressRefused if it is malformed."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise AddressRefused("must be a URL with a valid host and port") from error
    if parts.scheme not in ("http", "https") or not _WEB_URL.fullmatch(url):
        raise AddressRefused("must be a URL that begins with http:// or https://")
    if not parts.hostname or port == 0:
        raise AddressRefused("must be a URL with a valid host and port")
    return parts


def _check_name(host: str, policy: AddressPolicy) -> None:
    """Check a host that is a name or an IPv4 address."""
    name = _write_name(host)
    if len(name) > MAX_HOST_LENGTH or not _HOST_NAME.fullmatch(name):
        raise AddressRefused("must be a URL with a valid host")
    last = name.rstrip(".").rpartition(".")
    # 127.1, 0x7f000001, 2130706433, 0177.0.0.1: a host that ends in a number is an address, and must be in plain form.
    if _LOOKS_NUMERIC.fullmatch(last[2]):
        check_address(host, policy)
    elif policy.public_only and not policy.allowed and (not last[0] or last[2] in _LOCAL_NAMES):
        raise AddressRefused("must not be a name of this machine or of a private network")


def _check_port(parts: SplitResult) -> None:
    port = parts.port
    if port is None or port in _WEB_PORTS:
        return
    if port < FIRST_FREE_PORT or port in _SERVICE_PORTS:
        raise AddressRefused("must not have the port of a service other than the web")


def _write_name(host: str) -> str:
    """Write a host in ASCII and lower case (UTS 46). Raises AddressRefused."""
    if host.isascii():
        return host.lower()
    try:
        return idna.encode(host, uts46=True).decode().lower()
    except UnicodeError as error:  # the base class of the library's errors
        raise AddressRefused("must be a URL with a valid host") from error


def _write_authority(authority: str) -> str:
    """Write host and port in ASCII. Keep ASCII unchanged."""
    if authority.isascii():
        return authority
    host, mark, port = authority.partition(":")
    return f"{_write_name(host)}{mark}{port}"


def _parse_address(text: str) -> Address:
    try:
        address = ipaddress.ip_address(text)
    except ValueError as error:
        raise AddressRefused("must be an address in plain form") from error
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise AddressRefused("must not be a link-local address with a zone")
    return address
