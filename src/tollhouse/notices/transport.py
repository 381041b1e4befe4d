"""The interface of mail transports, and the transport of stage."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

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
