"""What becomes of a subscription. Pure: a subscription and what happened give the next subscription.

pending ──> active | trial                its first payment was approved (a failed one forgets it)
active | trial ──> past_due               a renewal failed and is tried again, or waits for a new card
trial | past_due ──> active               a try was paid
past_due ──> active | trial               the period that was owed costs nothing any more
active | trial | past_due ──> canceled    by the merchant, at once or at a date
active | trial | past_due ──> expired     unpaid, refused, revoked, or nothing is left to charge
canceled ──> active | trial               taken back while what was paid for lasts

The rules are those of the design, `behaviour` section 6: periods fall due by the schedule, however late the one before
was paid; what was missed is made up for at most once in 24 hours.
"""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from msgspec.structs import replace

from tollhouse.billing import dunning
from tollhouse.billing.model import Case, Decline, End, State, Subscription
from tollhouse.billing.schedule import Charge, Plan, find_charge, replan
from tollhouse.kernel.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from tollhouse.catalog.model import Price
    from tollhouse.kernel.card import Expiry

#: Between two charges of which the later one was missed.
CATCH_UP_PAUSE = timedelta(hours=24)

#: Before a card expires its site is told (the issue of subscriptions, part 6).
CARD_WARNING = timedelta(days=30)

#: What the reasons of dunning are to a subscription that is over; all others are unpaid.
ENDS = {"cardholder_stopped": End.REVOKED, "never_again": End.REFUSED, "consumer_blocked": End.REFUSED}


def next_charge(subscription: Subscription) -> Charge | None:
    """Return the charge that is next by the schedule; None where nothing is left to charge."""
    return find_charge(subscription.plan, subscription.next_period)


def begin(subscription: Subscription, at: datetime, expiry: Expiry) -> Subscription:
    """Return the subscription as its approved first payment starts it. The card's expiry says when to look at it."""
    plan = dataclasses.replace(subscription.plan, base_at=at)
    begun = replace(
        subscription,
        state=_state_without_debt(subscription),
        plan=plan,
        charged_at=at,
        check_card_at=choose_card_check(expiry, at),
    )
    charge = next_charge(begun)
    return _look_at_next(replace(begun, paid_until=charge.due_at if charge else at), at)


def pay(subscription: Subscription, at: datetime, expiry: Expiry) -> Subscription:
    """Return the subscription after a try for its next period was paid, whatever else has happened to it meanwhile.

    The card may have another expiry than when it was looked at last.
    """
    charge = next_charge(subscription)
    paid = replace(
        subscription,
        cycle=subscription.cycle + 1,
        next_period=subscription.next_period + 1,
        tries=0,
        waits_for_account=False,
        charged_at=at,
        paid_until=charge.covers_until if charge else subscription.paid_until,
        state=State.ACTIVE if subscription.state.is_running else subscription.state,
        check_card_at=_check_again(subscription, at, expiry),
    )
    return _look_at_next(take_next_prices(paid), at)


def pass_over(case: Case) -> Subscription:
    """Return the subscription after a period that costs nothing, which is no cycle and leaves nothing owed."""
    subscription = case.subscription
    charge = next_charge(subscription)
    is_settled = subscription.state is State.PAST_DUE
    passed = replace(
        subscription,
        next_period=subscription.next_period + 1,
        tries=0,
        state=_state_without_debt(subscription) if is_settled else subscription.state,
        paid_until=charge.covers_until if charge else subscription.paid_until,
    )
    return _look_at_next(passed, case.now)


def fail(case: Case, decline: Decline) -> Subscription:
    """Return the subscription after a try for its next period was declined."""
    failed = take_next_prices(case.subscription)
    if not failed.state.is_running:
        return failed
    decision = dunning.decide(_describe_failure(case, decline), case.policy)
    late = replace(failed, state=State.PAST_DUE)
    match decision:
        case dunning.Retry():
            return replace(late, charge_at=decision.at, waits_for_account=False)
        case dunning.Hold():
            return replace(late, charge_at=decision.until, waits_for_account=True, check_card_at=decline.at)
        case dunning.End():
            return _expire(late, ENDS.get(decision.reason, End.UNPAID))


def fail_on_old_account(subscription: Subscription, at: datetime) -> Subscription:
    """Return the subscription after a try was declined on a card that it no longer has: the new one is tried at once.

    What was declined says nothing about the new card, so dunning is not asked.
    """
    failed = take_next_prices(subscription)
    if not failed.state.is_running:
        return failed
    return replace(failed, state=State.PAST_DUE, charge_at=at, waits_for_account=False)


def ends_all_on_card(decline: Decline) -> bool:
    """Tell whether a decline ends every subscription that is paid with the card."""
    return dunning.choose_course(decline.code, decline.advice_code).takes_all_on_card


def _describe_failure(case: Case, decline: Decline) -> dunning.Failure:
    """Say what dunning asks of a failure. A period that was tried long after its time counts from its first try."""
    charge = next_charge(case.subscription)
    due_at = charge.due_at if charge else decline.at
    first_at = case.first_tried_at or decline.at
    is_late = first_at - due_at > CATCH_UP_PAUSE
    following_at = None if charge is None or charge.is_last else charge.covers_until
    if is_late and following_at is not None and following_at <= first_at:
        following_at = None
    return dunning.Failure(
        code=decline.code,
        advice_code=decline.advice_code,
        brand=decline.brand,
        failed_at=decline.at,
        due_at=first_at if is_late else due_at,
        tries=max(case.subscription.tries, 1),
        next_due_at=following_at,
        earlier_declines=case.declines,
    )


def end_what_is_over(case: Case) -> Subscription | None:
    """Return the subscription as the time that has come ends it; None when it is not over."""
    subscription, now = case.subscription, case.now
    is_due = subscription.charge_at is not None and subscription.charge_at <= now
    if not subscription.state.is_running:
        return None
    if subscription.is_revoked:
        return _expire(subscription, End.REVOKED)
    if subscription.cancel_at is not None and subscription.cancel_at <= now:
        return _cancel(subscription, subscription.cancel_at)
    if subscription.waits_for_account and is_due:
        return _expire(subscription, End.UNPAID)
    if next_charge(subscription) is None and is_due:
        return _expire(subscription, End.FINISHED)
    return None


def cancel(
    case: Case, *, at: datetime | None, at_next_rebill: bool, reason: str | None, tells_consumer: bool
) -> Subscription:
    """Return the subscription as the merchant cancels it: at once, at a date, or when the next charge is due.

    A date that has passed means at once. Raises Invalid for one that has expired; one that is cancelled stays so.
    """
    subscription, now = case.subscription, case.now
    if subscription.state is State.EXPIRED:
        raise Invalid({}, "The subscription has expired.")
    if subscription.state is State.CANCELED:
        return subscription
    if at is None and at_next_rebill:
        at = subscription.renewal_at or subscription.paid_until
    noted = replace(subscription, cancel_reason=reason or subscription.cancel_reason, tells_consumer=tells_consumer)
    return _cancel(noted, now) if at is None or at <= now else replace(noted, cancel_at=at)


def recover(case: Case) -> Subscription:
    """Return the subscription with its cancellation taken back, on its old anchor.

    Raises Invalid for one that has expired, and for one whose paid time is over.
    """
    subscription, now = case.subscription, case.now
    if subscription.state is State.EXPIRED:
        raise Invalid({}, "The subscription has expired.")
    is_over = subscription.paid_until is None or subscription.paid_until <= now
    if subscription.state is State.CANCELED and is_over:
        raise Invalid({}, "What was paid for is over; begin a new subscription.")
    recovered = replace(subscription, cancel_at=None, cancel_reason=None, tells_consumer=False, ended_with=None)
    if subscription.state.is_running:
        return recovered
    return _look_at_next(replace(recovered, state=_state_without_debt(subscription)), now)


def change_prices(case: Case, prices: Sequence[Price]) -> Subscription:
    """Return the subscription with other prices from its next charge on, which keeps its date.

    Where a charge is under way they take effect when that is settled. Raises Invalid for one that is over.
    """
    if not case.subscription.state.is_running:
        raise Invalid({}, f"The subscription is {case.subscription.state.value}.")
    changed = replace(case.subscription, next_prices=tuple(prices))
    if case.is_charging:
        return changed
    taken = take_next_prices(changed)
    if taken.state is State.PAST_DUE:  # the next try has its own time
        return taken
    return _look_at_next(taken, case.now)


def switch_account(subscription: Subscription, account_id: UUID, at: datetime, expiry: Expiry) -> Subscription:
    """Return the subscription with another card, or a new date for it: what is past due is tried again at once.

    One that was about to end because its old card was revoked goes on, and is due by its schedule. One that expired
    while the new card was verified stays as it ended.
    """
    if subscription.state is State.EXPIRED:
        return subscription
    fresh = replace(
        subscription,
        account_id=account_id,
        waits_for_account=False,
        is_revoked=False,
        check_card_at=choose_card_check(expiry, at),
    )
    if fresh.state is State.PAST_DUE:
        return replace(fresh, charge_at=at)
    return _look_at_next(fresh, at) if subscription.is_revoked else fresh


def choose_card_check(expiry: Expiry, at: datetime) -> datetime | None:
    """Return when a card is to be looked at: 30 days before it expires. One that has expired is not."""
    ends_at = card_ends_at(expiry)
    return None if ends_at <= at else max(at, ends_at - CARD_WARNING)


def card_ends_at(expiry: Expiry) -> datetime:
    """Return when a card is good no more: when the month that is printed on it is over, in UTC."""
    months = expiry.year * 12 + expiry.month
    return datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC)


def _check_again(subscription: Subscription, at: datetime, expiry: Expiry) -> datetime | None:
    """Keep the time of the next look at the card; where there was one already, its expiry may be a later one by now."""
    check_at = choose_card_check(expiry, at)
    return subscription.check_card_at or (check_at if check_at is not None and check_at > at else None)


def revoke(subscription: Subscription, at: datetime) -> Subscription:
    """Return the subscription as it is when the cardholder revoked all on its card: it ends when it is looked at."""
    return replace(subscription, is_revoked=True, charge_at=at) if subscription.state.is_running else subscription


def _look_at_next(subscription: Subscription, at: datetime) -> Subscription:
    """Set when the next charge is due by the schedule, and when it may be made."""
    charge = next_charge(subscription)
    if charge is None:
        return replace(subscription, renewal_at=None, charge_at=subscription.paid_until or at)
    charge_at = charge.due_at
    if subscription.is_revoked:
        charge_at = at
    elif charge.due_at <= at and subscription.charged_at is not None:  # it was missed
        charge_at = max(charge.due_at, subscription.charged_at + CATCH_UP_PAUSE)
    return replace(subscription, renewal_at=charge.due_at, charge_at=charge_at)


def take_next_prices(subscription: Subscription) -> Subscription:
    """Return the subscription with the prices that were set while a charge was under way, which is settled now."""
    prices = subscription.next_prices
    if prices is None:
        return subscription
    if next_charge(subscription) is not None:
        plan = replan(subscription.plan, prices, subscription.next_period)
    else:  # nothing was left to charge: the new prices begin when what was paid for is over
        plan = Plan(
            prices,
            subscription.paid_until or subscription.created_at,
            starts_at_base=True,
            first_period=subscription.next_period,
        )
    return replace(subscription, plan=plan, next_prices=None)


def _state_without_debt(subscription: Subscription) -> State:
    return State.TRIAL if subscription.began_as_trial and subscription.cycle == 0 else State.ACTIVE


def _cancel(subscription: Subscription, at: datetime) -> Subscription:
    return replace(_stop(subscription, End.CANCELED), state=State.CANCELED, cancel_at=at)


def _expire(subscription: Subscription, reason: End) -> Subscription:
    return replace(_stop(subscription, reason), state=State.EXPIRED)


def _stop(subscription: Subscription, reason: End) -> Subscription:
    return replace(subscription, waits_for_account=False, ended_with=reason)
