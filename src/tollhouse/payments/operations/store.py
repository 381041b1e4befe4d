"""Rows of operations: the balance of a payment, and new transactions.

Each function runs in its caller's database transaction, which `lock_position` makes the only one for that payment.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tollhouse.kernel.errors import InternalError
from tollhouse.kernel.money import Currency
from tollhouse.payments import records
from tollhouse.payments.dispute_steps import DisputeStep
from tollhouse.payments.model import AttemptState, Mode, Payment, Status
from tollhouse.payments.operations.balance import MAX_TRANSACTIONS, PastTransaction, PaymentBalance
from tollhouse.payments.store import queries
from tollhouse.storage.database import PlainConnection


async def lock_balance(connection: PlainConnection, named: Payment) -> PaymentBalance:
    """Lock a payment and return its transactions. A concurrent operation waits for the lock and sees ours.

    The first transaction is the named one, or the one that the named operation acts on: a payment page may have several
    first transactions.
    """
    await queries.lock_payment(connection, merchant_id=named.merchant_id, payment_id=named.payment_id)
    # A separate statement after the lock sees the commits of the previous holder of the lock.
    found = queries.select_transactions(
        connection, merchant_id=named.merchant_id, payment_id=named.payment_id, max_rows=MAX_TRANSACTIONS
    )
    rows = [row async for row in found]
    first_id = named.basis.transaction_id if named.basis else named.transaction_id
    first = next((row for row in rows if row["transaction_id"] == first_id), None)
    if first is None:
        raise InternalError("A payment that was committed is not there.")
    return PaymentBalance(
        first=_read_step(first, first["currency"]),
        later=tuple(_read_step(row, first["currency"]) for row in rows if not Mode(row["mode"]).is_first),
        currency=Currency.of(first["currency"]),
        is_expired=first["is_expired"],
    )


def _read_step(row: Mapping[str, Any], currency: str) -> PastTransaction:
    """Read a transaction. A chargeback in another currency than the payment does not reduce the amount left."""
    return PastTransaction(
        transaction_id=row["transaction_id"],
        mode=Mode(row["mode"]),
        status=Status(row["status"]),
        amount_minor=row["amount_minor"],
        acquirer=row["acquirer"],
        reference=row["reference"],
        state=AttemptState(row["state"]) if row["state"] else None,
        attempt_number=row["number"],
        dispute_step=DisputeStep(row["dispute_step"]) if row["dispute_step"] else None,
        moved_minor=row["moved_minor"] or 0 if row["currency"] == currency else 0,
    )


async def insert_operation(connection: PlainConnection, payment: Payment, *, resolve_seconds: float) -> None:
    """Insert an operation with its attempt; the resolver may query it after so many seconds."""
    await queries.insert_operation(connection, **records.columns_of_operation(payment, resolve_seconds=resolve_seconds))


async def insert_chargeback(connection: PlainConnection, payment: Payment) -> None:
    """Insert a chargeback, which the same database transaction finishes."""
    await queries.insert_chargeback(connection, **records.columns_of_chargeback(payment))


async def update_reversing(
    connection: PlainConnection, merchant_id: int, step: PastTransaction, *, resolve_seconds: float
) -> bool:
    """Begin to reverse an open attempt; False if it is no longer open."""
    number = await queries.update_reversing(
        connection,
        merchant_id=merchant_id,
        transaction_id=step.transaction_id,
        number=step.attempt_number,
        resolve_seconds=resolve_seconds,
    )
    return number is not None
