"""Ports: binding them, their URLs, and errors.

A process can listen on every address, or on any free port. Browsers can open neither, so
the announced URL is derived from the socket when it is bound.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from tollhouse.kernel.errors import TollhouseError

Address = IPv4Address | IPv6Address

#: Connections that wait until a process accepts them.
BACKLOG = 2_048

LOOPBACK_NAME = "localhost"
LOOPBACK_V4 = "127.0.0.1"
LOOPBACK_V6 = "::1"


class PortUnavailable(TollhouseError):
    """The port cannot be listened on."""


@dataclass(frozen=True, slots=True)
class OpenPort:
    """A port that is bound. `host` is as it was given."""

    socket: socket.socket
    host: str

    @property
    def number(self) -> int:
        """The number, also where any free one was requested."""
        number: int = self.socket.getsockname()[1]
        return number

    @property
    def address(self) -> Address:
        """The address that is bound; unspecified where that is every one of this machine."""
        return ip_address(self.socket.getsockname()[0])

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        mapped = getattr(self.address, "ipv4_mapped", None)
        return (mapped or self.address).is_loopback

    @property
    def url(self) -> str:
        """The base URL for clients on this machine."""
        return build_url(self.host, self.number)

    @property
    def other_url(self) -> str:
        """The URL under another host name, so that browsers see two sites; without one the same URL."""
        own = url_host(self.host)
        names = (
            name for name in (LOOPBACK_NAME, LOOPBACK_V4, LOOPBACK_V6) if name != own and self._is_reached_by(name)
        )
        return build_url(next(names, self.host), self.number)

    def _is_reached_by(self, name: str) -> bool:
        found: set[Address] = set()
        with suppress(OSError):
            found = {ip_address(info[4][0]) for info in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)}
        return bool(found) and (self.address.is_unspecified or self.address in found)


def url_host(host: str) -> str:
    """Return the host for a URL: one address if it is all addresses of this machine, and IPv6 in brackets."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if address.is_unspecified:
        return LOOPBACK_V4
    return f"[{address}]".replace("%", "%25") if isinstance(address, IPv6Address) else str(address)


def build_url(host: str, port: int) -> str:
    """Return the base URL of a port."""
    return f"http://{url_host(host)}:{port}"


@contextmanager
def bind(host: str, port: int, *, option: str = "--port") -> Iterator[OpenPort]:
    """Bind a port to listen on later; 0 is any free port. Raises PortUnavailable."""
    family, address = _resolve(host, port)
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # `::` is every address, those of IPv4 too, independent of the system's default.
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        try:
            listener.bind(address)
        except OSError as error:
            raise PortUnavailable(_explain(error, host, port, option)) from None
        yield OpenPort(listener, host)


@contextmanager
def adopt(number: int, host: str) -> Iterator[OpenPort]:
    """Use a port that the parent bound, by the number of its open file."""
    with socket.socket(fileno=number) as listener:
        yield OpenPort(listener, host)


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, tuple[object, ...]]:
    with suppress(ValueError):
        address = ip_address(host)
        if getattr(address, "scope_id", None) is None:
            return (socket.AF_INET6 if address.version == 6 else socket.AF_INET), (host, port)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise PortUnavailable(f"The host {host} is unknown on this machine. Choose one of its addresses.") from None
    family, _, _, _, resolved = found[0]
    return family, resolved


def _explain(error: OSError, host: str, port: int, option: str) -> str:
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is not an address of this machine; choose one that is, or 0.0.0.0 for all."
    if error.errno == errno.EAFNOSUPPORT:
        return f"This machine has no IPv6. Choose an IPv4 address instead of {host}."
    why = {errno.EADDRINUSE: "is used by another process", errno.EACCES: "is not allowed for this user"}
    variable = f"TOLLHOUSE_{option.removeprefix('--').replace('-', '_').upper()}"
    reason = why.get(error.errno or 0, f"cannot be listened on ({error.strerror})")
    return f"Port {port} of {host} {reason}. Choose another with {option} or {variable}."
