"""What happens to the processes of a deployment under load: drawn by a seed, one torment after another.

Whatever the other processes are going through, at least one `serve` is left alone, so that the load goes on.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable

import asyncpg
from tests.support.processes import Node
from tests.torture.deployment import Deployment

#: Paused past the time at which the resolver takes an attempt for lost, and not quite so long.
PAUSE_SECONDS = (0.5, 2.0, 7.0)
PAUSE_BETWEEN_SECONDS = (0.3, 1.5)
DOWN_SECONDS = (0.0, 0.0, 2.0)

TERMINATE_BACKENDS = """
    select count(pg_terminate_backend(pid)) from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'
"""


class Torments:
    """Torments a deployment until a number of seconds are over, and counts what it did."""

    def __init__(self, deployment: Deployment, seed: int) -> None:
        self._deployment = deployment
        self._chance = random.Random(f"{seed}-torments")
        self.done: Counter[str] = Counter()
        self._torments: dict[Callable[[], Awaitable[None]], int] = {
            self.kill: 8,
            self.pause: 6,
            self.terminate: 4,
            self.terminate_backends: 3,
            self.crash_database: 1,
        }

    async def run(self, seconds: float) -> None:
        """Go from one torment to the next; the last one is finished, and everything runs again."""
        end_at = time.monotonic() + seconds
        while time.monotonic() < end_at:
            await asyncio.sleep(self._chance.uniform(*PAUSE_BETWEEN_SECONDS))
            [torment] = self._chance.choices(list(self._torments), list(self._torments.values()))
            await torment()
            self.done[torment.__name__] += 1

    async def kill(self) -> None:
        """Kill a process, and start it again at once or a little later."""
        node = self._choose()
        await asyncio.to_thread(node.kill)
        await asyncio.sleep(self._chance.choice(DOWN_SECONDS))
        await asyncio.to_thread(node.start)

    async def pause(self) -> None:
        """Pause a process in the middle of its work; it goes on as if no time had passed."""
        node = self._choose()
        node.pause()
        await asyncio.sleep(self._chance.choice(PAUSE_SECONDS))
        node.resume()

    async def terminate(self) -> None:
        """Ask a process to stop, whatever it has to do, and start it again."""
        node = self._choose()
        await asyncio.to_thread(node.terminate)
        await asyncio.to_thread(node.start)

    async def terminate_backends(self) -> None:
        """End every connection to the database."""
        connection = await asyncpg.connect(self._deployment.dsn)
        try:
            await connection.fetchval(TERMINATE_BACKENDS)
        finally:
            await connection.close()

    async def crash_database(self) -> None:
        """Kill the owner of the database, which ends at once, and start it again: it recovers from its log."""
        await asyncio.to_thread(self._deployment.database.kill)
        await asyncio.sleep(self._chance.choice(DOWN_SECONDS))
        await asyncio.to_thread(self._deployment.database.start)

    def _choose(self) -> Node:
        return self._chance.choice(self._deployment.nodes)
