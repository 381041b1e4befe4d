"""Send callbacks again: a range of events, in bounded batches.

Unlike a single resend, these deliveries keep the order within a payment: each waits for earlier unfinished events of
its payment. The deliveries are read after the events are locked, so that two concurrent requests for the same range
send each event once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tollhouse.ipn.resend import MAX_DELIVERIES
from tollhouse.ipn.store import OriginKey, Redelivery, insert_deliveries, queries, upsert_hosts
from tollhouse.kernel.urls import get_origin
from tollhouse.storage.database import PlainConnection

#: Events that one batch examines, and events that it sends again.
MAX_EVENTS_EXAMINED = 5_000
MAX_EVENTS_RESENT = 100


@dataclass(frozen=True, slots=True)
class ResendFilter:
    """A filter of events to send again: by number, merchant time, endpoint, and failed or all.

    `origin` is scheme, host and port.
    """

    after: int
    until: int
    since: datetime | None = None
    before: datetime | None = None
    origin: str | None = None
    only_failed: bool = True


@dataclass(frozen=True, slots=True)
class Resent:
    """The result of a batch.

    `count` deliveries were inserted and `skipped` for their number; `last` is the last examined event.
    """

    count: int
    skipped: int
    last: int
    has_more: bool


async def resend_events(connection: PlainConnection, *, merchant_id: int, filter_: ResendFilter) -> Resent:
    """Send the first batch of a range again, in the caller's database transaction."""
    kind = {"origin": filter_.origin, "only_failed": filter_.only_failed}
    found = await queries.select_repeatable_events(
        connection,
        merchant_id=merchant_id,
        after=filter_.after,
        until=filter_.until,
        since=filter_.since,
        before=filter_.before,
        examined=MAX_EVENTS_EXAMINED,
        max_rows=MAX_EVENTS_RESENT,
        **kind,
    )
    chosen = {"merchant_id": merchant_id, "event_ids": found["event_ids"]}
    await queries.lock_events(connection, **chosen)
    rows = [dict(row) async for row in queries.select_repeatable_deliveries(connection, **chosen, **kind)]
    allowed = [row for row in rows if row["last_number"] + len(rows_of(rows, row["event_id"])) <= MAX_DELIVERIES]
    await _insert(connection, merchant_id, allowed)
    return Resent(len(allowed), len(rows) - len(allowed), found["last"], has_more=found["has_more"])


async def select_last_sequence(connection: PlainConnection, merchant_id: int) -> int:
    """Return the number of a merchant's last event, or 0."""
    last: int = await queries.select_last_sequence(connection, merchant_id=merchant_id)
    return last


def rows_of(rows: Sequence[Mapping[str, Any]], event_id: int) -> list[Mapping[str, Any]]:
    """Return the rows of one event."""
    return [row for row in rows if row["event_id"] == event_id]


def plan_resends(
    rows: Sequence[Mapping[str, Any]],
    *,
    merchant_id: int,
    unfinished: Collection[tuple[int, int]],
    hosts: Mapping[OriginKey, int],
) -> list[Redelivery]:
    """Assign number and host to each delivery, and whether it waits for an earlier event of its thread.

    `rows` are in the order of events; `unfinished` are threads with unfinished events.
    """
    first: dict[int, int] = {}
    for thread, event_id in [*unfinished, *((row["thread"], row["event_id"]) for row in rows)]:
        if thread is not None:
            first[thread] = min(first.get(thread, event_id), event_id)
    redeliveries: list[Redelivery] = []
    for row in rows:
        event_id, thread, url = row["event_id"], row["thread"], row["url"]
        number = row["last_number"] + 1 + sum(redelivery.event_id == event_id for redelivery in redeliveries)
        host_id = hosts[OriginKey(merchant_id, get_origin(url))]
        held = thread is not None and first[thread] < event_id
        redeliveries.append(
            Redelivery(
                merchant_id,
                event_id,
                row["position"],
                number,
                row["form"],
                host_id,
                thread,
                url,
                held,
                row["created_at"],
            )
        )
    return redeliveries


async def _insert(connection: PlainConnection, merchant_id: int, rows: Sequence[Mapping[str, Any]]) -> None:
    if not rows:
        return
    threads = sorted({row["thread"] for row in rows if row["thread"] is not None})
    under_way = queries.lock_unfinished_events(connection, merchant_id=merchant_id, threads=threads)
    unfinished = {(row["thread"], row["event_id"]) async for row in under_way}
    hosts = await upsert_hosts(connection, {OriginKey(merchant_id, get_origin(row["url"])) for row in rows})
    await insert_deliveries(connection, plan_resends(rows, merchant_id=merchant_id, unfinished=unfinished, hosts=hosts))
