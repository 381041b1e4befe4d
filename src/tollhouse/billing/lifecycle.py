"""The lifecycle of a subscription: rules from a subscription and an event to the next subscription.

pending ──> active | trial                its first payment was approved (a failed one deletes it)
active | trial ──> past_due               a renewal failed and is retried, or waits for a new card
trial | past_due ──> active               an attempt was approved
past_due ──> active | trial               the amount owed is zero by new prices
active | trial | past_due ──> canceled    by the merchant, at once or at a date
active | trial | past_due ──> expired     unpaid, refused, revoked, or nothing is left to charge
canceled ──> active | trial               the cancellation was withdrawn; periods due meanwhile are not charged

Periods are due by the schedule, however late the previous one was paid. Missed periods are charged at most once in 24
hours. All times that merchants see are whole seconds, so that a period is charged in the second
in which it is due.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from msgspec.structs import replace

from tollhouse.billing import dunning
from tollhouse.billing.model import Decline, EndReason, Subscription, SubscriptionContext, SubscriptionState
from tollhouse.billing.schedule import Charge, Plan, choose_card_check, find_charge, find_period_after, replan
from tollhouse.catalog.model import Price
from tollhouse.kernel.card import Expiry
from tollhouse.kernel.clock import ceil_second, floor_second
from tollhouse.kernel.errors import Invalid
from tollhouse.kernel.faults import Fault, RequestRejected, Subject

#: The shortest time between two charges if the later one was missed.
CATCH_UP_INTERVAL = timedelta(hours=24)

#: The end reasons of a subscription by the reasons of dunning. All others are unpaid.
ENDS = {"cardholder_stopped": EndReason.REVOKED} | dict.fromkeys(("never_again", "consumer_blocked"), EndReason.REFUSED)


def next_charge(subscription: Subscription) -> Charge | None:
    """Return the next charge of the schedule, or None if nothing is left to charge."""
    return find_charge(subscription.plan, subscription.next_period)


def begin(subscription: Subscription, at: datetime, expiry: Expiry) -> Subscription:
    """Return the subscription started by its approved first payment.

    The card's expiry decides when the card is checked.
    """
    approved_at, at = at, floor_second(at)
    plan = dataclasses.replace(subscription.plan, base_at=at)
    begun = replace(
        subscription,
        state=_state_without_debt(subscription),
        plan=plan,
        charged_at=at,
        approved_at=approved_at,
        check_card_at=choose_card_check(expiry, at),
    )
    charge = next_charge(begun)
    return _schedule_next(replace(begun, paid_until=charge.due_at if charge else at), at)


def pay(subscription: Subscription, at: datetime, expiry: Expiry) -> Subscription:
    """Return the subscription after an approved attempt for its next period, with the expiry that its card has now."""
    approved_at, at = at, floor_second(at)
    charge = next_charge(subscription)
    paid = replace(
        subscription,
        cycle=subscription.cycle + 1,
        next_period=subscription.next_period + 1,
        tries=0,
        waits_for_account=False,
        charged_at=at,
        approved_at=approved_at,
        paid_until=charge.covers_until if charge else subscription.paid_until,
        state=SubscriptionState.ACTIVE if subscription.state.is_running else subscription.state,
        check_card_at=_check_again(subscription, at, expiry),
    )
    return _schedule_next(apply_next_prices(paid), at)


def skip_free_period(case: SubscriptionContext) -> Subscription:
    """Return the subscription after a period that costs nothing. It is not a cycle and leaves no debt."""
    subscription = case.subscription
    charge = next_charge(subscription)
    is_finished = subscription.state is SubscriptionState.PAST_DUE
    passed = replace(
        subscription,
        next_period=subscription.next_period + 1,
        tries=0,
        waits_for_account=False,
        state=_state_without_debt(subscription) if is_finished else subscription.state,
        paid_until=charge.covers_until if charge else subscription.paid_until,
    )
    return _schedule_next(passed, case.now)


def fail(case: SubscriptionContext, decline: Decline) -> Subscription:
    """Return the subscription after a declined attempt for its next period."""
    failed = apply_next_prices(case.subscription)
    if not failed.state.is_running:
        return failed
    if owes_nothing(failed):
        return _clear_debt(failed, decline.at)
    tries = case.declined_tries + decline.rule.is_decline
    decision = dunning.decide(_describe_failure(replace(case, subscription=failed), decline, tries=tries), case.policy)
    late = replace(failed, state=SubscriptionState.PAST_DUE)
    match decision:
        case dunning.Retry():
            return replace(late, charge_at=ceil_second(decision.at), waits_for_account=False)
        case dunning.AwaitCard():
            until = ceil_second(decision.until)
            return replace(late, charge_at=until, waits_for_account=True, check_card_at=decline.at)
        case dunning.End():
            return _expire(late, ENDS.get(decision.reason, EndReason.UNPAID))


def _follow_new_prices(case: SubscriptionContext, subscription: Subscription) -> Subscription:
    """Return a past-due subscription with dunning by its new prices, as if they had applied at the decline.

    A charge that is due now is attempted now, if there is time. If the new prices leave no time, the wait for a new
    card ends at once, and the subscription expires at the next check.
    """
    decline = case.last_decline
    if owes_nothing(subscription):
        return _clear_debt(subscription, case.now)
    if decline is None:  # the card has changed, and is attempted at once
        return subscription
    failure = _describe_failure(replace(case, subscription=subscription), decline, tries=max(case.declined_tries, 1))
    ends_at = dunning.choose_end(failure.due_at, failure.next_due_at, case.policy)
    if decline.rule.is_decline and ends_at <= case.now:
        return replace(subscription, charge_at=ceil_second(ends_at), waits_for_account=True)
    is_due = subscription.charge_at is not None and subscription.charge_at <= case.now
    match dunning.decide(failure, case.policy):
        case dunning.Retry() as retry:
            at = case.now if is_due and not subscription.waits_for_account else retry.at
            return replace(subscription, charge_at=ceil_second(at), waits_for_account=False)
        case dunning.AwaitCard() as wait:
            return replace(subscription, charge_at=ceil_second(wait.until), waits_for_account=True)
        case dunning.End():  # by a policy that changed since
            return replace(subscription, charge_at=case.now, waits_for_account=True)


def fail_on_old_account(subscription: Subscription, at: datetime) -> Subscription:
    """Return the subscription after a decline on a previous card, which leaves dunning out.

    Attempt the new card at once.
    """
    failed = apply_next_prices(subscription)
    if not failed.state.is_running:
        return failed
    if owes_nothing(failed):
        return _clear_debt(failed, at)
    return replace(failed, state=SubscriptionState.PAST_DUE, charge_at=at, waits_for_account=False)


def owes_nothing(subscription: Subscription) -> bool:
    """Return whether the next period costs nothing."""
    charge = next_charge(subscription)
    return charge is not None and not charge.money.amount_minor


def is_same_charge(before: Subscription, after: Subscription) -> bool:
    """Return whether a change leaves the next charge the same: its card, amount and times."""
    charges = next_charge(before), next_charge(after)
    facts = [
        (each.account_id, each.state, each.due_at, each.charge_at, charge and (charge.due_at, charge.money))
        for each, charge in zip((before, after), charges, strict=True)
    ]
    return facts[0] == facts[1]


def is_charge_next(subscription: Subscription) -> bool:
    """Return whether the subscription is charged at its `charge_at`, rather than ended or skipped."""
    is_ending = subscription.waits_for_account or subscription.is_revoked or next_charge(subscription) is None
    return not is_ending and not owes_nothing(subscription)


def _describe_failure(case: SubscriptionContext, decline: Decline, *, tries: int) -> dunning.Failure:
    """Return the failure for dunning.

    Declines count from the first attempt, other failures from the due time of the period.
    """
    charge = next_charge(case.subscription)
    due_at = charge.due_at if charge else decline.at
    first_at = case.first_tried_at or decline.at
    is_late = decline.rule.is_decline and first_at - due_at >= CATCH_UP_INTERVAL
    following_at = None if charge is None or charge.is_last else charge.covers_until
    if is_late and following_at is not None and following_at <= first_at:
        following_at = None
    return dunning.Failure(
        code=decline.code,
        advice_code=decline.advice_code,
        brand=decline.brand,
        failed_at=decline.at,
        due_at=first_at if is_late else due_at,
        tries=tries,
        next_due_at=following_at,
        earlier_declines=case.declines,
    )


def end_what_is_over(case: SubscriptionContext) -> Subscription | None:
    """Return the subscription ended by the current time, or None if it is not over."""
    subscription, now = case.subscription, case.now
    if not subscription.state.is_running:
        return None
    if subscription.is_revoked:
        return _expire(subscription, EndReason.REVOKED)
    if subscription.cancel_at is not None and subscription.cancel_at <= now:
        return _cancel(subscription, subscription.cancel_at)
    reason = _find_end_of_due(case) if subscription.charge_at is not None and subscription.charge_at <= now else None
    return _expire(subscription, reason) if reason else None


def _find_end_of_due(case: SubscriptionContext) -> EndReason | None:
    """Return the reason why a due subscription ends instead of being charged.

    For a disabled merchant it waits instead.
    """
    subscription = case.subscription
    if not subscription.waits_for_account and next_charge(subscription) is None:
        return EndReason.FINISHED
    if not case.is_merchant_active:
        return None
    if subscription.waits_for_account:
        return EndReason.UNPAID
    return EndReason.REFUSED if is_charge_next(subscription) and is_card_refused(case) else None


def is_card_refused(case: SubscriptionContext) -> bool:
    """Return whether the card was declined for good since it was last approved for this subscription."""
    approved_at = case.subscription.approved_at
    return case.refused_at is not None and (approved_at is None or approved_at < case.refused_at)


def cancel(
    case: SubscriptionContext, *, at: datetime | None, at_next_rebill: bool, reason: str | None, tells_consumer: bool
) -> Subscription:
    """Return the subscription canceled by the merchant: at once, at a date, or when the next charge is due.

    A past date means at once, and so does a next charge that is already owed. Raises Invalid for an expired
    subscription; a canceled one stays canceled.
    """
    subscription, now = case.subscription, case.now
    if subscription.state is SubscriptionState.EXPIRED:
        raise Invalid({}, "The subscription has expired. Start a new one.")
    if subscription.state is SubscriptionState.CANCELED:
        return subscription
    if at is None and at_next_rebill:
        at = subscription.renewal_at or subscription.paid_until
    now, at = floor_second(now), at and floor_second(at)
    noted = replace(subscription, cancel_reason=reason or subscription.cancel_reason, tells_consumer=tells_consumer)
    return _cancel(noted, now) if at is None or at <= now else replace(noted, cancel_at=at)


def recover(case: SubscriptionContext) -> Subscription:
    """Return the subscription with its cancellation withdrawn, due at the next date of its old anchor.

    Charges that were due while it was canceled are not made. Raises Invalid for an expired subscription, and for one
    with nothing left to charge.
    """
    subscription, now = case.subscription, case.now
    if subscription.state is SubscriptionState.EXPIRED:
        raise Invalid({}, "The subscription has expired. Start a new one.")
    recovered = replace(subscription, cancel_at=None, cancel_reason=None, tells_consumer=False, ended_with=None)
    if subscription.state.is_running:
        return recovered
    is_over = subscription.paid_until is None or subscription.paid_until <= now
    state = SubscriptionState.ACTIVE if is_over else _state_without_debt(subscription)
    if case.is_charging:  # its outcome decides the next step
        return _schedule_next(replace(recovered, state=state), now)
    period = find_period_after(subscription.plan, subscription.next_period, now)
    if period is None and is_over:
        raise Invalid({}, "Nothing is left to charge. Start a new subscription.")
    if period is not None and period != subscription.next_period:
        recovered = replace(recovered, next_period=period, tries=0)
    return _schedule_next(replace(recovered, state=state), now)


def change_prices(case: SubscriptionContext, prices: Sequence[Price]) -> Subscription:
    """Return the subscription with other prices from its next charge on, which keeps its date.

    If a charge is in progress, they apply after it has finished. The new prices apply to the amount owed, and so to the
    time and the retries that are left. Raises Invalid for a subscription that is over, and for prices in another
    currency.
    """
    if not case.subscription.state.is_running:
        raise Invalid({}, f"The subscription is {case.subscription.state.value}.")
    _require_currency(case.subscription, prices)
    changed = replace(case.subscription, next_prices=tuple(prices))
    if case.is_charging:
        return changed
    taken = apply_next_prices(changed)
    if taken.state is SubscriptionState.PAST_DUE:
        return _follow_new_prices(case, taken)
    return _schedule_next(taken, case.now)


def _require_currency(subscription: Subscription, prices: Sequence[Price]) -> None:
    """Raise RequestRejected for prices in a currency other than the subscription's, which cannot change."""
    currency = subscription.plan.prices[0].money.currency
    others = [number for number, price in enumerate(prices) if price.money.currency != currency]
    if others:
        text = f"must be {currency.code}, the currency of the subscription"
        raise RequestRejected([Fault(Subject.CURRENCY, text, number) for number in others])


def switch_account(subscription: Subscription, account_id: UUID, at: datetime, expiry: Expiry) -> Subscription:
    """Return the subscription with another card or another expiry: a past-due charge is attempted at once.

    A subscription that was about to end because its old card was revoked continues, due by its schedule. One that
    expired while the new card was verified stays expired.
    """
    if subscription.state is SubscriptionState.EXPIRED:
        return subscription
    fresh = replace(
        subscription,
        account_id=account_id,
        waits_for_account=False,
        is_revoked=False,
        approved_at=at,
        check_card_at=choose_card_check(expiry, at),
    )
    if fresh.state is SubscriptionState.PAST_DUE:
        return replace(fresh, charge_at=at)
    return _schedule_next(fresh, at) if subscription.is_revoked else fresh


def _check_again(subscription: Subscription, at: datetime, expiry: Expiry) -> datetime | None:
    """Keep the time of the next card check. If one is set, the expiry may be a later one now."""
    check_at = choose_card_check(expiry, at)
    return subscription.check_card_at or (check_at if check_at is not None and check_at > at else None)


def revoke(subscription: Subscription, at: datetime) -> Subscription:
    """Return the subscription after the cardholder revoked all payments on its card: it ends at the next check."""
    return replace(subscription, is_revoked=True, charge_at=at) if subscription.state.is_running else subscription


def _schedule_next(subscription: Subscription, at: datetime) -> Subscription:
    """Set the due time of the next charge by the schedule, and the time at which it may be made."""
    charge = next_charge(subscription)
    if charge is None:
        return replace(subscription, renewal_at=None, charge_at=subscription.paid_until or at)
    charge_at = charge.due_at
    if subscription.is_revoked:
        charge_at = at
    elif charge.due_at <= at and subscription.charged_at is not None:  # it was missed
        charge_at = max(charge.due_at, subscription.charged_at + CATCH_UP_INTERVAL)
    return replace(subscription, renewal_at=charge.due_at, charge_at=charge_at)


def apply_next_prices(subscription: Subscription) -> Subscription:
    """Return the subscription with the prices that were set during a charge that has finished now."""
    prices = subscription.next_prices
    if prices is None:
        return subscription
    if next_charge(subscription) is not None:
        plan = replan(subscription.plan, prices, subscription.next_period)
    else:  # nothing was left to charge: the new prices begin at the end of the paid time
        plan = Plan(
            prices,
            subscription.paid_until or subscription.created_at,
            starts_at_base=True,
            first_period=subscription.next_period,
        )
    return replace(subscription, plan=plan, next_prices=None)


def _state_without_debt(subscription: Subscription) -> SubscriptionState:
    is_trial = subscription.began_as_trial and subscription.cycle == 0
    return SubscriptionState.TRIAL if is_trial else SubscriptionState.ACTIVE


def _clear_debt(subscription: Subscription, at: datetime) -> Subscription:
    """Return a subscription without debt, because the amount owed is zero by its current prices."""
    finished = replace(subscription, state=_state_without_debt(subscription), waits_for_account=False)
    return _schedule_next(finished, at)


def _cancel(subscription: Subscription, at: datetime) -> Subscription:
    return replace(_stop(subscription, EndReason.CANCELED), state=SubscriptionState.CANCELED, cancel_at=at)


def _expire(subscription: Subscription, reason: EndReason) -> Subscription:
    """Expire a subscription, without a date of cancellation."""
    return replace(_stop(subscription, reason), state=SubscriptionState.EXPIRED, cancel_at=None)


def _stop(subscription: Subscription, reason: EndReason) -> Subscription:
    return replace(subscription, waits_for_account=False, ended_with=reason)
