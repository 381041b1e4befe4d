"""Transactions read back, newest first, by whatever a merchant knows of them.

Each look takes a stretch of one index, in the order of time, and then keeps what fits the rest of the filter. Which
index it is depends on the filter: an id and a request id know their few transactions, an order and a consumer have
indexes of their own, as have operations; all else is the merchant's own order of time. A page looks at
so many transactions and no more. It may therefore hold fewer than were asked for, or none, and still say where
to go on; it never costs more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from tollhouse.payments.model import CHANGE_OPERATION, OPERATION, Mode, Payment, Status
from tollhouse.payments.store import queries, select_payments

if TYPE_CHECKING:
    from tollhouse.storage.database import PlainConnection

#: What one page looks at, and how much of it at a time where most of it does not fit.
MOST_EXAMINED = 10_000
STRETCH = 2_000
#: A consumer with more payments is found along the merchant's own order of time.
MOST_OF_CONSUMER = 5_000
#: The operations whose request ids name transactions.
OPERATIONS = (OPERATION, CHANGE_OPERATION, "capture", "void", "credit", "chargeback")

EARLIEST = datetime(1, 1, 2, tzinfo=UTC)
LATEST = datetime(9999, 12, 30, tzinfo=UTC)


class Place(NamedTuple):
    """Where a page ends; the next one begins after it."""

    created_at: datetime
    transaction_id: int


@dataclass(frozen=True, slots=True)
class Filter:
    """What is looked for; None narrows nothing. `until` is the first moment that is too late."""

    transaction_id: int | None = None
    payment_id: int | None = None
    request_id: str | None = None
    consumer_id: str | None = None
    external_id: str | None = None
    site_id: int | None = None
    status: Status | None = None
    mode: Mode | None = None
    since: datetime = EARLIEST
    until: datetime = LATEST

    @property
    def is_order_of_time(self) -> bool:
        """Whether all that falls into the time fits."""
        others = (self.transaction_id, self.payment_id, self.request_id, self.consumer_id, self.external_id)
        return all(each is None for each in (*others, self.site_id, self.status, self.mode))


@dataclass(frozen=True, slots=True)
class Page:
    """Some transactions, newest first, and where the next page begins; None at the end."""

    payments: tuple[Payment, ...]
    next: Place | None


@dataclass(frozen=True, slots=True)
class _Search:
    """A look for a page: whose transactions, which, and at how many at most."""

    connection: PlainConnection
    merchant_id: int
    wanted: Filter
    consumer_id: str | None
    most_examined: int


#: Returns a stretch of an index: places before one, newest first, as many at most.
Look = Callable[..., Any]


async def select_page(
    connection: PlainConnection,
    merchant_id: int,
    wanted: Filter,
    *,
    after: Place | None,
    most: int,
    most_examined: int = MOST_EXAMINED,
) -> Page:
    """Return a page of a merchant's transactions."""
    consumer_id = wanted.consumer_id
    if wanted.external_id is not None:
        consumer_id = await queries.select_consumer_by_external_id(
            connection, merchant_id=merchant_id, external_id=wanted.external_id
        )
        if consumer_id is None or wanted.consumer_id not in {None, consumer_id}:
            return Page((), None)
    search = _Search(connection, merchant_id, wanted, consumer_id, most_examined)
    start = Place(wanted.until, 0)
    places, following = await _gather(
        search, await _choose_look(search), start=min(start, after) if after else start, most=most
    )
    return Page(await _read(search, places), following)


async def _choose_look(search: _Search) -> Look:
    """Choose the index that has the fewest to look at."""
    wanted, look = search.wanted, queries.select_feed_recent
    own: dict[str, Any] = {"merchant_id": search.merchant_id, "since": wanted.since}
    if wanted.transaction_id is not None or wanted.request_id is not None:
        look, own["transaction_ids"] = queries.select_feed_of_ids, await _find_ids(search)
    elif wanted.payment_id is not None:
        look, own["payment_id"] = queries.select_feed_of_order, wanted.payment_id
    elif search.consumer_id is not None and await _is_short(search):
        look, own["consumer_id"] = queries.select_feed_of_consumer, search.consumer_id
    elif wanted.mode is not None and not wanted.mode.is_first:
        look = queries.select_feed_later
    return partial(look, search.connection, **own)


async def _find_ids(search: _Search) -> list[int]:
    """Return the ids of transactions of a request, or the one that is asked for if it is of that request."""
    wanted = search.wanted
    if wanted.request_id is None:
        return [] if wanted.transaction_id is None else [wanted.transaction_id]
    rows = queries.select_feed_of_request(
        search.connection, merchant_id=search.merchant_id, operations=OPERATIONS, request_id=wanted.request_id
    )
    ids = [row["transaction_id"] async for row in rows]
    return ids if wanted.transaction_id is None else [each for each in ids if each == wanted.transaction_id]


async def _is_short(search: _Search) -> bool:
    count: int = await queries.select_consumer_payments_count(
        search.connection,
        merchant_id=search.merchant_id,
        consumer_id=search.consumer_id,
        most=MOST_OF_CONSUMER + 1,
    )
    return count <= MOST_OF_CONSUMER


async def _gather(search: _Search, look: Look, *, start: Place, most: int) -> tuple[list[Place], Place | None]:
    """Look at one stretch after another until the page is full; return what fits, and where the next page begins."""
    found: list[Place] = []
    examined, stretch = 0, most + 1
    while True:
        places = [
            Place(row["created_at"], row["transaction_id"]) async for row in look(**start._asdict(), most=stretch)
        ]
        found += await _keep_fitting(search, places)
        if len(found) > most:
            return found[:most], found[most - 1]
        if len(places) < stretch:
            return found, None
        examined, start = examined + len(places), places[-1]
        if examined >= search.most_examined:
            return found, start
        stretch = min(4 * stretch, STRETCH)


async def _keep_fitting(search: _Search, places: list[Place]) -> list[Place]:
    wanted = search.wanted
    if wanted.is_order_of_time or not places:
        return places
    rows = queries.select_feed_matches(
        search.connection,
        merchant_id=search.merchant_id,
        transaction_ids=[place.transaction_id for place in places],
        status=wanted.status,
        mode=wanted.mode,
        payment_id=wanted.payment_id,
        site_id=wanted.site_id,
        consumer_id=search.consumer_id,
    )
    fitting = {row["transaction_id"] async for row in rows}
    return [place for place in places if place.transaction_id in fitting]


async def _read(search: _Search, places: list[Place]) -> tuple[Payment, ...]:
    """Read transactions, in the order of their places."""
    if not places:
        return ()
    ids = [place.transaction_id for place in places]
    payments = await select_payments(search.connection, merchant_id=search.merchant_id, transaction_ids=ids)
    return tuple(payments[each] for each in ids)
