"""Sweeps: whatever has piled up is removed, in small steps that stay."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from tollhouse.composition.choices import choose_sweeps
from tollhouse.kernel.errors import DatabaseUnavailable
from tollhouse.risk.assess import NO_LIMITS
from tollhouse.storage.database import Database
from tollhouse.storage.sweep import MAX_BATCH_ROWS, MIN_BATCH_ROWS, Sweep, Sweeper, select_lags
from tollhouse.vault import security_codes

SWEEPS = (*security_codes.SWEEPS, *choose_sweeps(NO_LIMITS))

#: For each table: rows that have to go, made of a count, and rows that stay.
ROWS = {
    "security_code": """
        insert into security_code (holder_id, sealed, expires_at)
        select gen_random_uuid(), '\\x00', now() - make_interval(secs => n)
        from numbers
    """,
    "token_card": """
        insert into token (token_id, sealed_card, expires_at)
        select gen_random_uuid(), '\\x00', now() - make_interval(secs => n * 0.1)
        from numbers
    """,
    "token": """
        insert into token (token_id, sealed_card, expires_at)
        select gen_random_uuid(), null, now() - interval '1 day' - make_interval(secs => n)
        from numbers
    """,
    "phone_code": """
        insert into phone_code (merchant_id, phone_digest, code_digest, tries_left, expires_at)
        select 1, sha256(int8send(n)), sha256(int8send(n)), 3, now() - make_interval(secs => n)
        from numbers
    """,
    "phone_quota": """
        insert into phone_quota (merchant_id, subject, used, ends_at)
        select 1, sha256(int8send(n)), 1, now() - make_interval(secs => n)
        from numbers
    """,
    "velocity_mark": """
        insert into velocity_mark (merchant_id, kind, key, is_decline, noted_at, transaction_id)
        select 1, 'card', 'k', false, now() - interval '1 hour' - make_interval(secs => n), n
        from numbers
    """,
    "notice": """
        insert into notice (merchant_id, transaction_id, recipient, language, facts, state, ended_at)
        select 1, n, 'ann@shop.example', 'en', '{}', 'sent', now() - interval '30 days' - make_interval(secs => n)
        from numbers
    """,
    "renewal_hour": """
        insert into renewal_hour (hour, forecast)
        select date_trunc('hour', now(), 'UTC') - interval '90 days' - make_interval(hours => n), 0
        from numbers
    """,
    "portal_session": """
        insert into portal_session (merchant_id, user_id, digest, seen_at)
        select merchant_id, user_id, sha256(int8send(n)), now() - interval '15 minutes' - make_interval(secs => n)
        from numbers, portal_user
    """,
    "sign_in_budget": """
        insert into sign_in_budget (subject, allowed, used, ends_at)
        select sha256(int8send(n)), 10, 1, now() - make_interval(secs => n)
        from numbers
    """,
    "sign_in": """
        insert into sign_in (merchant_id, user_id, address, is_accepted, signed_in_at)
        select merchant_id, user_id, '203.0.113.45', false, now() - interval '90 days' - make_interval(secs => n)
        from numbers, portal_user
    """,
}
LEFT = {
    "notice": "select count(*) from notice where ended_at <= now() - interval '30 days'",
    "token_card": "select count(*) from token where sealed_card is not null and expires_at <= now()",
    "token": "select count(*) from token where expires_at <= now() - interval '1 day'",
    "renewal_hour": "select count(*) from renewal_hour where hour < now() - interval '90 days'",
    "velocity_mark": "select count(*) from velocity_mark where noted_at <= now() - interval '1 hour'",
    "phone_quota": "select count(*) from phone_quota where ends_at <= now()",
    "portal_session": "select count(*) from portal_session where seen_at <= now() - interval '15 minutes'",
    "sign_in_budget": "select count(*) from sign_in_budget where ends_at <= now()",
    "sign_in": "select count(*) from sign_in where signed_in_at <= now() - interval '90 days'",
}
#: Somebody who may sign in to the portal.
PERSON = """
    with merchant as (insert into merchant (merchant_id, name, ipn_secret) values (1, 'A', ''))
    insert into portal_user (merchant_id, email, password_hash) values (1, 'ann@shop.example', '-')
"""


async def run(database: Database, statement: str, *values: Any) -> Any:
    """Run one statement and return its first value."""
    async with database.acquire() as connection:
        return await connection.fetchval(statement, *values, timeout=120)


async def fill(database: Database, table: str, rows: int) -> None:
    """Make rows that have to go, the oldest after as many seconds, and five that stay."""
    if table in {"portal_session", "sign_in"}:
        await run(database, PERSON)
    numbers = "numbers as (select generate_series(0, $1) as n union all select -1000 * generate_series(1, 5))"
    await run(database, f"with {numbers} {ROWS[table]}", rows)


async def count_overdue(database: Database, table: str) -> int:
    """Count the rows of a table that have to go."""
    left = LEFT.get(table, f"select count(*) from {table} where expires_at <= now()")  # noqa: S608 - our names
    return int(await run(database, left))


def named(*names: str) -> Sequence[Sweep]:
    """Return the sweeps of these tables."""
    return [sweep for sweep in SWEEPS if sweep.name in names]


@pytest.mark.slow
async def test_a_backlog_of_a_day_is_caught_up(database: Database) -> None:
    """300,000 tokens that ran out are emptied in one step, in batches; the lag tells before and after."""
    await fill(database, "token_card", 300_000)
    async with database.acquire() as connection:
        before = await select_lags(connection, SWEEPS)
    assert before["token_card"] >= 29_000
    with capture_logs() as logs:
        assert await Sweeper(database, SWEEPS).step() >= 300_000
    assert await count_overdue(database, "token_card") == 0
    assert await run(database, "select count(*) from token where sealed_card is not null") >= 1
    async with database.acquire() as connection:
        after = await select_lags(connection, SWEEPS)
    assert after["token_card"] < 60
    assert logs == []


@pytest.mark.parametrize("table", ROWS)
async def test_each_sweep_removes_what_is_overdue_and_nothing_else(database: Database, table: str) -> None:
    """Of each table more than a batch is removed in one step, and what is not overdue stays."""
    await fill(database, table, 50 if table == "renewal_hour" else MAX_BATCH_ROWS + 50)
    count = f"select count(*) from {table.removesuffix('_card')}"  # noqa: S608 - our names
    total = await run(database, count)
    overdue = await count_overdue(database, table)
    assert await Sweeper(database, named(table)).step() == overdue
    assert await count_overdue(database, table) == 0
    kept = await run(database, count)
    assert kept == (total if table == "token_card" else total - overdue) >= 5
    assert await Sweeper(database, named(table)).step() == 0


@pytest.mark.parametrize("sweep", SWEEPS, ids=lambda sweep: sweep.name)
async def test_each_sweep_goes_by_an_index(database: Database, sweep: Sweep) -> None:
    """Neither expired rows nor the oldest row are found by reading a whole table."""
    scans = "select seq_scan, idx_scan from pg_stat_xact_user_tables where relname = $1"
    async with database.transaction() as connection:
        await connection.execute("set local enable_seqscan = off")
        await connection.execute("set local enable_sort = off")
        await sweep.delete(connection, most=10)
        await sweep.select_lag(connection)
        [(whole, by_index)] = await connection.fetch(scans, sweep.name.removesuffix("_card"))
    assert (whole, by_index) == (0, 2)


async def test_a_step_that_is_cut_off_keeps_what_it_did(database: Database) -> None:
    """Each batch is committed by itself: what one removed stays, although the next one fails."""
    await fill(database, "phone_code", 3 * MAX_BATCH_ROWS)
    [plain] = named("phone_code")
    calls = 0

    async def delete(connection: Any, *, most: int) -> int:
        nonlocal calls
        calls += 1
        rows = await plain.delete(connection, most=most)
        if calls == 3:
            raise DatabaseUnavailable
        return rows

    before = await count_overdue(database, "phone_code")
    sweeper = Sweeper(database, [Sweep("phone_code", delete, plain.select_lag)])
    with pytest.raises(DatabaseUnavailable):
        await sweeper.step()
    assert await count_overdue(database, "phone_code") == before - 2 * MAX_BATCH_ROWS
    await sweeper.step()
    assert await count_overdue(database, "phone_code") == 0


async def test_a_slow_database_is_asked_for_less(empty_dsn: str) -> None:
    """A batch that takes longer than a statement may is tried again with fewer rows, until it goes through."""
    database = await Database.connect(empty_dsn, schema="public", statement_seconds=1.0)
    async with database.acquire() as connection:
        await connection.execute("create table thing (n int); insert into thing select generate_series(1, 300)")
    asked: list[int] = []

    async def delete(connection: Any, *, most: int) -> int:
        asked.append(most)
        statement = """
            with gone as (
                delete from thing where n in (select n from thing limit $1)
                returning pg_sleep(0.005)
            )
            select count(*)::integer from gone
        """
        rows: int = await connection.fetchval(statement, most)
        return rows

    async def select_lag(connection: Any) -> float | None:
        lag: float | None = await connection.fetchval("select 1.0::double precision where exists (select from thing)")
        return lag

    sweeper = Sweeper(database, [Sweep("thing", delete, select_lag)])
    async with asyncio.timeout(60):
        while await run(database, "select count(*) from thing"):
            try:
                await sweeper.step()
            except DatabaseUnavailable:
                continue
    await database.close()
    assert min(asked) < MAX_BATCH_ROWS
    assert min(asked) >= MIN_BATCH_ROWS


async def test_a_sweep_that_breaks_holds_up_no_other_one(database: Database) -> None:
    """A defect of one sweep is logged as an error with its table, and the others do their work."""

    async def broken(_: Any, *, most: int) -> int:
        raise KeyError(most)

    async def no_lag(_: Any) -> float | None:
        return None

    await fill(database, "phone_code", 10)
    sweeps = [Sweep("broken", broken, no_lag), *named("phone_code")]
    with capture_logs() as logs:
        await Sweeper(database, sweeps).step()
    assert await count_overdue(database, "phone_code") == 0
    assert [(entry["event"], entry["table"], entry["log_level"]) for entry in logs] == [
        ("sweep.failed", "broken", "error")
    ]


async def test_a_table_that_falls_behind_is_an_error(database: Database) -> None:
    """Rows overdue by more than a quarter of an hour, for any reason, are logged as an error of their table."""

    async def delete_nothing(_: Any, *, most: int) -> int:
        return min(most, 0)

    [plain] = named("phone_code")
    await fill(database, "phone_code", 2_000)
    with capture_logs() as logs:
        await Sweeper(database, [Sweep("phone_code", delete_nothing, plain.select_lag)]).step()
    [entry] = logs
    assert (entry["event"], entry["table"], entry["log_level"]) == ("sweep.behind", "phone_code", "error")
    assert entry["lag_seconds"] >= 1_900


async def test_a_sweep_stops_between_two_batches(database: Database) -> None:
    """A step with a backlog ends at once when the process stops."""
    stop = asyncio.Event()
    [plain] = named("phone_code")

    async def delete(connection: Any, *, most: int) -> int:
        stop.set()
        return await plain.delete(connection, most=most)

    await fill(database, "phone_code", 3 * MAX_BATCH_ROWS)
    assert await Sweeper(database, [Sweep("phone_code", delete, plain.select_lag)], stop=stop).step() == MAX_BATCH_ROWS
