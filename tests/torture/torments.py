"""Torment the processes of a deployment under load: several torments at a time, drawn by a seed.

A process has one torment at a time, and at most one `serve` is down or paused, so that the load goes on. A torment that
takes long does not hold up the next one.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import asyncpg
from tests.support.processes import Node
from tests.torture.deployment import Deployment

MAX_TORMENTS = 3
INTERVAL_SECONDS = (0.3, 1.5)
DOWN_SECONDS = (0.0, 0.0, 2.0)
PAUSE_SECONDS = (0.5, 2.0, 7.0)
#: With the times of `deployment.TIMES` the resolver looks at an attempt after 4.5 s.
PAST_RESOLVER_SECONDS = (6.0, 7.0, 9.0)
MAX_STARTS = 10
#: How a process ends that is started while the database is away. Its supervisor starts it again.
DATABASE_AWAY = "tollhouse: The database"

TERMINATE_BACKENDS = """
    select count(pg_terminate_backend(pid)) from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'
"""


@dataclass(frozen=True, slots=True)
class Torment:
    """One kind of torment: how often it is drawn, its possible victims, and for how long it may hold them."""

    name: str
    weight: int
    victims: Sequence[Node]
    act: Callable[[Node, float], Awaitable[None]]
    seconds: Sequence[float] = (0.0,)


class Torments:
    """Torments of a deployment. Counts those that are done."""

    def __init__(self, deployment: Deployment, seed: int) -> None:
        self._dsn = deployment.dsn
        self._serves = frozenset(deployment.serves)
        self._chance = random.Random(f"{seed}-torments")
        self._busy: set[Node] = set()
        self.done: Counter[str] = Counter()
        nodes, database, simulator = deployment.nodes, [deployment.database], [deployment.simulator]
        self._kinds = (
            Torment("kill", 8, nodes, self._kill, DOWN_SECONDS),
            Torment("pause serve past the resolver", 14, deployment.serves, _pause, PAST_RESOLVER_SECONDS),
            Torment("pause simulator", 3, simulator, _pause, PAUSE_SECONDS),
            Torment("pause", 4, nodes, _pause, PAUSE_SECONDS),
            Torment("terminate", 4, nodes, self._terminate),
            Torment("terminate backends", 3, database, self._terminate_backends),
            Torment("crash database", 1, database, self._kill, DOWN_SECONDS),
        )

    async def run(self, seconds: float) -> None:
        """Begin one torment after another for some seconds. At the end all are over, and every process runs."""
        end_at = time.monotonic() + seconds
        async with asyncio.TaskGroup() as running:
            while time.monotonic() < end_at:
                await asyncio.sleep(self._chance.uniform(*INTERVAL_SECONDS))
                [torment] = self._chance.choices(self._kinds, [each.weight for each in self._kinds])
                held_seconds = self._chance.choice(torment.seconds)
                victim = self._choose(torment.victims)
                if victim is not None:
                    running.create_task(self._carry_out(torment, victim, held_seconds))

    def _choose(self, victims: Sequence[Node]) -> Node | None:
        """Return a victim that has no torment, and reserve it; None if there is none or too much is going on."""
        is_serve_free = not self._busy & self._serves
        free = [node for node in victims if node not in self._busy and (is_serve_free or node not in self._serves)]
        if not free or len(self._busy) >= MAX_TORMENTS:
            return None
        victim = self._chance.choice(free)
        self._busy.add(victim)
        return victim

    async def _carry_out(self, torment: Torment, victim: Node, seconds: float) -> None:
        await torment.act(victim, seconds)
        self._busy.remove(victim)
        self.done[torment.name] += 1

    async def _kill(self, node: Node, seconds: float) -> None:
        """Kill a process, and start it again at once or a little later. A database recovers from its log."""
        await asyncio.to_thread(node.kill)
        await asyncio.sleep(seconds)
        await _start(node)

    async def _terminate(self, node: Node, _: float) -> None:
        """Ask a process to stop, whatever it has to do, and start it again."""
        await asyncio.to_thread(node.terminate)
        await _start(node)

    async def _terminate_backends(self, _: Node, __: float) -> None:
        """End every connection to the database."""
        connection = await asyncpg.connect(self._dsn)
        try:
            await connection.fetchval(TERMINATE_BACKENDS)
        finally:
            await connection.close()


async def _pause(node: Node, seconds: float) -> None:
    """Pause a process in the middle of its work; it goes on as if no time had passed."""
    await asyncio.to_thread(node.pause)
    await asyncio.sleep(seconds)
    node.resume()


async def _start(node: Node) -> None:
    """Start a process as its supervisor does: again, if it has ended because the database is away."""
    for number in range(MAX_STARTS):
        try:
            await asyncio.to_thread(node.start)
        except AssertionError as error:
            is_away = str(error).rstrip().splitlines()[-1].startswith(DATABASE_AWAY)
            if not is_away or number == MAX_STARTS - 1:
                raise
            await asyncio.sleep(1)
        else:
            return
