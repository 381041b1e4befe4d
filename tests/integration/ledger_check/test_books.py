"""The books in the database: posted with the fact, proved, and wrong in no way that goes unnoticed."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextlib import suppress

import asyncpg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.support.acquirer import Plan
from tests.support.histories import INSERT_SETTLED, Settled, columns_of, expected_balances, histories
from tests.support.shop import Shop, claim, price

from tollhouse.acquirers.model import Declined
from tollhouse.kernel.errors import Invalid
from tollhouse.ledger.rules import derive_entries
from tollhouse.ledger_check.verify import LedgerReport, verify_ledger, verify_new_entries
from tollhouse.storage.database import Database

_merchants = itertools.count(1_000)


async def settle(
    database: Database, settled: Sequence[Settled], *, merchant_id: int = 1, cuts: Sequence[int] = ()
) -> None:
    """Write down a history with its books, in as many transactions as it is cut into."""
    movements = [movement for row in settled if (movement := row.movement(merchant_id))]
    entries = [(1, *entry.columns) for entry in derive_entries(movements, {})]
    edges = [0, *sorted(cuts), len(settled)]
    for begin, end in itertools.pairwise(edges):
        async with database.transaction() as connection:
            await connection.execute(INSERT_SETTLED, *columns_of(merchant_id, settled[begin:end]))
            ids = {row.transaction_id for row in settled[begin:end]}
            posted = [entry for entry in entries if entry[2] in ids]
            # A batch whose commit is in doubt is written twice.
            for _ in range(2):
                await connection.execute("select post_entries_v1($1::ledger_entry_v1[])", posted)


def balances_of(report: LedgerReport) -> dict[tuple[str, str], int]:
    """Return how far accounts have grown; those at zero are left out."""
    return {
        (balance.currency, balance.account.value): balance.columns[2]
        for balance in report.balances
        if balance.columns[2]
    }


@pytest.mark.slow
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(settled=histories(), cuts=st.lists(st.integers(1, 3), max_size=2), slice_size=st.integers(1, 4))
async def test_random_histories(database: Database, settled: list[Settled], cuts: list[int], slice_size: int) -> None:
    """After any history, in whatever batches, lines sum to zero and accounts hold what plain arithmetic says."""
    merchant_id = next(_merchants)
    await settle(database, settled, merchant_id=merchant_id, cuts=[cut for cut in cuts if cut < len(settled)])
    report = await verify_ledger(database, slice_size=slice_size)
    assert report.violations == ()
    async with database.acquire() as connection:
        lines = await connection.fetch(
            """
            select currency, account::text, sum(amount_minor)::bigint as total
            from ledger_line where merchant_id = $1 group by 1, 2
            """,
            merchant_id,
        )
    debit_side = {"holds.issuers", "money.acquirers", "money.credits", "money.chargebacks"}
    found = {(row[0], row[1]): row[2] if row[1] in debit_side else -row[2] for row in lines if row[2]}
    assert found == expected_balances(settled)
    assert sum(row["total"] for row in lines) == 0


async def test_approved_payment_is_posted(shop: Shop) -> None:
    """A payment is posted with its outcome; a decline, a verification and an open attempt are not."""
    sold = await shop.pay(prices=(price(1999),))
    await shop.pay(prices=(price(500, currency="JPY"),))
    shop.acquirer.plan(Plan(Declined("51")))
    assert (await shop.pay()).outcome[0] == "fail"
    assert (await shop.pay(prices=(price(0), price(999, "30d")))).outcome[0] == "success"
    held, paying = await shop.start(consumer_id="user-2")
    report = await verify_ledger(shop.parts.database)
    assert report.violations == ()
    assert (report.entries, report.transactions) == (2, 2)
    assert balances_of(report) == {
        ("USD", "money.acquirers"): 1999,
        ("USD", "money.merchants"): 1999,
        ("JPY", "money.acquirers"): 500,
        ("JPY", "money.merchants"): 500,
    }
    held.set()
    await paying
    row = (await shop.fetch("select * from ledger_entry where transaction_id = $1", sold.transaction_id))[0]
    assert (row["number"], row["debit"], row["credit"]) == (1, "money.acquirers", "money.merchants")


OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["sale", "auth", "capture", "void", "credit"]), st.integers(1, 1999), st.booleans()),
    min_size=2,
    max_size=7,
)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(operations=OPERATIONS)
@example(operations=[("auth", 1, True), ("capture", 500, True), ("credit", 200, True), ("credit", 1999, True)])
@example(operations=[("auth", 1, True), ("void", 1, True), ("sale", 1, True), ("void", 1, True)])
async def test_ledger_matches_any_operations(shop: Shop, operations: list[tuple[str, int, bool]]) -> None:
    """After any operations the ledger matches the transactions, and verification finds no fault."""
    database, transaction_id = shop.parts.database, 0
    for mode, amount_minor, is_approved in operations:
        if not is_approved:
            shop.acquirer.plan(Plan(Declined("05")))
        with suppress(Invalid):
            transaction_id = await operate(shop, mode, transaction_id, f"{amount_minor / 100:.2f}")
        shop.acquirer.plans.clear()
    rows = await shop.fetch("select * from transaction order by transaction_id")
    settled = [
        Settled(
            row["payment_id"],
            row["transaction_id"],
            row["mode"],
            row["amount_minor"],
            row["currency"],
            is_approved=row["status"] == "success",
        )
        for row in rows
    ]
    report = await verify_ledger(database, slice_size=3)
    assert report.violations == ()
    assert balances_of(report) == expected_balances(settled)


async def operate(shop: Shop, mode: str, transaction_id: int, amount: str) -> int:
    """Do something at the gateway, and return the transaction that is operated on next."""
    match mode:
        case "sale":
            return (await shop.pay()).transaction_id
        case "auth":
            return (await shop.authorize()).transaction_id
        case _ if not transaction_id:
            pass
        case "capture":
            await shop.capture(transaction_id, amount)
        case "credit":
            await shop.credit(transaction_id, amount)
        case _:
            await shop.void(transaction_id)
    return transaction_id


async def test_once_for_an_outcome_that_is_written_twice(shop: Shop) -> None:
    """Repeats and look-ups post nothing more."""
    for _ in range(3):
        await shop.pay(claim=claim("r1"))
    assert await shop.value("select count(*) from ledger_entry") == 1


async def test_rows_are_final(shop: Shop) -> None:
    """A posted entry is never changed or deleted."""
    await shop.pay()
    for statement in ("update ledger_entry set amount_minor = 1", "delete from ledger_entry"):
        with pytest.raises(asyncpg.RestrictViolationError):
            await shop.value(statement)


#: A history with one of everything, on which damage is done.
HISTORY = (
    Settled(1, 11, "sale", 1000),
    Settled(2, 12, "auth", 800),
    Settled(2, 13, "capture", 500),
    Settled(1, 14, "credit", 300),
    Settled(3, 15, "auth", 700, "JPY"),
    Settled(3, 16, "void", 700, "JPY"),
    Settled(4, 17, "sale", 900, is_approved=False),
    Settled(5, 18, "sale", 400),
    Settled(5, 19, "chargeback", 400),
    Settled(6, 20, "sale", 250),
    Settled(6, 21, "void", 250),
    Settled(7, 22, "auth", 0),
)

OF = "insert into ledger_entry (merchant_id, transaction_id, number, debit, credit, amount_minor, currency) values"
TAKEN = "'money.acquirers', 'money.merchants'"


def lower(transaction_id: int, amount_minor: int) -> str:
    """Return statements that give a transaction and its only entry another amount."""
    return "".join(
        f"update {table} set amount_minor = {amount_minor} where transaction_id = {transaction_id};"  # noqa: S608 - ours
        for table in ("ledger_entry", "transaction")
    )


#: What is done to the books or to what they are about, the transaction that is named, and a word of what is said.
DAMAGES = {
    "missing entry": ("delete from ledger_entry where transaction_id = 11", 11, "without an entry"),
    "missing release": ("delete from ledger_entry where transaction_id = 13 and number = 3", 13, "5.00 USD released"),
    "doubled entry": (f"{OF} (1, 11, 2, {TAKEN}, 1000, 'USD')", 11, "2 entries of 20.00"),
    "wrong amount": ("update ledger_entry set amount_minor = 999 where transaction_id = 11", 11, "9.99"),
    "wrong currency": ("update ledger_entry set currency = 'EUR' where transaction_id = 11", 11, "do not match"),
    "wrong account": (
        "update ledger_entry set debit = 'money.credits', credit = 'money.acquirers' where transaction_id = 11",
        11,
        "do not match",
    ),
    "wrong void": (
        "update ledger_entry set debit = 'money.merchants', credit = 'money.acquirers' where transaction_id = 16",
        16,
        "refunded or voided",
    ),
    "decline with an entry": (f"{OF} (1, 17, 1, {TAKEN}, 900, 'USD')", 17, "moved nothing"),
    "verification with an entry": (f"{OF} (1, 22, 1, {TAKEN}, 1, 'USD')", 22, "moved nothing"),
    "orphan": (f"{OF} (1, 99, 1, {TAKEN}, 1, 'USD')", 99, "does not exist"),
    "orphan of nobody": (f"{OF} (9, 1, 1, {TAKEN}, 1, 'USD')", 1, "does not exist"),
    "vanished transaction": ("delete from transaction where transaction_id = 18", 18, "does not exist"),
    "captured more than authorized": (
        lower(12, 400),
        13,
        "4.00 USD was authorized and 8.00 USD released",
    ),
    "released more than held": (lower(15, 400), 16, "400 JPY was authorized and 700 JPY released"),
    "credited more than taken": (
        lower(11, 200),
        14,
        "2.00 USD was captured, 3.00 USD refunded or voided",
    ),
    "charged back otherwise than it says": (
        "update ledger_entry set amount_minor = 300 where transaction_id = 19",
        19,
        "3.00 USD",
    ),
    "notice with an entry": (
        "update operation set dispute_step = 'retrieval', moved_minor = 0 where transaction_id = 19",
        19,
        "moved nothing",
    ),
}


async def damage(database: Database, statements: str) -> None:
    """Change rows that nobody may change, as somebody with a database shell can."""
    async with database.transaction() as connection:
        await connection.execute("alter table ledger_entry disable trigger ledger_entry_is_final")
        await connection.execute(statements)
        await connection.execute("alter table ledger_entry enable trigger ledger_entry_is_final")


async def test_accounts_below_zero(database: Database) -> None:
    """An account that cannot be below zero is named when it is, for how many merchants."""
    await settle(database, HISTORY)
    await settle(database, HISTORY, merchant_id=2)
    await damage(database, lower(15, 400))
    found = [str(violation) for violation in (await verify_ledger(database)).violations if violation.key is None]
    assert found == [
        f"The account holds.{side} in JPY is negative for 2 merchants" for side in ("issuers", "merchants")
    ]


@pytest.mark.parametrize("kind", DAMAGES)
async def test_damage_is_found(database: Database, kind: str) -> None:
    """Each kind of damage is named with its transaction, by the whole verification and by the round of the worker."""
    await settle(database, HISTORY)
    assert (await verify_ledger(database)).violations == ()
    statements, transaction_id, word = DAMAGES[kind]
    await damage(database, statements)
    report = await verify_ledger(database, slice_size=2)
    named = [violation for violation in report.violations if violation.key and violation.key[1] == transaction_id]
    assert named, report.violations
    assert any(word in str(violation) for violation in named), named
    await verify_new_entries(database)
    async with database.acquire() as connection:
        remembered = await connection.fetch("select transaction_id, fault from ledger_violation")
    assert (transaction_id, named[0].fault) in {tuple(row) for row in remembered}
