"""Rows of the books: posting them, and looking for what is wrong with them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tollhouse.ledger.model import Account
from tollhouse.storage.queries import load_queries

if TYPE_CHECKING:
    from tollhouse.storage.database import PlainConnection

#: Above every key.
END_ID = 2**63 - 1

queries = load_queries("tollhouse.ledger")

#: Merchant and transaction.
Key = tuple[int, int]

START: Key = (0, 0)
END: Key = (END_ID, END_ID)


@dataclass(frozen=True, slots=True)
class Scope:
    """What is looked at: keys above `after`, up to and including `upto`, `size` at the most; and single ones."""

    after: Key
    upto: Key
    size: int
    singles: tuple[Key, ...] = ()

    @property
    def columns(self) -> dict[str, Any]:
        """The same as arguments of a statement."""
        return self.range | {
            "size": self.size,
            "merchant_ids": [merchant_id for merchant_id, _ in self.singles],
            "transaction_ids": [transaction_id for _, transaction_id in self.singles],
        }

    @property
    def range(self) -> dict[str, int]:
        """The range alone."""
        (after_merchant_id, after_id), (upto_merchant_id, upto_id) = self.after, self.upto
        return {
            "after_merchant_id": after_merchant_id,
            "after_id": after_id,
            "upto_merchant_id": upto_merchant_id,
            "upto_id": upto_id,
        }


@dataclass(frozen=True, slots=True)
class Balance:
    """What an account was debited and credited in a currency, and of how many merchants it is below zero."""

    currency: str
    account: Account
    debits_minor: int
    credits_minor: int
    negative: int

    @property
    def columns(self) -> tuple[int, int, int]:
        """Debits, credits, and how far the account has grown by them."""
        grown = self.debits_minor - self.credits_minor
        return self.debits_minor, self.credits_minor, grown if self.account.is_debit else -grown


@dataclass(frozen=True, slots=True)
class Fact:
    """A numbered event, and the transaction that it is about, if it is about one."""

    merchant_id: int
    transaction_id: int | None
    sequence: int


async def select_scope(connection: PlainConnection, after: Key, *, size: int, singles: Sequence[Key] = ()) -> Scope:
    """Return the scope of the next `size` transactions; one up to `END` is the last."""
    end = await queries.select_scope_end(connection, merchant_id=after[0], transaction_id=after[1], size=size)
    return Scope(after, (end["merchant_id"], end["transaction_id"]) if end else END, size, tuple(singles))


def find_transaction_faults(connection: PlainConnection, scope: Scope, *, most: int) -> AsyncIterator[Any]:
    """Yield transactions whose entries are not exactly what they moved."""
    found: AsyncIterator[Any] = queries.find_transaction_faults(connection, **scope.columns, most=most)
    return found


def find_purchase_faults(connection: PlainConnection, scope: Scope, *, most: int) -> AsyncIterator[Any]:
    """Yield operations on purchases in whose books they do not fit."""
    found: AsyncIterator[Any] = queries.find_purchase_faults(connection, **scope.columns, most=most)
    return found


def find_orphans(connection: PlainConnection, scope: Scope, *, most: int) -> AsyncIterator[Any]:
    """Yield the keys of entries whose transaction is not there."""
    found: AsyncIterator[Any] = queries.find_orphans(connection, **scope.range, most=most)
    return found


async def select_balances(connection: PlainConnection) -> list[Balance]:
    """Return the balances of all accounts, by currency."""
    return [
        Balance(**(dict(row) | {"account": Account(row["account"])}))
        async for row in queries.select_balances(connection)
    ]


async def count_books(connection: PlainConnection) -> tuple[int, int]:
    """Count entries, and the transactions that they are about."""
    row = await queries.count_books(connection)
    return row["entries"], row["transactions"]


async def lock_round(connection: PlainConnection) -> Key | None:
    """Become the only one who proves, and return how far the round has come; None when another one is at it."""
    row = await queries.lock_round(connection)
    return (row["merchant_id"], row["transaction_id"]) if row else None


async def update_round(connection: PlainConnection, reached: Key) -> None:
    """Remember how far the round has come; at its end it begins anew."""
    merchant_id, transaction_id = START if reached == END else reached
    await queries.update_round(
        connection, merchant_id=merchant_id, transaction_id=transaction_id, is_over=reached == END
    )


async def select_new_facts(connection: PlainConnection, *, limit: int) -> list[Fact]:
    """Return events that were numbered since the last proof, of the merchant who is most behind, in their order."""
    return [Fact(**row) async for row in queries.select_new_facts(connection, limit=limit)]


async def upsert_proof(connection: PlainConnection, last: Fact) -> None:
    """Remember the last fact of a merchant that is proved."""
    await queries.upsert_proof(connection, merchant_id=last.merchant_id, sequence=last.sequence)


async def replace_violations(
    connection: PlainConnection, scope: Scope, found: Sequence[tuple[Key, str]], *, most: int
) -> None:
    """Remember what is wrong in a scope, in place of what was wrong there before."""
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
    """Count transactions about which the worker found the books wrong."""
    count: int = await queries.count_violations(connection)
    return count
