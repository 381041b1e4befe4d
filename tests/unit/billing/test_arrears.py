"""Past-due subscriptions: their prices, the end of dunning, and the end of the debt."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace
from tests.support.shop import price
from tests.support.subscriptions import (
    DAILY,
    EVERY_TEN_DAYS,
    EXPIRED_CARD,
    FREE,
    FUNDS,
    START,
    STOLEN,
    cancel,
    decline,
    pay,
    seen,
    sign_up,
)

from tollhouse.billing import lifecycle
from tollhouse.billing.dunning import Policy
from tollhouse.billing.model import Decline, EndReason, Subscription, SubscriptionState
from tollhouse.billing.upcoming import list_upcoming
from tollhouse.catalog.model import Price
from tollhouse.kernel.faults import RequestRejected, Subject

UNREACHED = "1040"
NOT_DECLINED = ("1030", "1040", "1041")
HOUR = timedelta(hours=1)
YEARLY = (price(999), price(9900, "1y", repeat=True))


def after(days: float) -> datetime:
    """Return a time after the sign-up."""
    return START + timedelta(days=days)


def reprice(subscription: Subscription, now: datetime, prices: tuple[Price, ...], code: str) -> Subscription:
    """Return a past-due subscription with other prices, as the store reads its last decline."""
    last = Decline(after(10), code, None, "visa")
    return lifecycle.change_prices(
        seen(subscription, now, last_decline=last, declined_tries=1, first_tried_at=after(10)), prices
    )


# ---------------------------------------------------------------- other prices while past due


@pytest.mark.parametrize(("days", "until"), [(15, 25), (40, 50)], ids=["a shorter wait", "a longer wait"])
def test_a_wait_ends_when_the_new_next_period_is_due(days: int, until: int) -> None:
    """A subscription that waits for a card waits until the next period of its new prices is due."""
    waiting = decline(sign_up(), after(10), EXPIRED_CARD)
    repriced = reprice(waiting, after(12), (price(2999, f"{days}d", repeat=True),), EXPIRED_CARD)
    assert (repriced.state, repriced.waits_for_account, repriced.charge_at) == (
        SubscriptionState.PAST_DUE,
        True,
        after(until),
    )


def test_no_retry_at_or_after_the_new_next_period() -> None:
    """A retry at or after the next period of the new prices is not made; the subscription waits."""
    retried = decline(sign_up(*YEARLY), START + timedelta(days=365), FUNDS)
    last = Decline(START + timedelta(days=366), FUNDS, None, "visa")
    case = seen(
        retried, last.at + HOUR, last_decline=last, declined_tries=2, first_tried_at=START + timedelta(days=365)
    )
    repriced = lifecycle.change_prices(case, (price(2999, "2d", repeat=True),))
    assert (repriced.waits_for_account, repriced.charge_at) == (True, START + timedelta(days=367))


def test_more_time_gives_back_the_retries() -> None:
    """A subscription without time for a retry is retried once its new prices leave time."""
    waiting = decline(sign_up(*DAILY), after(1), FUNDS, policy=Policy((2, 4)))
    assert waiting.waits_for_account
    last = Decline(after(1), FUNDS, None, "visa")
    case = seen(waiting, after(1.5), last_decline=last, declined_tries=1, policy=Policy((2, 4)))
    repriced = lifecycle.change_prices(case, (price(2999, "30d", repeat=True),))
    assert (repriced.waits_for_account, repriced.charge_at) == (False, after(3))


def test_new_prices_without_time_left_expire() -> None:
    """If the next period of the new prices is due already, the subscription expires."""
    waiting = decline(sign_up(), after(10), EXPIRED_CARD)
    repriced = reprice(waiting, after(14), DAILY[1:], EXPIRED_CARD)
    ended = lifecycle.end_what_is_over(seen(repriced, after(14)))
    assert ended is not None
    assert (ended.state, ended.ended_with) == (SubscriptionState.EXPIRED, EndReason.UNPAID)


def test_dunning_follows_prices_set_during_a_charge() -> None:
    """A charge that fails after a change of prices is followed by dunning with the new prices."""
    waiting = lifecycle.change_prices(seen(sign_up(), after(10), is_charging=True), (price(5, "40d", repeat=True),))
    assert decline(waiting, after(10), EXPIRED_CARD).charge_at == after(50)


@pytest.mark.parametrize("code", [FUNDS, EXPIRED_CARD, UNREACHED, "1012"])
def test_a_price_of_zero_clears_the_debt(code: str) -> None:
    """With a price of zero a past-due subscription is active at once."""
    free = reprice(decline(sign_up(), after(10), code), after(12), FREE, code)
    assert (free.state, free.waits_for_account, free.renewal_at) == (SubscriptionState.ACTIVE, False, after(10))
    assert lifecycle.end_what_is_over(seen(free, after(25))) is None
    passed = lifecycle.skip_free_period(seen(free, after(12)))
    assert (passed.state, passed.next_period, passed.charge_at) == (SubscriptionState.ACTIVE, 2, after(20))


def test_a_failed_charge_of_a_free_period_leaves_no_debt() -> None:
    """A charge that fails after its period became free leaves no debt."""
    free = lifecycle.change_prices(seen(sign_up(), after(10), is_charging=True), FREE)
    assert decline(free, after(10), EXPIRED_CARD).state is SubscriptionState.ACTIVE
    assert lifecycle.fail_on_old_account(free, after(10)).state is SubscriptionState.ACTIVE


def test_the_currency_of_a_subscription_stays() -> None:
    """Prices in another currency are rejected, each by its position."""
    prices = (price(5, "10d"), price(6, "10d", repeat=True, currency="EUR"))
    with pytest.raises(RequestRejected) as refused:
        lifecycle.change_prices(seen(sign_up(), after(5)), prices)
    assert [(fault.subject, fault.item) for fault in refused.value.faults] == [(Subject.CURRENCY, 1)]


def test_prices_after_the_last_charge_follow_the_paid_time() -> None:
    """After the last charge new prices begin at the end of the paid time."""
    last = pay(sign_up(price(1), price(2, "10d")), after(10))
    repriced = lifecycle.change_prices(seen(last, after(12)), (price(7, "3d", repeat=True),))
    assert [each.at for each in list_upcoming(seen(repriced, after(12)), limit=2)] == [after(20), after(23)]


def test_a_single_price_without_delay_is_charged_once() -> None:
    """A list of `0d` alone is charged once, at the next date, and ends the subscription."""
    last = lifecycle.change_prices(seen(sign_up(), after(5)), (price(7, "0d"),))
    assert [each.at for each in list_upcoming(seen(last, after(5)), limit=2)] == [after(10)]
    paid = pay(last, after(10))
    ended = lifecycle.end_what_is_over(seen(paid, after(10)))
    assert ended is not None
    assert ended.ended_with is EndReason.FINISHED


# ---------------------------------------------------------------- what was no decline


@pytest.mark.parametrize("code", NOT_DECLINED)
@pytest.mark.parametrize("prices", [DAILY, EVERY_TEN_DAYS, (price(1), price(2, "10d"))])
@pytest.mark.parametrize("days", [(), (1, 3), (1, 3, 5, 7)], ids=["disabled", "two", "default"])
def test_failures_without_a_decline_end_nothing(code: str, prices: tuple[Price, ...], days: tuple[int, ...]) -> None:
    """A renewal that does not reach the issuer is tried again any number of times."""
    subscription, now, first = sign_up(*prices), START, None
    for _ in range(300):
        assert subscription.state.is_running
        assert not subscription.waits_for_account
        assert subscription.charge_at is not None
        assert now < subscription.charge_at <= now + timedelta(days=10)
        now = subscription.charge_at
        subscription = decline(subscription, now, code, policy=Policy(days), declined_tries=0, first_tried_at=first)
    assert pay(subscription, now).cycle == 1


def test_failures_without_a_decline_use_no_retry() -> None:
    """The first decline has all retries left, however late it comes."""
    now = after(10)
    unreached = decline(sign_up(), now, UNREACHED, declined_tries=0)
    assert unreached.charge_at is not None
    late = after(22)
    declined = decline(unreached, late, FUNDS, declined_tries=0, first_tried_at=late)
    assert (declined.state, declined.charge_at) == (SubscriptionState.PAST_DUE, late + timedelta(days=1))


# ---------------------------------------------------------------- a card that was refused


def test_a_card_that_was_declined_for_good_is_not_charged() -> None:
    """A subscription whose card was declined for good elsewhere ends when it falls due."""
    subscription = sign_up()
    assert lifecycle.end_what_is_over(seen(subscription, after(9), refused_at=after(4))) is None
    ended = lifecycle.end_what_is_over(seen(subscription, after(10), refused_at=after(4)))
    assert ended is not None
    assert (ended.state, ended.ended_with) == (SubscriptionState.EXPIRED, EndReason.REFUSED)


def test_a_card_that_was_approved_since_is_charged() -> None:
    """A card that was approved for the subscription after a decline elsewhere is charged."""
    assert lifecycle.end_what_is_over(seen(sign_up(), after(10), refused_at=START - HOUR)) is None
    paid = pay(sign_up(), after(10))
    assert lifecycle.end_what_is_over(seen(paid, after(20), refused_at=after(5))) is None


# ---------------------------------------------------------------- ends


def test_an_expired_subscription_has_no_cancel_date() -> None:
    """A subscription that expires before its planned cancellation has no cancel date."""
    planned = cancel(sign_up(), after(1), at=after(200))
    assert decline(planned, after(10), STOLEN).cancel_at is None


def test_until_the_next_rebill_while_past_due_means_at_once() -> None:
    """A past-due subscription canceled at its next charge ends at once."""
    late = decline(sign_up(), after(10), FUNDS)
    assert cancel(late, after(10.5), at_next_rebill=True).state is SubscriptionState.CANCELED


def test_nothing_expires_of_a_disabled_merchant() -> None:
    """A disabled merchant's subscriptions do not expire; cancellations take effect in time."""
    waiting = decline(sign_up(), after(10), EXPIRED_CARD)
    assert lifecycle.end_what_is_over(seen(waiting, after(20), is_merchant_active=False)) is None
    planned = cancel(waiting, after(11), at=after(15))
    ended = lifecycle.end_what_is_over(seen(planned, after(15), is_merchant_active=False))
    assert ended is not None
    assert ended.state is SubscriptionState.CANCELED


# ---------------------------------------------------------------- whole seconds

FRACTION = timedelta(microseconds=700_001)


def test_all_times_are_whole_seconds() -> None:
    """A subscription is due, retried, caught up and canceled exactly in the displayed second."""
    begun = sign_up(at=START + FRACTION)
    assert (begun.renewal_at, begun.charge_at) == (after(10), after(10))
    for late in (
        decline(begun, after(10) + FRACTION, FUNDS),
        decline(begun, after(10) + FRACTION, "1041", declined_tries=0),
        decline(begun, after(10) + FRACTION, EXPIRED_CARD),
        pay(begun, after(35) + FRACTION),
    ):
        assert late.charge_at is not None
        assert not late.charge_at.microsecond
    for when in (None, after(5) + FRACTION):
        ended = cancel(begun, after(1) + FRACTION, at=when)
        assert ended.cancel_at is not None
        assert not ended.cancel_at.microsecond


# ---------------------------------------------------------------- what is told


def test_upcoming_charges_include_the_catch_up() -> None:
    """Missed charges are listed at the times of their catch-up, a day apart, then the schedule."""
    case = seen(sign_up(), after(35))
    summarized = [(each.charge.due_at, each.at) for each in list_upcoming(case, limit=5)]
    dues = [after(10), after(20), after(30), after(40), after(50)]
    assert summarized == list(zip(dues, [after(35), after(36), after(37), after(40), after(50)], strict=True))


def test_a_waiting_charge_is_listed_alone() -> None:
    """If a subscription waits for a card, the owed charge and the end of the wait are listed, and nothing after it."""
    waiting = decline(sign_up(), after(10), EXPIRED_CARD)
    (owed,) = list_upcoming(seen(waiting, after(12)), limit=5)
    assert (owed.charge.period, owed.at, owed.waits_for, owed.waits_until) == (1, None, "card", after(20))


def test_charges_of_a_disabled_merchant_wait() -> None:
    """The next charge of a disabled merchant is listed as waiting for the merchant."""
    (owed,) = list_upcoming(seen(sign_up(), after(12), is_merchant_active=False), limit=5)
    assert (owed.at, owed.waits_for, owed.waits_until) == (None, "merchant", None)


def test_no_charge_is_listed_after_the_end() -> None:
    """No charge at or after the cancellation is listed."""
    planned = cancel(pay(sign_up(), after(35)), after(35), at=after(35.5))
    assert list_upcoming(seen(planned, after(35)), limit=5) == []
    refused = seen(sign_up(), after(5), refused_at=after(4))
    assert list_upcoming(refused, limit=5) == []


def test_upcoming_charges_are_made_as_listed() -> None:
    """Each charge may be made at its listed time, and not a second earlier."""
    subscription, now = sign_up(), datetime(2026, 3, 20, 1, 2, 3, tzinfo=UTC)
    for each in list_upcoming(seen(subscription, now), limit=12):
        assert subscription.charge_at is not None
        assert each.at == max(subscription.charge_at, now)
        subscription = replace(pay(subscription, each.at), tries=0)
