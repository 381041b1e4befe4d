"""URLs that merchants give: which are taken, which addresses they may lead to, and how they are called. Pure.

A merchant chooses the URL, so the gateway must not be talked into calling its own network. The same policy is applied
three times: when the URL is given, when it is about to be called, and to each address that its host resolves to. A URL
that would be refused at every call is therefore refused when it is given.

A URL is called as it was given, byte for byte. Only characters that no URL may hold are escaped, and a fragment is left
out, for it is never sent.
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
#: URLs that were checked, of which merchants send the same ones again and again.
MAX_REMEMBERED = 1024

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

#: Networks that stage refuses though they are private: link-local addresses, and those at which clouds answer with
#: credentials.
_NEVER = tuple(
    ipaddress.ip_network(text)
    for text in ("169.254.0.0/16", "fe80::/10", "fd00:ec2::/32", "fd20:ce::254/128", "fd00:a9fe:a9fe::/48")
)

_LOOPBACK = ("127.0.0.0/8", "::1/128")
_PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")

#: Below 1024 only these are ports of web servers.
_WEB_PORTS = frozenset({80, 443})
FIRST_FREE_PORT = 1024
#: Ports of 1024 and above at which something else than a web server listens: the list of the Fetch standard
#: (https://fetch.spec.whatwg.org/#bad-port), then databases, queues, caches and the control ports of clusters.
_SERVICE_PORTS = frozenset({
    1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
    1433, 1521, 1883, 2181, 2375, 2376, 2379, 2380, 3306, 3389, 4369, 5432, 5671, 5672, 5900, 5984, 5985, 5986, 6379,
    6443, 7000, 7001, 8300, 8301, 8500, 9042, 9092, 9200, 9300, 10250, 10255, 11211, 25672, 27017, 27018, 50051,
})  # fmt: skip

#: Names that lead to no public address, by their last label. A host without a dot is none of the internet either.
_LOCAL_NAMES = frozenset({"internal", "invalid", "lan", "local", "localdomain", "localhost", "onion"})

#: Schemes that a browser runs, reads from this device, or gives to something that is no shop's app.
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

#: Characters that no URL may hold after its host, and percent signs that begin no escape. Brackets are not allowed
#: there either, but shops write them and every server reads them.
_ILLEGAL = re.compile(r"[^!#$%&'()*+,\-./0-9:;=?@A-Z\[\]_a-z~]|%(?![0-9A-Fa-f]{2})", re.ASCII)

_HOST_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9_-]{1,63}(?<!-))*\.?", re.ASCII)
_LOOKS_NUMERIC = re.compile(r"\d+|0x[0-9a-f]*", re.ASCII)
_UNWANTED = re.compile(r"[\x00-\x20\x7f\\\ud800-\udfff]")


class AddressRefused(OSError):
    """Callbacks may not go to this address.

    An OSError, so that the HTTP client treats it as a connection that failed.
    """


@dataclass(frozen=True, slots=True, eq=False)
class AddressPolicy:
    """Which URLs may be called. Each is compared by its identity, so that checked URLs can be remembered by it.

    `allowed` are the networks that are let through although they are not public, `never` those that are refused in any
    case. `public_only` also refuses ports of other services, and names that lead to no public address.
    """

    https_only: bool
    allowed: tuple[Network, ...] = ()
    never: tuple[Network, ...] = ()
    public_only: bool = False


class Target(NamedTuple):
    """A URL as it is called: `authority` is host and port, `path` everything after it."""

    scheme: str
    authority: str
    path: str


def live_policy(allowed: Iterable[Network] = ()) -> AddressPolicy:
    """Return the policy of live, which lets through the networks that a setting names."""
    return _live_policy(tuple(allowed))


@lru_cache(maxsize=16)
def _live_policy(allowed: tuple[Network, ...]) -> AddressPolicy:
    return AddressPolicy(https_only=True, allowed=allowed, public_only=True)


LIVE = live_policy()
#: For URLs that a developer gives on a command line of their own.
ANYWHERE = AddressPolicy(https_only=False, allowed=(ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0")))
STAGE = AddressPolicy(
    https_only=False,
    allowed=tuple(ipaddress.ip_network(text) for text in (*_LOOPBACK, *_PRIVATE)),
    never=_NEVER,
)


@lru_cache(maxsize=MAX_REMEMBERED)
def check_url(url: str, policy: AddressPolicy) -> None:
    """Check a URL as it is written; a host that is a name is checked when it is resolved.

    Raises AddressRefused, whose text completes a sentence that begins with the name of the field.
    """
    if len(url) > MAX_URL_LENGTH:
        raise AddressRefused(f"must have at most {MAX_URL_LENGTH} characters")
    if _UNWANTED.search(url):
        raise AddressRefused("must be a URL without blanks, control characters or backslashes")
    parts = _split(url)
    if policy.https_only and parts.scheme != "https":
        raise AddressRefused("must begin with https://")
    if "@" in parts.netloc:
        raise AddressRefused("must not have a user name or a password in it")
    host = parts.hostname or ""
    if "[" in parts.netloc:
        check_address(host, policy)
    else:
        _check_name(host, policy)
    if policy.public_only:
        _check_port(parts)


@lru_cache(maxsize=MAX_REMEMBERED)
def check_return_url(url: str, policy: AddressPolicy) -> None:
    """Check a URL that a browser is sent to: one that could be called, or one of an app's own scheme.

    Raises AddressRefused.
    """
    if is_web_url(url):
        check_url(url, policy)
        return
    if len(url) > MAX_URL_LENGTH or _UNWANTED.search(url):
        raise AddressRefused("must be a URL without blanks, control characters or backslashes")
    form = _APP_URL.fullmatch(url)
    scheme = form["scheme"].lower() if form else ""
    if form is None or scheme in ("http", "https") or not form["rest"]:
        raise AddressRefused("must be a URL that begins with https://, http:// or the scheme of an app")
    if scheme in _FOREIGN_SCHEMES or scheme.startswith("ms-"):
        raise AddressRefused("must not have this scheme: browsers do not give it to a shop's app")
    authority = re.match(r"//([^/?#]*)", form["rest"])
    if authority and ("@" in authority[1] or re.search(r":0*$", authority[1])):
        raise AddressRefused("must not have a user name or port 0 in it")


def is_web_url(url: str) -> bool:
    """Tell whether a URL has the scheme of the web, and not of an app."""
    return _WEB_URL.fullmatch(url) is not None


def build_target(url: str) -> Target:
    """Take apart a URL that was checked into what is called.

    Characters that no URL may hold are escaped, a host beyond ASCII is written in ASCII, and the fragment is left out.
    Everything else is as it was given. Raises AddressRefused.
    """
    form = _WEB_URL.fullmatch(url)
    if form is None:
        raise AddressRefused("must be a URL that begins with http:// or https://")
    path = escape(form["rest"].partition("#")[0])
    return Target(form["scheme"].lower(), _write_authority(form["authority"]), path if path[:1] == "/" else f"/{path}")


def append_query(url: str, fields: Mapping[str, object]) -> str:
    """Append fields to the query of a URL. What is there stays as it is, also a fragment.

    The result is ASCII, as a header has to be.
    """
    head, mark, fragment = url.partition("#")
    _, question_mark, query = head.partition("?")
    # A question mark in the query is a part of its last field.
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
    """Escape the characters that no URL may hold, as UTF-8, and percent signs that begin no escape."""
    return _ILLEGAL.sub(lambda found: quote(found[0], safe="", errors="replace"), text)


def check_address(text: str, policy: AddressPolicy) -> None:
    """Check an address that a host resolved to, or that is about to be connected to. Raises AddressRefused."""
    address = _parse_address(text)
    refused = any(address in network for network in policy.never)
    if refused or not (is_public(address) or any(address in network for network in policy.allowed)):
        raise AddressRefused("must not be a private, local or reserved address")


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
        raise AddressRefused("must be a URL; its host or its port is none") from error
    if parts.scheme not in ("http", "https") or not _WEB_URL.fullmatch(url):
        raise AddressRefused("must be a URL that begins with http:// or https://")
    if not parts.hostname or port == 0:
        raise AddressRefused("must be a URL; its host or its port is none")
    return parts


def _check_name(host: str, policy: AddressPolicy) -> None:
    """Check a host that is a name, or an IPv4 address."""
    name = _write_name(host)
    if len(name) > MAX_HOST_LENGTH or not _HOST_NAME.fullmatch(name):
        raise AddressRefused("must be a URL; its host is no name")
    last = name.rstrip(".").rpartition(".")
    # 127.1, 0x7f000001, 2130706433, 0177.0.0.1: what ends in a number is an address, and has to be a plain one.
    if _LOOKS_NUMERIC.fullmatch(last[2]):
        check_address(host, policy)
    elif policy.public_only and not policy.allowed and (not last[0] or last[2] in _LOCAL_NAMES):
        raise AddressRefused("must not be a name of this machine or of a private network")


def _check_port(parts: SplitResult) -> None:
    port = parts.port
    if port is None or port in _WEB_PORTS:
        return
    if port < FIRST_FREE_PORT or port in _SERVICE_PORTS:
        raise AddressRefused("must not have the port of another service than the web")


def _write_name(host: str) -> str:
    """Write a host in ASCII and lower case (UTS 46). Raises AddressRefused."""
    if host.isascii():
        return host.lower()
    try:
        return idna.encode(host, uts46=True).decode().lower()
    except UnicodeError as error:  # the library's own errors are of this kind
        raise AddressRefused("must be a URL; its host is no name") from error


def _write_authority(authority: str) -> str:
    """Write host and port in ASCII; what is ASCII stays as it is."""
    if authority.isascii():
        return authority
    host, mark, port = authority.partition(":")
    return f"{_write_name(host)}{mark}{port}"


def _parse_address(text: str) -> Address:
    try:
        address = ipaddress.ip_address(text)
    except ValueError as error:
        raise AddressRefused("must be an address in its plain form") from error
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise AddressRefused("must not be an address of one network link")
    return address
