"""The address and security of the mail server."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from urllib.parse import unquote, urlsplit


class Security(Enum):
    """The encryption of the connection to the server. No option falls back to a weaker one."""

    TLS = "smtps"
    START_TLS = "smtp"
    NONE = "smtp+plain"


PORTS = {Security.TLS: 465, Security.START_TLS: 587, Security.NONE: 25}


@dataclass(frozen=True, slots=True)
class Server:
    """A mail server."""

    host: str
    port: int
    security: Security
    user: str | None
    password: str | None

    def __repr__(self) -> str:
        return f"Server({self.host}:{self.port})"


def parse_server(url: str) -> Server:
    """Parse `smtps://user:password@host:port`, `smtp://` (STARTTLS, required) or `smtp+plain://` (no encryption).

    Raises ValueError, whose text does not repeat the URL.
    """
    try:
        parts = urlsplit(url)
        security, host, port = Security(parts.scheme), parts.hostname, parts.port
    except ValueError:
        raise ValueError("must begin with smtps://, smtp:// or smtp+plain:// and name a server") from None
    if not host or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("must be a scheme, user and password if needed, a host and a port if needed, and nothing else")
    return Server(
        host=host,
        port=port or PORTS[security],
        security=security,
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
    )
