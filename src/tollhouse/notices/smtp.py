"""Send emails to a mail server by SMTP.

One connection sends a batch. An email whose address the server rejects is not retried. After failures that can be fixed
elsewhere (a login, a full queue, a broken connection) it is.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

import aiosmtplib
import structlog

from tollhouse.notices.model import Email
from tollhouse.notices.transport import EmailDelayed, EmailRejected, EmailSent, Outcome, Security, Server

#: The timeout of one response of the server, and of one email as a whole.
RESPONSE_TIMEOUT_SECONDS = 10.0
EMAIL_TIMEOUT_SECONDS = 30.0

#: Every byte of an email is ASCII, so that any server accepts it.
POLICY = SMTP.clone(cte_type="7bit")

log = structlog.get_logger()


class ConnectionLost(EmailDelayed):
    """A delay because the server is unavailable, which delays the rest of the batch too."""


class SmtpTransport:
    """A mail transport to one server, from one sender address.

    Without a TLS context, system certificates are trusted.
    """

    def __init__(self, server: Server, *, sender: str, tls_context: ssl.SSLContext | None = None) -> None:
        self._server = server
        self._sender = sender
        self._tls_context = tls_context

    async def send_emails(self, emails: Sequence[Email]) -> AsyncGenerator[Outcome]:
        """Send emails one after the other. After the connection is lost, the rest is delayed."""
        client = self._open_client()
        outcome: Outcome = EmailSent()
        try:
            for email in emails:
                if not isinstance(outcome, ConnectionLost):
                    outcome = await self._try_one(client, email)
                yield outcome
        finally:
            await _disconnect(client)

    async def _try_one(self, client: aiosmtplib.SMTP, email: Email) -> Outcome:
        """Send one email. An email that cannot be built does not affect others."""
        try:
            message = build_message(email, sender=self._sender)
        except Exception:
            log.exception("email.render_failed", name=email.name)
            return EmailDelayed("internal")
        try:
            if not client.is_connected:
                await client.connect()
            return await self._carry_one(client, email, message)
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            log.warning("mail_server.failed", server=repr(self._server), error=type(error).__name__)
            return ConnectionLost(describe_failure(error))
        except Exception:
            log.exception("email.send_failed", name=email.name)
            return EmailDelayed("internal")

    def _open_client(self) -> aiosmtplib.SMTP:
        server = self._server
        return aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.user,
            password=server.password,
            use_tls=server.security is Security.TLS,
            start_tls=server.security is Security.START_TLS,
            tls_context=self._tls_context,
            timeout=RESPONSE_TIMEOUT_SECONDS,
        )

    async def _carry_one(self, client: aiosmtplib.SMTP, email: Email, message: EmailMessage) -> Outcome:
        try:
            async with asyncio.timeout(EMAIL_TIMEOUT_SECONDS):
                await client.send_message(message, sender=self._sender, recipients=[email.to])
        except aiosmtplib.SMTPRecipientsRefused as error:
            code = error.recipients[0].code
            return EmailRejected(f"{code}") if 500 <= code < 600 else EmailDelayed(f"{code}")
        except aiosmtplib.SMTPDataError as error:
            return EmailRejected(f"{error.code}") if 500 <= error.code < 600 else EmailDelayed(f"{error.code}")
        except aiosmtplib.SMTPSenderRefused as error:
            return EmailDelayed(f"{error.code}, the sender was refused")
        return EmailSent()


def build_message(email: Email, *, sender: str) -> EmailMessage:
    """Build a message with a plain text part and an HTML part.

    The library rejects line ends in headers; header texts are made one line before.
    """
    user, _, domain = sender.rpartition("@")
    message = EmailMessage(policy=POLICY)
    message["From"] = Address(email.sender_name, user, domain)
    message["To"] = email.to
    message["Subject"] = email.subject
    message["Date"] = format_datetime(email.at)
    message["Message-ID"] = f"<{email.name}@{domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(email.text)
    message.add_alternative(email.html, subtype="html")
    return message


def describe_failure(error: BaseException) -> str:
    """Describe a server failure briefly, without the server's text, which may contain personal data."""
    code = getattr(error, "code", None)
    return f"{code}" if isinstance(code, int) and code > 0 else type(error).__name__


async def _disconnect(client: aiosmtplib.SMTP) -> None:
    """Send QUIT if the connection is open, and close it."""
    if client.is_connected:
        with suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
            await client.quit()
    client.close()
