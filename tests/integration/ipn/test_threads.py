"""The order within a payment while several processes record outcomes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import permutations

import pytest
from structlog.testing import capture_logs
from tests.support.callbacks import fetch, insert_events, insert_merchants, prove_hosts, select_event_ids, wait_until

from tollhouse.ipn.delivery.deliver import DeliveryRules, claim_runs, record_outcomes
from tollhouse.ipn.delivery.workers import START, OrphanSweep, release_orphans
from tollhouse.ipn.model import Delivery, DeliveryAttempt, Outcome
from tollhouse.ipn.number import number_batch
from tollhouse.storage.database import Database, PlainConnection

IS_BLOCKED = "select 1 where cardinality(pg_blocking_pids($1)) > 0"
URL = "https://a.example/ipn"
RULES = DeliveryRules()
GOOD = DeliveryAttempt(datetime(2026, 1, 1, tzinfo=UTC), 5, status=200)
BAD = DeliveryAttempt(datetime(2026, 1, 1, tzinfo=UTC), 7, error="timeout")


@pytest.fixture
async def merchants(database: Database) -> Database:
    """A database with two merchants."""
    await insert_merchants(database, (1, 2))
    return database


async def send(database: Database, count: int, *, payment_id: int = 9) -> list[int]:
    """Number events of one payment in both forms."""
    await insert_events(database, [URL] * count, payment_id=payment_id, format="both", legacy_xml=b"<ipn/>")
    await number_batch(database)
    await prove_hosts(database)
    return (await select_event_ids(database, 1))[-count:]


async def claim(database: Database) -> list[Delivery]:
    """Lease all due deliveries."""
    return [delivery for run in await claim_runs(database, RULES, room=100) for delivery in run.deliveries]


async def record(connection: PlainConnection, delivery: Delivery, attempt: DeliveryAttempt) -> None:
    """Record one outcome; a failure is final."""
    await record_outcomes(connection, [Outcome(delivery, attempt)], rules=RULES)


async def record_together(
    database: Database, deliveries: Sequence[Delivery], attempts: Sequence[DeliveryAttempt]
) -> None:
    """Record each outcome in a database transaction of its own, all of which write before any commits."""
    pids: list[int] = []
    written: set[int] = set()
    commit = asyncio.Event()

    async def record_one(delivery: Delivery, attempt: DeliveryAttempt) -> None:
        async with database.transaction() as connection:
            pid = connection.get_server_pid()
            pids.append(pid)
            await record(connection, delivery, attempt)
            written.add(pid)
            await commit.wait()

    async def has_written_or_waits(pid: int) -> bool:
        return pid in written or bool(await fetch(database, IS_BLOCKED, pid))

    async with asyncio.TaskGroup() as tasks:
        for place, (delivery, attempt) in enumerate(zip(deliveries, attempts, strict=True)):
            tasks.create_task(record_one(delivery, attempt))
            await wait_until(lambda place=place: len(pids) > place)  # type: ignore[misc]  # the place of this round
            await wait_until(partial(has_written_or_waits, pids[place]))
        commit.set()


@pytest.mark.parametrize("order", list(permutations((0, 1))))
@pytest.mark.parametrize("attempts", [(GOOD, GOOD), (BAD, BAD), (GOOD, BAD)])
async def test_two_recorders_free_the_next_event(
    merchants: Database, order: tuple[int, int], attempts: tuple[DeliveryAttempt, DeliveryAttempt]
) -> None:
    """The next event of a payment is released if both forms of one finish at the same time in two processes."""
    _, second, _ = await send(merchants, 3)
    forms = await claim(merchants)
    await record_together(merchants, [forms[place] for place in order], attempts)
    assert {(delivery.event_id, delivery.number) for delivery in await claim(merchants)} == {(second, 1), (second, 2)}


async def test_many_threads_end_in_opposite_orders(merchants: Database) -> None:
    """Recorders that finish many events in opposite orders neither deadlock nor leave events held."""
    for payment_id in range(1, 11):
        await send(merchants, 2, payment_id=payment_id)
    claimed = await claim(merchants)
    while claimed:
        async with asyncio.TaskGroup() as tasks:
            for number in (1, 2):
                part = [delivery for delivery in claimed if delivery.number == number]
                tasks.create_task(record_batch(merchants, part if number == 1 else part[::-1]))
        claimed = await claim(merchants)
    assert {row["state"] for row in await fetch(merchants, "select state::text from delivery")} == {"delivered"}


async def record_batch(database: Database, deliveries: Sequence[Delivery]) -> None:
    """Record the deliveries in one transaction."""
    async with database.transaction() as connection:
        await record_outcomes(connection, [Outcome(delivery, GOOD) for delivery in deliveries], rules=RULES)


async def test_sweep_frees_and_counts_orphans(merchants: Database) -> None:
    """A held delivery without an earlier event is released, counted and logged once; one that waits is not."""
    first, second, third = await send(merchants, 3)
    await send(merchants, 2, payment_id=10)
    async with merchants.acquire() as connection:
        await connection.execute("update delivery set state = 'delivered' where event_id = $1", first)
    counted: list[int] = []
    sweep = OrphanSweep(merchants, counted.append)
    with capture_logs() as logs:
        assert await sweep.step() == 2
        assert await sweep.step() == 0
    assert counted == [2]
    assert [(line["log_level"], line["event_id"]) for line in logs] == [("error", second)] * 2
    states = await fetch(merchants, "select distinct event_id, state::text from delivery where thread = 9 order by 1")
    assert [(row["event_id"], row["state"]) for row in states] == [
        (first, "delivered"),
        (second, "waiting"),
        (third, "held"),
    ]


async def test_sweep_goes_round(merchants: Database) -> None:
    """A sweep examines a limited number of held deliveries, continues after them, and restarts at the end."""
    await send(merchants, 3)
    seen, after = [], START
    for _ in range(3):
        after, _ = await release_orphans(merchants, after, batch=3)
        seen.append(after)
    assert seen[0] != START
    assert seen[1] == START
    assert seen[2] == seen[0]
