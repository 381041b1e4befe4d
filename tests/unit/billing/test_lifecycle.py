"""The lifecycle of a subscription: each function in each state, and times without drift."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace
from tests.support.shop import price
from tests.support.subscriptions import (
    ALL_STOPPED,
    DAILY,
    DEARER,
    EVERY_TEN_DAYS,
    EXPIRED_CARD,
    FREE,
    MONTHLY,
    SECOND,
    START,
    STOLEN,
    STOPPED,
    cancel,
    decline,
    pay,
    seen,
    sign_up,
    switch,
)

from tollhouse.billing import lifecycle
from tollhouse.billing.model import EndReason, Subscription, SubscriptionState
from tollhouse.billing.schedule import find_period_after, list_charges
from tollhouse.kernel.errors import Invalid


def after(days: float, *, plus: timedelta = timedelta(0)) -> datetime:
    """Return a time after the sign-up."""
    return START + timedelta(days=days) + plus


def live(state: SubscriptionState) -> Subscription:
    """Return a subscription in a state, at most ten days and a second after its sign-up."""
    trial, active = sign_up(price(0), price(1999, "10d", repeat=True), is_trial=True), sign_up()
    return {
        SubscriptionState.TRIAL: trial,
        SubscriptionState.ACTIVE: active,
        SubscriptionState.PAST_DUE: decline(active, after(10, plus=SECOND)),
        SubscriptionState.CANCELED: cancel(active, after(1)),
        SubscriptionState.EXPIRED: decline(active, after(10, plus=SECOND), STOLEN),
    }[state]


# ---------------------------------------------------------------- each verb in each state

NOW = after(10, plus=2 * SECOND)
REFUSED = "refused"
VERBS: dict[str, Callable[[Subscription], Subscription]] = {
    "pay": lambda each: pay(each, NOW),
    "fail": lambda each: decline(each, NOW),
    "refuse": lambda each: decline(each, NOW, STOLEN),
    "hold": lambda each: decline(each, NOW, EXPIRED_CARD),
    "cancel": lambda each: cancel(each, NOW),
    "cancel later": lambda each: cancel(each, NOW, at=after(15)),
    "recover": lambda each: lifecycle.recover(seen(each, after(2))),
    "recover late": lambda each: lifecycle.recover(seen(each, NOW)),
    "reprice": lambda each: lifecycle.change_prices(seen(each, NOW), DEARER),
    "switch": lambda each: switch(each, NOW),
    "fail on old card": lambda each: lifecycle.fail_on_old_account(each, NOW),
    "revoke": lambda each: lifecycle.end_what_is_over(seen(lifecycle.revoke(each, NOW), NOW)) or each,
}
A, T, P, C, E = "active", "trial", "past_due", "canceled", "expired"
TABLE = {
    "pay": (A, A, A, C, E),
    "fail": (P, P, P, C, E),
    "refuse": (E, E, E, C, E),
    "hold": (P, P, P, C, E),
    "cancel": (C, C, C, C, REFUSED),
    "cancel later": (A, T, P, C, REFUSED),
    "recover": (A, T, P, A, REFUSED),
    "recover late": (A, T, P, A, REFUSED),
    "reprice": (A, T, P, REFUSED, REFUSED),
    "switch": (A, T, P, C, E),
    "fail on old card": (P, P, P, C, E),
    "revoke": (E, E, E, C, E),
}


@pytest.mark.parametrize("verb", TABLE)
def test_each_function_in_each_state(verb: str) -> None:
    """The table has the result of each function for active, trial, past-due, canceled and expired subscriptions."""
    found = []
    for state in (
        SubscriptionState.ACTIVE,
        SubscriptionState.TRIAL,
        SubscriptionState.PAST_DUE,
        SubscriptionState.CANCELED,
        SubscriptionState.EXPIRED,
    ):
        try:
            found.append(VERBS[verb](live(state)).state.value)
        except Invalid:
            found.append(REFUSED)
    assert tuple(found) == TABLE[verb]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (STOLEN, EndReason.REFUSED),
        ("1001", EndReason.REFUSED),
        (STOPPED, EndReason.REVOKED),
        (ALL_STOPPED, EndReason.REVOKED),
    ],
)
def test_an_end_by_decline_has_its_reason(code: str, reason: EndReason) -> None:
    """A decline that ends a subscription records whether it was refused or revoked."""
    assert decline(sign_up(), after(10), code).ended_with is reason


# ---------------------------------------------------------------- times


def test_daily_charges_do_not_drift() -> None:
    """A daily plan charged a little late each day for a year is due at the same time of day."""
    subscription = sign_up(*DAILY)
    for day in range(1, 366):
        assert subscription.charge_at == subscription.renewal_at == after(day)
        subscription = pay(subscription, after(day, plus=timedelta(hours=day % 23)))


def test_missed_periods_are_charged_a_day_apart() -> None:
    """After an outage missed periods are charged oldest first, each 24 hours after the one before."""
    subscription, at, charged = sign_up(), after(35), []
    while subscription.charge_at is not None and subscription.charge_at <= at:
        charged.append((subscription.next_period, subscription.renewal_at))
        subscription = pay(subscription, at)
        at = max(at, subscription.charge_at or at) if subscription.next_period <= 3 else at
    assert charged == [(1, after(10)), (2, after(20)), (3, after(30))]
    assert at == after(37)
    assert subscription.charge_at == subscription.renewal_at == after(40)


def test_a_punctual_period_does_not_wait() -> None:
    """Only missed periods wait for 24 hours: a period is due by the schedule an hour after a late one was paid."""
    paid = pay(sign_up(), after(20, plus=-timedelta(hours=1)))
    assert paid.charge_at == paid.renewal_at == after(20)


def test_the_31st_stays_the_31st() -> None:
    """Monthly from 31 January: the last day of short months and the 31st of others, however late it is paid."""
    subscription, dues = sign_up(*MONTHLY), []
    for _ in range(6):
        due = subscription.renewal_at
        assert due is not None
        dues.append((due.month, due.day))
        subscription = pay(subscription, due + timedelta(hours=5))
    assert dues == [(2, 28), (3, 31), (4, 30), (5, 31), (6, 30), (7, 31)]


def test_prices_changed_in_a_short_month_keep_the_31st() -> None:
    """A list that begins on 28 February continues from 31 January."""
    dearer = lifecycle.change_prices(seen(sign_up(*MONTHLY), after(5)), (price(2999, "1m", repeat=True),))
    assert dearer.renewal_at == datetime(2026, 2, 28, 12, tzinfo=UTC)
    assert pay(dearer, after(28)).renewal_at == datetime(2026, 3, 31, 12, tzinfo=UTC)


# ---------------------------------------------------------------- prices


@pytest.mark.parametrize("is_paid", [True, False])
def test_prices_set_during_a_charge_apply_afterwards(*, is_paid: bool) -> None:
    """A charge in progress has the old prices, and its outcome starts the new ones."""
    waiting = lifecycle.change_prices(seen(sign_up(), after(10), is_charging=True), DEARER)
    assert (waiting.plan.prices, waiting.next_prices) == (EVERY_TEN_DAYS, DEARER)
    settled = pay(waiting, after(10)) if is_paid else decline(waiting, after(10))
    assert (settled.plan.prices, settled.next_prices) == (DEARER, None)
    assert settled.renewal_at == after(20 if is_paid else 10)


def test_the_last_of_several_changes_counts() -> None:
    """Of several changes during a charge the last one takes effect."""
    once = lifecycle.change_prices(seen(sign_up(), after(10), is_charging=True), DEARER)
    twice = lifecycle.change_prices(seen(once, after(10), is_charging=True), DAILY[1:])
    assert pay(twice, after(10)).plan.prices == DAILY[1:]


def test_a_free_period_leaves_no_debt() -> None:
    """A past-due period with a new price of zero is skipped, and the next period has all its retries."""
    free = lifecycle.change_prices(seen(live(SubscriptionState.PAST_DUE), NOW), FREE)
    passed = lifecycle.skip_free_period(seen(free, after(11)))
    assert (passed.state, passed.tries, passed.cycle, passed.next_period) == (SubscriptionState.ACTIVE, 0, 0, 2)
    assert passed.charge_at == passed.renewal_at == after(20)


# ---------------------------------------------------------------- cards


def test_a_waiting_subscription_is_not_tried() -> None:
    """It expires when the next period is due, and is charged at once with a new card."""
    held = decline(sign_up(), NOW, EXPIRED_CARD)
    assert (held.waits_for_account, held.charge_at) == (True, after(20))
    assert lifecycle.end_what_is_over(seen(held, after(19))) is None
    ended = lifecycle.end_what_is_over(seen(held, after(20)))
    assert ended is not None
    assert (ended.state, ended.ended_with) == (SubscriptionState.EXPIRED, EndReason.UNPAID)
    switched = switch(held, after(12))
    assert (switched.waits_for_account, switched.charge_at) == (False, after(12))


def test_a_new_card_after_a_revocation_is_not_charged_early() -> None:
    """A revoked subscription with a new card before the next check continues by its schedule."""
    revoked = lifecycle.revoke(sign_up(), after(3))
    assert revoked.due_at == after(3)
    switched = switch(revoked, after(4))
    assert switched.charge_at == switched.renewal_at == after(10)
    assert lifecycle.end_what_is_over(seen(switched, after(4))) is None


def test_a_card_that_is_verified_after_the_end() -> None:
    """A subscription that expired during the verification stays expired; a canceled one gets the card."""
    revoked = lifecycle.revoke(sign_up(), after(3))
    expired = lifecycle.end_what_is_over(seen(revoked, after(3)))
    assert expired is not None
    assert switch(expired, after(4)) == expired
    switched = switch(cancel(revoked, after(3)), after(4))
    assert (switched.is_revoked, switched.due_at) == (False, None)
    assert switched.charge_at == switched.renewal_at == after(10)


def test_a_decline_of_the_old_card_tries_the_new_one() -> None:
    """After any decline of a previous card the new card is tried at once."""
    failed = lifecycle.fail_on_old_account(replace(sign_up(), tries=1), NOW)
    assert (failed.state, failed.charge_at, failed.waits_for_account) == (SubscriptionState.PAST_DUE, NOW, False)


def test_a_revocation_while_it_is_charged_ends_it_after() -> None:
    """A charge in progress is kept, and the subscription ends at the next check."""
    paid = pay(lifecycle.revoke(sign_up(), NOW), NOW)
    assert (paid.cycle, paid.due_at) == (1, NOW)
    ended = lifecycle.end_what_is_over(seen(paid, NOW))
    assert ended is not None
    assert ended.ended_with is EndReason.REVOKED


# ---------------------------------------------------------------- ends


def test_a_subscription_ends_with_the_paid_time() -> None:
    """With nothing left to charge a subscription runs until the end of the paid time."""
    paid = pay(sign_up(price(1), price(2, "10d")), after(10))
    assert (paid.renewal_at, paid.charge_at) == (None, after(20))
    assert lifecycle.end_what_is_over(seen(paid, after(20, plus=-SECOND))) is None
    ended = lifecycle.end_what_is_over(seen(paid, after(20)))
    assert ended is not None
    assert ended.ended_with is EndReason.FINISHED


def test_recovering_restores_the_schedule() -> None:
    """Canceling, at once or later, and recovering leave plan, anchor and due times unchanged."""
    subscription = pay(sign_up(*MONTHLY), after(28, plus=SECOND))
    for requested in ({}, {"at": after(40)}, {"at_next_rebill": True}):
        cancelled = cancel(subscription, after(30), reason="dear", **requested)
        assert lifecycle.recover(seen(cancelled, after(31))) == subscription


def test_recovery_after_the_end_skips_missed_periods() -> None:
    """Periods due meanwhile are not charged; the next date of the old anchor must exist."""
    subscription = pay(sign_up(*MONTHLY), after(28, plus=SECOND))
    cancelled = cancel(subscription, after(30))
    recovered = lifecycle.recover(seen(cancelled, after(400)))
    charge = lifecycle.next_charge(recovered)
    assert charge is not None
    assert (recovered.state, recovered.tries, recovered.cancel_at) == (SubscriptionState.ACTIVE, 0, None)
    assert recovered.plan == subscription.plan
    assert recovered.charge_at == recovered.renewal_at == charge.due_at
    assert after(400) < charge.due_at <= after(432)
    once = cancel(sign_up(price(0, "0d"), price(5, "10d")), after(1))
    with pytest.raises(Invalid):
        lifecycle.recover(seen(once, after(11)))


@pytest.mark.parametrize("days", [0, 1, 29, 31, 59, 365, 3_650, 36_500])
def test_the_first_period_after_a_time_is_found(days: int) -> None:
    """The found period is the first that is due later; the one before it is not."""
    plan = sign_up(*MONTHLY).plan
    period = find_period_after(plan, 1, after(days))
    assert period is not None
    [charge] = list_charges(plan, period, 1)
    assert charge.due_at > after(days)
    if period > 1:
        assert list_charges(plan, period - 1, 1)[0].due_at <= after(days)


def test_a_cancellation_comes_before_a_charge() -> None:
    """If both are due, the cancellation takes effect at its own time."""
    cancelled = cancel(sign_up(), after(1), at_next_rebill=True)
    ended = lifecycle.end_what_is_over(seen(cancelled, after(13)))
    assert ended is not None
    assert (ended.state, ended.cancel_at) == (SubscriptionState.CANCELED, after(10))
