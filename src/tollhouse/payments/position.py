"""What may still be done with a payment. Pure: the transactions of one purchase, and the rules that follow from them.

authorization ──> capture ──> credit, credit ...
       │             │
       └──> void     └──> void, while nothing was credited
sale ──> credit, credit ...     or void, while nothing was credited
The issuer may charge back what was captured and not credited.

What is open counts as done where that would take money away from somebody else: an open credit is not left to credit,
an open capture or void lets nothing else begin. One that failed never was.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from tollhouse.kernel.errors import Invalid, StillRunning
from tollhouse.kernel.money import AmountError, Currency, Money
from tollhouse.payments.model import AttemptState, Mode, Status

#: Of one purchase, its first one among them.
MAX_TRANSACTIONS = 1_000

#: Where the ids of operations lead to is said under this name.
PATH = "transactionId"

STILL_OPEN = "Another operation on this payment is still open; repeat this one when its outcome is known."


@dataclass(frozen=True, slots=True)
class Step:
    """One transaction of a purchase, as far as the rules ask. A charge-back has no attempt at an acquirer."""

    transaction_id: int
    mode: Mode
    status: Status
    amount_minor: int
    acquirer: str | None
    reference: str | None
    state: AttemptState | None
    attempt_number: int | None


@dataclass(frozen=True, slots=True)
class Position:
    """Where a purchase stands. `is_expired` tells of an authorization that its time to be captured is over."""

    first: Step
    later: tuple[Step, ...]
    currency: Currency
    is_expired: bool

    @property
    def captured(self) -> Step | None:
        """The transaction that took the money: the sale, or the capture of the authorization."""
        if self.first.mode is Mode.SALE:
            return self.first if self.first.status is Status.SUCCESS else None
        return next(self._select(Mode.CAPTURE, Status.SUCCESS), None)

    @property
    def left_minor(self) -> int:
        """What can be credited: captured less credited, less what is being credited, less charged back."""
        captured = self.captured
        if captured is None or any(self._select(Mode.VOID, Status.SUCCESS)):
            return 0
        returned = [*self._select(Mode.CREDIT, Status.SUCCESS, Status.PENDING)]
        returned += self._select(Mode.CHARGEBACK, Status.SUCCESS, Status.PENDING, Status.FAIL)
        return captured.amount_minor - sum(step.amount_minor for step in returned)

    def is_open(self, *modes: Mode) -> bool:
        """Tell whether an operation of one of these modes has no outcome yet."""
        return any(any(self._select(mode, Status.PENDING)) for mode in modes)

    def has_returned(self) -> bool:
        """Tell whether money went back, or is about to."""
        return any(self._select(Mode.CREDIT, Status.SUCCESS)) or any(
            step.mode is Mode.CHARGEBACK for step in self.later
        )

    def is_voided(self) -> bool:
        """Tell whether all of it was undone."""
        return any(self._select(Mode.VOID, Status.SUCCESS))

    def _select(self, mode: Mode, *statuses: Status) -> Iterator[Step]:
        return (step for step in self.later if step.mode is mode and step.status in statuses)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What may be done: how much, and on which transaction."""

    money: Money
    basis: Step


def judge_capture(position: Position, amount: Decimal | None) -> Verdict:
    """Say how much is captured: all that is held, or a part. Raises Invalid and StillRunning."""
    first = position.first
    held = _find_held(position)
    if position.is_expired:
        raise Invalid({PATH: ["is an authorization whose time is over; its hold is released"]})
    money = _read_amount(position, amount, first.amount_minor, "was authorized") if amount is not None else held
    return Verdict(money, first)


def judge_release(position: Position) -> Verdict:
    """Say how much is released of an authorization that nobody captured. Raises Invalid and StillRunning."""
    return Verdict(_find_held(position), position.first)


def judge_void(position: Position) -> Verdict:
    """Say how much is undone: what an authorization holds, or what a sale or capture took. Raises as the others do."""
    _check_first(position)
    captured = position.captured
    if captured is None or position.is_voided():
        return judge_release(position)
    if position.is_open(Mode.CREDIT, Mode.VOID):
        raise StillRunning(STILL_OPEN)
    if position.has_returned():
        raise Invalid({PATH: ["was credited or charged back in part; credit what is left instead"]})
    return Verdict(Money(captured.amount_minor, position.currency), captured)


def judge_credit(position: Position, amount: Decimal | None) -> Verdict:
    """Say how much is given back: all that is left, or a part of it. Raises Invalid and StillRunning."""
    return _judge_return(position, amount, verb="credit", instead="void it instead")


def judge_chargeback(position: Position, amount: Decimal | None) -> Verdict:
    """Say how much the issuer takes back: all that is left, or a part of it. Raises Invalid and StillRunning."""
    return _judge_return(position, amount, verb="charge back", instead="there is nothing to charge back")


def judge_dispute(position: Position, money: Money) -> Verdict:
    """Say how much the issuer takes back that says how much: no more than is left. Raises Invalid and StillRunning.

    A credit that is under way, or what was charged back by hand, may leave less than the issuer believes.
    """
    verdict = judge_chargeback(position, None)
    if money.currency != position.currency:
        raise Invalid({"currency": [f"is not that of the payment, {position.currency.code}"]})
    return Verdict(min(verdict.money, money, key=lambda each: each.amount_minor), verdict.basis)


def _judge_return(position: Position, amount: Decimal | None, *, verb: str, instead: str) -> Verdict:
    """Say how much goes back to the cardholder. Raises Invalid and StillRunning."""
    _check_first(position)
    captured = position.captured
    if position.is_voided():
        raise Invalid({PATH: [f"was voided; there is nothing to {verb}"]})
    if position.is_open(Mode.CAPTURE, Mode.VOID):
        raise StillRunning(STILL_OPEN)
    if captured is None:
        raise Invalid({PATH: [f"is an authorization that was not captured; {instead}"]})
    if position.left_minor <= 0:
        raise Invalid({"amount": [f"is more than is left to {verb}, which is nothing"]})
    left = Money(position.left_minor, position.currency)
    money = left if amount is None else _read_amount(position, amount, left.amount_minor, f"is left to {verb}")
    return Verdict(money, captured)


def _find_held(position: Position) -> Money:
    """Return what an authorization holds that was neither captured nor voided. Raises Invalid and StillRunning."""
    _check_first(position)
    if position.is_voided():
        raise Invalid({PATH: ["was voided already"]})
    if position.captured is not None:
        raise Invalid({PATH: ["was captured already"]})
    if position.is_open(Mode.CAPTURE, Mode.VOID):
        raise StillRunning(STILL_OPEN)
    return Money(position.first.amount_minor, position.currency)


def _check_first(position: Position) -> None:
    """Refuse what can never have anything done with it, and what nobody knows the outcome of."""
    first = position.first
    if first.status is Status.PENDING:
        raise StillRunning("This payment is still open; repeat this request when its outcome is known.")
    if first.status is Status.FAIL:
        raise Invalid({PATH: ["is a payment that failed"]})
    if first.amount_minor == 0:
        raise Invalid({PATH: ["only verified the card; it holds no money"]})
    if len(position.later) >= MAX_TRANSACTIONS - 1:
        raise Invalid({PATH: ["has had too many operations"]})


def _read_amount(position: Position, amount: Decimal, most_minor: int, what: str) -> Money:
    try:
        money = Money.parse(amount, position.currency)
    except AmountError as error:
        raise Invalid({"amount": [str(error)]}) from None
    if money.amount_minor == 0:
        raise Invalid({"amount": ["must be above 0"]})
    if money.amount_minor > most_minor:
        most = Money(most_minor, position.currency).to_text()
        raise Invalid({"amount": [f"is more than {what}, which is {most}"]})
    return money
