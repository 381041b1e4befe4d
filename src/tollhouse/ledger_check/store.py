"""Rows of the verification of the ledger."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from tollhouse.kernel.ids import MAX_ID
from tollhouse.ledger.model import LedgerAccount
from tollhouse.storage.database import PlainConnection
from tollhouse.storage.queries import load_queries

queries = load_queries("tollhouse.ledger_check")

#: Merchant ID and transaction ID.
Key = tuple[int, int]

START: Key = (0, 0)
END: Key = (MAX_ID, MAX_ID)


@dataclass(frozen=True, slots=True)
class Scope:
    """The transactions to verify: keys above `after`, up to and including `upto`, at most `size`; and single ones."""

    after: Key
    upto: Key
    size: int
    singles: tuple[Key, ...] = ()

    @property
    def columns(self) -> dict[str, Any]:
        """The scope as arguments of a statement."""
        return self.range | {
            "size": self.size,
            "merchant_ids": [merchant_id for merchant_id, _ in self.singles],
            "transaction_ids": [transaction_id for _, transaction_id in self.singles],
        }

    @property
    def range(self) -> dict[str, int]:
        """The range without the single ones."""
        (after_merchant_id, after_id), (upto_merchant_id, upto_id) = self.after, self.upto
        return {
            "after_merchant_id": after_merchant_id,
            "after_id": after_id,
            "upto_merchant_id": upto_merchant_id,
            "upto_id": upto_id,
        }


@dataclass(frozen=True, slots=True)
class Balance:
    """The debits and credits of an account in a currency, and the number of merchants with a negative balance."""

    currency: str
    account: LedgerAccount
    debits_minor: int
    credits_minor: int
    negative: int

    @property
    def columns(self) -> tuple[int, int, int]:
        """Debits, credits, and the resulting growth of the account."""
        grown = self.debits_minor - self.credits_minor
        return self.debits_minor, self.credits_minor, grown if self.account.is_debit else -grown


@dataclass(frozen=True, slots=True)
class NumberedEvent:
    """A numbered event, and its transaction if it has one."""

    merchant_id: int
    transaction_id: int | None
    sequence: int


async def select_scope(connection: PlainConnection, after: Key, *, size: int, singles: Sequence[Key] = ()) -> Scope:
    """Return the scope of the next `size` transactions. The last scope ends at `MAX_ID`."""
    end = await queries.select_scope_end(connection, merchant_id=after[0], transaction_id=after[1], size=size)
    return Scope(after, (end["merchant_id"], end["transaction_id"]) if end else END, size, tuple(singles))


def find_transaction_faults(connection: PlainConnection, scope: Scope, *, most: int) -> AsyncIterator[Any]:
    """Yield transactions whose entries do not match exactly the amounts that they moved."""
    found: AsyncIterator[Any] = queries.find_transaction_faults(connection, **scope.columns, most=most)
    return found


def find_purchase_faults(connection: PlainConnection, scope: Scope, *, most: int) -> AsyncIterator[Any]:
    """Yield operations that do not fit the entries of their payment."""
    found: AsyncIterator[Any] = queries.find_purchase_faults(connection, **scope.columns, most=most)
    return found


def find_orphans(connection: PlainConnection, scope: Scope, *, most: int) -> AsyncIterator[Any]:
    """Yield the keys of entries without a transaction."""
    found: AsyncIterator[Any] = queries.find_orphans(connection, **scope.range, most=most)
    return found


async def select_balances(connection: PlainConnection) -> list[Balance]:
    """Return the balances of all accounts, by currency."""
    return [
        Balance(**(dict(row) | {"account": LedgerAccount(row["account"])}))
        async for row in queries.select_balances(connection)
    ]


async def count_entries(connection: PlainConnection) -> tuple[int, int]:
    """Count entries and their transactions."""
    row = await queries.count_entries(connection)
    return row["entries"], row["transactions"]


async def lock_round(connection: PlainConnection) -> Key | None:
    """Lock the verification, and return the position of the round. Return None if another process holds the lock."""
    row = await queries.lock_round(connection)
    return (row["merchant_id"], row["transaction_id"]) if row else None


async def update_round(connection: PlainConnection, reached: Key) -> None:
    """Record the position of the round. At its end the next one starts."""
    merchant_id, transaction_id = START if reached == END else reached
    await queries.update_round(
        connection, merchant_id=merchant_id, transaction_id=transaction_id, is_over=reached == END
    )


async def select_new_facts(connection: PlainConnection, *, limit: int) -> list[NumberedEvent]:
    """Return events that were numbered since the last run, in order, of the merchant with the largest backlog."""
    return [NumberedEvent(**row) async for row in queries.select_new_facts(connection, limit=limit)]


async def upsert_verified(connection: PlainConnection, last: NumberedEvent) -> None:
    """Record the last verified event of a merchant."""
    await queries.upsert_verified(connection, merchant_id=last.merchant_id, sequence=last.sequence)


async def replace_violations(
    connection: PlainConnection, scope: Scope, found: Sequence[tuple[Key, str]], *, most: int
) -> None:
    """Replace the stored violations of a scope."""
    columns = {name: value for name, value in scope.columns.items() if name != "size"}
    await queries.delete_violations(connection, **columns)
    if found:
        await queries.insert_violations(
            connection,
            merchant_ids=[merchant_id for (merchant_id, _), _ in found],
            transaction_ids=[transaction_id for (_, transaction_id), _ in found],
            faults=[fault for _, fault in found],
            most=most,
        )


async def count_violations(connection: PlainConnection) -> int:
    """Count transactions in which the worker found violations."""
    count: int = await queries.count_violations(connection)
    return count
