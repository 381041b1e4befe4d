"""Records of emails to consumers: the stored facts and the rendered email."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Self

import idna

from tollhouse.kernel.money import Currency, Money

#: An address that SMTP accepts without quoting: a dot-atom before the @, and a host with a dot after it. It has no
#: space, quote, angle bracket, comma or line end that could add anything to an address.
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
ADDRESS_FORM = re.compile(rf"(?=.{{1,64}}@){_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})+")
MAX_ADDRESS_LENGTH = 254
#: The start of an encoded word (RFC 2047), which mail libraries decode, possibly into a line end.
ENCODED_WORD = "=?"

DEFAULT_LANGUAGE = "en"


class NoticeKind(StrEnum):
    """The kind of an email."""

    RECEIPT = "receipt"
    REFUND = "refund"
    CANCELLATION = "cancellation"


class EmailState(StrEnum):
    """The state of an email."""

    WAITING = "waiting"
    SENT = "sent"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ReceiptRequest:
    """A receipt requested by a payment: the address, if it is not the consumer's own, and the language."""

    to: str | None = None
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Recipient:
    """The recipient of emails about a payment, their language and sender. Fixed when the payment begins."""

    to: str
    language: str
    shop: str


@dataclass(frozen=True, slots=True)
class EmailFacts:
    """The content of an email. `amount_minor` and `currency` are set if money moved; `at` is the time of the event.

    An email about a subscription has the subscription's ID. One about a transaction has its card and numbers.
    """

    kind: NoticeKind
    shop: str
    title: str
    descriptor: str
    order_id: str
    at: datetime
    amount_minor: int | None = None
    currency: str | None = None
    transaction_id: str | None = None
    brand: str = ""
    masked_number: str = ""
    approval_code: str | None = None
    subscription_id: str | None = None

    @property
    def money(self) -> Money | None:
        """The amount that moved, or None."""
        if self.amount_minor is None or self.currency is None:
            return None
        return Money(self.amount_minor, Currency.of(self.currency))

    def to_json(self) -> dict[str, Any]:
        """Return the facts for a JSON column."""
        return asdict(self) | {"at": self.at.isoformat()}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        """Parse facts from a JSON column."""
        return cls(**content | {"kind": NoticeKind(content["kind"]), "at": datetime.fromisoformat(content["at"])})


@dataclass(frozen=True, slots=True)
class Notice:
    """A stored email. `age` is the time since it was stored."""

    merchant_id: int
    notice_id: int
    recipient: str
    language: str
    facts: EmailFacts
    state: EmailState
    attempts: int
    created_at: datetime
    due_at: datetime
    age: timedelta
    error: str | None


@dataclass(frozen=True, slots=True)
class Email:
    """A rendered email. `name` is the same at every attempt: the part of its Message-ID before the @."""

    name: str
    to: str
    sender_name: str
    subject: str
    text: str
    html: str
    at: datetime


def read_recipient(text: str | None) -> str | None:
    """Return an email address with its host in ASCII (IDNA, UTS 46), or None if the text is not an address."""
    local, mark, domain = (text or "").strip().rpartition("@")
    try:
        host = domain if domain.isascii() else idna.encode(domain, uts46=True).decode()
    except UnicodeError:  # the base class of the library's errors
        return None
    address = f"{local}{mark}{host}"
    return address if is_address(address) else None


def is_address(text: str | None) -> bool:
    """Return whether a text is one valid email address."""
    if text is None or len(text) > MAX_ADDRESS_LENGTH or ENCODED_WORD in text:
        return False
    return ADDRESS_FORM.fullmatch(text) is not None
