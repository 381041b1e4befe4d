"""Decide which operations a payment allows, and for how much. Pure.

authorization ──> capture ──> credit, credit ...
       │             │
       └──> void     └──> void, while nothing was credited
sale ──> credit, credit ...     or void, while nothing was credited
An issuer may charge back more than is left; the amount left to refund is then 0.

An open operation counts as done if that is the safe assumption: an open refund reduces the amount that is left, and
during an open capture or void no other operation begins. A failed operation counts as never begun.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from tollhouse.kernel.errors import RequestInProgress
from tollhouse.kernel.faults import Subject, reject
from tollhouse.kernel.money import AmountError, Currency, Money
from tollhouse.payments.dispute_steps import Dispute, DisputeStep
from tollhouse.payments.model import AttemptState, Mode, Status

#: Of one payment, including its first one.
MAX_TRANSACTIONS = 1_000

STILL_OPEN = "Another operation on this payment is in progress. Retry when its outcome is known."


@dataclass(frozen=True, slots=True)
class PastTransaction:
    """One transaction of a payment, with the fields that the rules need. A chargeback has no attempt."""

    transaction_id: int
    mode: Mode
    status: Status
    amount_minor: int
    acquirer: str | None
    reference: str | None
    state: AttemptState | None
    attempt_number: int | None
    #: Only for a chargeback: its step, and the money that it moved in the currency of the payment.
    dispute_step: DisputeStep | None = None
    moved_minor: int = 0


@dataclass(frozen=True, slots=True)
class PaymentBalance:
    """The transactions of a payment. `is_expired` is whether the time to capture an authorization is over."""

    first: PastTransaction
    later: tuple[PastTransaction, ...]
    currency: Currency
    is_expired: bool

    @property
    def captured(self) -> PastTransaction | None:
        """The transaction that took the money: the sale, or the capture of the authorization."""
        if self.first.mode is Mode.SALE:
            return self.first if self.first.status is Status.SUCCESS else None
        return next(self._select(Mode.CAPTURE, Status.SUCCESS), None)

    @property
    def left_minor(self) -> int:
        """The refundable amount, never below 0: captured less refunded (or open refunds), less charged back."""
        captured = self.captured
        if captured is None or self.is_voided():
            return 0
        returned = sum(step.amount_minor for step in self._select(Mode.CREDIT, Status.SUCCESS, Status.PENDING))
        return max(captured.amount_minor - returned - self.charged_back_minor, 0)

    @property
    def charged_back_minor(self) -> int:
        """The amount that issuers took by chargebacks, less the amount returned by disputes that were won."""
        return sum(
            MOVEMENT_SIGNS.get(step.dispute_step, 0) * step.moved_minor for step in self.later if step.dispute_step
        )

    def is_open(self, *modes: Mode) -> bool:
        """Return whether an operation of one of these modes has no outcome yet."""
        return any(any(self._select(mode, Status.PENDING)) for mode in modes)

    def has_returned(self) -> bool:
        """Return whether money was refunded or charged back."""
        return any(self._select(Mode.CREDIT, Status.SUCCESS)) or self.charged_back_minor > 0

    def is_voided(self) -> bool:
        """Return whether the whole payment was voided."""
        return any(self._select(Mode.VOID, Status.SUCCESS))

    def _select(self, mode: Mode, *statuses: Status) -> Iterator[PastTransaction]:
        return (step for step in self.later if step.mode is mode and step.status in statuses)


@dataclass(frozen=True, slots=True)
class RequestedAmount:
    """A requested amount in the currency of the payment; None is the whole amount."""

    amount: Decimal | None = None
    currency: str | None = None


ALL = RequestedAmount()

#: The steps of a dispute that move money: 1 from the merchant, -1 back.
MOVEMENT_SIGNS: dict[DisputeStep | None, int] = {DisputeStep.FIRST: 1, DisputeStep.SECOND: 1, DisputeStep.WON: -1}


@dataclass(frozen=True, slots=True)
class AllowedOperation:
    """An operation that is allowed: its amount and the transaction that it acts on.

    `mode` is the mode that replaces the requested one, `dispute` the dispute of a chargeback.
    """

    money: Money
    basis: PastTransaction
    mode: Mode | None = None
    dispute: Dispute | None = None


def decide_capture(balance: PaymentBalance, requested: RequestedAmount) -> AllowedOperation:
    """Decide how much is captured: all that is held, or a part. Raises RequestRejected and RequestInProgress."""
    first = balance.first
    held = _find_held(balance)
    if balance.is_expired:
        raise reject(Subject.TRANSACTION, "is an authorization that has expired")
    money = _read_amount(balance, requested, first.amount_minor, "was authorized") or held
    return AllowedOperation(money, first)


def decide_release(balance: PaymentBalance) -> AllowedOperation:
    """Decide how much of an uncaptured authorization is released. Raises as `decide_capture` does."""
    return AllowedOperation(_find_held(balance), balance.first)


def decide_void(balance: PaymentBalance) -> AllowedOperation:
    """Decide how much is voided: the held or the captured amount. Raises as `decide_capture` does."""
    _check_first(balance)
    captured = balance.captured
    if captured is None or balance.is_voided():
        return decide_release(balance)
    if balance.is_open(Mode.CREDIT, Mode.VOID):
        raise RequestInProgress(STILL_OPEN)
    if balance.has_returned():
        raise reject(Subject.TRANSACTION, "was refunded or charged back in part; refund the rest instead")
    return AllowedOperation(Money(captured.amount_minor, balance.currency), captured)


def decide_refund(balance: PaymentBalance, requested: RequestedAmount) -> AllowedOperation:
    """Decide how much is refunded: all that is left, or a part. Raises RequestRejected and RequestInProgress.

    The whole of an uncaptured authorization is voided instead.
    """
    _check_first(balance)
    captured = balance.captured
    if balance.is_voided():
        raise reject(Subject.TRANSACTION, "was voided; nothing is left to refund")
    if balance.is_open(Mode.CAPTURE, Mode.VOID):
        raise RequestInProgress(STILL_OPEN)
    if captured is None:
        return _decide_refund_of_hold(balance, requested)
    if balance.left_minor <= 0:
        raise reject(Subject.AMOUNT, "exceeds the amount left to refund, which is 0")
    left = balance.left_minor
    return AllowedOperation(
        _read_amount(balance, requested, left, "is left to credit") or Money(left, balance.currency), captured
    )


def _decide_refund_of_hold(balance: PaymentBalance, requested: RequestedAmount) -> AllowedOperation:
    held = _find_held(balance)
    if _read_amount(balance, requested, held.amount_minor, "is held") not in {None, held}:
        text = f"is part of an uncaptured authorization; capture it first, or refund all {held.to_text()}"
        raise reject(Subject.AMOUNT, text)
    return AllowedOperation(held, balance.first, Mode.VOID)


def decide_chargeback(
    balance: PaymentBalance, requested: RequestedAmount, step: DisputeStep = DisputeStep.FIRST
) -> AllowedOperation:
    """Decide the amount of a step of a dispute. No earlier operation prevents it.

    The default is the amount that is left, or the whole payment if nothing is left. Raises RequestRejected for an
    invalid amount, and if more is won than was charged back.
    """
    if step is DisputeStep.WON:
        return _decide_won(balance, requested)
    money = _read_amount(balance, requested)
    if money is not None:
        return decide_dispute(balance, money, step)
    basis = balance.captured or balance.first
    charged_back = balance.charged_back_minor if step is not DisputeStep.FIRST else 0
    amount_minor = charged_back or balance.left_minor or basis.amount_minor
    if not amount_minor:
        raise reject(Subject.AMOUNT, "is required, because the payment has no amount")
    return decide_dispute(balance, Money(amount_minor, balance.currency), step)


def decide_dispute(balance: PaymentBalance, money: Money, step: DisputeStep = DisputeStep.FIRST) -> AllowedOperation:
    """Decide how much money a step of a dispute moves, and its excess over the amount left. Never rejects.

    A second chargeback takes the part that the issuer does not have since the first.
    """
    is_own = money.currency == balance.currency
    moved = money.amount_minor if step in MOVEMENT_SIGNS else 0
    if step is DisputeStep.SECOND and is_own:
        moved = max(moved - max(balance.charged_back_minor, 0), 0)
    excess = max(moved - (balance.left_minor if is_own else 0), 0)
    return AllowedOperation(money, balance.captured or balance.first, dispute=Dispute(step, moved, excess))


def _decide_won(balance: PaymentBalance, requested: RequestedAmount) -> AllowedOperation:
    charged_back = balance.charged_back_minor
    if charged_back <= 0:
        raise reject(Subject.TRANSACTION, "has no chargeback that could be won")
    money = _read_amount(balance, requested, charged_back, "was charged back") or Money(charged_back, balance.currency)
    return AllowedOperation(
        money, balance.captured or balance.first, dispute=Dispute(DisputeStep.WON, money.amount_minor, 0)
    )


def _find_held(balance: PaymentBalance) -> Money:
    """Return the amount of an authorization that was neither captured nor voided. Raises as `decide_capture` does."""
    _check_first(balance)
    if balance.is_voided():
        raise reject(Subject.TRANSACTION, "is already voided")
    if balance.captured is not None:
        raise reject(Subject.TRANSACTION, "is already captured")
    if balance.is_open(Mode.CAPTURE, Mode.VOID):
        raise RequestInProgress(STILL_OPEN)
    return Money(balance.first.amount_minor, balance.currency)


def _check_first(balance: PaymentBalance) -> None:
    """Reject operations on a failed payment or a verification, and while the outcome is unknown."""
    first = balance.first
    if first.status is Status.PENDING:
        raise RequestInProgress("The outcome of this payment is not known yet. Retry when it is.")
    if first.status is Status.FAIL:
        raise reject(Subject.TRANSACTION, "is a failed payment")
    if first.amount_minor == 0:
        raise reject(Subject.TRANSACTION, "is a verification without an amount")
    if len(balance.later) >= MAX_TRANSACTIONS - 1:
        raise reject(Subject.TRANSACTION, "has too many operations")


def _read_amount(
    balance: PaymentBalance, requested: RequestedAmount, max_minor: int | None = None, bound: str = ""
) -> Money | None:
    """Read an amount above zero, of `max_minor` at most; None for the whole amount. Raises RequestRejected."""
    own = balance.currency.code
    if requested.currency not in {None, own}:
        raise reject(Subject.CURRENCY, f"must be the currency of the payment, {own}")
    if requested.amount is None:
        return None
    try:
        money = Money.parse(requested.amount, balance.currency)
    except AmountError as error:
        raise reject(Subject.AMOUNT, str(error)) from None
    if money.amount_minor == 0:
        raise reject(Subject.AMOUNT, "must be above 0")
    if max_minor is not None and money.amount_minor > max_minor:
        maximum = Money(max_minor, balance.currency).to_text()
        raise reject(Subject.AMOUNT, f"is more than {bound}, which is {maximum}")
    return money
