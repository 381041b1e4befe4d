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
from typing import TYPE_CHECKING

import aiosmtplib
import structlog

from tollhouse.notices.carrier import Carried, Delayed, Outcome, Refused
from tollhouse.notices.server import Security

if TYPE_CHECKING:
    from tollhouse.notices.model import Email
    from tollhouse.notices.server import Server

#: The timeout of one response of the server, and of one email as a whole.
ANSWER_SECONDS = 10.0
LETTER_SECONDS = 30.0

#: Every byte of an email is ASCII, so that any server accepts it.
POLICY = SMTP.clone(cte_type="7bit")

log = structlog.get_logger()


class Lost(Delayed):
    """A delay because the server is unavailable, which delays the rest of the batch too."""


class SmtpCarrier:
    """A mail transport to one server, from one sender address.

    Without a TLS context, system certificates are trusted.
    """

    def __init__(self, server: Server, *, sender: str, tls_context: ssl.SSLContext | None = None) -> None:
        self._server = server
        self._sender = sender
        self._tls_context = tls_context

    async def carry(self, letters: Sequence[Email]) -> AsyncGenerator[Outcome]:
        """Send emails one after the other. After the connection is lost, the rest is delayed."""
        client = self._open_client()
        outcome: Outcome = Carried()
        try:
            for letter in letters:
                if not isinstance(outcome, Lost):
                    outcome = await self._try_one(client, letter)
                yield outcome
        finally:
            await _part(client)

    async def _try_one(self, client: aiosmtplib.SMTP, letter: Email) -> Outcome:
        """Send one email. An email that cannot be built does not affect others."""
        try:
            message = build_message(letter, sender=self._sender)
        except Exception:
            log.exception("letter.not_written", name=letter.name)
            return Delayed("internal")
        try:
            if not client.is_connected:
                await client.connect()
            return await self._carry_one(client, letter, message)
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            log.warning("mail server failed", server=repr(self._server), error=type(error).__name__)
            return Lost(describe(error))
        except Exception:
            log.exception("letter.not_carried", name=letter.name)
            return Delayed("internal")

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
            timeout=ANSWER_SECONDS,
        )

    async def _carry_one(self, client: aiosmtplib.SMTP, letter: Email, message: EmailMessage) -> Outcome:
        try:
            async with asyncio.timeout(LETTER_SECONDS):
                await client.send_message(message, sender=self._sender, recipients=[letter.to])
        except aiosmtplib.SMTPRecipientsRefused as error:
            code = error.recipients[0].code
            return Refused(f"{code}") if 500 <= code < 600 else Delayed(f"{code}")
        except aiosmtplib.SMTPDataError as error:
            return Refused(f"{error.code}") if 500 <= error.code < 600 else Delayed(f"{error.code}")
        except aiosmtplib.SMTPSenderRefused as error:
            return Delayed(f"{error.code}, the sender was refused")
        return Carried()


def build_message(letter: Email, *, sender: str) -> EmailMessage:
    """Build a message with a plain text part and an HTML part.

    The library rejects line ends in headers; header texts are made one line before.
    """
    user, _, domain = sender.rpartition("@")
    message = EmailMessage(policy=POLICY)
    message["From"] = Address(letter.sender_name, user, domain)
    message["To"] = letter.to
    message["Subject"] = letter.subject
    message["Date"] = format_datetime(letter.at)
    message["Message-ID"] = f"<{letter.name}@{domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(letter.text)
    message.add_alternative(letter.html, subtype="html")
    return message


def describe(error: BaseException) -> str:
    """Describe a server failure briefly, without the server's text, which may contain personal data."""
    code = getattr(error, "code", None)
    return f"{code}" if isinstance(code, int) and code > 0 else type(error).__name__


async def _part(client: aiosmtplib.SMTP) -> None:
    """Say QUIT if the connection is open, and close it."""
    if client.is_connected:
        with suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
            await client.quit()
    client.close()
