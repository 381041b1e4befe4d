"""The loops that number events and deliver them.

Each runs until its `stop` is set; any number of workers may run both.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import partial
from random import SystemRandom

import structlog

from tollhouse.ipn.attempt import SecretsOf, post_delivery
from tollhouse.ipn.deliver import DeliveryRules, Means, claim_runs, deliver_run, make_recorder, release_runs
from tollhouse.ipn.model import Run
from tollhouse.ipn.number import BATCH, number_batch
from tollhouse.ipn.session import open_session
from tollhouse.kernel.errors import DatabaseUnavailable
from tollhouse.kernel.urls import AddressPolicy
from tollhouse.storage.database import Database
from tollhouse.worker.run import Beat, ignore_beat

#: Between two looks while there is work; what comes in meanwhile is taken in one go. A look costs as much as a payment,
#: and in a process that also serves it is paid by the payments.
BUSY_PAUSE_SECONDS = 0.06

#: The same while endpoints have more than their slots take in one go.
CROWDED_PAUSE_SECONDS = 0.03

#: Between two looks while there is none: from the shortest, growing to the longest. A wake-up ends it.
SHORTEST_PAUSE_SECONDS = 0.02
LONGEST_PAUSE_SECONDS = 0.2

#: After a look that went wrong.
TROUBLE_PAUSE_SECONDS = 1.0

#: How long a merchant's secrets are remembered, and those of how many merchants.
SECRETS_SECONDS = 5.0
SECRETS_LIMIT = 1_000

log = structlog.get_logger()


class Look(Enum):
    """What a look for work found."""

    NOTHING = auto()
    SOME = auto()
    CROWD = auto()
    PLENTY = auto()


PAUSES_SECONDS = {Look.SOME: BUSY_PAUSE_SECONDS, Look.CROWD: CROWDED_PAUSE_SECONDS, Look.PLENTY: 0.0}


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many runs go on at a time.

    `quick` bounds those younger than `slow_after_seconds`, `total` all of them: endpoints that hang fill up the
    difference, and the others have their places still.
    """

    quick: int = 64
    total: int = 512
    slow_after_seconds: float = 1.0
    #: A moment less than the grace of a process, so that what is left can be given back.
    drain_seconds: float = 2.5


async def number_events(
    database: Database,
    *,
    stop: asyncio.Event,
    wake: asyncio.Event,
    numbered: asyncio.Event | None = None,
    batch: int = BATCH,
    beat: Beat = ignore_beat,
) -> None:
    """Number events as they come. `wake` may be set when there are new ones; `numbered` is set after each batch."""

    async def look() -> Look:
        count = await number_batch(database, batch=batch)
        if count and numbered is not None:
            numbered.set()
        return Look.PLENTY if count == batch else Look.SOME if count else Look.NOTHING

    await _look_for_work("number events", look, stop=stop, wake=wake, beat=beat)


async def deliver_events(
    database: Database,
    *,
    secrets_of: SecretsOf,
    policy: AddressPolicy,
    stop: asyncio.Event,
    wake: asyncio.Event,
    rules: DeliveryRules | None = None,
    bounds: Bounds | None = None,
    beat: Beat = ignore_beat,
) -> None:
    """Deliver events as they fall due. `wake` may be set when there are some; give it the other loop's `numbered`.

    When `stop` is set, attempts under way have a few seconds to end; the rest is given back.
    """
    rules, bounds = rules or DeliveryRules(), bounds or Bounds()
    async with open_session(policy) as session:
        post = partial(
            post_delivery, session, secrets_of=remember_secrets(secrets_of), policy=policy, limits=rules.limits
        )
        record = make_recorder(database, rules).submit
        means = Means(post, record, SystemRandom().random, stop.is_set)
        runs = _Runs(bounds, deliver=lambda run: deliver_run(run, means, rules), ended=wake)

        async def look() -> Look:
            room = runs.room()
            claimed = await claim_runs(database, rules, room=room) if room else []
            runs.start(claimed)
            if any(len(run.deliveries) == rules.depth for run in claimed):
                return Look.CROWD
            return Look.SOME if claimed else Look.NOTHING

        try:
            await _look_for_work("deliver events", look, stop=stop, wake=wake, beat=beat)
        finally:
            if left := await runs.drain():
                await release_runs(database, left, rules)


async def deliver_once(database: Database, *, secrets_of: SecretsOf, policy: AddressPolicy) -> int:
    """Number what is there and deliver what is due now; return how much that was, when all of it is recorded.

    For who cannot wait for the loops, or is in a process that has none. They do no harm to each other.
    """
    rules = DeliveryRules()
    numbered = await number_batch(database)
    runs = await claim_runs(database, rules, room=Bounds().quick)
    if not runs:
        return numbered
    async with open_session(policy) as session:
        post = partial(post_delivery, session, secrets_of=secrets_of, policy=policy, limits=rules.limits)
        means = Means(post, make_recorder(database, rules).submit, SystemRandom().random, lambda: False)
        await asyncio.gather(*(deliver_run(run, means, rules) for run in runs))
    return numbered + len(runs)


def remember_secrets(secrets_of: SecretsOf, *, seconds: float = SECRETS_SECONDS) -> SecretsOf:
    """Ask for a merchant's secrets no more often than every few seconds."""
    known: dict[int, tuple[float, Sequence[str]]] = {}

    async def remembered(merchant_id: int) -> Sequence[str]:
        asked_at, secrets = known.get(merchant_id, (float("-inf"), ()))
        if time.monotonic() - asked_at < seconds:
            return secrets
        if len(known) >= SECRETS_LIMIT:
            known.clear()
        asked_at = time.monotonic()
        secrets = await secrets_of(merchant_id)
        known[merchant_id] = (asked_at, secrets)
        return secrets

    return remembered


@dataclass(slots=True)
class _Runs:
    """The runs that go on, and how many more may begin."""

    bounds: Bounds
    deliver: Callable[[Run], Awaitable[None]]
    ended: asyncio.Event
    _tasks: dict[asyncio.Task[None], tuple[Run, float]] = field(default_factory=dict)

    def room(self) -> int:
        slow_before = time.monotonic() - self.bounds.slow_after_seconds
        quick = sum(begun > slow_before for _, begun in self._tasks.values())
        return max(0, min(self.bounds.quick - quick, self.bounds.total - len(self._tasks)))

    def start(self, runs: Sequence[Run]) -> None:
        for run in runs:
            task = asyncio.create_task(self._deliver(run), name=f"ipn run {run.lease}")
            self._tasks[task] = (run, time.monotonic())
            task.add_done_callback(self._forget)

    async def drain(self) -> list[Run]:
        """Wait for the runs to end, end those that do not, and return these."""
        if not self._tasks:
            return []
        _, pending = await asyncio.wait(self._tasks, timeout=self.bounds.drain_seconds)
        left = [self._tasks[task][0] for task in pending]
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        return left

    async def _deliver(self, run: Run) -> None:
        try:
            await self.deliver(run)
        except Exception:
            log.exception("ipn run broke", merchant_id=run.merchant_id, lease=run.lease)

    def _forget(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        self.ended.set()


async def _look_for_work(
    name: str, look: Callable[[], Awaitable[Look]], *, stop: asyncio.Event, wake: asyncio.Event, beat: Beat
) -> None:
    """Look for work until stopped, less often the longer there is none. Nothing that goes wrong ends it."""
    pause = SHORTEST_PAUSE_SECONDS
    while not stop.is_set():
        wake.clear()
        try:
            found = await look()
        except DatabaseUnavailable:
            log.warning("database away", loop=name)
            await _sleep(TROUBLE_PAUSE_SECONDS, stop)
            continue
        except Exception:
            log.exception("loop stumbled", loop=name)
            await _sleep(TROUBLE_PAUSE_SECONDS, stop)
            continue
        beat()
        if found is Look.NOTHING:
            await _sleep(pause, wake)
            pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)
        else:
            pause = SHORTEST_PAUSE_SECONDS
            await asyncio.sleep(PAUSES_SECONDS[found])


async def _sleep(seconds: float, event: asyncio.Event) -> None:
    """Sleep, or until an event is set."""
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
