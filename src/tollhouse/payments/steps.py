"""Records that begin and finish take and return. `payments.store` writes them."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID, uuid4

import msgspec
from msgspec import Struct

from tollhouse.consumers.store import ConsumerRow
from tollhouse.idempotency.model import Claim
from tollhouse.payments.model import AttemptState, Payment
from tollhouse.risk.assess import RiskFacts
from tollhouse.threeds.model import Authentication
from tollhouse.vault.security_codes import SealedCode


class BeginRecord(Struct, frozen=True):
    """A payment to begin. `resolve_seconds` is the time until the resolver may query its attempt."""

    payment: Payment
    claim: Claim | None
    token_id: UUID | None
    consumer: ConsumerRow | None
    resolve_seconds: float


class Committed(Struct, frozen=True):
    """The payment is begun. The facts decide whether the acquirer is called."""

    facts: RiskFacts = RiskFacts()
    is_account_disabled: bool = False


@dataclass(frozen=True, slots=True)
class KeyAlreadyClaimed:
    """The idempotency key belongs to another request; nothing was written."""


@dataclass(frozen=True, slots=True)
class TokenAlreadyUsed:
    """The token was used or expired meanwhile; nothing was written."""


@dataclass(frozen=True, slots=True)
class DoubleClick:
    """An equal payment exists; this one was not written."""

    payment_id: int


@dataclass(frozen=True, slots=True)
class Outdated:
    """The subscription has changed since it was leased; nothing was written."""


Begun = Committed | KeyAlreadyClaimed | TokenAlreadyUsed | DoubleClick | Outdated


class FinishRecord(Struct, frozen=True):
    """A change of an attempt from the `expected` state. `payment` is the payment after it.

    `answer` is the response for repeats; `following` the payment with its next attempt; `challenge` an authentication
    to be stored, with its security code `code`; `erase_code_of` the holder of the code to be deleted; `reversal` the
    reason to reverse the reference (`payments.reversals`). A repeated batch recognizes its own changes by `move_id` if
    the response to its COMMIT was lost.
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
