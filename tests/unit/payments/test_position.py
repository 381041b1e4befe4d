"""What may be done with a payment, whatever was done with it before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.kernel.errors import Invalid, Refusal, StillRunning
from tollhouse.kernel.money import Currency, Money
from tollhouse.payments.model import AttemptState, Mode, Status
from tollhouse.payments.position import (
    MAX_TRANSACTIONS,
    Position,
    Step,
    Verdict,
    judge_capture,
    judge_chargeback,
    judge_credit,
    judge_dispute,
    judge_release,
    judge_void,
)

USD = Currency.of("USD")
JUDGES: dict[Mode, Any] = {
    Mode.CAPTURE: judge_capture,
    Mode.CREDIT: judge_credit,
    Mode.CHARGEBACK: judge_chargeback,
    Mode.VOID: lambda position, _: judge_void(position),
}


def step(mode: Mode, amount_minor: int = 1000, status: Status = Status.SUCCESS, number: int = 1) -> Step:
    """Return a transaction."""
    return Step(number, mode, status, amount_minor, "scripted", f"{number}-1", AttemptState.APPROVED, 1)


def position(first: Mode = Mode.AUTH, *later: Step, amount_minor: int = 1000, **changes: Any) -> Position:
    """Return where a purchase of 10.00 stands."""
    return replace(Position(step(first, amount_minor), later, USD, is_expired=False), **changes)


@given(
    first=st.sampled_from([Mode.SALE, Mode.AUTH]),
    wishes=st.lists(
        st.tuples(
            st.sampled_from(list(JUDGES)),
            st.none() | st.integers(1, 1200),
            st.sampled_from(list(Status)),
            st.sampled_from([Status.SUCCESS, Status.FAIL]),
        ),
        max_size=12,
    ),
)
def test_never_more_than_there_is(first: Mode, wishes: list[tuple[Mode, int | None, Status, Status]]) -> None:
    """Whatever is wished in whatever order and however it ends: captured <= authorized, gone back <= captured."""
    now = position(first)
    for mode, amount, at_once, in_the_end in wishes:
        try:
            verdict: Verdict = JUDGES[mode](now, amount and Decimal(amount) / 100)
        except Refusal:
            # Meanwhile what is open comes to its end.
            now = replace(now, later=tuple(_end(each, in_the_end) for each in now.later))
            continue
        assert 0 < verdict.money.amount_minor <= verdict.basis.amount_minor
        status = Status.FAIL if mode is Mode.CHARGEBACK else at_once
        done = step(mode, verdict.money.amount_minor, status, number=len(now.later) + 2)
        now = replace(now, later=(*now.later, done))
        check(now)
        check(replace(now, later=tuple(_end(each, Status.SUCCESS) for each in now.later)))


def _end(each: Step, status: Status) -> Step:
    return replace(each, status=status) if each.status is Status.PENDING else each


def check(now: Position) -> None:
    """Hold what was captured, voided and credited against each other."""

    def total(mode: Mode) -> int:
        return sum(each.amount_minor for each in now.later if each.mode is mode and each.status is Status.SUCCESS)

    done = [each for each in now.later if each.status is Status.SUCCESS]
    captured = now.first.amount_minor if now.first.mode is Mode.SALE else total(Mode.CAPTURE)
    charged_back = sum(each.amount_minor for each in now.later if each.mode is Mode.CHARGEBACK)
    assert captured <= now.first.amount_minor
    assert total(Mode.CREDIT) + charged_back <= captured
    assert sum(each.mode is Mode.CAPTURE for each in done) <= 1
    assert sum(each.mode is Mode.VOID for each in done) <= 1
    assert not (total(Mode.VOID) and total(Mode.CREDIT) + charged_back)
    assert now.left_minor >= 0


CAPTURED = step(Mode.CAPTURE, 600)


def judges_of(now: Position) -> dict[str, Callable[[], Verdict]]:
    """Return the rules by their names, for all that there is."""
    return {
        "capture": partial(judge_capture, now, None),
        "void": partial(judge_void, now),
        "credit": partial(judge_credit, now, None),
        "charge back": partial(judge_chargeback, now, None),
        "release": partial(judge_release, now),
    }


@pytest.mark.parametrize(
    ("now", "may"),
    [
        (position(), {"capture", "void", "release"}),
        (position(is_expired=True), {"void", "release"}),
        (position(Mode.AUTH, CAPTURED), {"void", "credit"}),
        (position(Mode.SALE), {"void", "credit"}),
        (position(Mode.SALE, step(Mode.CREDIT, 400)), {"credit"}),
        (position(Mode.SALE, step(Mode.CREDIT, 1000)), set()),
        (position(Mode.SALE, step(Mode.CREDIT, 400, Status.FAIL)), {"void", "credit"}),
        (position(Mode.SALE, step(Mode.CHARGEBACK, 400, Status.FAIL)), {"credit"}),
        (position(Mode.SALE, step(Mode.CHARGEBACK, 1000, Status.FAIL)), set()),
        (position(Mode.SALE, step(Mode.VOID)), set()),
        (position(Mode.AUTH, step(Mode.VOID)), set()),
        (position(Mode.AUTH, CAPTURED, step(Mode.VOID, 600)), set()),
        (position(Mode.AUTH, step(Mode.CAPTURE, 600, Status.FAIL)), {"capture", "void", "release"}),
        (position(Mode.AUTH, step(Mode.VOID, 1000, Status.FAIL)), {"capture", "void", "release"}),
        (position(amount_minor=0), set()),
        (replace(position(), first=step(Mode.AUTH, 1000, Status.FAIL)), set()),
        (position(Mode.SALE, *[step(Mode.CREDIT, 1, Status.FAIL)] * MAX_TRANSACTIONS), set()),
    ],
)
def test_what_may_follow_what(now: Position, may: set[str]) -> None:
    """Each state lets certain operations begin and refuses the others; what can be credited can be charged back."""
    judges = judges_of(now)
    may = may | {"charge back"} if "credit" in may else may
    for name, judge in judges.items():
        if name in may:
            assert judge().money.amount_minor > 0
        else:
            with pytest.raises(Invalid):
                judge()


@pytest.mark.parametrize(
    ("now", "held_up"),
    [
        (position(Mode.AUTH, step(Mode.CAPTURE, 600, Status.PENDING)), {"capture", "void", "credit", "release"}),
        (position(Mode.AUTH, step(Mode.VOID, 1000, Status.PENDING)), {"capture", "void", "credit", "release"}),
        (position(Mode.SALE, step(Mode.VOID, 1000, Status.PENDING)), {"void", "credit"}),
        (position(Mode.SALE, step(Mode.CREDIT, 1000, Status.PENDING)), {"void"}),
        (replace(position(), first=step(Mode.AUTH, 1000, Status.PENDING)), {"capture", "void", "credit", "release"}),
    ],
)
def test_what_waits_for_what(now: Position, held_up: set[str]) -> None:
    """While something is open whose outcome decides, an operation is refused for now and not for good."""
    judges = judges_of(now)
    for name in held_up | {"charge back"} if "credit" in held_up else held_up:
        with pytest.raises(StillRunning):
            judges[name]()


def test_what_is_left() -> None:
    """Left is what was captured, less credits that succeeded or are open, less what was charged back."""
    credits_ = [step(Mode.CREDIT, 100), step(Mode.CREDIT, 50, Status.PENDING), step(Mode.CREDIT, 25, Status.FAIL)]
    charged_back = step(Mode.CHARGEBACK, 200, Status.FAIL)
    assert position(Mode.AUTH, CAPTURED, *credits_, charged_back).left_minor == 250
    assert position(Mode.AUTH).left_minor == 0
    assert judge_credit(position(Mode.AUTH, CAPTURED, *credits_), None).money.amount_minor == 450


def test_what_an_operation_acts_on() -> None:
    """A credit or void of a captured authorization acts on the capture; before, on the authorization."""
    capture = replace(CAPTURED, transaction_id=7)
    assert judge_credit(position(Mode.AUTH, capture), None).basis is capture
    assert judge_void(position(Mode.AUTH, capture)).basis is capture
    assert judge_void(position()).basis.mode is Mode.AUTH


@given(credited=st.integers(1, 999), asked=st.integers(1, 2000))
def test_a_dispute_takes_what_is_left(credited: int, asked: int) -> None:
    """An issuer takes what it says, and no more than was not given back."""
    sold = position(Mode.SALE, step(Mode.CREDIT, credited, number=2))
    verdict = judge_dispute(sold, Money(asked, USD))
    assert verdict.money == Money(min(asked, 1000 - credited), USD)
    assert verdict.basis == sold.first


def test_what_is_not_disputed() -> None:
    """Another currency, or a payment of which nothing is left, is refused; one with an open capture waits."""
    money = Money(1000, USD)
    with pytest.raises(Invalid):
        judge_dispute(position(Mode.SALE), Money(1000, Currency.of("EUR")))
    with pytest.raises(Invalid):
        judge_dispute(position(Mode.SALE, step(Mode.CREDIT, number=2)), money)
    with pytest.raises(StillRunning):
        judge_dispute(position(Mode.AUTH, step(Mode.CAPTURE, status=Status.PENDING, number=2)), money)
