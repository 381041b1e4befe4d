"""Letters to consumers, from the facts that are written down to the letter that is carried. Records; pure."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Self

import idna

from tollhouse.kernel.money import Currency, Money

#: One address, as SMTP takes it without quoting: what stands before the @ is a dot-atom, after it is a host with a dot.
#: No space, no quote, no angle bracket, no comma, no line end: nothing with which to say more than an address.
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
ADDRESS_FORM = re.compile(rf"(?=.{{1,64}}@){_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})+")
MAX_ADDRESS_LENGTH = 254
#: How an encoded word begins (RFC 2047), which mail libraries read as what it stands for: maybe a line end.
ENCODED_WORD = "=?"

DEFAULT_LANGUAGE = "en"


class NoticeKind(StrEnum):
    """What a letter is about."""

    RECEIPT = "receipt"
    REFUND = "refund"
    CANCELLATION = "cancellation"


class State(StrEnum):
    """Where a letter stands."""

    WAITING = "waiting"
    SENT = "sent"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ReceiptRequest:
    """A receipt as a request asks for it: to whom, if not to the consumer's own address, and in which language."""

    to: str | None = None
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Recipient:
    """To whom the letters about a purchase go, in which language, and in whose name. Fixed when the purchase begins."""

    to: str
    language: str
    shop: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What a letter says. `amount_minor` and `currency` are money, if any moved; `at` is when that happened.

    A letter about a subscription has its id, one about a transaction the card and the numbers of that.
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
        """What moved; None of a letter that tells of no money."""
        if self.amount_minor is None or self.currency is None:
            return None
        return Money(self.amount_minor, Currency.of(self.currency))

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self) | {"at": self.at.isoformat()}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        """Read plain data."""
        return cls(**content | {"kind": NoticeKind(content["kind"]), "at": datetime.fromisoformat(content["at"])})


@dataclass(frozen=True, slots=True)
class Notice:
    """A letter that is to be carried, or was. `age` is since it was written."""

    merchant_id: int
    notice_id: int
    recipient: str
    language: str
    facts: Facts
    state: State
    attempts: int
    created_at: datetime
    due_at: datetime
    age: timedelta
    error: str | None


@dataclass(frozen=True, slots=True)
class Email:
    """A letter as it is carried. `name` is the same at every attempt; the part of its Message-ID before the @."""

    name: str
    to: str
    sender_name: str
    subject: str
    text: str
    html: str
    at: datetime


def read_recipient(text: str | None) -> str | None:
    """Return the address to which a letter goes, its host in ASCII (IDNA, UTS 46); None if the text is no address."""
    local, mark, domain = (text or "").strip().rpartition("@")
    try:
        host = domain if domain.isascii() else idna.encode(domain, uts46=True).decode()
    except UnicodeError:  # the library's own errors are of this kind
        return None
    address = f"{local}{mark}{host}"
    return address if is_address(address) else None


def is_address(text: str | None) -> bool:
    """Tell whether a text is one address to which a letter can go."""
    if text is None or len(text) > MAX_ADDRESS_LENGTH or ENCODED_WORD in text:
        return False
    return ADDRESS_FORM.fullmatch(text) is not None
