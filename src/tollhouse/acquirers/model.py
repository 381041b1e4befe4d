"""The interface of acquirers: requests, outcomes, and the check that a response belongs to its request.

Only an explicit response approves or declines. Every other result after the first byte is `Unknown`, which is a state
and not an error. A message that was not sent is `RequestNotSent`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from msgspec import Struct

from tollhouse.kernel.card import Card, Cvv
from tollhouse.kernel.money import Money

#: ISO 8583 field 39: approved for a part of the amount.
PARTIAL = "10"

Initiator = Literal["customer", "merchant"]
Reason = Literal["one_click", "recurring", "unscheduled"]


@dataclass(frozen=True, slots=True)
class Proof:
    """The result of a 3-D Secure authentication for the issuer to verify. `cavv` is base64 of 20 bytes.

    `is_external` is true if another 3-D Secure server provided it; the Directory Server's ID may then be missing.
    """

    eci: str
    cavv: str
    directory_transaction_id: str | None
    version: str
    is_external: bool = False


@dataclass(frozen=True, slots=True)
class Authorization:
    """A request for a sale or an authorization.

    Its `reference` is committed before sending and identifies it permanently.

    `capture` is False for an authorization that is captured later; an amount of zero verifies the card.
    """

    reference: str
    money: Money
    card: Card
    cvv: Cvv | None
    capture: bool
    initiator: Initiator
    reason: Reason
    descriptor: str
    network_transaction_id: str | None = None
    proof: Proof | None = None
    consumer_ip: str | None = None
    emulate_code: str | None = None
    #: The acquirer's ID of the merchant (ISO 8583 field 42).
    acceptor: str = ""
    #: The acquirer account that the request named.
    mid: str | None = None
    #: The reason for skipping authentication, in the terms of the API: lowValue, tra, moto and so on.
    exemption: str | None = None
    #: The merchant's time of the transaction (ISO 8583 fields 7 and 12), from which issuers count days.
    transacted_at: datetime | None = None
    #: An instant of `kernel.clock.boot_seconds`. A connector checks it after connecting, right before the first byte;
    #: after it, the request is NotSent. By default nothing may be sent.
    send_before: float = 0.0


@dataclass(frozen=True, slots=True)
class AcquirerOperation:
    """A capture, void or refund. Its own `reference` is committed before sending and identifies it permanently.

    `original_reference` is that of the authorization or sale, or of its capture. A capture takes `money` and releases
    the rest of the hold; a void carries the whole amount that it releases; a refund may be part of the captured amount.
    """

    reference: str
    original_reference: str
    money: Money
    emulate_code: str | None = None
    #: As for an authorization.
    transacted_at: datetime | None = None
    #: As for an authorization.
    send_before: float = 0.0


class Approved(Struct, frozen=True):
    """The issuer approved. `network_transaction_id` links later merchant-initiated charges.

    Operations have none.
    """

    approval_code: str
    network_transaction_id: str | None
    response_code: str = "00"


@dataclass(frozen=True, slots=True)
class Declined:
    """The issuer declined, with its response code (ISO 8583 field 39) and possibly an advice code."""

    response_code: str
    advice_code: str | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """The outcome is unknown: the request may have been processed. `cause` is for the log."""

    cause: str


@dataclass(frozen=True, slots=True)
class NotSent:
    """The request did not reach the acquirer. `cause` is for the log."""

    cause: str


@dataclass(frozen=True, slots=True)
class ReferenceUnknown:
    """The acquirer does not know the reference of an inquiry."""


@dataclass(frozen=True, slots=True)
class Reversed:
    """The acquirer has reversed the reference, or does not know it and will reject it from now on."""


@dataclass(frozen=True, slots=True)
class DisputeQuery:
    """A query for disputes up to `until`, of one acceptor or of all.

    Acceptors whose clocks are ahead have their own instants, in `ahead`, at most 1000. `after` is the last dispute of
    the previous page.
    """

    until: datetime
    acceptor: str | None = None
    ahead: Mapping[str, datetime] = field(default_factory=dict)
    after: str | None = None


@dataclass(frozen=True, slots=True)
class AcquirerDispute:
    """A dispute of a sale or capture. `dispute_id` is the acquirer's and identifies it permanently.

    `reference` is that of the sale or capture, `reason` is the scheme's number, `due_at` is in the merchant's time.
    """

    dispute_id: str
    acceptor: str
    reference: str
    money: Money
    reason: str | None
    due_at: datetime


@dataclass(frozen=True, slots=True)
class AccountQuery:
    """A query to the account updater of the card's scheme. `reference` identifies the query, not a payment."""

    reference: str
    card: Card
    #: The acquirer's ID of the merchant.
    acceptor: str = ""


@dataclass(frozen=True, slots=True)
class Updated:
    """The issuer has issued a new expiry or a new number: `card` is the valid card.

    Network transaction IDs of the old number remain valid for the new one. They pass to a new number in no other way.
    """

    card: Card


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The account updater knows of no change. Issuers need not take part in it."""


@dataclass(frozen=True, slots=True)
class Closed:
    """The account is closed, without a replacement."""


@dataclass(frozen=True, slots=True)
class AskCardholder:
    """The card has changed, but the issuer does not share the change with merchants: ask the cardholder."""


Answer = Approved | Declined | Unknown | NotSent
Finding = Approved | Declined | Unknown | NotSent | ReferenceUnknown | Reversed
#: After Unknown and NotSent the query may be repeated.
Update = Updated | Unchanged | Closed | AskCardholder | Unknown | NotSent


class Acquirer(Protocol):
    """A connector. `resolves_by` is its method of resolving an unknown outcome: inquiry or reversal.

    `can_reverse` is False for an acquirer that cannot reverse by reference: attempts finished without its response are
    only queried again, and a late approval is left to the operator, who is alerted. `longest_delay_seconds` is the
    longest time until a request may be processed: "not found" before that proves nothing.
    """

    name: str
    resolves_by: Literal["inquire", "reverse"]
    can_reverse: bool
    timeout_seconds: float
    longest_delay_seconds: float

    async def authorize(self, order: Authorization) -> Answer:
        """Request a sale or an authorization. Never raises for failures of the acquirer or the network."""
        ...

    async def capture(self, operation: AcquirerOperation) -> Answer:
        """Capture all or part of an authorization. Never raises for failures of the acquirer or the network."""
        ...

    async def void(self, operation: AcquirerOperation) -> Answer:
        """Void an authorization, or a sale before settlement. Never raises, as above."""
        ...

    async def credit(self, operation: AcquirerOperation) -> Answer:
        """Refund all or part of a captured amount. Never raises, as above."""
        ...

    async def inquire(self, reference: str, money: Money) -> Finding:
        """Query the outcome of a reference, also of an operation. `money` is the amount of its request."""
        ...

    async def reverse(self, reference: str, money: Money) -> Finding:
        """Reverse the reference, or have it rejected if it arrives later. Safe to repeat."""
        ...

    async def update_account(self, query: AccountQuery) -> Update:
        """Query changes of a stored card (Visa Account Updater, Mastercard Automatic Billing Updater).

        This changes nothing, is safe to repeat, and never raises, as above.
        """
        ...

    async def list_disputes(self, query: DisputeQuery) -> tuple[AcquirerDispute, ...] | Unknown | NotSent:
        """Return a page of due disputes that were not acknowledged, in the order of their due times.

        A page has at most 100; an empty one is the end. Never raises, as above.
        """
        ...

    async def acknowledge_disputes(self, dispute_ids: Sequence[str]) -> bool:
        """Acknowledge at most 100 disputes, so that they are no longer listed.

        Return False if the outcome is unknown. Safe to repeat.
        """
        ...


@dataclass(frozen=True, slots=True)
class Echo:
    """The parts of a request that its response repeats. The amount is in minor units. None was not repeated."""

    reference: str
    amount_minor: int | None
    currency: str | None


def check_echo(finding: Finding, echo: Echo, *, reference: str, money: Money) -> Finding:
    """Return the outcome, or Unknown if the response repeats a different reference, amount or currency.

    An approval or a decline must repeat all three. A response about an unknown reference need not.
    """
    if echo.reference != reference:
        return Unknown("answer about another reference")
    if echo.amount_minor is None and echo.currency is None and not isinstance(finding, Approved | Declined):
        return finding
    if echo.currency != money.currency.code:
        return Unknown("answer about another currency")
    if not _is_amount_right(finding, echo.amount_minor, money):
        return Unknown("answer about another amount")
    return finding


def _is_amount_right(finding: Finding, amount_minor: int | None, money: Money) -> bool:
    """Return whether the amount is the requested one, or part of it for a partial approval."""
    if amount_minor is None:
        return False
    if isinstance(finding, Approved) and finding.response_code == PARTIAL:
        return amount_minor <= money.amount_minor
    return amount_minor == money.amount_minor
