"""Faults of requests by subject. The edges map each subject to a field of a body, a path or a form."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from msgspec import Struct

from tollhouse.kernel.errors import Invalid


class Subject(StrEnum):
    """The part of a request that has a fault."""

    #: Of an item.
    SITE = "site"
    SKU = "SKU"
    PRICES = "prices"
    CURRENCY = "currency"
    #: Of the source.
    SOURCE = "source"
    TOKEN = "token"  # noqa: S105 - a name
    STORED_CARD = "stored card"
    SOURCE_CONSUMER = "consumer of the source"
    SECURITY_CODE = "security code"
    INITIATOR = "initiator"
    ACQUIRER_ACCOUNT = "acquirer account"
    #: Of the consumer.
    CONSUMER = "consumer"
    EXTERNAL_ID = "external ID"
    #: Of the payment.
    CALLBACK_URL = "callback URL"
    REDIRECT_URL = "redirect URL"
    #: Of an operation, which also has a currency.
    TRANSACTION = "transaction"
    AMOUNT = "amount"
    #: Of a message to a phone.
    CHANNEL = "channel"


class Fault(Struct, frozen=True):
    """One fault: `text` follows the name of the subject; `item` is the position of the item, if it has one."""

    subject: Subject
    text: str
    item: int | None = None


class RequestRejected(Invalid):
    """The request is invalid. Correct the fields in errors."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        super().__init__({})
        self.faults = tuple(faults)


def reject(subject: Subject, text: str) -> RequestRejected:
    """Return the rejection of a request with one fault."""
    return RequestRejected([Fault(subject, text)])
