"""Load the rows of a transaction, and build its timeline.

There is no table of timelines: each package stores its own facts with their times. Consequences of an outcome are
written in the same database transaction and follow it, regardless of clocks.
"""

from __future__ import annotations

from typing import Any

from tollhouse.history.build_timeline import Timeline, TransactionRows, build_timeline
from tollhouse.ipn.log import select_payment_deliveries
from tollhouse.storage.database import PlainConnection
from tollhouse.storage.queries import load_queries

#: The maximum of rows of each kind.
MAX_ROWS = 100

queries = load_queries("tollhouse.history")


async def select_timeline(connection: PlainConnection, *, merchant_id: int, transaction_id: int) -> Timeline | None:
    """Return the timeline of a merchant's transaction, or None if it does not exist."""
    own = {"merchant_id": merchant_id, "transaction_id": transaction_id}
    transaction = await queries.select_transaction(connection, **own)
    if transaction is None:
        return None
    payment_id = transaction["payment_id"]
    deliveries = await select_payment_deliveries(connection, merchant_id=merchant_id, payment_id=payment_id)
    rows = TransactionRows(
        transaction=transaction,
        attempts=await _read(queries.select_attempts(connection, **own, most=MAX_ROWS)),
        steps=await _read(queries.select_steps(connection, **own, most=MAX_ROWS)),
        reversals=await _read(queries.select_reversals(connection, **own, most=MAX_ROWS)),
        authentications=await _read(queries.select_authentications(connection, **own, most=MAX_ROWS)),
        ledger=await _read(queries.select_ledger_entries(connection, **own, most=MAX_ROWS)),
        deliveries=tuple(one for one in deliveries if one.transaction_id == transaction_id),
    )
    return Timeline(payment_id, transaction_id, build_timeline(rows))


async def _read(rows: Any) -> tuple[Any, ...]:
    return tuple([row async for row in rows])
