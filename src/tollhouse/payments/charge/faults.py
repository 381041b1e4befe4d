"""Faults of a payment request, in terms of payments. Where each subject is in a body or a form, the edges know."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from msgspec import Struct

from tollhouse.kernel.errors import Invalid


class Subject(StrEnum):
    """The part of a payment request that has a fault."""

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


class Fault(Struct, frozen=True):
    """One fault: `text` follows the name of the subject. `item` is the position of the item, where it is of one."""

    subject: Subject
    text: str
    item: int | None = None


class PaymentRejected(Invalid):
    """The payment request has faults."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        super().__init__({})
        self.faults = tuple(faults)
