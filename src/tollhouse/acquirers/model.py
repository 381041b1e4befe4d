"""What the gateway asks of an acquirer, and the answers it understands.

Only an explicit answer approves or declines. Whatever else happens after the first byte was sent is `Unknown`,
which is a state and not an error; a message that surely never left is `NotSent`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from tollhouse.kernel.card import Card, Cvv
from tollhouse.kernel.money import Money

#: ISO 8583 field 39: approved for a part of the amount.
PARTIAL = "10"

Initiator = Literal["customer", "merchant"]
Reason = Literal["one_click", "recurring", "unscheduled"]


@dataclass(frozen=True, slots=True)
class Proof:
    """What 3-D Secure proved, for the issuer to check. `cavv` is base64 of 20 bytes.

    `is_external` tells that another 3-D Secure server than ours brought it, and the Directory's id may then be missing.
    """

    eci: str
    cavv: str
    directory_transaction_id: str | None
    version: str
    is_external: bool = False


@dataclass(frozen=True, slots=True)
class Authorization:
    """One request for money. `reference` was committed before it is sent and names it for ever.

    `capture` is False for an authorization that is captured later; an amount of zero verifies the account.
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
    #: Names the merchant to the acquirer (ISO 8583 field 42).
    acceptor: str = ""
    #: The merchant account that the request named, as it named it.
    mid: str | None = None
    #: Why the cardholder was not authenticated, in the words of the wire: lowValue, tra, moto and so on.
    exemption: str | None = None
    #: The merchant's time of the transaction (ISO 8583 fields 7 and 12), from which issuers count days.
    transacted_at: datetime | None = None
    #: An instant of `kernel.clock.boot_seconds`. A connector checks it once it is connected, right before the first
    #: byte; past it the request is NotSent. By default nothing may be sent.
    send_before: float = 0.0


@dataclass(frozen=True, slots=True)
class Operation:
    """A capture, void or credit. `reference` is its own, committed before it is sent, and names it for ever.

    `original_reference` is that of the authorization or sale, or of its capture. A capture takes `money` and releases
    the rest of what was held; a void carries all that it releases; a credit may be a part of what was captured.
    """

    reference: str
    original_reference: str
    money: Money
    emulate_code: str | None = None
    #: As that of an authorization.
    transacted_at: datetime | None = None
    #: As that of an authorization.
    send_before: float = 0.0


@dataclass(frozen=True, slots=True)
class Approved:
    """The issuer approved. `network_transaction_id` names the agreement in later merchant-initiated charges.

    Operations have none.
    """

    approval_code: str
    network_transaction_id: str | None
    response_code: str = "00"


@dataclass(frozen=True, slots=True)
class Declined:
    """The issuer declined, with its response code of ISO 8583 field 39 and perhaps an advice code."""

    response_code: str
    advice_code: str | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """The request may have been processed; nobody here knows. `cause` is for the log."""

    cause: str


@dataclass(frozen=True, slots=True)
class NotSent:
    """The request surely did not reach the acquirer. `cause` is for the log."""

    cause: str


@dataclass(frozen=True, slots=True)
class NotFound:
    """The acquirer, asked about a reference, knows nothing of it."""


@dataclass(frozen=True, slots=True)
class Reversed:
    """The acquirer has reversed what the reference named, or never had it and will refuse it from now on."""


@dataclass(frozen=True, slots=True)
class DisputeQuery:
    """A question about what issuers have charged back by `until`: of one acceptor, or of all.

    Acceptors whose clocks are ahead have an instant of their own, in `ahead`; there are at most 1000. `after` is the
    last dispute of the page before.
    """

    until: datetime
    acceptor: str | None = None
    ahead: Mapping[str, datetime] = field(default_factory=dict)
    after: str | None = None


@dataclass(frozen=True, slots=True)
class Dispute:
    """An issuer took money back of a sale or a capture. `dispute_id` is the acquirer's and names it for ever.

    `reference` is that of the sale or capture, `reason` as the scheme numbers them, `due_at` the merchant's time.
    """

    dispute_id: str
    acceptor: str
    reference: str
    money: Money
    reason: str | None
    due_at: datetime


@dataclass(frozen=True, slots=True)
class AccountQuery:
    """A question to the account updater of the card's scheme. `reference` names the question, and no payment."""

    reference: str
    card: Card
    #: Names the merchant to the acquirer.
    acceptor: str = ""


@dataclass(frozen=True, slots=True)
class Updated:
    """The issuer has given the cardholder a new date, or a card with a new number: `card` is what is good now.

    The agreements of the old number go on with the new one; there is no other way for them to pass to a number.
    """

    card: Card


@dataclass(frozen=True, slots=True)
class Unchanged:
    """Nothing is new, as far as the updater knows; issuers need not take part in it."""


@dataclass(frozen=True, slots=True)
class Closed:
    """The account is closed, and no other takes its place."""


@dataclass(frozen=True, slots=True)
class AskCardholder:
    """The issuer has something new and does not tell it to merchants: ask the cardholder."""


Answer = Approved | Declined | Unknown | NotSent
Finding = Approved | Declined | Unknown | NotSent | NotFound | Reversed
#: Of these, Unknown and NotSent say no more than that the question may be asked again.
Update = Updated | Unchanged | Closed | AskCardholder | Unknown | NotSent


class Acquirer(Protocol):
    """A connector. `settles` says how an unknown outcome is cleared: asked about, or reversed.

    `can_reverse` is False for an acquirer that undoes nothing by its reference: then it is only asked again about what
    was settled without its answer, and an approval that comes too late is left to the operator, who is alerted.
    `longest_delay_seconds` is the longest time after which a request may still be processed: a "not found" before that
    proves nothing.
    """

    name: str
    settles: Literal["inquire", "reverse"]
    can_reverse: bool
    timeout_seconds: float
    longest_delay_seconds: float

    async def authorize(self, order: Authorization) -> Answer:
        """Ask for the money. Never raises for what the acquirer or the network does."""
        ...

    async def capture(self, operation: Operation) -> Answer:
        """Take what an authorization holds, or a part of it. Never raises for what the acquirer or the network does."""
        ...

    async def void(self, operation: Operation) -> Answer:
        """Release what an authorization holds, or undo a sale before it is settled. Never raises, as above."""
        ...

    async def credit(self, operation: Operation) -> Answer:
        """Give captured money back, or a part of it. Never raises, as above."""
        ...

    async def inquire(self, reference: str, money: Money) -> Finding:
        """Ask what became of a reference, an operation's too; `money` is what was asked under it."""
        ...

    async def reverse(self, reference: str, money: Money) -> Finding:
        """Undo whatever the reference named, or have it refused when it comes; safe to repeat."""
        ...

    async def update_account(self, query: AccountQuery) -> Update:
        """Ask what is new about a stored card (Visa Account Updater, Mastercard Automatic Billing Updater).

        It only asks: safe to repeat, and never raises, as above.
        """
        ...

    async def list_disputes(self, query: DisputeQuery) -> tuple[Dispute, ...] | Unknown | NotSent:
        """Return a page of disputes that are due and were not acknowledged, in the order in which they fell due.

        A page has at most 100; an empty one is the end. Never raises, as above.
        """
        ...

    async def acknowledge_disputes(self, dispute_ids: Sequence[str]) -> bool:
        """Let disputes be told no more, at most 100; False when nobody knows whether they are. Safe to repeat."""
        ...
