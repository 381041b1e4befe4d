"""Dunning with random declines: no limit is exceeded, no retry is late, and there is always a decision."""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.billing.dunning import (
    MAX_DECLINES,
    AwaitCard,
    End,
    Failure,
    Policy,
    Retry,
    choose_allowed_time,
    choose_rule,
    decide,
)
from tollhouse.kernel.codes import list_codes

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
YEAR = timedelta(days=365)

#: How often a card may be declined in how many days, written down once more, apart from the data.
LIMITS = {"visa": [(20, 30)], "mastercard": [(10, 1), (35, 30)], "maestro": [(10, 1), (35, 30)], "jcb": [(7, 30)]}
ADVICE = [None, "01", "02", "03", "04", "21", "22", *map(str, range(24, 31)), "40", "41", "43"]

times = st.datetimes(datetime(2025, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - made aware
policies = st.sets(st.integers(1, 60), max_size=10).map(lambda days: Policy(tuple(sorted(days))))
failures = st.builds(
    Failure,
    code=st.sampled_from([code.code for code in list_codes()]) | st.text(max_size=8),
    advice_code=st.sampled_from(ADVICE) | st.text(max_size=4),
    brand=st.sampled_from(sorted(LIMITS)) | st.text(max_size=8),
    failed_at=times,
    due_at=times,
    tries=st.integers(1, 12),
    next_due_at=st.none() | times,
    earlier_declines=st.lists(times, max_size=MAX_DECLINES),
)


def break_limits(declined_at: Sequence[datetime], brand: str) -> list[datetime]:
    """Return the declines that exceeded a limit: those in the window of a decline are counted."""
    ordered = sorted(declined_at)
    return [
        end
        for end in ordered
        for most, days in LIMITS.get(brand, LIMITS["jcb"])
        if bisect_right(ordered, end) - bisect_right(ordered, end - days * DAY) > most
    ]


@pytest.mark.slow
@given(failures, policies)
def test_there_is_always_a_decision(failure: Failure, policy: Policy) -> None:
    """For any code, advice and times there is a decision, and its time is not before the failure."""
    decision = decide(failure, policy)
    assert isinstance(decision, Retry | AwaitCard | End)
    if isinstance(decision, Retry):
        assert decision.at > failure.failed_at
    if isinstance(decision, AwaitCard):
        assert decision.until > failure.failed_at


@given(failures, policies)
def test_no_retry_when_the_next_period_is_due(failure: Failure, policy: Policy) -> None:
    """A retry is before the next period, not before its own day, and one of the allowed retries."""
    decision = decide(failure, policy)
    if not choose_rule(failure.code, failure.advice_code).is_decline:
        assert isinstance(decision, Retry)
    elif isinstance(decision, Retry):
        assert failure.next_due_at is None or decision.at < failure.next_due_at
        assert failure.tries <= len(policy.retry_days)
        assert decision.at >= failure.due_at + policy.retry_days[failure.tries - 1] * DAY
        assert decision.at >= failure.failed_at + choose_rule(failure.code, failure.advice_code).wait


@given(times, st.sampled_from(sorted(LIMITS)), st.lists(times, max_size=MAX_DECLINES))
def test_the_first_allowed_time_is_allowed_and_the_first(at: datetime, brand: str, declines: list[datetime]) -> None:
    """An attempt at the chosen time keeps every limit, and a moment earlier would not, if it was moved."""
    past = [moment for moment in declines if moment <= at]
    allowed = choose_allowed_time(at, brand=brand, declines=past)
    assert allowed >= at
    assert allowed not in break_limits([*past, allowed], brand)
    if allowed > at:
        before = allowed - timedelta(microseconds=1)
        assert before in break_limits([*past, before], brand)


class Card:
    """A card that is always declined, with its subscriptions at one merchant, as a worker would charge them."""

    def __init__(self, chance: Random, *, brand: str, subscriptions: int) -> None:
        self.chance = chance
        self.brand = brand
        self.subscriptions = subscriptions
        self.declined_at: list[datetime] = []
        self.retried_at: list[datetime] = []
        self.moved = 0

    def run(self, *, asks_again: bool = True) -> None:
        """Simulate a year. Return the attempts with time, period, number and policy."""
        events = list(self._renew())
        heapq.heapify(events)
        while events and events[0][0] < START + YEAR:
            at, due_at, next_due_at, tries, days = heapq.heappop(events)
            newest = self.declined_at[-MAX_DECLINES:]
            allowed = choose_allowed_time(at, brand=self.brand, declines=newest) if asks_again else at
            if allowed > at:
                self.moved += 1
                if allowed < next_due_at:
                    heapq.heappush(events, (allowed, due_at, next_due_at, tries, days))
                continue
            self.declined_at.append(at)
            self.retried_at += [at] if tries > 1 else []
            decision = decide(self._fail(at, due_at, next_due_at, tries), Policy(days))
            if isinstance(decision, Retry):
                heapq.heappush(events, (decision.at, due_at, next_due_at, tries + 1, days))

    def _renew(self) -> Iterator[tuple[datetime, datetime, datetime, int, tuple[int, ...]]]:
        for _ in range(self.subscriptions):
            period = self.chance.choice([3, 7, 14, 30]) * DAY
            days = tuple(sorted(self.chance.sample(range(1, 15), 10)))
            due_at = START + self.chance.random() * DAY
            while due_at < START + YEAR:
                yield due_at, due_at, due_at + period, 1, days
                due_at += period

    def _fail(self, at: datetime, due_at: datetime, next_due_at: datetime, tries: int) -> Failure:
        return Failure(
            code=self.chance.choice(["5051", "5005", "5091", "5065", "5059"]),
            advice_code=self.chance.choice([None, None, "02", "24", "25", "26"]),
            brand=self.brand,
            failed_at=at,
            due_at=due_at,
            tries=tries,
            next_due_at=next_due_at,
            earlier_declines=self.declined_at[-MAX_DECLINES - 1 : -1],
        )


@pytest.mark.parametrize("brand", sorted(LIMITS))
@pytest.mark.parametrize("seed", range(2))
def test_a_year_of_declines_breaks_no_limit(brand: str, seed: int) -> None:
    """Fifteen subscriptions on a card that is always declined keep every limit for a year."""
    card = Card(Random(seed), brand=brand, subscriptions=15)
    card.run()
    assert len(card.declined_at) > 80
    assert card.moved > 0
    assert break_limits(card.declined_at, brand) == []


@pytest.mark.parametrize("brand", sorted(LIMITS))
@pytest.mark.parametrize("seed", range(2))
def test_one_subscription_alone_needs_no_second_check(brand: str, seed: int) -> None:
    """If nothing else is tried on the card, a planned retry keeps every limit without a second check."""
    card = Card(Random(seed), brand=brand, subscriptions=1)
    card.run(asks_again=False)
    assert card.retried_at
    assert not set(card.retried_at) & set(break_limits(card.declined_at, brand))


@pytest.mark.parametrize("brand", sorted(LIMITS))
def test_limits_are_exceeded_without_the_second_check(brand: str) -> None:
    """The same year without the second check exceeds limits, so the test above can fail."""
    card = Card(Random(0), brand=brand, subscriptions=15)
    card.run(asks_again=False)
    assert break_limits(card.declined_at, brand) != []
