"""Verify the ledger: transactions have exactly their entries, entries have a transaction, balances are possible.

`verify_ledger` checks everything as of one instant, slice by slice; `find_violations` checks a given part. The worker
verifies continuously: new entries since the last run, and the next part of all others, round after round.

New transactions are found by the numbers of merchants' events, which are assigned after the commit and without gaps, so
a numbered transaction is visible and none is skipped. The round finds later changes, and entries without a transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from tollhouse.kernel.money import Currency, Money
from tollhouse.ledger_check import store
from tollhouse.ledger_check.store import END, START, Balance, Key, Scope
from tollhouse.storage.database import Database, PlainConnection

#: Transactions of one slice, well within the statement timeout.
SLICE = 20_000
#: The largest number of listed violations. There may be more.
MAX_VIOLATIONS = 100
#: In one run: new transactions, and transactions of the round.
MAX_NEW_EVENTS = 500
ROUND_STEP = 1_000
#: Steps of one run; the remaining entries are verified in the next one.
MAX_STEPS = 50
#: The largest number of stored violations.
MAX_REMEMBERED = 1_000

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Violation:
    """A violation in words. `key` is the transaction, or None if it concerns an account."""

    key: Key | None
    fault: str

    def __str__(self) -> str:
        """Return the violation in one line."""
        return self.fault if self.key is None else f"merchant {self.key[0]}, transaction {self.key[1]} {self.fault}"


@dataclass(frozen=True, slots=True)
class LedgerReport:
    """The state of the ledger as of one instant. With `MAX_VIOLATIONS` violations there may be more."""

    entries: int
    transactions: int
    balances: tuple[Balance, ...]
    violations: tuple[Violation, ...]


async def verify_ledger(database: Database, *, slice_size: int = SLICE) -> LedgerReport:
    """Verify the whole ledger and return a report. Raises DatabaseUnavailable."""
    async with database.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        balances = await store.select_balances(connection)
        entries, transactions = await store.count_entries(connection)
        violations = find_balance_violations(balances)
        after = START
        while after != END and len(violations) < MAX_VIOLATIONS:
            scope = await store.select_scope(connection, after, size=slice_size)
            violations += await find_violations(connection, scope, most=MAX_VIOLATIONS - len(violations))
            after = scope.upto
    return LedgerReport(entries, transactions, tuple(balances), tuple(violations[:MAX_VIOLATIONS]))


async def find_violations(connection: PlainConnection, scope: Scope, *, most: int) -> list[Violation]:
    """Return the violations in a part of the ledger, at most `most` of each kind."""
    transactions = store.find_transaction_faults(connection, scope, most=most)
    found = [Violation(_key_of(row), describe_transaction_fault(row)) async for row in transactions]
    purchases = store.find_purchase_faults(connection, scope, most=most)
    found += [Violation(_key_of(row), describe_purchase_fault(row)) async for row in purchases]
    orphans = store.find_orphans(connection, scope, most=most)
    found += [Violation(_key_of(row), "has entries and does not exist") async for row in orphans]
    return found


def find_balance_violations(balances: Sequence[Balance]) -> list[Violation]:
    """Return the violations of balances: trees that do not sum to zero, negative accounts."""
    sums: dict[tuple[str, str], int] = {}
    for balance in balances:
        tree = (balance.currency, balance.account.tree)
        sums[tree] = sums.get(tree, 0) + balance.debits_minor - balance.credits_minor
    unbalanced = [
        Violation(None, f"The accounts {tree}.* in {currency} do not sum to zero but to {total} minor units")
        for (currency, tree), total in sums.items()
        if total
    ]
    negative = [
        Violation(
            None, f"The account {balance.account} in {balance.currency} is negative for {balance.negative} merchants"
        )
        for balance in balances
        if balance.negative
    ]
    return unbalanced + negative


def describe_transaction_fault(row: Any) -> str:
    """Describe the fault in the entries of a transaction."""
    amount, booked = _money(row, "amount_minor"), _money(row, "total_minor")
    if not row["has_moved"]:
        return f"moved nothing but has {row['entries']} entries of {booked}"
    if not row["entries"]:
        return f"is a {row['mode']} of {amount} without an entry"
    return f"is a {row['mode']} of {amount}, but its {row['entries']} entries of {booked} do not match"


def describe_purchase_fault(row: Any) -> str:
    """Describe the fault of an operation in the entries of its payment."""
    held, released, taken = (_money(row, f"{name}_minor") for name in ("held", "released", "taken"))
    order = f"belongs to order {row['payment_id']}, of which"
    left = row["held_minor"] - row["released_minor"]
    if left < 0 or (left and row["mode"] == "capture"):
        return f"{order} {held} was authorized and {released} released"
    if row["mode"] == "capture" and row["taken_minor"] > row["held_minor"]:
        return f"{order} {held} was authorized and {taken} captured"
    back = Money(row["credited_minor"] + row["undone_minor"], Currency.of(row["currency"]))
    return (
        f"{order} {taken} was captured, {back.to_text()} refunded or voided,"
        f" {_money(row, 'charged_back_minor')} charged back and {_money(row, 'won_minor')} of that won"
    )


async def verify_new_entries(
    database: Database, *, new_facts: int = MAX_NEW_EVENTS, round_step: int = ROUND_STEP
) -> int:
    """Verify new entries and the next part of the round, if any. Return the number of new ones.

    Raises DatabaseUnavailable.
    """
    async with database.transaction() as connection:
        reached = await store.lock_round(connection)
        if reached is None:
            return 0
        facts = await store.select_new_facts(connection, limit=new_facts)
        new = [(fact.merchant_id, fact.transaction_id) for fact in facts if fact.transaction_id]
        scope = Scope(reached, reached, 0, tuple(new))
        if round_step:
            scope = await store.select_scope(connection, reached, size=round_step, singles=new)
        found = await find_violations(connection, scope, most=MAX_VIOLATIONS)
        faults = {violation.key: violation.fault for violation in found if violation.key}
        await store.replace_violations(connection, scope, list(faults.items()), most=MAX_REMEMBERED)
        if facts:
            await store.upsert_verified(connection, facts[-1])
        await store.update_round(connection, scope.upto)
    for (merchant_id, transaction_id), fault in faults.items():
        log.error("ledger.violation_found", merchant_id=merchant_id, transaction_id=transaction_id, fault=fault)
    return len(facts)


async def verify_all_new(database: Database, *, is_stopping: Callable[[], bool] = lambda: False) -> int:
    """Verify new entries, in bounded steps, and one step of the round; return the number of new events."""
    total = new = await verify_new_entries(database)
    for _ in range(MAX_STEPS - 1):
        if new < MAX_NEW_EVENTS or is_stopping():
            break
        new = await verify_new_entries(database, round_step=0)
        total += new
    return total


def _money(row: Any, name: str) -> str:
    return Money(row[name], Currency.of(row["currency"])).to_text()


def _key_of(row: Any) -> Key:
    return (row["merchant_id"], row["transaction_id"])
