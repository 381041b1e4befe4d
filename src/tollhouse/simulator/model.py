"""Records of the simulator."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Literal
from uuid import UUID

from tollhouse.kernel.card import CardNumber, Expiry


class DeliveryMode(Enum):
    """The delivery of a message between gateway and issuer."""

    PROMPT = "prompt"
    #: Processed; the response is lost.
    LOST = "lost"
    #: Lost before processing.
    DROPPED = "dropped"
    #: Processed at once, with a late response.
    SLOW = "slow"
    #: Processed at once, without a response; the connection stays open.
    SILENT = "silent"
    #: Processed late, with a response then. A reversal that arrives earlier finds nothing, and the approval stays.
    LATE = "late"
    #: The request arrives twice.
    TWICE = "twice"


class Condition(Enum):
    """A condition of an approval that only the database can check. The value is the response code if it fails."""

    #: The network transaction ID belongs to an approval of this card by its customer. The code is "Invalid transaction"
    #: (ISO 8583 field 39) and not 1A, because a cardholder cannot correct a merchant's wrong ID.
    AGREEMENT = "12"
    #: The merchant has made enough attempts under this network transaction ID; the card defines the response to earlier
    #: ones.
    TRIES = "card"

    #: The authentication value is genuine, unused, and for this card and amount.
    PROOF = "82"
    #: The Directory Server has lately reported that this card cannot be authenticated.
    NOTE = "1A"
    #: The balance of the card is sufficient.
    BALANCE = "51"


@dataclass(frozen=True, slots=True)
class PublishedCard:
    """A published test card. Its number is printed in the documentation and not secret."""

    name: str
    number: str
    brand: str
    group: str
    does: str
    response_code: str = "00"
    advice_code: str | None = None
    #: transStatus of its authentications. None: it requires none, and passes if one is requested.
    authentication: str | None = None
    #: The response code of an authenticated payment. None: `response_code`, which precedes the soft decline.
    proven_code: str | None = None
    method: Literal["answers", "silent"] | None = None
    delivery: DeliveryMode = DeliveryMode.PROMPT
    #: The response code of every capture, void and refund. None: possible operations are approved.
    capture_code: str | None = None
    void_code: str | None = None
    credit_code: str | None = None
    #: The delivery of those messages.
    operation_delivery: DeliveryMode = DeliveryMode.PROMPT
    amount_decides: bool = False
    balance_minor: int | None = None
    balance_currency: str | None = None
    #: The response code of a merchant-initiated charge, with its advice. None: as for the customer's own payment.
    renewal_code: str | None = None
    renewal_advice: str | None = None
    #: The number of first attempts under one network transaction ID with this response. None: all.
    renewal_declines: int | None = None
    #: The report of the account updater. None: no change.
    updater: Literal["new_expiry", "new_number", "closed", "ask_cardholder"] | None = None
    #: The card's current expiry, as YYYY-MM. A merchant-initiated charge with it is approved.
    new_expiry: str | None = None
    #: The name of the card that replaced it.
    replaced_by: str | None = None
    #: Days from a capture to its chargeback. None: never.
    disputed_after_days: int | None = None


@dataclass(frozen=True, slots=True)
class ReceivedProof:
    """The 3-D Secure result in a message. A result from another 3DS Server cannot be checked here, and is accepted."""

    eci: str
    cavv: str
    directory_transaction_id: str
    is_external: bool = False


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """An authorization request. `card` is None for a number that is not published."""

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
    proof: ReceivedProof | None
    emulate_code: str | None
    #: The network transaction ID in a merchant-initiated charge: of the approval by which its customer agreed.
    agreement: str | None = None
    #: The merchant's time of the transaction (ISO 8583 fields 7 and 12). None if the message had none.
    transacted_at: datetime | None = None


OperationKind = Literal["capture", "void", "credit"]


@dataclass(frozen=True, slots=True)
class OperationMessage:
    """A capture, void or refund request."""

    kind: OperationKind
    reference: str
    original_reference: str
    amount_minor: int
    currency: str
    emulate_code: str | None
    transacted_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class IssuerVerdict:
    """The decision of the rules. An approval is final only if its conditions hold."""

    response_code: str
    advice_code: str | None = None
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class IssuerResponse:
    """The issuer's response. Approved if and only if there is an approval code."""

    response_code: str
    advice_code: str | None
    approval_code: str | None
    network_transaction_id: str | None


@dataclass(frozen=True, slots=True)
class JournalRow:
    """An authorization to be journaled."""

    order: AuthorizationRequest
    result: IssuerResponse
    conditions: tuple[Condition, ...]
    #: Whether an approval is returned even if the reversal came first, as if they had met only in the ledger.
    outruns_reversal: bool


@dataclass(frozen=True, slots=True)
class Booking:
    """A scheduled dispute of a capture, a number of days after the transaction."""

    reference: str
    original_reference: str
    acceptor: str
    transacted_at: datetime | None
    after_days: int


@dataclass(frozen=True, slots=True)
class Silence:
    """No response: the connection is dropped after a number of seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class ReceivedAreq:
    """The parts of an AReq that the Directory Server uses."""

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
    """The ACS's decision about an AReq."""

    status: str
    reason: str | None = None
    eci: str | None = None


@dataclass(frozen=True, slots=True)
class SimulatedAuthentication:
    """A row of the table of authentications. The migration describes its columns."""

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
        """Whether it waits for the cardholder."""
        return self.final_status is None
