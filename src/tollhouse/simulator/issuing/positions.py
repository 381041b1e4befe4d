"""The state of an authorization or sale, and the effects of captures, voids and refunds.

A capture takes an amount from the hold and releases the rest. A void ends the transaction and returns the whole amount.
A refund returns part of the captured amount.
"""

from __future__ import annotations

from dataclasses import dataclass

from tollhouse.simulator import rules
from tollhouse.simulator.model import OperationKind, OperationMessage, PublishedCard

#: Response codes of ISO 8583 field 39.
INVALID_AMOUNT = "13"
NO_SUCH_RECORD = "25"

#: The kinds that operations act on.
ORIGINAL_KINDS = frozenset({"sale", "authorization", "verification"})


@dataclass(frozen=True, slots=True)
class CardBalance:
    """The state of an authorization, sale or verification.

    `is_live` is true if it is approved, not reversed and not voided.
    """

    reference: str
    kind: str
    masked_number: str
    card_name: str | None
    acceptor: str
    currency: str
    amount_minor: int
    captured_minor: int
    released_minor: int
    credited_minor: int
    is_live: bool
    is_voided: bool

    @property
    def held_minor(self) -> int:
        """The amount that may still be captured."""
        if self.kind != "authorization" or not self.is_live:
            return 0
        return self.amount_minor - self.captured_minor - self.released_minor

    @property
    def taken_minor(self) -> int:
        """The amount that may still be refunded."""
        if not self.is_live:
            return 0
        return (self.amount_minor if self.kind == "sale" else self.captured_minor) - self.credited_minor


@dataclass(frozen=True, slots=True)
class BalanceChange:
    """The effect of an operation or its reversal.

    `returned_minor` goes back to the card, or is taken from it if negative.
    """

    is_voided: bool
    captured_minor: int = 0
    released_minor: int = 0
    credited_minor: int = 0
    returned_minor: int = 0


def choose_response_code(operation: OperationMessage, position: CardBalance | None, card: PublishedCard | None) -> str:
    """Return the response code: the one that the request or the card forces, else whether the operation is possible."""
    forced = _force(operation, card)
    return forced if forced != rules.APPROVED else _fit(operation, position)


def carry_out(operation: OperationMessage, position: CardBalance) -> BalanceChange:
    """Return the effect of an approved operation."""
    amount, held = operation.amount_minor, position.held_minor
    if operation.kind == "capture":
        return BalanceChange(
            position.is_voided, captured_minor=amount, released_minor=held - amount, returned_minor=held - amount
        )
    if operation.kind == "void":
        return BalanceChange(is_voided=True, returned_minor=amount)
    return BalanceChange(position.is_voided, credited_minor=amount, returned_minor=amount)


def undo(kind: OperationKind, amount_minor: int, position: CardBalance) -> BalanceChange:
    """Return the effect of reversing an approved operation. The part that a capture released stays released."""
    if kind == "capture":
        return BalanceChange(position.is_voided, captured_minor=-amount_minor)
    if kind == "void":
        return BalanceChange(is_voided=False, returned_minor=-amount_minor)
    return BalanceChange(position.is_voided, credited_minor=-amount_minor, returned_minor=-amount_minor)


def _force(operation: OperationMessage, card: PublishedCard | None) -> str:
    """Return the code that the request emulates, else the card's code for operations of this kind."""
    if operation.emulate_code is not None:
        return rules.emulated_response(operation.emulate_code)
    if card is None:
        return rules.APPROVED
    if card.amount_decides:
        return rules.respond_by_amount(operation.amount_minor, operation.currency)
    codes = {"capture": card.capture_code, "void": card.void_code, "credit": card.credit_code}
    return codes[operation.kind] or rules.APPROVED


def _fit(operation: OperationMessage, position: CardBalance | None) -> str:
    if position is None:
        return NO_SUCH_RECORD
    if not position.is_live or position.currency != operation.currency:
        return rules.INVALID_TRANSACTION
    amount = operation.amount_minor
    if operation.kind == "void":
        if position.credited_minor:
            return rules.INVALID_TRANSACTION
        return rules.APPROVED if amount == position.held_minor + position.taken_minor else INVALID_AMOUNT
    most = position.held_minor if operation.kind == "capture" else position.taken_minor
    return rules.APPROVED if 0 < amount <= most else INVALID_AMOUNT
