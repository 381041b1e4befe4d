"""Numbering: without gaps, once, in order, with a delivery for each event that has a URL."""

from __future__ import annotations

import asyncio

import pytest
from tests.support.callbacks import fetch, insert_event, insert_events, insert_merchants, select_event_ids

from tollhouse.ipn.number import number_batch
from tollhouse.storage.database import Database

URL = "https://example.com/ipn"


@pytest.fixture
async def merchants(database: Database) -> Database:
    """A database with three merchants."""
    await insert_merchants(database, (1, 2, 3))
    return database


async def test_without_events_nothing_is_numbered(database: Database) -> None:
    """Without events the batch is empty."""
    assert await number_batch(database) == 0


async def test_each_merchant_counts_from_one(merchants: Database) -> None:
    """Numbers begin at 1 and follow the IDs, for each merchant separately, over several batches."""
    for merchant_id in (1, 2, 1, 1, 2):
        await insert_events(merchants, [URL], merchant_id=merchant_id)
    assert [await number_batch(merchants, batch=2) for _ in range(4)] == [2, 2, 1, 0]
    rows = await fetch(merchants, "select merchant_id, sequence from event_number order by position")
    assert [(row["merchant_id"], row["sequence"]) for row in rows] == [(1, 1), (2, 1), (1, 2), (1, 3), (2, 2)]


async def test_event_that_commits_late_gets_the_next_number(merchants: Database) -> None:
    """A lower ID that becomes visible later gets the next number, without a gap."""
    async with merchants.acquire() as slow, slow.transaction():
        await insert_event(slow, URL, body=b"late")
        await insert_events(merchants, [URL], body=b"early")
        await number_batch(merchants)
    await number_batch(merchants)
    rows = await fetch(merchants, "select body from numbered_event order by sequence")
    assert [row["body"] for row in rows] == [b"early", b"late"]
    first, second = await select_event_ids(merchants)
    assert 10**15 < first < second


async def test_sequencers_at_once_leave_no_gap(merchants: Database) -> None:
    """With several sequencers and a stream of events every number exists once."""
    done = asyncio.Event()

    async def keep_numbering() -> None:
        while not done.is_set() or await number_batch(merchants, batch=7):
            await number_batch(merchants, batch=7)

    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(keep_numbering())
        for number in range(60):
            await insert_events(merchants, [URL, URL], merchant_id=1 + number % 3, payment_id=number)
        done.set()
    rows = await fetch(
        merchants,
        "select merchant_id, array_agg(sequence) as sequences from event_number group by merchant_id order by 1",
    )
    assert [row["merchant_id"] for row in rows] == [1, 2, 3]
    assert all(sorted(row["sequences"]) == list(range(1, 41)) for row in rows)
    assert [row["count"] for row in await fetch(merchants, "select count(*) from delivery")] == [120]


async def test_rolled_back_batch_takes_no_number(merchants: Database) -> None:
    """A sequencer that dies before its commit leaves the counter unchanged."""
    await insert_events(merchants, [URL])
    task = asyncio.create_task(number_batch(merchants))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await number_batch(merchants)
    assert [row["sequence"] for row in await fetch(merchants, "select sequence from event_number")] == [1]


async def test_second_event_of_a_payment_is_held(merchants: Database) -> None:
    """The second event of a payment waits for the first, in the same batch or a later one."""
    await insert_events(merchants, [URL, URL], payment_id=9)
    await number_batch(merchants)
    await insert_events(merchants, [URL], payment_id=9)
    await number_batch(merchants)
    rows = await fetch(merchants, "select state::text from delivery order by event_id")
    assert [row["state"] for row in rows] == ["waiting", "held", "held"]


async def test_subscription_events_keep_their_order_too(merchants: Database) -> None:
    """Events of a subscription are ordered, separately from a payment with the same number."""
    await insert_events(merchants, [URL], payment_id=9)
    await insert_events(merchants, [URL, URL], subscription_id=9, transaction_id=None)
    await number_batch(merchants)
    rows = await fetch(merchants, "select state::text from delivery order by event_id")
    assert [row["state"] for row in rows] == ["waiting", "waiting", "held"]


async def test_each_form_has_a_delivery(merchants: Database) -> None:
    """An event is delivered once in each of its forms, and not without a URL; its number is one."""
    await insert_events(merchants, [URL], format="legacy", legacy_xml=b"<ipn/>")
    await insert_events(merchants, [""])
    await insert_events(merchants, [URL], format="both", legacy_xml=b"<ipn/>")
    await number_batch(merchants)
    rows = await fetch(
        merchants,
        "select sequence, number, form::text from event_number left join delivery d using (event_id) order by 1, 2",
    )
    assert [tuple(row.values()) for row in rows] == [
        (1, 1, "legacy"),
        (2, None, None),
        (3, 1, "json"),
        (3, 2, "legacy"),
    ]


async def test_hosts_are_one_for_each_origin_and_merchant(merchants: Database) -> None:
    """URLs with one scheme, host and port share a row for each merchant."""
    urls = ["https://a.example/x", "https://A.example:443/y", "https://b.example/", "http://a.example/"]
    await insert_events(merchants, urls)
    await insert_events(merchants, ["https://a.example/x"], merchant_id=2)
    await number_batch(merchants)
    rows = await fetch(merchants, "select merchant_id, origin from delivery_host order by 1, 2")
    assert [(row["merchant_id"], row["origin"]) for row in rows] == [
        (1, "http://a.example:80"),
        (1, "https://a.example:443"),
        (1, "https://b.example:443"),
        (2, "https://a.example:443"),
    ]
