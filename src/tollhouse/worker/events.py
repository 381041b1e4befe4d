"""Run the loops that number events and deliver them.

Each loop runs until its `stop` is set. Any number of workers may run both.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from random import SystemRandom

import structlog

from tollhouse.ipn.delivery.attempt import SecretsOf, post_delivery
from tollhouse.ipn.delivery.claims import BEFORE_ALL, Capacity, Share
from tollhouse.ipn.delivery.deliver import (
    DeliveryDependencies,
    DeliveryRules,
    claim,
    claim_runs,
    deliver_run,
    make_recorder,
    release_runs,
)
from tollhouse.ipn.delivery.session import MAX_ATTEMPTS_AT_ADDRESS, open_session
from tollhouse.ipn.delivery.workers import Heartbeat
from tollhouse.ipn.model import Delivery, DeliveryAttempt, Run
from tollhouse.ipn.number import MAX_BATCH_EVENTS, number_batch
from tollhouse.kernel.errors import DatabaseUnavailable
from tollhouse.kernel.urls import AddressPolicy
from tollhouse.storage.database import Database
from tollhouse.worker.queue import Count, LeasedQueue, RunningPiece, Work, ignore_count, poll
from tollhouse.worker.run import Beat, ignore_beat, sleep_or_stop

#: Between two heartbeats of a worker.
HEARTBEAT_INTERVAL_SECONDS = 1.0

#: Hosts whose `Retry-After` is remembered until it is recorded.
MAX_PAUSED_HOSTS = 10_000

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class DeliveryLimits:
    """Limits of concurrent runs.

    `total` limits all. Runs that took longer than `slow_after_seconds`, and those to endpoints that were slow before,
    have one half of it, the others the other half. A merchant has a quarter of all, and half of that for endpoints that
    are slow or never acknowledged; `at_address` of them go to one address. One claim leases `of_claim` of each half.
    """

    total: int = 512
    at_address: int = MAX_ATTEMPTS_AT_ADDRESS
    of_claim: int = 64
    slow_after_seconds: float = 1.0
    drain_seconds: float = 2.5

    def choose_capacity(self, rules: DeliveryRules, under_way: Sequence[RunningPiece[Run]], *, now: float) -> Capacity:
        """Return the limits of a claim beside the running runs."""
        half = self.total // 2
        slow = sum(each.piece.slow or now - each.since > self.slow_after_seconds for each in under_way)
        quick = len(under_way) - slow + max(0, slow - half)
        share = Share(max(1, self.total // 4), max(1, self.total // 8))
        return replace(
            rules.capacity(0),
            quick_room=max(0, min(half - quick, self.of_claim)),
            slow_room=max(0, min(half - slow, self.of_claim)),
            share=share,
            shares=_shares_left(share, under_way),
        )


def _shares_left(share: Share, under_way: Sequence[RunningPiece[Run]]) -> dict[int, Share]:
    """Return the free slots of merchants that have running runs."""
    left: dict[int, Share] = {}
    for each in under_way:
        run = each.piece
        mine = left.get(run.merchant_id, share)
        left[run.merchant_id] = Share(mine.all - 1, mine.unproven - run.unproven)
    return left


async def number_events(
    database: Database,
    *,
    stop: asyncio.Event,
    wake: asyncio.Event,
    numbered: asyncio.Event | None = None,
    batch: int = MAX_BATCH_EVENTS,
    beat: Beat = ignore_beat,
) -> None:
    """Number new events. Set `wake` when there are new ones; `numbered` is set after each batch."""

    async def step() -> bool:
        count = await number_batch(database, batch=batch)
        if count and numbered is not None:
            numbered.set()
        return count > 0

    await poll("number events", step, stop=stop, wake=wake, beat=beat)


async def deliver_events(
    database: Database,
    *,
    secrets_of: SecretsOf,
    policy: AddressPolicy,
    stop: asyncio.Event,
    wake: asyncio.Event,
    rules: DeliveryRules | None = None,
    bounds: DeliveryLimits | None = None,
    beat: Beat = ignore_beat,
    count: Count = ignore_count,
) -> None:
    """Deliver events as they fall due. Set `wake` when there are some, or pass the other loop's `numbered`.

    When `stop` is set, running attempts have a few seconds to end; the rest is released.
    """
    rules, bounds = rules or DeliveryRules(), bounds or DeliveryLimits()
    heartbeat = Heartbeat(database)
    async with open_session(policy, at_address=bounds.at_address) as session, _send_heartbeats(heartbeat):
        post = partial(post_delivery, session, secrets_of=secrets_of, policy=policy, limits=rules.limits)
        paused_hosts = _PausedHosts()
        deps = DeliveryDependencies(
            partial(paused_hosts.post, post),
            make_recorder(database, rules).submit,
            SystemRandom().random,
            lambda run: stop.is_set() or paused_hosts.is_paused(run),
        )
        claims = _Claims(database, rules, bounds, heartbeat.worker_id)
        work = Work(
            "deliver events",
            lease=claims.lease,
            handle=lambda run: deliver_run(run, deps, rules),
            release=partial(release_runs, database),
        )
        queue = LeasedQueue(work, drain_seconds=bounds.drain_seconds, count=count)
        await queue.run(stop=stop, wake=wake, beat=beat)


async def deliver_once(database: Database, *, secrets_of: SecretsOf, policy: AddressPolicy) -> int:
    """Number all events and deliver those due now; return their number after all is recorded.

    It is for callers that cannot wait for the loops, or have none in their process. It may run beside the loops.
    """
    rules = DeliveryRules()
    numbered = await number_batch(database)
    runs = await claim_runs(database, rules, room=DeliveryLimits().of_claim)
    if not runs:
        return numbered
    async with open_session(policy) as session:
        post = partial(post_delivery, session, secrets_of=secrets_of, policy=policy, limits=rules.limits)
        deps = DeliveryDependencies(post, make_recorder(database, rules).submit, SystemRandom().random, lambda _: False)
        await asyncio.gather(*(deliver_run(run, deps, rules) for run in runs))
    return numbered + len(runs)


@dataclass(slots=True)
class _Claims:
    """Claims of one worker. Each begins with the merchant after the last one that had a turn."""

    database: Database
    rules: DeliveryRules
    bounds: DeliveryLimits
    worker_id: int
    after: int = BEFORE_ALL

    async def lease(self, under_way: Sequence[RunningPiece[Run]]) -> Sequence[Run]:
        """Lease runs up to the limits."""
        capacity = self.bounds.choose_capacity(self.rules, under_way, now=time.monotonic())
        if not capacity.quick_room and not capacity.slow_room:
            return ()
        claimed = await claim(self.database, replace(capacity, after=self.after, worker_id=self.worker_id))
        self.after = claimed.after
        return claimed.runs


class _PausedHosts:
    """Hosts that sent `Retry-After`, for the running runs to them."""

    def __init__(self) -> None:
        self._until: dict[tuple[int, int], float] = {}

    async def post(
        self, post: Callable[[Delivery], Awaitable[DeliveryAttempt | None]], delivery: Delivery
    ) -> DeliveryAttempt | None:
        """Post, and record the host's `Retry-After`."""
        attempt = await post(delivery)
        if attempt is not None and attempt.error is not None and attempt.retry_after_seconds:
            if len(self._until) >= MAX_PAUSED_HOSTS:
                self._until.clear()
            self._until[delivery.merchant_id, delivery.host_id] = time.monotonic() + attempt.retry_after_seconds
        return attempt

    def is_paused(self, run: Run) -> bool:
        """Return whether the pause of a run's host has not ended."""
        until = self._until.get((run.merchant_id, run.host_id))
        return until is not None and time.monotonic() < until


@asynccontextmanager
async def _send_heartbeats(heartbeat: Heartbeat) -> AsyncIterator[None]:
    """Record heartbeats of the worker until the block ends."""
    stopped = asyncio.Event()
    task = asyncio.create_task(_beat(heartbeat, stopped), name="heartbeat")
    try:
        yield
    finally:
        stopped.set()  # a cancellation may be swallowed by a wait that ends at the same moment
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        with suppress(DatabaseUnavailable):
            await heartbeat.delete()


async def _beat(heartbeat: Heartbeat, stopped: asyncio.Event) -> None:
    while not stopped.is_set():
        try:
            if released := await heartbeat.beat():
                log.warning("callback.leases_released", hosts=released)
        except DatabaseUnavailable:
            log.debug("database.connection_lost", loop="heartbeat")
        except Exception:
            log.exception("loop.step_failed", loop="heartbeat")
        await sleep_or_stop(HEARTBEAT_INTERVAL_SECONDS, stopped)
