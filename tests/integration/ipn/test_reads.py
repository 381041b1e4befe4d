"""Rows read by numbering, claiming and recording, independent of earlier deliveries."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from tests.support.callbacks import insert_events, insert_merchants, prove_hosts

from tollhouse.ipn import store
from tollhouse.ipn.delivery import claims
from tollhouse.ipn.delivery.deliver import DeliveryRules, choose_outcome, record_outcomes
from tollhouse.ipn.model import DeliveryAttempt
from tollhouse.kernel.urls import get_origin
from tollhouse.storage.database import Database, PlainConnection

URL = "https://a.example/ipn"
GOOD = DeliveryAttempt(datetime(2026, 1, 1, tzinfo=UTC), 5, status=200)
RULES = DeliveryRules()
ROUNDS = 12
EVENTS = 64
#: Rows that one event may cost in each of the three steps: its own, once for each statement that seeks it.
MAX_READS_OF_EVENT = 8


@pytest.fixture
async def connection(database_dsn: str) -> AsyncIterator[PlainConnection]:
    """One connection whose plans are made while the tables are empty."""
    database = await Database.connect(database_dsn, schema="gateway", max_size=1)
    await insert_merchants(database, (1,))
    async with database.acquire() as connection:
        for table in (
            "event",
            "unnumbered_event",
            "event_number",
            "delivery",
        ):  # statistics gathered meanwhile would make other plans, good ones too
            await connection.execute(f"alter table {table} set (autovacuum_enabled = false)")
        yield connection
    await database.close()


async def select_reads(connection: PlainConnection) -> int:
    """Return the events and deliveries that this connection has read."""
    reads: int = await connection.fetchval(
        "select sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::integer from pg_stat_xact_user_tables"
        " where schemaname = 'gateway' and relname in ('event', 'unnumbered_event', 'event_number', 'delivery')"
    )
    return reads


@asynccontextmanager
async def counting(connection: PlainConnection, reads: dict[str, int], step: str) -> AsyncIterator[None]:
    """Count the rows that a step reads, in a transaction, within which the server does not aggregate counters."""
    async with connection.transaction():
        before = await select_reads(connection)
        yield
        reads[step] = await select_reads(connection) - before


async def deliver(database: Database, connection: PlainConnection) -> dict[str, int]:
    """Number, claim and record some events, and return the rows that each step read."""
    await insert_events(database, [URL] * EVENTS)
    reads: dict[str, int] = {}
    async with counting(connection, reads, "number"):
        events = await store.select_unnumbered_events(connection, EVENTS)
        assert await store.number_events(connection, events, [get_origin(event.url) for event in events]) == EVENTS
    await prove_hosts(database)
    async with counting(connection, reads, "claim"):
        claim = await claims.claim_runs(connection, RULES.capacity(100))
    outcomes = [
        choose_outcome(delivery, GOOD, rules=RULES, chance=0.0)
        for run in (claim.runs if claim else [])
        for delivery in run.deliveries
    ]
    assert len(outcomes) == EVENTS
    async with counting(connection, reads, "record"):
        assert all(await record_outcomes(connection, outcomes, rules=RULES))
    return reads


@pytest.mark.slow
async def test_each_step_reads_its_own_rows_only(database: Database, connection: PlainConnection) -> None:
    """Plans made for empty tables read no more after many deliveries."""
    reads: dict[str, int] = {}
    for _ in range(ROUNDS):
        reads = await deliver(database, connection)
    assert {step: count for step, count in reads.items() if count > MAX_READS_OF_EVENT * EVENTS} == {}
