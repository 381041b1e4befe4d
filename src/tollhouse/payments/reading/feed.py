"""List a merchant's transactions, newest first, by a filter.

Each page scans one index in the order of time and keeps the transactions that fit the rest of the filter. The filter
determines the index: an ID or an idempotency key has few transactions, an order, a consumer and operations have their
own indexes, and everything else uses the merchant's order of time. A page examines a limited number of transactions. So
it may contain fewer than requested, or none, and still have a next page.

Pages are in the order of creation, which never changes. A time span refers to the displayed time, which is that of the
outcome: the few transactions that took long are found by an index of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

from tollhouse.payments.dispute_steps import DisputeStep
from tollhouse.payments.model import CHANGE_OPERATION, OPERATION, Mode, Payment, Status
from tollhouse.payments.store import queries, select_payments
from tollhouse.storage.database import PlainConnection

#: Transactions that one page examines, and those that one query reads at most.
MAX_EXAMINED_ROWS = 10_000
MAX_SCANNED_ROWS = 2_000
#: For a consumer with more payments the merchant's order of time is scanned.
MAX_CONSUMER_PAYMENTS = 5_000
#: The operations whose idempotency keys belong to transactions.
OPERATIONS = (OPERATION, CHANGE_OPERATION, "capture", "void", "credit", "chargeback")

EARLIEST = datetime(1, 1, 2, tzinfo=UTC)
LATEST = datetime(9999, 12, 30, tzinfo=UTC)


#: Transactions that took longer until their outcome are in the index `transaction_finished_late`.
LATE_AFTER = timedelta(hours=1)


class FeedPosition(NamedTuple):
    """The end of a page; the next page begins after it."""

    created_at: datetime
    transaction_id: int


@dataclass(frozen=True, slots=True)
class FeedFilter:
    """A filter of transactions; None does not filter.

    `steps` are those of chargebacks; a status never matches a chargeback. `since` and `until` refer to the displayed
    time of a transaction; `until` is exclusive.
    """

    transaction_id: int | None = None
    payment_id: int | None = None
    request_id: str | None = None
    consumer_id: str | None = None
    external_id: str | None = None
    site_id: int | None = None
    status: Status | None = None
    mode: Mode | None = None
    steps: frozenset[DisputeStep] | None = None
    since: datetime = EARLIEST
    until: datetime = LATEST

    @property
    def is_order_of_time(self) -> bool:
        """Whether every transaction matches."""
        ids = (self.transaction_id, self.payment_id, self.request_id, self.consumer_id, self.external_id)
        others = (*ids, self.site_id, self.status, self.mode, self.steps)
        return all(each is None for each in others) and (self.since, self.until) == (EARLIEST, LATEST)


@dataclass(frozen=True, slots=True)
class FeedPage:
    """Some transactions, newest first, and the position of the next page; None at the end."""

    payments: tuple[Payment, ...]
    next: FeedPosition | None


@dataclass(frozen=True, slots=True)
class _Search:
    """The search for a page."""

    connection: PlainConnection
    merchant_id: int
    filter_: FeedFilter
    consumer_id: str | None
    max_examined_rows: int


#: Returns positions in an index before a given one, newest first.
Find = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class IndexScan:
    """A scan of an index: its query, and the position where it begins."""

    find: Find
    start: FeedPosition


async def select_page(
    connection: PlainConnection,
    merchant_id: int,
    filter_: FeedFilter,
    *,
    after: FeedPosition | None,
    max_rows: int,
    max_examined_rows: int = MAX_EXAMINED_ROWS,
) -> FeedPage:
    """Return a page of a merchant's transactions."""
    consumer_id = filter_.consumer_id
    if filter_.external_id is not None:
        consumer_id = await queries.select_consumer_by_external_id(
            connection, merchant_id=merchant_id, external_id=filter_.external_id
        )
        if consumer_id is None or filter_.consumer_id not in {None, consumer_id}:
            return FeedPage((), None)
    search = _Search(connection, merchant_id, filter_, consumer_id, max_examined_rows)
    positions, following = await _gather(search, await _choose_scans(search), after=after, max_rows=max_rows)
    return FeedPage(await _read(search, positions), following)


async def _choose_scans(search: _Search) -> list[IndexScan]:
    """Choose the index with the fewest rows. A transaction made after `until` cannot have finished before it."""
    filter_, start = search.filter_, FeedPosition(search.filter_.until, 0)
    own: dict[str, Any] = {"merchant_id": search.merchant_id}
    if filter_.transaction_id is not None or filter_.request_id is not None:
        find = partial(queries.select_feed_of_ids, transaction_ids=await _find_ids(search))
    elif filter_.payment_id is not None:
        find = partial(queries.select_feed_of_order, payment_id=filter_.payment_id)
    elif search.consumer_id is not None and await _is_short(search):
        find = partial(queries.select_feed_of_consumer, consumer_id=search.consumer_id)
    else:
        return _scan_by_time(search, start)
    return [IndexScan(partial(find, search.connection, **own), start)]


def _scan_by_time(search: _Search, start: FeedPosition) -> list[IndexScan]:
    """Scan transactions made in the time span, then those made earlier and finished late."""
    filter_ = search.filter_
    is_later = filter_.mode is not None and not filter_.mode.is_first
    recent = queries.select_feed_later if is_later else queries.select_feed_recent
    since = max(filter_.since, EARLIEST + LATE_AFTER) - LATE_AFTER
    scans = [IndexScan(partial(recent, search.connection, merchant_id=search.merchant_id, since=since), start)]
    if since > EARLIEST:
        find = partial(queries.select_feed_late, search.connection, merchant_id=search.merchant_id)
        scans.append(IndexScan(find, FeedPosition(since, 0)))
    return scans


async def _find_ids(search: _Search) -> list[int]:
    """Return the transaction IDs of a request, or the requested ID if it belongs to that request."""
    filter_ = search.filter_
    if filter_.request_id is None:
        return [] if filter_.transaction_id is None else [filter_.transaction_id]
    rows = queries.select_feed_of_request(
        search.connection, merchant_id=search.merchant_id, operations=OPERATIONS, request_id=filter_.request_id
    )
    ids = [row["transaction_id"] async for row in rows]
    return ids if filter_.transaction_id is None else [each for each in ids if each == filter_.transaction_id]


async def _is_short(search: _Search) -> bool:
    count: int = await queries.select_consumer_payments_count(
        search.connection,
        merchant_id=search.merchant_id,
        consumer_id=search.consumer_id,
        max_rows=MAX_CONSUMER_PAYMENTS + 1,
    )
    return count <= MAX_CONSUMER_PAYMENTS


async def _gather(
    search: _Search, scans: Sequence[IndexScan], *, after: FeedPosition | None, max_rows: int
) -> tuple[list[FeedPosition], FeedPosition | None]:
    """Scan until the page is full; return the matching positions, and the position of the next page."""
    found: list[FeedPosition] = []
    examined = 0
    for scan in scans:
        start, row_count, is_over = min(scan.start, after) if after else scan.start, max_rows + 1, False
        while not is_over:
            rows = scan.find(**start._asdict(), max_rows=row_count)
            positions = [FeedPosition(row["created_at"], row["transaction_id"]) async for row in rows]
            found += await _keep_fitting(search, positions)
            if len(found) > max_rows:
                return found[:max_rows], found[max_rows - 1]
            examined, start = examined + len(positions), positions[-1] if positions else start
            is_over = len(positions) < row_count
            if examined >= search.max_examined_rows and not (is_over and scan is scans[-1]):
                return found, start
            row_count = min(4 * row_count, MAX_SCANNED_ROWS)
    return found, None


async def _keep_fitting(search: _Search, positions: list[FeedPosition]) -> list[FeedPosition]:
    filter_ = search.filter_
    if filter_.is_order_of_time or not positions:
        return positions
    rows = queries.select_feed_matches(
        search.connection,
        merchant_id=search.merchant_id,
        transaction_ids=[position.transaction_id for position in positions],
        status=filter_.status,
        mode=filter_.mode,
        steps=None if filter_.steps is None else sorted(filter_.steps),
        since=filter_.since,
        until=filter_.until,
        payment_id=filter_.payment_id,
        site_id=filter_.site_id,
        consumer_id=search.consumer_id,
    )
    fitting = {row["transaction_id"] async for row in rows}
    return [position for position in positions if position.transaction_id in fitting]


async def _read(search: _Search, positions: list[FeedPosition]) -> tuple[Payment, ...]:
    """Load transactions, in the order of their positions."""
    if not positions:
        return ()
    ids = [position.transaction_id for position in positions]
    payments = await select_payments(search.connection, merchant_id=search.merchant_id, transaction_ids=ids)
    return tuple(payments[each] for each in ids)
