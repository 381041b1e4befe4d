"""The records of the simulator. Frozen; no rules."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Literal
from uuid import UUID

from tollhouse.kernel.card import CardNumber, Expiry


class Delivery(Enum):
    """What happens on the way between gateway and issuer."""

    PROMPT = "prompt"
    #: Processed; the answer is lost.
    LOST = "lost"
    #: Lost before it was processed.
    DROPPED = "dropped"
    #: Processed at once, answered late.
    SLOW = "slow"
    #: Processed at once, never answered, the connection held open.
    SILENT = "silent"
    #: Processed and answered late; a reversal that comes meanwhile finds nothing, and stands.
    LATE = "late"
    #: The request arrives twice.
    TWICE = "twice"


class Condition(Enum):
    """What an approval still hangs on, which only the database knows; the value is the decline where it fails."""

    #: The network transaction id that a merchant shows was given out for this card, to its customer. "Invalid
    #: transaction" (ISO 8583 field 39) and not 1A: no cardholder can mend that the merchant names a wrong one.
    AGREEMENT = "12"
    #: The merchant has tried often enough under this agreement; the card says what the tries before are answered.
    TRIES = "card"

    #: The proof is real, unused, and of this card and amount.
    PROOF = "82"
    #: The Directory lately said that this card could not be authenticated.
    NOTE = "1A"
    #: There is enough on the card.
    BALANCE = "51"


@dataclass(frozen=True, slots=True)
class PublishedCard:
    """A card of the published set. Its number is no secret: it is printed in the documentation."""

    name: str
    number: str
    brand: str
    group: str
    does: str
    response_code: str = "00"
    advice_code: str | None = None
    #: transStatus of its authentications; None: never asks for one, and passes it if asked.
    authentication: str | None = None
    #: What an authenticated payment is answered; None: the response code, which comes before the question for a proof.
    proven_code: str | None = None
    method: Literal["answers", "silent"] | None = None
    delivery: Delivery = Delivery.PROMPT
    #: What every capture, void and credit of it is answered; None: what fits is approved.
    capture_code: str | None = None
    void_code: str | None = None
    credit_code: str | None = None
    #: The way of those messages.
    operation_delivery: Delivery = Delivery.PROMPT
    amount_decides: bool = False
    balance_minor: int | None = None
    balance_currency: str | None = None
    #: What a merchant's charge is answered, with what advice; None: as the customer's own.
    renewal_code: str | None = None
    renewal_advice: str | None = None
    #: How many tries under one agreement are answered so, from the first one on; None: each.
    renewal_declines: int | None = None
    #: What the account updater tells of it; None: nothing has changed.
    updater: Literal["new_expiry", "new_number", "closed", "ask_cardholder"] | None = None
    #: The date that the card has by now, as YYYY-MM. A merchant's charge with it is approved.
    new_expiry: str | None = None
    #: The name of the card that took its place.
    replaced_by: str | None = None
    #: How long after what it took the issuer charges it back; None: never.
    disputed_after_days: int | None = None


@dataclass(frozen=True, slots=True)
class ProofShown:
    """What the gateway says that 3-D Secure proved. One from elsewhere cannot be checked here, and is believed."""

    eci: str
    cavv: str
    directory_transaction_id: str
    is_external: bool = False


@dataclass(frozen=True, slots=True)
class FaultRule:
    """An authorization as the issuer sees it. `card` is None for a number that is not published."""

    reference: str
    acceptor: str
    number: CardNumber
    masked_number: str
    brand: str
    expiry: Expiry
    card: PublishedCard | None
    amount_minor: int
    currency: str
    capture: bool
    by_customer: bool
    consumer_ip: str | None
    proof: ProofShown | None
    emulate_code: str | None
    #: The network transaction id that a merchant's charge shows: of the approval by which its customer agreed.
    agreement: str | None = None
    #: The merchant's time of the transaction (ISO 8583 fields 7 and 12); None where the message had none.
    transacted_at: datetime | None = None


OperationKind = Literal["capture", "void", "credit"]


@dataclass(frozen=True, slots=True)
class Operation:
    """A capture, void or credit as the issuer sees it."""

    kind: OperationKind
    reference: str
    original_reference: str
    amount_minor: int
    currency: str
    emulate_code: str | None
    transacted_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the rules say; an approval stands only while its conditions hold."""

    response_code: str
    advice_code: str | None = None
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """What the issuer answered. Approved if and only if there is an approval code."""

    response_code: str
    advice_code: str | None
    approval_code: str | None
    network_transaction_id: str | None


@dataclass(frozen=True, slots=True)
class Entry:
    """One authorization on its way into the journal."""

    order: FaultRule
    result: Result
    conditions: tuple[Condition, ...]
    #: Whether an approval is answered even where the reversal came first, as if the two had met only in the books.
    outruns_reversal: bool


@dataclass(frozen=True, slots=True)
class Booking:
    """A dispute about what was taken, as it is put down: so many days after the transaction."""

    reference: str
    original_reference: str
    acceptor: str
    transacted_at: datetime | None
    after_days: int


@dataclass(frozen=True, slots=True)
class Silence:
    """The caller gets no answer, and the connection is dropped after so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class AuthenticationRequest:
    """What the Directory needs of an AReq."""

    threeds_server_trans_id: UUID
    message_version: str
    message_category: str
    number: CardNumber
    masked_number: str
    brand: str
    card: PublishedCard | None
    amount_minor: int
    currency: str
    merchant_name: str
    notification_url: str
    threeds_server_url: str
    takes_decoupled: bool
    #: A tag such as `de-CH`.
    language: str = "en"


@dataclass(frozen=True, slots=True)
class Assessment:
    """What the access control server thinks of an AReq."""

    status: str
    reason: str | None = None
    eci: str | None = None


@dataclass(frozen=True, slots=True)
class Authentication:
    """One row of the table of authentications; its columns are described in the migration."""

    acs_trans_id: UUID
    ds_trans_id: UUID
    threeds_server_trans_id: UUID
    message_version: str
    message_category: str
    card_name: str | None
    masked_number: str
    brand: str
    amount_minor: int
    currency: str
    merchant_name: str
    notification_url: str
    threeds_server_url: str
    first_status: str
    final_status: str | None
    status_reason: str | None
    eci: str | None
    cavv: str | None
    challenge_cancel: str | None
    wrong_codes: int
    opened_at: datetime | None
    expires_at: datetime
    reported_at: datetime | None
    spent_by: str | None
    created_at: datetime

    @property
    def is_open(self) -> bool:
        """Whether it still waits for the cardholder."""
        return self.final_status is None
