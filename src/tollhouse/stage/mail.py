"""Emails and messages to consumers for the inbox. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from tollhouse.notices.model import EmailState, Notice
from tollhouse.notices.render import render_email
from tollhouse.phones.sender import RecordedMessage

CODE = re.compile(r"\b\d{6}\b")


@dataclass(frozen=True, slots=True)
class EmailView:
    """An email. `version` changes with any other field."""

    anchor: str
    notice_id: int
    version: str
    at: datetime
    kind: str
    state: str
    amount: str
    order_id: str
    transaction_id: str
    subscription_id: str
    to: str
    sender_name: str
    subject: str
    text: str
    attempts: int
    error: str
    next_at: datetime | None
    form: str = "letter"


@dataclass(frozen=True, slots=True)
class MessageView:
    """A message to a phone."""

    anchor: str
    version: str
    at: datetime
    channel: str
    code: str
    phone: str
    sender_name: str
    text: str
    form: str = "message"


def build_email_view(notice: Notice) -> EmailView:
    """Build an email from its row."""
    letter, facts = render_email(notice), notice.facts
    is_tried_again = notice.state is EmailState.WAITING and notice.error is not None
    return EmailView(
        anchor=f"letter-{notice.notice_id}",
        notice_id=notice.notice_id,
        version=f"{notice.state}-{notice.attempts}-{notice.error}",
        at=notice.created_at,
        kind=facts.kind.value,
        state=notice.state.value,
        amount=facts.money.to_text() if facts.money else "",
        order_id=facts.order_id,
        transaction_id=facts.transaction_id or "",
        subscription_id=facts.subscription_id or "",
        to=letter.to,
        sender_name=letter.sender_name,
        subject=letter.subject,
        text=letter.text,
        attempts=notice.attempts,
        error=notice.error or "",
        next_at=notice.due_at if is_tried_again else None,
    )


def build_message_view(shown: RecordedMessage) -> MessageView:
    """Build a message from its record."""
    message = shown.message
    code = CODE.search(message.text)
    return MessageView(
        anchor=f"message-{shown.number}-{int(shown.sent_at.timestamp())}",
        version="sent",
        at=shown.sent_at,
        channel=message.channel,
        code=code[0] if code else "",
        phone=message.phone.number,
        sender_name=message.sender_name,
        text=message.text,
    )
