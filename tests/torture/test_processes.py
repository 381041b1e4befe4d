"""Real processes under load, killed, paused, terminated and cut off at random, and a judge who believes nobody.

Short in the suite; `make torture TORTURE_SECONDS=600 SEED=7` goes on for longer. The seed is printed; the same seed
draws the same journeys and torments, though processes meet at other moments.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from typing import TYPE_CHECKING, Any

import aiohttp
import asyncpg
from tests.support.listener import Listener
from tests.torture.checker import count_facts, count_unfinished, find_violations
from tests.torture.deployment import Deployment
from tests.torture.faults import find_unseen_faults
from tests.torture.load import Records, press
from tests.torture.torments import Torments

if TYPE_CHECKING:
    from pathlib import Path

SECONDS = float(os.environ.get("TORTURE_SECONDS", "8"))
SEED = int(os.environ.get("SEED") or time.time_ns() % 1_000_000)
CLIENTS = 16
DRAIN_SECONDS = 240.0
#: After that an acquirer that is slow to know a request knows it.
LATE_SECONDS = 22.0
REST_DAYS = 6
INQUIRE_AGAIN = "update gateway.reversal set due_at = now() where due_at is not null"
MAX_LISTENER_SECONDS = 0.5


class SlowListener(Listener):
    """A listener that takes its time, each time another one: callbacks that do not wait for each other overtake."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self._chance = chance

    def take(self, body: bytes, headers: dict[str, str]) -> None:
        """Remember a callback after a while."""
        time.sleep(self._chance.random() ** 4 * MAX_LISTENER_SECONDS)
        super().take(body, headers)


async def test_nothing_acknowledged_is_lost_and_nothing_is_taken_twice(data_directory: Path) -> None:
    """After any torments every answer holds, no money is taken twice or kept without a success, every event arrives."""
    deployment, listener, records = Deployment(data_directory), SlowListener(random.Random(SEED)), Records()
    torments = Torments(deployment, SEED)
    print(f"seed {SEED}")  # noqa: T201 - a failure is repeated with it
    try:
        await asyncio.to_thread(deployment.start)
        listener.secret = deployment.demo["ipnSecret"]
        await live(deployment, torments, records, ipn_url=listener.url)
        connection = await asyncpg.connect(deployment.dsn)
        await drain(connection)
        await connection.execute(INQUIRE_AGAIN)  # an hour later
        await drain(connection)
        violations = await find_violations(connection, records, listener)
        money = await count_facts(connection)
        unseen = [] if violations else await find_unseen_faults(connection, records, listener)
        await connection.close()
        violations += await asyncio.to_thread(deployment.find_ledger_violations)
    finally:
        deployment.close()
        listener.close()

    facts = (
        f"seed {SEED}: {dict(torments.done)}, {len(records.asked)} requests, {records.clock_days} days"
        f" {dict(records.clock_answers)}, {len(listener.callbacks)} callbacks, {money}"
    )
    print(facts)  # noqa: T201 - it says what was tried
    assert violations == [], "\n".join([facts, *violations[:30]])
    assert unseen == [], "the judge does not see these faults"
    assert torments.done
    assert len(records.heard) > torments.done.total()


async def live(deployment: Deployment, torments: Torments, records: Records, *, ipn_url: str) -> None:
    """Torment the deployment under load for SECONDS, then let the clients end and all that waits fall due."""
    stop = asyncio.Event()
    pressing = asyncio.create_task(
        press(deployment.urls, deployment.demo, records, ipn_url=ipn_url, clients=CLIENTS, seed=SEED, stop=stop)
    )
    try:
        await torments.run(SECONDS)
    finally:
        stop.set()
        await pressing
    await asyncio.gather(rest(deployment), asyncio.sleep(LATE_SECONDS))


async def rest(deployment: Deployment) -> None:
    """Advance the clock until abandoned challenges, captures and retries of callbacks are due."""
    headers = {"Authorization": deployment.demo["apiKey"]}
    give_up_at = time.monotonic() + DRAIN_SECONDS
    async with aiohttp.ClientSession() as session:
        while time.monotonic() < give_up_at:
            body = {"advance": f"{REST_DAYS}d"}
            async with session.post(f"{deployment.urls[0]}/stage/clock", json=body, headers=headers) as response:
                if response.status == 200:
                    return
            await asyncio.sleep(1)
    raise AssertionError("the clock could not be moved after the load had ended")


async def drain(connection: asyncpg.Connection[Any]) -> None:
    """Wait until everything is settled and delivered, within a bound."""
    give_up_at = time.monotonic() + DRAIN_SECONDS
    while await count_unfinished(connection) and time.monotonic() < give_up_at:  # noqa: ASYNC110 - another process
        await asyncio.sleep(0.5)
