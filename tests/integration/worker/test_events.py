"""The running loops: events are delivered until acknowledged, and no endpoint delays another."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from urllib.parse import parse_qs

import pytest
from aiohttp import web
from tests.support.callbacks import (
    SECRET,
    Endpoint,
    fetch,
    hang,
    insert_events,
    insert_merchants,
    open_endpoint,
    prove_hosts,
    select_event_ids,
    wait_until,
)

from tollhouse.ipn.delivery.attempt import AttemptLimits
from tollhouse.ipn.delivery.deliver import DeliveryRules, claim, claim_runs
from tollhouse.ipn.delivery.workers import Heartbeat
from tollhouse.ipn.log import select_event_deliveries, select_payment_deliveries, select_recent_deliveries
from tollhouse.ipn.number import number_batch
from tollhouse.kernel.errors import DatabaseUnavailable
from tollhouse.kernel.urls import STAGE
from tollhouse.storage.database import Database
from tollhouse.worker.events import DeliveryLimits, deliver_events, number_events

RULES = DeliveryRules(
    limits=AttemptLimits(connect_seconds=0.2, total_seconds=0.4, slot_seconds=0.2),
    run_seconds=0.5,
    lease_seconds=1.5,
    waits=[timedelta(milliseconds=50)],
    horizon=timedelta(milliseconds=500),
    first_pause=timedelta(milliseconds=20),
    longest_pause=timedelta(milliseconds=50),
)


@pytest.fixture
async def merchants(database: Database) -> Database:
    """A database with three merchants."""
    await insert_merchants(database, (1, 2, 3))
    return database


@asynccontextmanager
async def work(
    database: Database, *, rules: DeliveryRules = RULES, deliverers: int = 1, bounds: DeliveryLimits | None = None
) -> AsyncIterator[None]:
    """Run the loops as a worker does."""
    stop, numbered = asyncio.Event(), asyncio.Event()

    async def secrets_of(_merchant_id: int) -> Sequence[str]:
        return [SECRET]

    async with asyncio.TaskGroup() as group:
        group.create_task(number_events(database, stop=stop, wake=asyncio.Event(), numbered=numbered))
        for number in range(deliverers):
            wake = numbered if number == 0 else asyncio.Event()
            group.create_task(
                deliver_events(
                    database, secrets_of=secrets_of, policy=STAGE, stop=stop, wake=wake, rules=rules, bounds=bounds
                )
            )
        try:
            yield
        finally:
            stop.set()


async def settled(database: Database) -> bool:
    """Return whether every event is delivered or has failed."""
    [row] = await fetch(
        database,
        "select (select count(*) from unnumbered_event) as unnumbered,"
        " (select count(*) from delivery where state not in ('delivered', 'failed')) as unfinished",
    )
    return bool(row["unnumbered"] == 0 and row["unfinished"] == 0)


async def wait_until_finished(database: Database, *, seconds: float = 15.0) -> None:
    """Wait until every delivery is finished."""
    await wait_until(lambda: settled(database), seconds=seconds)


async def test_event_goes_out_by_itself(merchants: Database) -> None:
    """An event that a payment inserts arrives at the merchant's endpoint, once."""
    async with open_endpoint() as endpoint, work(merchants):
        await insert_events(merchants, [endpoint.url], payment_id=9)
        await wait_until_finished(merchants)
    [event_id] = await select_event_ids(merchants)
    assert endpoint.event_ids == [f"evt_{event_id}"]
    assert endpoint.seen[0].headers["webhook-sequence"] == "1"


async def test_legacy_listener_gets_a_form(merchants: Database) -> None:
    """A site with both forms gets both, each with its content type, under one ID."""
    async with open_endpoint() as endpoint, work(merchants):
        await insert_events(merchants, [endpoint.url], payment_id=9, format="both", legacy_xml=b"<ipn/>")
        await wait_until_finished(merchants)
    by_type = {seen.headers["Content-Type"]: parse_qs(seen.body.decode()) for seen in endpoint.seen}
    assert len(set(endpoint.event_ids)) == 1
    assert by_type["application/x-www-form-urlencoded"] == {
        "ipn": ["<ipn/>"],
        "sign": [hashlib.sha1(f"{SECRET}_9_sale_successful_{SECRET}".encode()).hexdigest()],  # noqa: S324 - as readers do
    }
    assert set(by_type) == {"application/json", "application/x-www-form-urlencoded"}


async def test_retries_bear_the_same_id_and_body(merchants: Database) -> None:
    """An unacknowledged event is sent again with the same ID, number and bytes until it is acknowledged."""
    rules = replace(RULES, horizon=timedelta(seconds=30))
    async with open_endpoint(500, 404, 204, 200) as endpoint, work(merchants, rules=rules):
        await insert_events(merchants, [endpoint.url])
        await wait_until_finished(merchants)
    assert len(endpoint.seen) == 4
    assert (
        len({(seen.headers["webhook-id"], seen.headers["webhook-sequence"], seen.body) for seen in endpoint.seen}) == 1
    )
    assert len({seen.headers["X-Signature"] for seen in endpoint.seen}) == 1


async def test_schedule_ends_with_failed(merchants: Database) -> None:
    """After the last attempt of the schedule an event has failed, and the log has every attempt."""
    rules = replace(RULES, horizon=timedelta(milliseconds=200), probe_after=100)
    async with open_endpoint(500) as endpoint, work(merchants, rules=rules):
        await insert_events(merchants, [endpoint.url])
        await wait_until_finished(merchants)
    [event_id] = await select_event_ids(merchants)
    async with merchants.acquire() as connection:
        [entry] = await select_event_deliveries(connection, merchant_id=1, event_id=event_id)
    assert entry.state == "failed"
    assert len(entry.attempts) == len(endpoint.seen) >= 2
    assert {attempt.status for attempt in entry.attempts} == {500}
    assert [attempt.next_at is None for attempt in entry.attempts] == [False] * (len(entry.attempts) - 1) + [True]


async def test_retry_after_is_waited_for(merchants: Database) -> None:
    """An endpoint that requests a second gets a second."""

    async def busy(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=503, headers={"Retry-After": "1"})

    rules = replace(RULES, horizon=timedelta(seconds=5))
    async with open_endpoint(busy, 200) as endpoint, work(merchants, rules=rules):
        await insert_events(merchants, [endpoint.url])
        await wait_until_finished(merchants)
    first, second = endpoint.seen
    assert second.at - first.at >= 1.0


async def test_order_within_a_payment_is_kept(merchants: Database) -> None:
    """Despite refusals, with two deliverers, no event of a payment arrives after a later one was accepted."""
    accepted: list[str] = []

    async def flaky(request: web.Request) -> web.StreamResponse:
        if len(endpoint.seen) % 3:
            return web.Response(status=500)
        accepted.append(request.headers["webhook-id"])
        return web.Response()

    rules = replace(RULES, horizon=timedelta(seconds=30))
    async with open_endpoint(flaky) as endpoint, work(merchants, rules=rules, deliverers=2):
        for _ in range(5):
            await insert_events(merchants, [endpoint.url], payment_id=9)
        await wait_until_finished(merchants)
    assert accepted == [f"evt_{event_id}" for event_id in await select_event_ids(merchants)]


async def test_hanging_endpoint_delays_no_other(merchants: Database) -> None:
    """While other endpoints hang, one gets all its events."""
    rules = replace(
        RULES, limits=AttemptLimits(total_seconds=30), run_seconds=30, lease_seconds=90, horizon=timedelta(seconds=120)
    )
    bounds = DeliveryLimits(total=16, slow_after_seconds=0.05, drain_seconds=0.1)
    async with open_endpoint(hang) as hanging, open_endpoint() as healthy:
        # One endpoint of three merchants counts as three; it has never acknowledged, so it has one place of each.
        for merchant_id in (1, 2, 3):
            await insert_events(merchants, [hanging.url] * 20, merchant_id=merchant_id)
        async with work(merchants, rules=rules, bounds=bounds):
            await wait_until(lambda: hanging.under_way == 3)
            await insert_events(merchants, [healthy.url] * 20)
            await wait_until(lambda: len(healthy.seen) == 20, seconds=20)
            assert len(hanging.seen) == hanging.under_way == hanging.most_under_way == 3


@asynccontextmanager
async def open_many(count: int) -> AsyncIterator[tuple[list[str], Endpoint]]:
    """Open one hanging server at many addresses of this machine, and yield their URLs."""
    endpoint = Endpoint("", [hang])
    app = web.Application()
    app.router.add_post("/{path:.*}", endpoint.answer)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "0.0.0.0", 0).start()  # noqa: S104 - all addresses of this machine, for a moment
    port = runner.addresses[0][1]
    yield [f"http://127.9.{number // 250}.{1 + number % 250}:{port}/" for number in range(count)], endpoint
    await runner.cleanup()


@pytest.mark.parametrize("proven", [False, True], ids=["never acknowledged", "acknowledged before"])
async def test_one_merchant_takes_no_more_than_its_share(merchants: Database, *, proven: bool) -> None:
    """A merchant with many hanging endpoints uses its share of slots, and another's events are delivered."""
    rules = replace(
        RULES, limits=AttemptLimits(total_seconds=60), run_seconds=30, lease_seconds=120, horizon=timedelta(seconds=300)
    )
    bounds = DeliveryLimits(total=128, of_claim=32, slow_after_seconds=0.05, drain_seconds=0.1)
    share = 32 if proven else 16
    async with open_many(300) as (urls, hanging), open_endpoint() as healthy:
        await insert_events(merchants, urls)
        await number_batch(merchants)
        if proven:
            await prove_hosts(merchants)
        async with work(merchants, rules=rules, bounds=bounds):
            await wait_until(lambda: hanging.under_way == share)
            await insert_events(merchants, [healthy.url] * 20, merchant_id=2)
            await wait_until(lambda: len(healthy.seen) == 20, seconds=20)
            assert len(hanging.seen) == hanging.under_way == share


async def test_retry_after_binds_the_endpoint(merchants: Database) -> None:
    """An endpoint that sends `Retry-After` is paused for all its events; another one is not."""

    async def ask(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=429, headers={"Retry-After": "3600"})

    async with open_endpoint(200, ask) as endpoint, open_endpoint() as other, work(merchants):
        await insert_events(merchants, [endpoint.url])
        await wait_until_finished(merchants)
        await insert_events(merchants, [endpoint.url] * 20)
        await wait_until(lambda: len(endpoint.seen) >= 2)
        await insert_events(merchants, [endpoint.url] * 20)
        await insert_events(merchants, [other.url] * 5)
        await wait_until(lambda: len(other.seen) == 5)
        [host] = await fetch(
            merchants, "select paused_until - now() as pause from delivery_host where asked_until > now()"
        )
    assert host["pause"] > timedelta(minutes=50)
    assert len(endpoint.seen) <= 1 + RULES.slots


async def test_recovered_endpoint_gets_all_that_waits(merchants: Database) -> None:
    """When an endpoint acknowledges again, waiting events are tried at once at full speed."""
    rules = replace(RULES, waits=[timedelta(hours=1)], horizon=timedelta(days=5), probe_after=3)
    is_down = True

    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=503 if is_down else 200)

    async with open_endpoint(answer) as endpoint, work(merchants, rules=rules):
        await insert_events(merchants, [endpoint.url] * 8)
        await wait_until(lambda: len(endpoint.seen) == 8)
        is_down = False
        await insert_events(merchants, [endpoint.url])
        await wait_until_finished(merchants)
    assert len(endpoint.seen) == 17


async def test_leases_of_a_dead_worker_are_taken_back(merchants: Database) -> None:
    """Leases of a dead worker are released long before they expire."""
    rules = replace(RULES, lease_seconds=600)
    await insert_events(merchants, ["https://a.example/"])
    await number_batch(merchants)
    dead, alive = (Heartbeat(merchants, silent_after=timedelta(milliseconds=200)) for _ in range(2))
    await dead.beat()
    claimed = await claim(merchants, replace(rules.capacity(10), worker_id=dead.worker_id))
    assert len(claimed.runs) == 1
    assert await alive.beat() == 0
    await asyncio.sleep(0.3)
    assert await alive.beat() == 1
    assert len(await claim_runs(merchants, rules, room=10)) == 1


async def test_nobody_is_taken_for_dead_after_an_outage(merchants: Database) -> None:
    """A worker that has just started or reconnected releases no leases of other workers."""
    first, second = (Heartbeat(merchants, silent_after=timedelta(milliseconds=200)) for _ in range(2))
    await insert_events(merchants, ["https://a.example/"])
    await number_batch(merchants)
    await first.beat()
    await claim(merchants, replace(RULES.capacity(10), worker_id=first.worker_id))
    await asyncio.sleep(0.3)
    assert await second.beat() == 0
    await first.beat()
    assert await second.beat() == 0


async def test_host_sees_no_more_connections_than_slots(merchants: Database) -> None:
    """With any number of events and workers an endpoint has at most four requests at a time."""

    async def slow(_request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.01)
        return web.Response()

    async with open_endpoint(slow) as endpoint, work(merchants, deliverers=3):
        await insert_events(merchants, [endpoint.url] * 100)
        await wait_until_finished(merchants)
    assert len(endpoint.seen) == 100
    assert endpoint.most_under_way == 4


async def test_deliverers_at_once_deliver_once(merchants: Database) -> None:
    """Several deliverers share the work: each event arrives once."""
    async with open_endpoint() as endpoint, work(merchants, deliverers=3):
        for merchant_id in (1, 2, 3):
            await insert_events(merchants, [endpoint.url] * 40, merchant_id=merchant_id)
        await wait_until_finished(merchants)
    assert len(endpoint.seen) == 120
    assert len(set(endpoint.event_ids)) == 120


async def test_event_claimed_by_a_dead_worker_arrives(merchants: Database) -> None:
    """A worker that dies before it records delays its events by the lease, and loses none."""
    async with open_endpoint() as endpoint:
        await insert_events(merchants, [endpoint.url])
        await number_batch(merchants)
        [event_id] = await select_event_ids(merchants)
        assert await claim_runs(merchants, RULES, room=10)
        async with work(merchants):
            await wait_until_finished(merchants)
    assert endpoint.event_ids == [f"evt_{event_id}"]


async def test_stop_gives_back_what_hangs(merchants: Database) -> None:
    """A worker that stops waits shortly for its attempts, then releases them."""
    bounds = DeliveryLimits(drain_seconds=0.05)
    rules = replace(RULES, limits=AttemptLimits(total_seconds=20), lease_seconds=60)
    async with open_endpoint(hang) as endpoint:
        async with work(merchants, rules=rules, bounds=bounds):
            await insert_events(merchants, [endpoint.url] * 2)
            await wait_until(lambda: endpoint.under_way == 1)
        assert [row["state"] for row in await fetch(merchants, "select state::text from delivery")] == ["waiting"] * 2
        endpoint.replies = [200]
        async with work(merchants):
            await wait_until_finished(merchants)


async def insert_on_a_new_connection(database: Database, urls: list[str]) -> None:
    """Insert events after connections of the pool were ended, some of which the pool may still hand out."""
    for _ in range(20):
        with contextlib.suppress(DatabaseUnavailable):
            await insert_events(database, urls)
            return
    raise AssertionError("the pool gave out no living connection")


async def test_loops_outlive_lost_connections(merchants: Database) -> None:
    """If the database drops every connection, the loops continue with new ones and nothing is lost."""
    async with open_endpoint() as endpoint, work(merchants):
        await insert_events(merchants, [endpoint.url])
        await wait_until_finished(merchants)
        async with merchants.acquire() as connection:
            await connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and pid <> pg_backend_pid()"
            )
        await insert_on_a_new_connection(merchants, [endpoint.url] * 5)
        await wait_until_finished(merchants)
    assert len(endpoint.seen) >= 6
    assert len(set(endpoint.event_ids)) == 6


async def test_refused_address_is_a_failed_attempt(merchants: Database) -> None:
    """An address that the policy forbids is never connected to, and the log has the error."""
    rules = replace(RULES, horizon=timedelta(0))
    async with work(merchants, rules=rules):
        await insert_events(merchants, ["http://169.254.169.254/latest", "http://169.254.1.1/", "nonsense"])
        await wait_until_finished(merchants)
    event_ids = await select_event_ids(merchants)
    async with merchants.acquire() as connection:
        entries = [
            (await select_event_deliveries(connection, merchant_id=1, event_id=event_id))[0] for event_id in event_ids
        ]
    assert [(entry.state, entry.attempts[0].error, entry.attempts[0].address) for entry in entries] == [
        ("failed", "address_refused", None)
    ] * 3


async def test_log_shows_a_payment_and_the_newest(merchants: Database) -> None:
    """The log returns a payment's deliveries oldest first, and a merchant's newest first in pages."""
    async with open_endpoint() as endpoint, work(merchants):
        await insert_events(merchants, [endpoint.url] * 2, payment_id=9)
        await insert_events(merchants, [endpoint.url], payment_id=10)
        await insert_events(merchants, [endpoint.url], payment_id=9, merchant_id=2)
        await wait_until_finished(merchants)
    first, second, third = await select_event_ids(merchants)
    async with merchants.acquire() as connection:
        of_payment = await select_payment_deliveries(connection, merchant_id=1, payment_id=9)
        newest = await select_recent_deliveries(connection, merchant_id=1, max_rows=2)
        older = await select_recent_deliveries(connection, merchant_id=1, before_event_id=newest[-1].event_id)
    assert [entry.event_id for entry in of_payment] == [first, second]
    assert [entry.event_id for entry in newest + older] == [third, second, first]
    assert all(len(entry.attempts) == 1 and entry.state == "delivered" for entry in of_payment)
    assert of_payment[0].request_id == "req-1"
