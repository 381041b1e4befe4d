"""The effects of a batch of outcomes on hosts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.support.callbacks import fetch, insert_events, insert_merchants, prove_hosts

from tollhouse.ipn.delivery.deliver import DeliveryRules, choose_outcome, claim_runs, record_outcomes
from tollhouse.ipn.model import DeliveryAttempt
from tollhouse.ipn.number import number_batch
from tollhouse.storage.database import Database

URL = "https://a.example/ipn"
OTHER = "https://b.example/ipn"
GOOD = DeliveryAttempt(datetime(2026, 1, 1, tzinfo=UTC), 5, address="192.0.2.1:443", status=200, excerpt="ok")
BAD = replace(GOOD, status=500, error="not_acknowledged")
SLOW = replace(GOOD, duration_ms=1_000)
RULES = DeliveryRules(slots=1)


@pytest.fixture
async def merchants(database: Database) -> Database:
    """A database with a merchant."""
    await insert_merchants(database, (1,))
    return database


async def record(database: Database, attempts: Sequence[DeliveryAttempt | None]) -> dict[str, Any]:
    """Claim, record these attempts in one batch, and return the host."""
    await insert_events(database, [URL] * (len(attempts) + 1))
    await number_batch(database)
    await prove_hosts(database)
    [run] = await claim_runs(database, RULES, room=1)
    outcomes = [
        choose_outcome(delivery, attempt, rules=RULES, chance=0.0)
        for delivery, attempt in zip(run.deliveries, attempts, strict=False)
    ]
    async with database.acquire() as connection:
        assert await record_outcomes(connection, outcomes, rules=RULES) == [True] * len(attempts)
    [host] = await fetch(database, "select failures, slow, asked_until, ready_at from delivery_host")
    return host


@pytest.mark.parametrize(
    ("attempts", "failures"),
    [([GOOD], 0), ([BAD, BAD], 2), ([BAD, GOOD], 0), ([GOOD, BAD], 1), ([BAD, GOOD, BAD, BAD], 2), ([None], 0)],
)
async def test_host_counts_failures_since_the_last_acknowledgement(
    merchants: Database, attempts: list[DeliveryAttempt | None], failures: int
) -> None:
    """An acknowledgement resets the failures, and a released delivery does not count."""
    assert (await record(merchants, attempts))["failures"] == failures


async def test_failures_of_batches_add_up(merchants: Database) -> None:
    """Failures of several batches add up until an acknowledgement."""
    async with merchants.acquire() as connection:
        await insert_events(merchants, [URL])
        await number_batch(merchants)
        await connection.execute("update delivery_host set failures = 2")
    assert (await record(merchants, [BAD]))["failures"] == 3
    async with merchants.acquire() as connection:
        await connection.execute("update delivery set state = 'waiting', lease_until = null, due_at = now()")
    assert (await record(merchants, [GOOD]))["failures"] == 0


@pytest.mark.parametrize(("attempts", "slow"), [([GOOD, SLOW], True), ([SLOW, GOOD], False), ([SLOW, None], True)])
async def test_host_is_as_slow_as_its_last_attempt(
    merchants: Database, attempts: list[DeliveryAttempt | None], *, slow: bool
) -> None:
    """A host is slow if the last attempt of a batch took a second; released deliveries do not count."""
    assert (await record(merchants, attempts))["slow"] is slow


@pytest.mark.parametrize(("asked", "seconds"), [((30.0, 60.0), 60), ((60.0, 30.0), 60), ((1e9,), 86_400)])
async def test_host_is_left_alone_for_the_longest_time_asked_for(
    merchants: Database, asked: tuple[float, ...], seconds: float
) -> None:
    """The longest `Retry-After` of a batch counts, up to a day."""
    host = await record(merchants, [replace(BAD, retry_after_seconds=each) for each in asked])
    [row] = await fetch(merchants, "select now() as now")
    assert timedelta(seconds=seconds - 29) < host["asked_until"] - row["now"] <= timedelta(seconds=seconds)
    assert host["ready_at"] == host["asked_until"]


async def test_host_of_a_released_event_is_ready(merchants: Database) -> None:
    """The host of a released event is leased at once, also without an earlier attempt."""
    await insert_events(merchants, [URL, OTHER], payment_id=9)
    await number_batch(merchants)
    await prove_hosts(merchants)
    [run] = await claim_runs(merchants, RULES, room=10)
    [delivery] = run.deliveries
    async with merchants.acquire() as connection:
        await record_outcomes(connection, [choose_outcome(delivery, GOOD, rules=RULES, chance=0.0)], rules=RULES)
    [following] = await claim_runs(merchants, RULES, room=10)
    assert [delivery.url for delivery in following.deliveries] == [OTHER]
