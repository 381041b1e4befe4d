"""kill -9 under load, restart, drain, and a judge who trusts nobody.

Short in the suite; `make torture TORTURE_SECONDS=600` goes on for longer, and prints its seed.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import asyncpg
from tests.support.gateways import RunningGateway
from tests.support.listener import Listener
from tests.torture.checker import count_unfinished, find_book_violations, find_violations
from tests.torture.load import Books, press

if TYPE_CHECKING:
    from pathlib import Path

SECONDS = float(os.environ.get("TORTURE_SECONDS", "6"))
SEED = int(os.environ.get("TORTURE_SEED", str(time.time_ns() % 1_000_000)))
CLIENTS = 16
DRAIN_SECONDS = 120.0

#: Quick enough that what a killed process left open is looked at within the test.
ENVIRONMENT = {
    "TOLLHOUSE_ACQUIRER_TIMEOUT_SECONDS": "3",
    "TOLLHOUSE_ACQUIRER_LONGEST_DELAY_SECONDS": "0.5",
    "TOLLHOUSE_RESOLVER_MARGIN_SECONDS": "1",
}


async def test_nothing_acknowledged_is_lost_and_nothing_is_taken_twice(data_directory: Path) -> None:
    """After kills at random moments: every acknowledged payment, no double charge, no unknown left, every event."""
    gateway, listener, books = RunningGateway(data_directory, **ENVIRONMENT), Listener(), Books()
    try:
        await asyncio.to_thread(gateway.start)
        listener.secret = gateway.demo["ipnSecret"]
        kills = await torment(gateway, books, ipn_url=listener.url)
        connection = await connect(data_directory)
        await drain(connection)
        violations = await find_violations(connection, books, listener)
        violations += await find_book_violations(data_directory)
        await connection.close()
    finally:
        gateway.close()
        listener.close()

    facts = f"seed {SEED}: {kills} kills, {len(books.asked)} payments asked, {len(listener.callbacks)} callbacks"
    print(facts)  # noqa: T201 - whoever runs it wants to know, and to run it again
    assert violations == [], "\n".join(violations[:20])
    assert len(books.asked) > 10 * kills


async def torment(gateway: RunningGateway, books: Books, *, ipn_url: str) -> int:
    """Press for a while, killing and starting the gateway again and again; return how often."""
    chance, stop, kills = random.Random(SEED), asyncio.Event(), 0
    pressing = asyncio.create_task(press(gateway, books, ipn_url=ipn_url, clients=CLIENTS, stop=stop))
    end_at = time.monotonic() + SECONDS
    while time.monotonic() < end_at:
        await asyncio.sleep(chance.uniform(0.5, 3.0))
        await asyncio.to_thread(gateway.kill)
        await asyncio.to_thread(gateway.start)
        kills += 1
    stop.set()
    await pressing
    return kills


async def connect(data_directory: Path) -> asyncpg.Connection[Any]:
    """Look into the running gateway's own database."""
    return await asyncpg.connect(
        f"postgresql://tollhouse@/tollhouse?host={quote(str(data_directory / 'socket'), safe='')}"
    )


async def drain(connection: asyncpg.Connection[Any]) -> None:
    """Wait until everything is settled and delivered, within a bound."""
    give_up_at = time.monotonic() + DRAIN_SECONDS
    while await count_unfinished(connection) and time.monotonic() < give_up_at:  # noqa: ASYNC110 - another process
        await asyncio.sleep(0.5)
