"""`select_timeline`: everything that happened to a transaction, in order.

There is no table of it: each package keeps its own facts with their times, and this puts them together. What follows
from the outcome was written in the same transaction as the outcome, and stands behind it whatever the clocks say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tollhouse.history.build_timeline import Rows, build_timeline
from tollhouse.history.model import Timeline
from tollhouse.ipn.log import select_payment_deliveries
from tollhouse.storage.queries import load_queries

if TYPE_CHECKING:
    from tollhouse.storage.database import PlainConnection

#: Of each kind of row.
MOST = 100

queries = load_queries("tollhouse.history")


async def select_timeline(connection: PlainConnection, *, merchant_id: int, transaction_id: int) -> Timeline | None:
    """Return what happened to a merchant's transaction, or None when there is no such transaction."""
    own = {"merchant_id": merchant_id, "transaction_id": transaction_id}
    transaction = await queries.select_transaction(connection, **own)
    if transaction is None:
        return None
    payment_id = transaction["payment_id"]
    deliveries = await select_payment_deliveries(connection, merchant_id=merchant_id, payment_id=payment_id)
    rows = Rows(
        transaction=transaction,
        attempts=await _read(queries.select_attempts(connection, **own, most=MOST)),
        steps=await _read(queries.select_steps(connection, **own, most=MOST)),
        reversals=await _read(queries.select_reversals(connection, **own, most=MOST)),
        authentications=await _read(queries.select_authentications(connection, **own, most=MOST)),
        ledger=await _read(queries.select_ledger_entries(connection, **own, most=MOST)),
        deliveries=tuple(one for one in deliveries if one.transaction_id == transaction_id),
    )
    return Timeline(payment_id, transaction_id, build_timeline(rows))


async def _read(rows: Any) -> tuple[Any, ...]:
    return tuple([row async for row in rows])
