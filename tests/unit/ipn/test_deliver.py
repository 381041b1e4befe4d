"""The consequences of an attempt for the delivery and for its run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from tests.support.callbacks import make_delivery

from tollhouse.ipn.delivery.attempt import AttemptLimits
from tollhouse.ipn.delivery.deliver import DeliveryDependencies, DeliveryRules, choose_outcome, deliver_run
from tollhouse.ipn.model import Delivery, DeliveryAttempt, Outcome, Run

STARTED = datetime(2026, 1, 1, tzinfo=UTC)
GOOD = DeliveryAttempt(STARTED, 5, status=200)
BAD = DeliveryAttempt(STARTED, 5, status=500, error="not_acknowledged")
RULES = DeliveryRules()


def delivery(event_id: int = 1, *, attempts: int = 0, age: timedelta = timedelta(0)) -> Delivery:
    """A leased delivery."""
    return make_delivery("https://example.com/", event_id=event_id, attempts=attempts, age=age)


@pytest.mark.parametrize(
    ("attempt", "attempts", "days", "state", "retry_seconds"),
    [
        (GOOD, 0, 0, "delivered", None),
        (BAD, 0, 0, "waiting", 10),
        (BAD, 1, 0, "waiting", 60),
        (BAD, 12, 4.9, "failed", None),
        (GOOD, 12, 4.9, "delivered", None),
        (None, 3, 1, "waiting", None),
    ],
)
def test_outcome_follows_from_the_attempt(
    attempt: DeliveryAttempt | None, attempts: int, days: float, state: str, retry_seconds: float | None
) -> None:
    """An acknowledged delivery is delivered, a failed one retried or failed, an untried one unchanged."""
    given = delivery(attempts=attempts, age=timedelta(days=days))
    result = choose_outcome(given, attempt, rules=RULES, chance=0)
    assert result.state == state
    assert result.retry_in == (None if retry_seconds is None else timedelta(seconds=retry_seconds))


def test_lease_outlasts_a_run() -> None:
    """Rules under which a lease could expire during a run are rejected."""
    with pytest.raises(ValueError, match="outlast"):
        DeliveryRules(lease_seconds=20, run_seconds=10, limits=AttemptLimits(total_seconds=10))


async def run(
    attempts: list[DeliveryAttempt], *, count: int, rules: DeliveryRules = RULES, stopping: bool = False
) -> list[Outcome]:
    """Deliver a run of deliveries with the given results, and return the recorded outcomes."""
    recorded: list[Outcome] = []

    async def post(_delivery: Delivery) -> DeliveryAttempt:
        return attempts.pop(0)

    async def record(outcome: Outcome) -> bool:
        recorded.append(outcome)
        return True

    deliveries = tuple(delivery(event_id) for event_id in range(count))
    means = DeliveryDependencies(post, record, chance=lambda: 0.0, stopping=lambda _: stopping)
    await deliver_run(Run(1, 1, 1, deliveries), means, rules)
    return recorded


async def test_run_ends_at_the_first_failure() -> None:
    """After a failure the rest of a run is released, so that a failing endpoint gets one attempt."""
    recorded = await run([GOOD, BAD], count=4)
    assert [result.state for result in recorded] == ["delivered", "waiting", "waiting", "waiting"]
    assert [result.attempt is not None for result in recorded] == [True, True, False, False]


async def test_run_ends_when_its_time_is_up() -> None:
    """A run that takes long releases the rest, so that its lease outlasts it."""
    recorded = await run([], count=2, rules=DeliveryRules(run_seconds=0))
    assert [result.attempt for result in recorded] == [None, None]


async def test_run_begins_no_attempt_while_stopping() -> None:
    """A worker that stops releases deliveries that it has not begun."""
    recorded = await run([], count=2, stopping=True)
    assert [result.attempt for result in recorded] == [None, None]


async def test_outcome_that_cannot_be_recorded_does_not_end_the_run() -> None:
    """Outcomes after a lost one are still recorded."""
    recorded: list[int] = []

    async def post(_delivery: Delivery) -> DeliveryAttempt:
        return GOOD

    async def record(outcome: Outcome) -> bool:
        if outcome.delivery.event_id == 0:
            raise OSError
        recorded.append(outcome.delivery.event_id)
        return True

    means = DeliveryDependencies(post, record, chance=lambda: 0.0, stopping=lambda _: False)
    await deliver_run(Run(1, 1, 1, (delivery(0), delivery(1))), means, RULES)
    assert recorded == [1]
