"""What the two durable steps are given and what they give back. Records only; `payments.store` writes them."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID, uuid4

import msgspec
from msgspec import Struct

from tollhouse.consumers.store import ConsumerRow
from tollhouse.kernel.requests import Claim
from tollhouse.payments.model import AttemptState, Payment
from tollhouse.risk.model import RiskFacts
from tollhouse.threeds.model import Authentication
from tollhouse.vault.security_codes import SealedCode


class BeginRecord(Struct, frozen=True):
    """An intention to be committed. `resolve_seconds` is when the resolver may look at it."""

    payment: Payment
    claim: Claim | None
    token_id: UUID | None
    consumer: ConsumerRow | None
    resolve_seconds: float


@dataclass(frozen=True, slots=True)
class Committed:
    """The intention is durable: go on to the acquirer, unless what was found with it says otherwise."""

    facts: RiskFacts = field(default_factory=RiskFacts)
    is_account_disabled: bool = False


@dataclass(frozen=True, slots=True)
class KeyAlreadyClaimed:
    """The request id is somebody else's; nothing was written."""


@dataclass(frozen=True, slots=True)
class TokenAlreadyUsed:
    """The token was used or ran out meanwhile; nothing was written."""


@dataclass(frozen=True, slots=True)
class DoubleClick:
    """An equal payment is under way; this one was not written and leads to that one."""

    payment_id: int


@dataclass(frozen=True, slots=True)
class Outdated:
    """The subscription that it renews has changed since it was leased; nothing was written."""


Begun = Committed | KeyAlreadyClaimed | TokenAlreadyUsed | DoubleClick | Outdated


@dataclass(frozen=True, slots=True)
class Claimed:
    """Who holds a request id. `answer` is None while that request runs."""

    payment_id: int
    digest: bytes
    status: int | None
    answer: bytes | None
    #: The operation that took it; None for the payment itself.
    transaction_id: int | None = None


class FinishRecord(Struct, frozen=True):
    """An attempt to be moved from the state in which it was seen. `payment` is what it shall be.

    `answer` is what a repeat of the request gets; `following` the payment with its next attempt; `challenge` an
    authentication to be stored with its security code; `erase_code_of` the holder whose code dies with this move;
    `reversal` the reason to have the reference reversed (`payments.reversals`).
    `move_id` is by what a repeated batch knows its own moves again, when the answer to its COMMIT was lost.
    """

    payment: Payment
    expected: AttemptState
    answer: bytes | None = None
    resolve_seconds: float | None = None
    following: Payment | None = None
    following_resolve_seconds: float | None = None
    challenge: Authentication | None = None
    code: SealedCode | None = None
    erase_code_of: UUID | None = None
    reversal: str | None = None
    move_id: UUID = msgspec.field(default_factory=uuid4)
