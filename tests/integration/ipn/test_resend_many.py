"""Sending a range of events again: selection, order, each once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.support.callbacks import fetch, insert_events, insert_merchants, select_event_ids

from tollhouse.ipn.delivery.workers import START, release_orphans
from tollhouse.ipn.number import number_batch
from tollhouse.ipn.resend_many import MAX_EVENTS_RESENT, ResendFilter, Resent, resend_events
from tollhouse.storage.database import Database

SHOP, OTHER = "http://127.0.0.1:9001/ipn", "http://127.0.0.1:9002/ipn"
FAILED = ResendFilter(after=0, until=2**63 - 1)
ALL = replace(FAILED, only_failed=False)


@pytest.fixture
async def merchants(database: Database) -> Database:
    """A database with two merchants."""
    await insert_merchants(database, [1, 2])
    return database


async def make(database: Database, urls: Sequence[str], *, state: str = "failed", **fields: object) -> list[int]:
    """Make events with finished deliveries, and return their permanent IDs."""
    before = await select_event_ids(database)
    await insert_events(database, urls, **fields)
    while await number_batch(database):
        pass
    made = [event_id for event_id in await select_event_ids(database) if event_id not in before]
    await set_state(database, made, state)
    return made


async def set_state(database: Database, event_ids: Sequence[int], state: str) -> None:
    """Set the state of the last delivery of events."""
    async with database.acquire() as connection:
        await connection.execute(
            "update delivery d set state = $2::delivery_state, due_at = now(), lease = 1, lease_until = now() "
            "where event_id = any($1) and number = "
            "(select max(number) from delivery e where e.merchant_id = d.merchant_id and e.event_id = d.event_id)",
            event_ids,
            state,
        )


async def resend(database: Database, wanted: ResendFilter) -> Resent:
    """Send a batch of the first merchant's events again."""
    async with database.transaction() as connection:
        return await resend_events(connection, merchant_id=1, filter_=wanted)


async def resent(database: Database) -> list[tuple[int, str]]:
    """Return event and state of the new deliveries, in the order of events."""
    rows = await fetch(
        database, "select event_id, state::text from delivery where number > 1 order by event_id, number"
    )
    return [(row["event_id"], row["state"]) for row in rows]


async def test_failed_or_everything(merchants: Database) -> None:
    """Failed deliveries are sent again, or acknowledged ones too; unfinished ones never."""
    [failed] = await make(merchants, [SHOP])
    [delivered] = await make(merchants, [SHOP], state="delivered")
    for state in ("waiting", "leased"):
        await make(merchants, [SHOP], state=state)
    assert (await resend(merchants, FAILED)).count == 1
    assert await resent(merchants) == [(failed, "waiting")]
    assert (await resend(merchants, ALL)).count == 1
    assert await resent(merchants) == [(failed, "waiting"), (delivered, "waiting")]


async def test_range_of_numbers_and_endpoint(merchants: Database) -> None:
    """Numbers are after one and up to another; an endpoint is scheme, host and port."""
    made = await make(merchants, [SHOP, SHOP, OTHER, SHOP])
    done = await resend(merchants, replace(FAILED, after=1, until=3, origin="http://127.0.0.1:9001"))
    assert done == Resent(1, 0, 3, has_more=False)
    assert await resent(merchants) == [(made[1], "waiting")]


async def test_range_of_times_is_the_merchants(merchants: Database) -> None:
    """Times are compared with `createdAt`; the range includes its beginning, not its end."""
    made = await make(merchants, [SHOP] * 3)
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    async with merchants.acquire() as connection:
        for place, event_id in enumerate(made):
            at = begin + timedelta(days=place)
            await connection.execute(
                "update event set created_at = $2"
                " where position = (select position from event_number where event_id = $1)",
                event_id,
                at,
            )
    one_day = replace(FAILED, since=begin + timedelta(days=1), before=begin + timedelta(days=2))
    assert (await resend(merchants, one_day)).count == 1
    assert await resent(merchants) == [(made[1], "waiting")]


async def test_batches_reach_the_end(merchants: Database) -> None:
    """A batch sends a limited number again; together the batches send each event once."""
    made = await make(merchants, [SHOP] * (2 * MAX_EVENTS_RESENT + 5))
    counts, wanted, has_more = [], FAILED, True
    while has_more:
        done = await resend(merchants, wanted)
        counts.append(done.count)
        wanted, has_more = replace(wanted, after=done.last), done.has_more
    assert counts == [MAX_EVENTS_RESENT, MAX_EVENTS_RESENT, 5]
    assert await resent(merchants) == [(event_id, "waiting") for event_id in made]
    assert await resend(merchants, FAILED) == Resent(0, 0, len(made), has_more=False)


async def test_order_within_a_payment(merchants: Database) -> None:
    """The first event of each payment is due, and the next ones wait for it; other payments do not."""
    first = await make(merchants, [SHOP] * 3, payment_id=9)
    [other] = await make(merchants, [SHOP], payment_id=10)
    assert (await resend(merchants, FAILED)).count == 4
    assert await resent(merchants) == [
        (first[0], "waiting"), (first[1], "held"), (first[2], "held"), (other, "waiting")
    ]  # fmt: skip


async def test_earlier_event_under_way_is_waited_for(merchants: Database) -> None:
    """An event waits for an earlier unfinished one of its payment, not for a later one. None is an orphan."""
    for under_way, state in ((0, "held"), (1, "waiting")):
        pair = await make(merchants, [SHOP] * 2, payment_id=20 + under_way)
        await set_state(merchants, [pair[under_way]], "leased")
        await resend(merchants, FAILED)
        assert (await resent(merchants))[-1] == (pair[1 - under_way], state)
    _, orphans = await release_orphans(merchants, START)
    assert orphans == 0


async def test_both_forms_are_sent_again(merchants: Database) -> None:
    """Each failed form is sent again."""
    [event_id] = await make(merchants, [SHOP], format="both", legacy_xml=b"<ipn/>", payment_id=9)
    assert (await resend(merchants, FAILED)).count == 1  # only number 2 has failed
    await set_state(merchants, [event_id], "failed")
    async with merchants.acquire() as connection:
        await connection.execute("update delivery set state = 'failed', lease = 1, lease_until = now()")
    assert (await resend(merchants, FAILED)).count == 2
    rows = await fetch(merchants, "select form::text, state::text from delivery where number > 3 order by number")
    assert [(row["form"], row["state"]) for row in rows] == [("json", "waiting"), ("legacy", "waiting")]


async def test_two_at_the_same_time_send_each_event_once(merchants: Database) -> None:
    """The second of two concurrent requests skips the unfinished events."""
    made = await make(merchants, [SHOP] * 20, payment_id=9)
    done = await asyncio.gather(*(resend(merchants, FAILED) for _ in range(4)))
    assert sorted(each.count for each in done) == [0, 0, 0, 20]
    assert [event_id for event_id, _ in await resent(merchants)] == made


async def test_event_has_a_bound(merchants: Database) -> None:
    """An event that was delivered 100 times is skipped and counted."""
    [event_id] = await make(merchants, [SHOP])
    async with merchants.acquire() as connection:
        await connection.execute("update delivery set number = 100")
    assert await resend(merchants, FAILED) == Resent(0, 1, 1, has_more=False)
    assert await resent(merchants) == [(event_id, "failed")]


async def test_other_merchants_are_left_alone(merchants: Database) -> None:
    """Only the merchant's own events are sent again."""
    await make(merchants, [SHOP], merchant_id=2)
    assert await resend(merchants, ALL) == Resent(0, 0, 0, has_more=False)
