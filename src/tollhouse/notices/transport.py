"""The interface of mail transports, the transport of stage, and the address and security of a mail server."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol
from urllib.parse import unquote, urlsplit

from tollhouse.notices.model import Email


@dataclass(frozen=True, slots=True)
class EmailSent:
    """The mail server accepted the email."""


@dataclass(frozen=True, slots=True)
class EmailDelayed:
    """The email was not sent and may be sent later. The text gives the reason briefly, without the content."""

    text: str


@dataclass(frozen=True, slots=True)
class EmailRejected:
    """The mail server rejects this email permanently, because the address does not exist."""

    text: str


Outcome = EmailSent | EmailDelayed | EmailRejected


class MailTransport(Protocol):
    """A transport of emails."""

    def send_emails(self, emails: Sequence[Email]) -> AsyncGenerator[Outcome]:
        """Send emails one after the other over one connection, and yield the outcome of each at once.

        An email is started only when the next outcome is requested. Does not raise for failures of the server or the
        network, nor for an email that cannot be built.
        """
        ...


class RecordingMailTransport:
    """The mail transport of stage. It sends nothing; the inbox page shows the stored emails."""

    async def send_emails(self, emails: Sequence[Email]) -> AsyncGenerator[Outcome]:
        """Accept every email."""
        for _ in emails:
            yield EmailSent()


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
