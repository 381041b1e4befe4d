"""Leases and outcomes: fencing, slots, pauses, order, and the two clocks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.support.callbacks import fetch, insert_events, insert_merchants, prove_hosts, select_event_ids
from tests.support.clock import leap

from tollhouse.ipn.delivery.claims import BEFORE_ALL, LeasedRuns, Share
from tollhouse.ipn.delivery.deliver import DeliveryRules, claim_runs, record_outcomes, release_runs
from tollhouse.ipn.delivery.deliver import claim as claim_capacity
from tollhouse.ipn.model import Delivery, DeliveryAttempt, Outcome
from tollhouse.ipn.number import number_batch
from tollhouse.ipn.store import select_outbox_state
from tollhouse.storage.database import Database

URL = "https://a.example/ipn"
RULES = DeliveryRules(slots=2, depth=3)
GOOD = DeliveryAttempt(datetime(2026, 1, 1, tzinfo=UTC), 5, address="192.0.2.1:443", status=200, excerpt="ok")
BAD = DeliveryAttempt(datetime(2026, 1, 1, tzinfo=UTC), 7, error="timeout")
SOON = timedelta(seconds=10)


@pytest.fixture
async def merchants(database: Database) -> Database:
    """A database with two merchants."""
    await insert_merchants(database, (1, 2))
    return database


async def send(database: Database, urls: Sequence[str], **fields: Any) -> list[int]:
    """Insert events and number them, and return their IDs."""
    await insert_events(database, urls, **fields)
    await number_batch(database)
    await prove_hosts(database)
    return (await select_event_ids(database, fields.get("merchant_id", 1)))[-len(urls) :]


async def claim(database: Database, *, rules: DeliveryRules = RULES, room: int = 100) -> list[Delivery]:
    """Claim, and return the deliveries of all runs."""
    return [delivery for run in await claim_runs(database, rules, room=room) for delivery in run.deliveries]


async def record(
    database: Database,
    deliveries: Sequence[Delivery],
    attempt: DeliveryAttempt | None,
    retry_in: timedelta | None = None,
) -> list[bool]:
    """Record the same outcome for each delivery."""
    outcomes = [Outcome(delivery, attempt, retry_in) for delivery in deliveries]
    async with database.transaction() as connection:
        return list(await record_outcomes(connection, outcomes, rules=RULES))


async def advance(database: Database, merchant_id: int, by: timedelta) -> None:
    """Advance a merchant's clock."""
    await leap(database, merchant_id, seconds=by.total_seconds())


async def states(database: Database) -> list[str]:
    """Return the states of all deliveries, by event."""
    return [row["state"] for row in await fetch(database, "select state::text from delivery order by event_id")]


async def expire_leases(database: Database) -> None:
    """Let all leases expire, and mark the hosts for the next claim."""
    async with database.acquire() as connection:
        await connection.execute("update delivery set lease_until = now() where state = 'leased'")
        await connection.execute("update delivery_host set ready_at = now()")


async def test_claim_brings_all_that_a_post_needs(merchants: Database) -> None:
    """A leased delivery has URL, body, IDs and number of its event, so no further read is needed."""
    [event_id] = await send(merchants, [URL], transaction_id=12345, subscription_id=8, body=b"{}", request_id="r")
    [delivery] = await claim(merchants)
    assert delivery == Delivery(
        merchant_id=1,
        event_id=event_id,
        number=1,
        form="json",
        host_id=delivery.host_id,
        lease=delivery.lease,
        url=URL,
        body=b"{}",
        sequence=1,
        kind="sale",
        payment_id=None,
        transaction_id=12345,
        subscription_id=8,
        status="success",
        request_id="r",
        attempts=0,
        age=timedelta(0),
    )


async def test_nothing_is_leased_twice(merchants: Database) -> None:
    """Without due deliveries nothing is leased, and leased ones are not leased again."""
    assert await claim(merchants) == []
    await send(merchants, [URL])
    assert len(await claim(merchants)) == 1
    assert await claim(merchants) == []


async def test_legacy_delivery_has_the_xml(merchants: Database) -> None:
    """A leased legacy delivery has the XML of the event instead of its JSON."""
    await send(merchants, [URL], format="both", body=b"{}", legacy_xml=b"<ipn/>")
    assert {(delivery.form, delivery.body) for delivery in await claim(merchants)} == {
        ("json", b"{}"),
        ("legacy", b"<ipn/>"),
    }


async def test_next_event_waits_for_both_forms(merchants: Database) -> None:
    """The forms of an event do not wait for each other; the next event waits until both are finished."""
    first, second = await send(merchants, [URL] * 2, payment_id=9, format="both", legacy_xml=b"<ipn/>")
    json, legacy = sorted(await claim(merchants), key=lambda delivery: delivery.number)
    assert (json.event_id, legacy.event_id) == (first, first)
    await record(merchants, [json], GOOD)
    assert await claim(merchants) == []
    await record(merchants, [legacy], GOOD)
    assert {(delivery.event_id, delivery.number) for delivery in await claim(merchants)} == {(second, 1), (second, 2)}


async def test_host_has_as_many_runs_as_slots(merchants: Database) -> None:
    """A claim leases the oldest deliveries, divided among the free slots of the host."""
    event_ids = await send(merchants, [URL] * 10)
    runs = await claim_runs(merchants, RULES, room=100)
    assert [[delivery.event_id for delivery in run.deliveries] for run in runs] == [event_ids[0:6:2], event_ids[1:6:2]]
    assert await claim_runs(merchants, RULES, room=100) == []
    await record(merchants, runs[0].deliveries, GOOD)
    [third] = await claim_runs(merchants, RULES, room=100)
    assert [delivery.event_id for delivery in third.deliveries] == event_ids[6:9]


async def test_claim_keeps_to_its_room(merchants: Database) -> None:
    """A worker with room for three runs gets three; the rest stays for the next claim."""
    # One slot of each of three hosts, which takes both of its deliveries; then two slots of the fourth.
    await send(merchants, [f"https://{letter}.example/" for letter in "abcd"] * 2)
    runs = await claim_runs(merchants, RULES, room=3)
    assert len(runs) == 3
    assert len(await claim_runs(merchants, RULES, room=100)) == 2


async def test_host_may_have_slots_of_its_own(merchants: Database) -> None:
    """The slots in a host's row replace the worker's setting."""
    await send(merchants, [URL] * 4)
    async with merchants.acquire() as connection:
        await connection.execute("update delivery_host set slots = 4")
    assert len(await claim_runs(merchants, RULES, room=100)) == 4


async def test_claims_at_once_share_nothing(merchants: Database) -> None:
    """Concurrent claims lease every delivery once, and never more runs of a host than it has slots."""
    urls = [f"https://{number % 7}.example/" for number in range(70)]
    await send(merchants, urls)
    claimed: list[Delivery] = []

    async def work() -> None:
        while runs := await claim_runs(merchants, RULES, room=4):
            for run in runs:
                claimed.extend(run.deliveries)
                busy = await fetch(
                    merchants, "select count(distinct lease) from delivery where state = 'leased' group by host_id"
                )
                assert all(row["count"] <= RULES.slots for row in busy)
                await record(merchants, run.deliveries, GOOD)

    for _ in range(20):
        await asyncio.gather(work(), work(), work())
    assert sorted(delivery.event_id for delivery in claimed) == sorted({delivery.event_id for delivery in claimed})
    assert set(await states(merchants)) == {"delivered"}


async def test_attempts_are_logged(merchants: Database) -> None:
    """Each attempt has an entry with time, duration, address, response and time of the next one."""
    await send(merchants, [URL])
    await record(merchants, await claim(merchants), BAD, timedelta(0))
    [again] = await claim(merchants)
    assert again.attempts == 1
    await record(merchants, [again], GOOD)
    first, second = await fetch(merchants, "select * from delivery_attempt order by number")
    assert (first["number"], first["error"], first["status"], first["duration_ms"]) == (1, "timeout", None, 7)
    assert first["next_at"] is not None
    assert (second["number"], second["error"], second["status"], second["excerpt"]) == (2, None, 200, "ok")
    assert (second["address"], second["next_at"]) == ("192.0.2.1:443", None)


async def test_retry_waits_for_its_time(merchants: Database) -> None:
    """A retry is not leased before its time; its age counts from the first attempt."""
    await send(merchants, [URL])
    await record(merchants, await claim(merchants), BAD, timedelta(hours=1))
    assert await claim(merchants) == []
    await advance(merchants, 1, timedelta(minutes=61))
    [again] = await claim(merchants)
    assert timedelta(minutes=61) <= again.age < timedelta(minutes=62)


async def test_virtual_clock_moves_one_merchant_only(merchants: Database) -> None:
    """Advancing one merchant's clock makes its retries due, and no other's."""
    await send(merchants, [URL], merchant_id=1)
    await send(merchants, [URL], merchant_id=2)
    await record(merchants, await claim(merchants), BAD, timedelta(hours=1))
    await advance(merchants, 2, timedelta(hours=2))
    assert [delivery.merchant_id for delivery in await claim(merchants)] == [2]


async def test_new_event_of_an_advanced_merchant_goes_at_once(merchants: Database) -> None:
    """A new event after the clock was advanced is due now in merchant time."""
    await advance(merchants, 1, timedelta(days=30))
    await send(merchants, [URL])
    assert len(await claim(merchants)) == 1


async def test_lease_is_of_real_time(merchants: Database) -> None:
    """Advancing a merchant's clock ends no lease."""
    await send(merchants, [URL])
    await claim(merchants)
    await advance(merchants, 1, timedelta(days=30))
    assert await claim(merchants) == []


async def test_lease_that_ran_out_is_taken_over(merchants: Database) -> None:
    """A delivery with an expired lease is leased again with a new token, as if it had not been tried."""
    await send(merchants, [URL])
    [lost] = await claim(merchants)
    await expire_leases(merchants)
    [found] = await claim(merchants)
    assert (found.event_id, found.attempts) == (lost.event_id, 0)
    assert found.lease > lost.lease


async def test_late_outcome_changes_nothing(merchants: Database) -> None:
    """An outcome with an old token returns false and changes neither delivery, log nor host."""
    await send(merchants, [URL])
    late = await claim(merchants)
    await expire_leases(merchants)
    current = await claim(merchants)
    before = await fetch(merchants, "select * from delivery, delivery_host")
    assert await record(merchants, late, BAD, SOON) == [False]
    assert await record(merchants, late, GOOD) == [False]
    assert await fetch(merchants, "select * from delivery, delivery_host") == before
    assert await record(merchants, current, GOOD) == [True]
    assert await record(merchants, current, BAD, SOON) == [False]
    assert await states(merchants) == ["delivered"]
    assert len(await fetch(merchants, "select * from delivery_attempt")) == 1


async def test_untried_delivery_is_as_it_was(merchants: Database) -> None:
    """A released delivery is due as before, has no entry in the log, and is no failure."""
    await send(merchants, [URL])
    [given] = await claim(merchants)
    await record(merchants, [given], None)
    [again] = await claim(merchants)
    assert (again.event_id, again.attempts) == (given.event_id, 0)
    assert await fetch(merchants, "select * from delivery_attempt") == []


async def test_stopping_worker_gives_back(merchants: Database) -> None:
    """Deliveries that a stopping worker releases can be leased at once."""
    await send(merchants, [URL] * 6)
    runs = await claim_runs(merchants, RULES, room=100)
    await release_runs(merchants, runs)
    assert len(await claim(merchants)) == 6


@pytest.mark.parametrize(("attempt", "retry_in"), [(GOOD, None), (BAD, None)], ids=["delivered", "failed"])
async def test_next_event_of_a_payment_goes_when_the_first_is_finished(
    merchants: Database, attempt: DeliveryAttempt, retry_in: timedelta | None
) -> None:
    """An event that is delivered or failed releases the next one of its payment, and only that."""
    first, second, _ = await send(merchants, [URL] * 3, payment_id=9)
    claimed = await claim(merchants)
    assert [delivery.event_id for delivery in claimed] == [first]
    await record(merchants, claimed, attempt, retry_in)
    assert [delivery.event_id for delivery in await claim(merchants)] == [second]


async def test_next_event_of_a_payment_waits_while_the_first_is_retried(merchants: Database) -> None:
    """An event that is retried holds the next one, also one that is numbered meanwhile."""
    await send(merchants, [URL], payment_id=9)
    await record(merchants, await claim(merchants), BAD, SOON)
    await send(merchants, [URL], payment_id=9)
    await send(merchants, [URL], payment_id=10)
    assert await states(merchants) == ["waiting", "held", "waiting"]
    assert len(await claim(merchants)) == 1


async def test_finish_and_numbering_at_once_leave_nothing_held(merchants: Database) -> None:
    """If an event finishes while the next one is numbered, the next one is still released."""
    for payment_id in range(40):
        await send(merchants, [URL], payment_id=payment_id)
        claimed = await claim(merchants, rules=DeliveryRules(slots=100))
        await insert_events(merchants, [URL], payment_id=payment_id)
        await asyncio.gather(record(merchants, claimed, GOOD), number_batch(merchants))
    assert set(await states(merchants)) == {"delivered", "waiting"}


async def fail(database: Database, *, times: int) -> None:
    """Fail so many consecutive attempts at the only host."""
    for _ in range(times):
        [run, *_] = await claim_runs(database, RULES, room=1)
        await record(database, run.deliveries[:1], BAD, timedelta(days=1))
        await record(database, run.deliveries[1:], None)


async def unpause(database: Database) -> None:
    """End the pause of every host."""
    async with database.acquire() as connection:
        await connection.execute("update delivery_host set paused_until = '-infinity', ready_at = now()")


async def test_failing_endpoint_gets_one_probe_at_a_time(merchants: Database) -> None:
    """After five consecutive failures there is a pause, then one attempt at a time; one acknowledgement ends that."""
    await send(merchants, [URL] * 20)
    await fail(merchants, times=5)
    assert await claim(merchants) == []
    await unpause(merchants)
    probe = await claim(merchants)
    assert len(probe) == 1
    assert await claim(merchants) == []
    await record(merchants, probe, GOOD)
    assert len(await claim_runs(merchants, RULES, room=100)) == 2


async def test_pauses_grow_to_a_limit(merchants: Database) -> None:
    """The pause after a failed probe doubles from one second to eight."""
    await send(merchants, [URL] * 20)
    await fail(merchants, times=4)
    pauses = []
    for _ in range(8):
        await fail(merchants, times=1)
        [row] = await fetch(merchants, "select paused_until - now() as pause from delivery_host")
        pauses.append(round(row["pause"].total_seconds()))
        await unpause(merchants)
    assert pauses == [1, 2, 4, 8, 8, 8, 8, 8]


async def test_failures_of_one_endpoint_are_its_own(merchants: Database) -> None:
    """Another endpoint of the merchant, and the same one of another merchant, are not paused."""
    await send(merchants, [URL] * 10)
    await fail(merchants, times=5)
    await send(merchants, ["https://b.example/"])
    await send(merchants, [URL], merchant_id=2)
    assert sorted((delivery.merchant_id, delivery.url) for delivery in await claim(merchants)) == [
        (1, "https://b.example/"),
        (2, URL),
    ]


async def test_new_event_does_not_end_a_pause(merchants: Database) -> None:
    """A paused endpoint stays paused when there is something new for it."""
    await send(merchants, [URL] * 5)
    await fail(merchants, times=5)
    await send(merchants, [URL])
    assert await claim(merchants) == []


async def test_outbox_counts_what_is_not_finished(merchants: Database) -> None:
    """Depth is of events without a number and of deliveries held, waiting or leased; age is that of the oldest."""
    async with merchants.acquire() as connection:
        assert (await select_outbox_state(connection)).depth == 0
    await send(merchants, [URL] * 2, payment_id=9, created_at=datetime.now(UTC) - timedelta(minutes=5))
    await send(merchants, [URL] * 2)
    await insert_events(merchants, [URL])
    claimed = await claim(merchants, rules=DeliveryRules(slots=1, depth=2))
    async with merchants.acquire() as connection:
        full = await select_outbox_state(connection)
        assert full.depth == 5
        assert timedelta(minutes=5) <= full.oldest_age < timedelta(minutes=6)
    await record(merchants, claimed, GOOD)
    async with merchants.acquire() as connection:
        assert (await select_outbox_state(connection)).depth == 3


async def test_outbox_past_what_is_counted_is_estimated(merchants: Database) -> None:
    """Past the bound the depth is the bound, or what the server's statistics know if that is more; the age is exact."""
    await send(merchants, [URL], created_at=datetime.now(UTC) - timedelta(minutes=5))
    await send(merchants, [URL] * 30)
    async with merchants.acquire() as connection:
        assert (await select_outbox_state(connection, max_rows=10)).depth == 10
        await connection.execute("analyze delivery")
        estimated = await select_outbox_state(connection, max_rows=10)
    assert estimated.depth == 31
    assert timedelta(minutes=5) <= estimated.oldest_age < timedelta(minutes=6)


async def test_turns_go_round_merchants(merchants: Database) -> None:
    """Every merchant has its turn in each claim, also beside many ready endpoints of one merchant."""
    await send(merchants, [f"https://{number}.example/" for number in range(50)])
    await send(merchants, [URL], merchant_id=2)
    claimed = await claim_by_turns(merchants, room=4)
    assert [run.merchant_id for run in claimed.runs].count(2) == 1
    assert len(claimed.runs) == 4


async def test_next_claim_begins_after_the_last_turn(database: Database) -> None:
    """The next claim continues with the merchants that had no turn in this one."""
    await insert_merchants(database, range(1, 8))
    for merchant_id in range(1, 8):
        await send(database, [URL] * 4, merchant_id=merchant_id)
    served, after = [], BEFORE_ALL
    for _ in range(4):
        claimed = await claim_by_turns(database, room=2, after=after)
        served += [run.merchant_id for run in claimed.runs]
        after = claimed.after
    assert sorted(served) == [1, 1, 2, 3, 4, 5, 6, 7]


async def test_turns_of_a_merchant_go_round_its_hosts(merchants: Database) -> None:
    """A host with a long queue does not delay the merchant's other hosts."""
    await send(merchants, [URL] * 40)
    await send(merchants, ["https://b.example/"])
    claimed = await claim_by_turns(merchants, room=1)
    assert claimed.runs[0].deliveries[0].url == URL
    claimed = await claim_by_turns(merchants, room=1, after=claimed.after)
    assert claimed.runs[0].deliveries[0].url == "https://b.example/"


async def test_claim_keeps_to_the_share_of_each_merchant(merchants: Database) -> None:
    """A merchant gets the rest of its share, and of its part for unproven endpoints."""
    await send(merchants, [f"https://{number}.example/" for number in range(10)])
    await send(merchants, [URL], merchant_id=2)
    shares = {1: Share(5, 3), 2: Share(5, 3)}
    claimed = await claim_by_turns(merchants, room=100, shares=shares)
    assert [run.merchant_id for run in claimed.runs].count(1) == 5
    async with merchants.acquire() as connection:
        await connection.execute("update delivery_host set acknowledged = false")
    claimed = await claim_by_turns(merchants, room=100, shares={1: Share(5, 3)})
    assert [run.merchant_id for run in claimed.runs] == [1, 1, 1]
    assert all(run.unproven for run in claimed.runs)
    assert (await claim_by_turns(merchants, room=100, shares={1: Share(0, 0)})).runs == []


async def test_unproven_hosts_do_not_stand_before_the_others(merchants: Database) -> None:
    """A merchant with a used share for unproven endpoints still has its turn for the others."""
    await send(merchants, [f"https://{number}.example/" for number in range(40)])
    async with merchants.acquire() as connection:
        await connection.execute("update delivery_host set acknowledged = false, ready_at = now() - interval '1 hour'")
    await insert_events(merchants, ["https://proven.example/"])
    await number_batch(merchants)
    async with merchants.acquire() as connection:
        await connection.execute("update delivery_host set acknowledged = true where origin like '%proven%'")
    claimed = await claim_by_turns(merchants, room=100, shares={1: Share(5, 0)})
    assert [run.deliveries[0].url for run in claimed.runs] == ["https://proven.example/"]


async def test_slow_hosts_have_places_of_their_own(merchants: Database) -> None:
    """Slow endpoints wait for slots of slow ones, and use no others."""
    await send(merchants, [f"https://{number}.example/" for number in range(6)])
    async with merchants.acquire() as connection:
        await connection.execute("update delivery_host set slow = true where host_id % 2 = 0")
    claimed = await claim_by_turns(merchants, room=100, slow_room=1)
    assert sorted(run.slow for run in claimed.runs) == [False, False, False, True]
    assert (await claim_by_turns(merchants, room=100, slow_room=0)).runs == []


async def test_slow_endpoint_gets_one_delivery_in_each_place(merchants: Database) -> None:
    """A claim leases one event of a slow endpoint for each slot, so that none is released untried."""
    await send(merchants, [URL] * 40)
    async with merchants.acquire() as connection:
        await connection.execute("update delivery_host set slow = true")
    runs = await claim_runs(merchants, RULES, room=100)
    assert [len(run.deliveries) for run in runs] == [1] * RULES.slots


async def test_new_endpoint_has_one_place_until_it_acknowledges(merchants: Database) -> None:
    """An endpoint gets one event at a time until its first acknowledgement."""
    await send(merchants, [URL] * 10)
    async with merchants.acquire() as connection:
        await connection.execute("update delivery_host set acknowledged = false")
    [only] = await claim(merchants)
    assert await claim(merchants) == []
    await record(merchants, [only], GOOD)
    assert len(await claim_runs(merchants, RULES, room=100)) == RULES.slots


async def claim_by_turns(database: Database, *, room: int, **changes: Any) -> LeasedRuns:
    """Claim as a worker does."""
    return await claim_capacity(database, replace(RULES.capacity(room), **changes))
