"""The operations that a payment allows after any earlier operations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.kernel.errors import Invalid, Rejection, RequestInProgress
from tollhouse.kernel.faults import RequestRejected, Subject
from tollhouse.kernel.money import Currency, Money
from tollhouse.payments.dispute_steps import DisputeStep
from tollhouse.payments.model import AttemptState, Mode, Status
from tollhouse.payments.operations.balance import (
    ALL,
    MAX_TRANSACTIONS,
    AllowedOperation,
    PastTransaction,
    PaymentBalance,
    RequestedAmount,
    decide_capture,
    decide_chargeback,
    decide_dispute,
    decide_refund,
    decide_release,
    decide_void,
)

USD = Currency.of("USD")
JUDGES: dict[Mode, Any] = {
    Mode.CAPTURE: decide_capture,
    Mode.CREDIT: decide_refund,
    Mode.CHARGEBACK: decide_chargeback,
    Mode.VOID: lambda balance, _: decide_void(balance),
}


def step(mode: Mode, amount_minor: int = 1000, status: Status = Status.SUCCESS, number: int = 1) -> PastTransaction:
    """Return a transaction."""
    return PastTransaction(number, mode, status, amount_minor, "scripted", f"{number}-1", AttemptState.APPROVED, 1)


def back(moved_minor: int, dispute_step: DisputeStep = DisputeStep.FIRST, number: int = 9) -> PastTransaction:
    """Return a chargeback."""
    plain = step(Mode.CHARGEBACK, moved_minor, number=number)
    return replace(plain, dispute_step=dispute_step, moved_minor=moved_minor)


def balance(
    first: Mode = Mode.AUTH, *later: PastTransaction, amount_minor: int = 1000, **changes: Any
) -> PaymentBalance:
    """Return the balance of a payment of 10.00."""
    return replace(PaymentBalance(step(first, amount_minor), later, USD, is_expired=False), **changes)


@given(
    first=st.sampled_from([Mode.SALE, Mode.AUTH]),
    operations=st.lists(
        st.tuples(
            st.sampled_from(list(JUDGES)),
            st.none() | st.integers(1, 1200),
            st.sampled_from(list(Status)),
            st.sampled_from([Status.SUCCESS, Status.FAIL]),
        ),
        max_size=12,
    ),
)
def test_amounts_never_exceed_the_payment(
    first: Mode, operations: list[tuple[Mode, int | None, Status, Status]]
) -> None:
    """In any order of operations and outcomes, captured <= authorized and refunded <= captured."""
    now = balance(first)
    for mode, amount, at_once, in_the_end in operations:
        try:
            allowed: AllowedOperation = JUDGES[mode](
                now, RequestedAmount(None if amount is None else Decimal(amount) / 100)
            )
        except Rejection:
            # Meanwhile what is open comes to its end.
            now = replace(now, later=tuple(_end(each, in_the_end) for each in now.later))
            continue
        number, moved = len(now.later) + 2, allowed.money.amount_minor
        assert moved > 0
        if allowed.dispute is not None:
            done = back(moved, number=number)
            assert allowed.dispute.moved_minor - allowed.dispute.excess_minor <= now.left_minor
        else:
            assert moved <= allowed.basis.amount_minor
            done = step(allowed.mode or mode, moved, at_once, number=number)
        now = replace(now, later=(*now.later, done))
        check(now)
        check(replace(now, later=tuple(_end(each, Status.SUCCESS) for each in now.later)))


def _end(each: PastTransaction, status: Status) -> PastTransaction:
    return replace(each, status=status) if each.status is Status.PENDING else each


def check(now: PaymentBalance) -> None:
    """Check the sums of captures, voids and refunds."""

    def total(mode: Mode) -> int:
        return sum(each.amount_minor for each in now.later if each.mode is mode and each.status is Status.SUCCESS)

    done = [each for each in now.later if each.status is Status.SUCCESS]
    captured = now.first.amount_minor if now.first.mode is Mode.SALE else total(Mode.CAPTURE)
    assert captured <= now.first.amount_minor
    assert total(Mode.CREDIT) <= captured
    assert sum(each.mode is Mode.CAPTURE for each in done) <= 1
    assert sum(each.mode is Mode.VOID for each in done) <= 1
    assert not (total(Mode.VOID) and total(Mode.CREDIT))
    assert now.left_minor == max(now.left_minor, 0)


CAPTURED = step(Mode.CAPTURE, 600)


def decisions_of(now: PaymentBalance) -> dict[str, Callable[[], AllowedOperation]]:
    """Return the operations by name, each decided for the whole amount."""
    return {
        "capture": partial(decide_capture, now, ALL),
        "void": partial(decide_void, now),
        "credit": partial(decide_refund, now, ALL),
        "release": partial(decide_release, now),
    }


@pytest.mark.parametrize(
    ("now", "may"),
    [
        (balance(), {"capture", "void", "credit", "release"}),
        (balance(is_expired=True), {"void", "credit", "release"}),
        (balance(Mode.AUTH, CAPTURED), {"void", "credit"}),
        (balance(Mode.SALE), {"void", "credit"}),
        (balance(Mode.SALE, step(Mode.CREDIT, 400)), {"credit"}),
        (balance(Mode.SALE, step(Mode.CREDIT, 1000)), set()),
        (balance(Mode.SALE, step(Mode.CREDIT, 400, Status.FAIL)), {"void", "credit"}),
        (balance(Mode.SALE, back(400)), {"credit"}),
        (balance(Mode.SALE, back(1000)), set()),
        (balance(Mode.SALE, back(1500)), set()),
        (balance(Mode.SALE, back(1000), back(1000, DisputeStep.WON)), {"void", "credit"}),
        (balance(Mode.SALE, back(0, DisputeStep.RETRIEVAL), back(0, DisputeStep.ANSWER)), {"void", "credit"}),
        (balance(Mode.SALE, step(Mode.VOID)), set()),
        (balance(Mode.AUTH, step(Mode.VOID)), set()),
        (balance(Mode.AUTH, CAPTURED, step(Mode.VOID, 600)), set()),
        (balance(Mode.AUTH, step(Mode.CAPTURE, 600, Status.FAIL)), {"capture", "void", "credit", "release"}),
        (balance(Mode.AUTH, step(Mode.VOID, 1000, Status.FAIL)), {"capture", "void", "credit", "release"}),
        (balance(amount_minor=0), set()),
        (replace(balance(), first=step(Mode.AUTH, 1000, Status.FAIL)), set()),
        (balance(Mode.SALE, *[step(Mode.CREDIT, 1, Status.FAIL)] * MAX_TRANSACTIONS), set()),
    ],
)
def test_each_state_allows_certain_operations(now: PaymentBalance, may: set[str]) -> None:
    """Each state allows certain operations and rejects the others."""
    for name, decide in decisions_of(now).items():
        if name in may:
            assert decide().money.amount_minor > 0
        else:
            with pytest.raises(Invalid):
                decide()


@pytest.mark.parametrize(
    ("now", "held_up"),
    [
        (balance(Mode.AUTH, step(Mode.CAPTURE, 600, Status.PENDING)), {"capture", "void", "credit", "release"}),
        (balance(Mode.AUTH, step(Mode.VOID, 1000, Status.PENDING)), {"capture", "void", "credit", "release"}),
        (balance(Mode.SALE, step(Mode.VOID, 1000, Status.PENDING)), {"void", "credit"}),
        (balance(Mode.SALE, step(Mode.CREDIT, 1000, Status.PENDING)), {"void"}),
        (replace(balance(), first=step(Mode.AUTH, 1000, Status.PENDING)), {"capture", "void", "credit", "release"}),
    ],
)
def test_an_open_operation_makes_others_wait(now: PaymentBalance, held_up: set[str]) -> None:
    """An operation that depends on an open outcome is refused as in progress, and not rejected."""
    judges = decisions_of(now)
    for name in held_up:
        with pytest.raises(RequestInProgress):
            judges[name]()


def test_the_amount_left_counts_all_operations() -> None:
    """Left is captured less refunds and open refunds, less chargebacks, plus disputes that were won."""
    credits_ = [step(Mode.CREDIT, 100), step(Mode.CREDIT, 50, Status.PENDING), step(Mode.CREDIT, 25, Status.FAIL)]
    assert balance(Mode.AUTH, CAPTURED, *credits_, back(200)).left_minor == 250
    assert balance(Mode.AUTH, CAPTURED, *credits_, back(200), back(150, DisputeStep.WON)).left_minor == 400
    assert balance(Mode.AUTH, CAPTURED, *credits_, back(5000)).left_minor == 0
    assert balance(Mode.AUTH).left_minor == 0
    assert decide_refund(balance(Mode.AUTH, CAPTURED, *credits_), ALL).money.amount_minor == 450


def test_an_operation_acts_on_the_capture() -> None:
    """A refund or void of a captured authorization acts on the capture, otherwise on the authorization."""
    capture = replace(CAPTURED, transaction_id=7)
    assert decide_refund(balance(Mode.AUTH, capture), ALL).basis is capture
    assert decide_void(balance(Mode.AUTH, capture)).basis is capture
    assert decide_void(balance()).basis.mode is Mode.AUTH


@pytest.mark.parametrize("requested", [ALL, RequestedAmount(Decimal("10.00")), RequestedAmount(Decimal(10), "USD")])
def test_a_refund_of_an_uncaptured_authorization_is_its_void(requested: RequestedAmount) -> None:
    """A refund of a whole authorization voids it; a part is rejected with advice."""
    allowed = decide_refund(balance(), requested)
    assert (allowed.mode, allowed.money.amount_minor) == (Mode.VOID, 1000)
    with pytest.raises(RequestRejected) as refused:
        decide_refund(balance(), RequestedAmount(Decimal("9.99")))
    assert [fault.subject for fault in refused.value.faults] == [Subject.AMOUNT]


@pytest.mark.parametrize("decide", [decide_capture, decide_refund, decide_chargeback])
def test_another_currency_is_rejected(decide: Callable[[PaymentBalance, RequestedAmount], AllowedOperation]) -> None:
    """Another currency than the payment's is rejected, with an amount and without."""
    now = balance() if decide is decide_capture else balance(Mode.SALE)
    for requested in (RequestedAmount(Decimal(1), "EUR"), RequestedAmount(None, "EUR")):
        with pytest.raises(RequestRejected) as refused:
            decide(now, requested)
        assert [fault.subject for fault in refused.value.faults] == [Subject.CURRENCY]


#: A payment that nobody would think of charging back.
ODD = [
    balance(),
    balance(Mode.SALE, step(Mode.VOID)),
    balance(Mode.SALE, step(Mode.VOID, status=Status.PENDING)),
    balance(Mode.SALE, step(Mode.CREDIT, 1000)),
    balance(Mode.SALE, step(Mode.CREDIT, 1000, Status.PENDING)),
    balance(Mode.AUTH, step(Mode.CAPTURE, 600, Status.PENDING)),
    replace(balance(Mode.SALE), first=step(Mode.SALE, 1000, Status.PENDING)),
    replace(balance(Mode.SALE), first=step(Mode.SALE, 1000, Status.FAIL)),
    balance(amount_minor=0),
    balance(Mode.SALE, *[step(Mode.CREDIT, 1, Status.FAIL)] * MAX_TRANSACTIONS),
]


@given(
    now=st.sampled_from([*ODD, balance(Mode.SALE)]), asked=st.integers(1, 5000), code=st.sampled_from(["USD", "JPY"])
)
def test_a_dispute_is_never_rejected(now: PaymentBalance, asked: int, code: str) -> None:
    """A dispute is accepted in every state of a payment, and its excess over the amount left is known."""
    allowed = decide_dispute(now, Money(asked, Currency.of(code)))
    left = now.left_minor if code == "USD" else 0
    assert allowed.money == Money(asked, Currency.of(code))
    assert allowed.dispute is not None
    assert (allowed.dispute.moved_minor, allowed.dispute.excess_minor) == (asked, max(asked - left, 0))


def test_a_chargeback_without_amount_takes_all_that_is_left() -> None:
    """It takes what is left, else the whole payment; for a payment of zero an amount is required."""
    assert decide_chargeback(balance(Mode.SALE, step(Mode.CREDIT, 400)), ALL).money.amount_minor == 600
    assert decide_chargeback(balance(Mode.SALE, step(Mode.CREDIT, 1000)), ALL).money.amount_minor == 1000
    assert decide_chargeback(balance(), ALL).money.amount_minor == 1000
    with pytest.raises(Invalid):
        decide_chargeback(balance(amount_minor=0), ALL)


@pytest.mark.parametrize("step_", [DisputeStep.RETRIEVAL, DisputeStep.ANSWER, DisputeStep.COLLECTION])
def test_a_notice_moves_nothing(step_: DisputeStep) -> None:
    """A request for information, its response and a collection notice move no money."""
    allowed = decide_chargeback(balance(Mode.SALE, back(1000)), ALL, step_)
    assert allowed.dispute is not None
    assert (allowed.money.amount_minor, allowed.dispute.moved_minor, allowed.dispute.excess_minor) == (1000, 0, 0)


def test_a_second_chargeback_takes_the_rest() -> None:
    """It moves nothing after the first alone, and the whole amount after a dispute that was won."""
    second = decide_chargeback(balance(Mode.SALE, back(1000)), ALL, DisputeStep.SECOND).dispute
    assert second is not None
    assert (second.moved_minor, second.excess_minor) == (0, 0)
    won = balance(Mode.SALE, back(1000), back(1000, DisputeStep.WON))
    again = decide_chargeback(won, ALL, DisputeStep.SECOND).dispute
    assert again is not None
    assert (again.moved_minor, again.excess_minor) == (1000, 0)


def test_a_win_never_exceeds_the_chargeback() -> None:
    """A dispute that was won returns at most the amount that was charged back."""
    now = balance(Mode.SALE, back(700))
    assert decide_chargeback(now, ALL, DisputeStep.WON).money.amount_minor == 700
    for refused, requested in ((now, RequestedAmount(Decimal("7.01"))), (balance(Mode.SALE), ALL)):
        with pytest.raises(Invalid):
            decide_chargeback(refused, requested, DisputeStep.WON)
