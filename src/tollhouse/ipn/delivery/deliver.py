"""Lease deliveries, post them and record the outcomes.

Deliveries are leased in runs: a run is one slot of one host, a few deliveries that are posted one after the other on
one connection. So each run costs one claim, which is a database transaction, and an endpoint never has more connections
than slots, however many workers run. A run ends early at the first failure or after its time; its remaining deliveries
are released. Outcomes are recorded in batches while the run continues.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

import structlog

from tollhouse.ipn import store
from tollhouse.ipn.delivery import claims, schedule
from tollhouse.ipn.delivery.attempt import AttemptLimits
from tollhouse.ipn.delivery.claims import Capacity, LeasedRuns, Share
from tollhouse.ipn.delivery.schedule import choose_pause
from tollhouse.ipn.model import Delivery, DeliveryAttempt, Outcome, Run
from tollhouse.ipn.store import OutcomeRow, ProbeRules
from tollhouse.storage.coalesce import Coalescer
from tollhouse.storage.database import Database, PlainConnection

#: Outcomes of one database transaction.
MAX_BATCH_OUTCOMES = 256

#: Outcomes wait so long for others, because one database transaction for each would cost as much as a payment.
BATCH_INTERVAL_SECONDS = 0.02

#: Tries of a claim, and the interval between them, while other database transactions hold locks on all ready hosts.
MAX_CLAIM_TRIES = 4
CLAIM_INTERVAL_SECONDS = 0.003

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class DeliveryRules:
    """Limits and times of deliveries. A lease outlasts a run, its last attempt, and the recording of it."""

    slots: int = 4
    depth: int = 16
    limits: AttemptLimits = field(default_factory=AttemptLimits)
    run_seconds: float = 3.0
    lease_seconds: float = 26.0
    slow_after_seconds: float = 1.0
    waits: Sequence[timedelta] = schedule.RETRY_INTERVALS
    horizon: timedelta = schedule.HORIZON
    probe_after: int = schedule.PROBE_AFTER_FAILURES
    first_pause: timedelta = schedule.MIN_PROBE_INTERVAL
    longest_pause: timedelta = schedule.MAX_PROBE_INTERVAL

    def __post_init__(self) -> None:
        if self.lease_seconds <= self.run_seconds + self.limits.slot_seconds + self.limits.total_seconds:
            raise ValueError("A lease has to outlast a run and its last attempt.")

    def capacity(self, room: int) -> Capacity:
        """Return the limits of a claim for `room` runs, without limits by merchant."""
        return Capacity(
            slots=self.slots,
            depth=self.depth,
            quick_room=room,
            slow_room=room,
            lease_for=timedelta(seconds=self.lease_seconds),
            probe_after=self.probe_after,
            share=Share(room, room),
        )


@dataclass(frozen=True, slots=True)
class DeliveryDependencies:
    """Dependencies of a run.

    `post` makes an attempt and never raises; it returns None if the attempt could not begin. `record` returns whether
    the lease was still valid. `chance` returns a number from 0 to 1. `stopping` returns whether a run begins no further
    attempt.
    """

    post: Callable[[Delivery], Awaitable[DeliveryAttempt | None]]
    record: Callable[[Outcome], Awaitable[bool]]
    chance: Callable[[], float]
    stopping: Callable[[Run], bool]


def make_recorder(database: Database, rules: DeliveryRules) -> Coalescer[Outcome, bool]:
    """Return a coalescer that records outcomes in batches. A result says whether the lease was still valid."""
    return Coalescer(
        "ipn outcomes",
        partial(record_outcomes, rules=rules),
        database,
        batch_limit=MAX_BATCH_OUTCOMES,
        gather_seconds=BATCH_INTERVAL_SECONDS,
        # An outcome is a fact from outside: it is kept as long as its lease can be valid.
        timeout_seconds=rules.lease_seconds,
    )


async def claim(database: Database, capacity: Capacity) -> LeasedRuns:
    """Lease runs of the hosts whose turn it is."""
    for _ in range(MAX_CLAIM_TRIES):
        async with database.acquire() as connection:
            claimed = await claims.claim_runs(connection, capacity)
        if claimed is not None:
            return claimed
        await asyncio.sleep(CLAIM_INTERVAL_SECONDS)
    return LeasedRuns([], capacity.after)


async def claim_runs(database: Database, rules: DeliveryRules, *, room: int) -> list[Run]:
    """Lease up to `room` runs, without limits by merchant."""
    return (await claim(database, rules.capacity(room))).runs


async def deliver_run(run: Run, deps: DeliveryDependencies, rules: DeliveryRules) -> None:
    """Post the deliveries of a run until one fails or time is up; release the rest; return after all is recorded."""
    give_up_at = time.monotonic() + rules.run_seconds
    recording: list[asyncio.Task[None]] = []
    for delivery in run.deliveries:
        over = time.monotonic() >= give_up_at or deps.stopping(run)
        attempt = None if over else await deps.post(delivery)
        if attempt is None or attempt.error is not None:
            give_up_at = 0.0
        outcome = choose_outcome(delivery, attempt, rules=rules, chance=deps.chance())
        recording.append(asyncio.create_task(_record(outcome, deps.record)))
    await asyncio.gather(*recording)


def choose_outcome(
    delivery: Delivery, attempt: DeliveryAttempt | None, *, rules: DeliveryRules, chance: float
) -> Outcome:
    """Choose the outcome of an attempt: delivered, retried, failed, or released."""
    if attempt is None or attempt.error is None:
        return Outcome(delivery, attempt)
    retry_in = schedule.choose_retry(
        delivery.attempts + 1,
        age=delivery.age,
        chance=chance,
        retry_after_seconds=attempt.retry_after_seconds,
        waits=rules.waits,
        horizon=rules.horizon,
    )
    return Outcome(delivery, attempt, retry_in)


async def record_outcomes(
    connection: PlainConnection, outcomes: Sequence[Outcome], *, rules: DeliveryRules
) -> Sequence[bool]:
    """Write a batch of outcomes, release held events, and count for their hosts.

    Outcomes without a valid lease change nothing.
    """
    written = await store.record_deliveries(
        connection,
        [_build_row(outcome) for outcome in outcomes],
        slow_after_ms=round(rules.slow_after_seconds * 1000),
        probing=ProbeRules(rules.probe_after, rules.first_pause, rules.longest_pause),
    )
    return [_key(outcome) in written for outcome in outcomes]


def _build_row(outcome: Outcome) -> OutcomeRow:
    delivery, attempt = outcome.delivery, outcome.attempt
    own = (delivery.merchant_id, delivery.event_id, delivery.number, delivery.lease, outcome.state, outcome.retry_in)
    if attempt is None:
        return OutcomeRow(*own, *[None] * 7)
    return OutcomeRow(
        *own,
        None if attempt.error is None else choose_pause(attempt.retry_after_seconds),
        attempt.started_at,
        attempt.duration_ms,
        attempt.address,
        attempt.status,
        attempt.error,
        attempt.excerpt,
    )


async def release_runs(database: Database, runs: Sequence[Run]) -> None:
    """Release the leases of runs, so that other workers need not wait until they expire."""
    async with database.transaction() as connection:
        hosts = await claims.release_leases(connection, [run.lease for run in runs])
        await store.wake_hosts(connection, hosts)


async def _record(outcome: Outcome, record: Callable[[Outcome], Awaitable[bool]]) -> None:
    """Record an outcome. If that fails, the lease expires and the event is delivered again."""
    facts = _facts_of(outcome)
    try:
        held = await record(outcome)
    except Exception:  # the other outcomes of the run are still recorded
        log.exception("delivery.outcome_lost", **facts)
        return
    if not held:
        log.warning("delivery.lease_lost", **facts)
    elif outcome.state == "delivered":
        log.debug("delivery.acknowledged", **facts)
    elif outcome.attempt is not None:
        log.info(
            "delivery.not_acknowledged", **facts, retry_in=None if outcome.retry_in is None else str(outcome.retry_in)
        )


def _facts_of(outcome: Outcome) -> dict[str, object]:
    delivery, attempt = outcome.delivery, outcome.attempt
    facts: dict[str, object] = {
        "merchant_id": delivery.merchant_id,
        "event_id": delivery.event_id,
        "request_id": delivery.request_id,
        "attempt": delivery.attempts + 1,
    }
    if attempt is not None:
        facts |= {"status": attempt.status, "error": attempt.error, "duration_ms": attempt.duration_ms}
    return facts


def _key(outcome: Outcome) -> tuple[int, int, int]:
    return outcome.delivery.merchant_id, outcome.delivery.event_id, outcome.delivery.number
