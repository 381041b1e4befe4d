"""Ledger entries of movements."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pytest
from hypothesis import given
from tests.support.histories import Settled, expected_balances, histories
from tests.support.payments import payment

from tollhouse.kernel.money import Currency, Money
from tollhouse.ledger.model import LedgerAccount, LedgerEntry, Movement, MovementKind
from tollhouse.ledger.rules import derive_entries
from tollhouse.payments.consequences import PostEntries
from tollhouse.payments.dispute_steps import Dispute, DisputeStep
from tollhouse.payments.model import Mode, Status


def move(kind: MovementKind, amount_minor: int = 1999, *, held: int = 0) -> list[tuple[str, str, int]]:
    """Return debit, credit and amount of a movement's entries."""
    movement = Movement(1, 1, 1, kind, Money(amount_minor, Currency.of("USD")))
    entries = derive_entries([movement], {(1, 1): held})
    return [(entry.debit.value, entry.credit.value, entry.money.amount_minor) for entry in entries]


def add_up(entries: Iterable[LedgerEntry]) -> dict[tuple[str, str], int]:
    """Return how far each account has grown, by currency and account; those at zero are left out."""
    totals: Counter[tuple[str, str]] = Counter()
    for entry in entries:
        code, amount = entry.money.currency.code, entry.money.amount_minor
        totals[code, entry.debit.value] += amount if entry.debit.is_debit else -amount
        totals[code, entry.credit.value] += -amount if entry.credit.is_debit else amount
    return {key: total for key, total in totals.items() if total}


def post(settled: Iterable[Settled]) -> list[LedgerEntry]:
    """Return the entries of a history that begins with empty books."""
    return derive_entries([movement for row in settled if (movement := row.movement())], {})


def test_each_kind() -> None:
    """Each kind of movement has its own way through the accounts."""
    assert move(MovementKind.SALE) == [("money.acquirers", "money.merchants", 1999)]
    assert move(MovementKind.AUTH) == [("holds.issuers", "holds.merchants", 1999)]
    assert move(MovementKind.CREDIT) == [("money.credits", "money.acquirers", 1999)]
    assert move(MovementKind.CHARGEBACK) == [("money.chargebacks", "money.acquirers", 1999)]
    assert move(MovementKind.DISPUTE_WON) == [("money.acquirers", "money.chargebacks", 1999)]


def test_a_capture_ends_the_hold() -> None:
    """A capture takes its amount, and releases all that was held, also what it did not take."""
    taken = ("money.acquirers", "money.merchants")
    released = ("holds.merchants", "holds.issuers")
    assert move(MovementKind.CAPTURE, 1999, held=1999) == [(*released, 1999), (*taken, 1999)]
    assert move(MovementKind.CAPTURE, 1500, held=1999) == [(*released, 1500), (*taken, 1500), (*released, 499)]


def test_a_void_undoes_what_there_is() -> None:
    """A void releases a hold, and undoes a sale or a capture where nothing is held."""
    assert move(MovementKind.VOID, held=1999) == [("holds.merchants", "holds.issuers", 1999)]
    assert move(MovementKind.VOID) == [("money.merchants", "money.acquirers", 1999)]


@given(histories())
def test_balances_match_plain_arithmetic(settled: list[Settled]) -> None:
    """After any history each account has the balance of plain arithmetic, and no entry crosses the two trees."""
    entries = post(settled)
    assert add_up(entries) == expected_balances(settled)
    assert all(entry.debit.tree == entry.credit.tree and entry.debit is not entry.credit for entry in entries)


@given(histories())
def test_batches_do_not_matter(settled: list[Settled]) -> None:
    """Whether movements are posted together or one by one, with what is held read in between, is the same."""
    held: Counter[tuple[int, int]] = Counter()
    one_by_one: list[LedgerEntry] = []
    for row in settled:
        posted = derive_entries([movement], held) if (movement := row.movement()) else []
        one_by_one += posted
        for entry in posted:
            sign = {LedgerAccount.HOLDS_ISSUERS: 1, LedgerAccount.HOLDS_MERCHANTS: -1}.get(entry.debit, 0)
            held[1, row.payment_id] += sign * entry.money.amount_minor
    assert one_by_one == post(settled)


@pytest.mark.parametrize("mode", Mode)
def test_only_approved_amounts_are_posted(mode: Mode) -> None:
    """Approved movements above zero are posted; declines, verifications and open attempts are not."""
    dispute = Dispute(DisputeStep.FIRST, 1999, 0) if mode is Mode.CHARGEBACK else None
    settled = payment(mode=mode, status=Status.SUCCESS, dispute=dispute)
    rows = PostEntries().rows(settled)
    assert {(row[0], row[1], row[-1]) for row in rows} == {(settled.merchant_id, settled.transaction_id, "USD")}
    assert [row[3:6] for row in rows] == move(MovementKind(mode.value))
    for changes in (
        {"status": Status.SUCCESS, "money": Money(0, Currency.of("USD"))},
        {"status": Status.PENDING},
        {"status": Status.FAIL},
    ):
        assert not PostEntries().rows(payment(mode=mode, **changes))


@pytest.mark.parametrize("step", DisputeStep)
def test_chargeback_posts_the_moved_amount(step: DisputeStep) -> None:
    """A chargeback posts the amount that it moved, which may be less than its own; a notice posts nothing."""
    moved = 700 if step in {DisputeStep.FIRST, DisputeStep.SECOND, DisputeStep.WON} else 0
    settled = payment(mode=Mode.CHARGEBACK, status=Status.SUCCESS, dispute=Dispute(step, moved, 0))
    kind = MovementKind.DISPUTE_WON if step is DisputeStep.WON else MovementKind.CHARGEBACK
    posted = [row[3:6] for row in PostEntries().rows(settled)]
    assert posted == ([(*move(kind)[0][:2], moved)] if moved else [])
