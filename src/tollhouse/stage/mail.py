"""Emails and messages to consumers for the inbox. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from tollhouse.notices.model import Email, Notice
from tollhouse.phones.sender import RecordedMessage

CODE = re.compile(r"\b\d{6}\b")


@dataclass(frozen=True, slots=True)
class EmailView:
    """An email, with the row from which it is rendered."""

    notice: Notice
    email: Email
    form: str = "letter"

    @property
    def at(self) -> datetime:
        """The creation time, as of all entries of the inbox."""
        return self.notice.created_at

    @property
    def anchor(self) -> str:
        """The name of the email on the page."""
        return f"letter-{self.notice.notice_id}"

    @property
    def version(self) -> str:
        """A text that changes with anything that is shown."""
        return f"{self.notice.state}-{self.notice.attempts}-{self.notice.error}"


@dataclass(frozen=True, slots=True)
class MessageView:
    """A message to a phone."""

    record: RecordedMessage
    form: str = "message"
    version: str = "sent"

    @property
    def at(self) -> datetime:
        """The creation time, as of all entries of the inbox."""
        return self.record.sent_at

    @property
    def anchor(self) -> str:
        """The name of the message on the page."""
        return f"message-{self.record.number}-{int(self.at.timestamp())}"

    @property
    def code(self) -> str:
        """The code in the text."""
        found = CODE.search(self.record.message.text)
        return found[0] if found else ""
