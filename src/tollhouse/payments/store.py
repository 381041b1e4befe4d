"""Begin and finish payments: each is one call of one SQL function for a whole batch.

Both are flush functions of a coalescer. Both may be repeated, because a COMMIT may have succeeded although its response
was lost: an idempotency key, a token or a row that bears the IDs of this batch is its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from tollhouse.consumers.model import Group
from tollhouse.idempotency.store import claim_row
from tollhouse.kernel.clock import DatabaseClock
from tollhouse.payments import records
from tollhouse.payments.model import BeginHook, BeginRows, FinishHook, FinishRows, Payment, Status
from tollhouse.payments.steps import (
    BeginRecord,
    Begun,
    Committed,
    DoubleClick,
    FinishRecord,
    KeyAlreadyClaimed,
    Outdated,
    TokenAlreadyUsed,
)
from tollhouse.payments.velocity import build_marks
from tollhouse.risk.assess import NO_LIMITS, Count, RiskFacts, VelocityLimits
from tollhouse.storage.database import PlainConnection
from tollhouse.storage.queries import load_queries
from tollhouse.threeds.store import write_json

queries = load_queries("tollhouse.payments")


async def begin_payments(
    clock: DatabaseClock,
    hooks: Sequence[BeginHook],
    connection: PlainConnection,
    batch: Sequence[BeginRecord],
    *,
    limits: VelocityLimits = NO_LIMITS,
) -> list[Begun]:
    """Begin a batch of payments with one call of `begin_payments_v1`; return the result for each."""
    placed = [(place, item.payment) for place, item in enumerate(batch, 1)]
    found = queries.begin_payments(
        connection,
        payments=[records.intent_row(place, item) for place, item in enumerate(batch, 1)],
        claims=[
            claim_row(place, item.claim, payment_id=item.payment.payment_id)
            for place, item in enumerate(batch, 1)
            if item.claim
        ],
        consumers=[(place, *item.consumer) for place, item in enumerate(batch, 1) if item.consumer],
        marks=[(place, *mark) for place, payment in placed for mark in build_marks(payment) if limits.is_set],
        window_seconds=limits.window_seconds,
        max_count=limits.max_count,
        **{kind.value: _collect_rows(kind, hooks, placed) for kind in BeginRows},
    )
    rows = [row async for row in found]
    clock.observe(rows[0]["database_time"])
    return [_read_begun(row) for row in rows]


def _read_begun(row: Mapping[str, Any]) -> Begun:
    match row["outcome"]:
        case "begun" | "begun_before":
            group = row["group_id"]
            counts = {each["kind"]: Count(each["attempts"], each["declines"]) for each in row["counts"] or ()}
            facts = RiskFacts(group == Group.BLACKLIST, group == Group.WHITELIST, counts)
            return Committed(facts, is_account_disabled=bool(row["is_account_disabled"]))
        case "claimed":
            return KeyAlreadyClaimed()
        case "token_gone":
            return TokenAlreadyUsed()
        case "superseded":
            return Outdated()
        case _:
            return DoubleClick(row["holder_id"])


#: The results of `finish_payments_v1`, as `finish_payments` returns them.
_RESULTS = {"moved": True, "moved_before": True, "overtaken": False, "outdated": None}


async def finish_payments(
    clock: DatabaseClock, hooks: Sequence[FinishHook], connection: PlainConnection, batch: Sequence[FinishRecord]
) -> list[bool | None]:
    """Finish a batch of attempts with one call of `finish_payments_v1`.

    Returns for each whether it was still in the expected state, or None if its subscription has changed: then nothing
    was written, and the changes have to be computed again.
    """
    placed = list(enumerate(batch, 1))
    finished = [(place, each.payment) for place, each in placed if each.payment.status is not Status.PENDING]
    found = queries.finish_payments(
        connection,
        outcomes=[records.outcome_row(place, each) for place, each in placed],
        next_attempts=[
            records.next_attempt_row(place, each.following, each.following_resolve_seconds)
            for place, each in placed
            if each.following
        ],
        authentications=[(place, write_json(each.challenge)) for place, each in placed if each.challenge],
        codes=[(place, *each.code) for place, each in placed if each.code],
        **{kind.value: _collect_rows(kind, hooks, finished) for kind in FinishRows},
    )
    rows = [row async for row in found]
    clock.observe(rows[0]["database_time"])
    return [_RESULTS[row["result"]] for row in rows]


def _collect_rows(
    kind: StrEnum, hooks: Sequence[BeginHook] | Sequence[FinishHook], placed: Sequence[tuple[int, Payment]]
) -> list[tuple[Any, ...]]:
    """Return the rows of one kind, in the order of the hooks, each with the position of its payment."""
    chosen = [hook for hook in hooks if hook.kind is kind]
    return [(place, *row) for hook in chosen for place, payment in placed for row in hook.rows(payment)]


async def select_payment(connection: PlainConnection, *, merchant_id: int, transaction_id: int) -> Payment | None:
    """Return a merchant's payment by the ID of its transaction, or None."""
    found = await select_payments(connection, merchant_id=merchant_id, transaction_ids=[transaction_id])
    return found.get(transaction_id)


async def select_payments(
    connection: PlainConnection, *, merchant_id: int, transaction_ids: Sequence[int]
) -> dict[int, Payment]:
    """Return a merchant's payments by the IDs of their transactions. Unknown IDs are left out."""
    rows = queries.select_payments(connection, merchant_id=merchant_id, transaction_ids=transaction_ids)
    return {row["transaction_id"]: records.read_payment(row) async for row in rows}


async def select_payment_by_order(connection: PlainConnection, *, merchant_id: int, payment_id: int) -> Payment | None:
    """Return a merchant's payment by its order ID, or None."""
    transaction_id = await queries.select_payment_transaction(
        connection, merchant_id=merchant_id, payment_id=payment_id
    )
    if transaction_id is None:
        return None
    return await select_payment(connection, merchant_id=merchant_id, transaction_id=transaction_id)


async def count_unresolved(connection: PlainConnection) -> int:
    """Count attempts with an open outcome."""
    count: int = await queries.select_unresolved(connection)
    return count
