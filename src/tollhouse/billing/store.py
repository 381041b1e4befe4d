"""Rows of subscriptions and of their renewal attempts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from tollhouse.billing.dunning import choose_policy
from tollhouse.billing.lifecycle import is_charge_next
from tollhouse.billing.model import Agreement, Decline, EndReason, Subscription, SubscriptionContext, SubscriptionState
from tollhouse.billing.schedule import Plan
from tollhouse.catalog.model import Price, price_from_json, price_to_json
from tollhouse.storage.database import PlainConnection
from tollhouse.storage.queries import load_queries, pick_fields

queries = load_queries("tollhouse.billing")

#: Merchant and subscription.
Key = tuple[int, int]

#: Subscriptions of one card that are read.
MAX_SUBSCRIPTIONS_ON_CARD = 1_000


async def select_case(connection: PlainConnection, key: Key) -> SubscriptionContext | None:
    """Return a subscription with the facts for its rules, or None: also if its first payment is open."""
    return (await select_cases(connection, [key])).get(key)


async def select_cases(connection: PlainConnection, keys: Iterable[Key]) -> dict[Key, SubscriptionContext]:
    """Return subscriptions with the facts for their rules. Unknown ones are left out."""
    rows = queries.select_cases(connection, **_columns_of_keys(keys))
    cases = [read_case(row) async for row in rows]
    return {case.subscription.key: case for case in cases}


async def lock_cases(connection: PlainConnection, keys: Iterable[Key]) -> dict[Key, SubscriptionContext]:
    """Lock subscriptions in the order of their keys, and return them."""
    sought = sorted(set(keys))
    async for _ in queries.lock_subscriptions(connection, **_columns_of_keys(sought)):
        pass
    # A separate statement after the lock sees the commits of the previous holder of the lock.
    return await select_cases(connection, sought)


async def lock_case(connection: PlainConnection, key: Key) -> SubscriptionContext | None:
    """Lock one subscription and return it, or None."""
    return (await lock_cases(connection, [key])).get(key)


async def select_keys_on_account(connection: PlainConnection, subscription: Subscription) -> list[Key]:
    """Return the other running subscriptions that are charged to the same card, up to `MAX_SUBSCRIPTIONS_ON_CARD`."""
    rows = queries.select_keys_on_account(
        connection,
        merchant_id=subscription.merchant_id,
        account_id=subscription.account_id,
        subscription_id=subscription.subscription_id,
        max_rows=MAX_SUBSCRIPTIONS_ON_CARD,
    )
    return [(row["merchant_id"], row["subscription_id"]) async for row in rows]


async def select_keys_of_payments(connection: PlainConnection, payments: Iterable[tuple[int, int]]) -> list[Key]:
    """Return the running subscriptions that payments started. A payment is (merchant, payment)."""
    listed = list(payments)
    rows = queries.select_keys_of_payments(
        connection,
        merchant_ids=[merchant_id for merchant_id, _ in listed],
        payment_ids=[payment_id for _, payment_id in listed],
    )
    return [(row["merchant_id"], row["subscription_id"]) async for row in rows]


async def select_keys_on_card(connection: PlainConnection, subscription: Subscription) -> list[Key]:
    """Return the other running subscriptions that are charged to its card, of any consumer, up to a maximum."""
    rows = queries.select_keys_on_card(
        connection,
        merchant_id=subscription.merchant_id,
        account_id=subscription.account_id,
        subscription_id=subscription.subscription_id,
        max_rows=MAX_SUBSCRIPTIONS_ON_CARD,
    )
    return [(row["merchant_id"], row["subscription_id"]) async for row in rows]


async def lease_due_subscriptions(
    connection: PlainConnection, *, limit: int, charge_limit: int, lease_seconds: float
) -> list[SubscriptionContext]:
    """Lease due subscriptions.

    By real time at most `charge_limit` are due for a charge and at most `limit` for other processing; at most `limit`
    are of merchants whose clock was advanced.
    """
    rows = queries.lease_due_subscriptions(
        connection, limit=limit, charge_limit=charge_limit, lease_seconds=lease_seconds
    )
    keys = [(row["merchant_id"], row["subscription_id"]) async for row in rows]
    cases = (await select_cases(connection, keys)).values() if keys else ()
    return sorted(cases, key=lambda case: (case.subscription.due_at or case.now, case.subscription.key))


async def release_subscriptions(
    connection: PlainConnection, cases: Sequence[SubscriptionContext], *, pause_seconds: float
) -> None:
    """Release leased subscriptions. They are due again after the pause."""
    await queries.release_subscriptions(
        connection,
        **_columns_of_keys(case.subscription.key for case in cases),
        leases=[case.lease for case in cases],
        pause_seconds=pause_seconds,
    )


async def select_agreements(connection: PlainConnection, keys: Iterable[Key]) -> dict[Key, Agreement]:
    """Return the agreements of subscriptions, from the payments that started them."""
    rows = queries.select_agreements(connection, **_columns_of_keys(keys))
    return {(row["merchant_id"], row["subscription_id"]): _read_agreement(row) async for row in rows}


async def select_email_terms(connection: PlainConnection, keys: Iterable[Key]) -> dict[Key, Mapping[str, Any]]:
    """Return the facts for emails about subscriptions, as rows: `terms`, `consumer`, `shop`, `descriptor`."""
    rows = queries.select_email_terms(connection, **_columns_of_keys(keys))
    return {(row["merchant_id"], row["subscription_id"]): row async for row in rows}


async def update_subscriptions(
    connection: PlainConnection,
    subscriptions: Sequence[Subscription],
    *,
    are_charging: bool = False,
    keeps_lease: bool = False,
) -> None:
    """Update subscriptions, which the caller has locked or just created.

    A subscription with a charge in progress is not due before that is finished. It loses its lease, unless its next
    charge is the same as before.
    """
    if subscriptions:
        rows = [subscription_row(each, is_charging=are_charging, keeps_lease=keeps_lease) for each in subscriptions]
        await queries.update_subscriptions(
            connection, subscriptions=[(place, *row) for place, row in enumerate(rows, 1)]
        )


def prices_to_json(prices: Sequence[Price]) -> str:
    """Convert prices for a JSON column."""
    return msgspec.json.encode([price_to_json(price) for price in prices]).decode()


def subscription_row(
    subscription: Subscription, *, is_charging: bool, keeps_lease: bool = False, expected_version: int | None = None
) -> tuple[Any, ...]:
    """Return a subscription as the columns of `subscription_v1`. It is not due while a charge is in progress."""
    plan = subscription.plan
    return (
        expected_version,
        keeps_lease,
        subscription.merchant_id,
        subscription.subscription_id,
        subscription.state,
        subscription.account_id,
        prices_to_json(plan.prices),
        plan.base_at,
        plan.base_months,
        plan.starts_at_base,
        plan.first_period,
        subscription.next_period,
        subscription.tries,
        subscription.cycle,
        subscription.renewal_at,
        subscription.charge_at,
        None if is_charging else subscription.due_at,
        subscription.charged_at,
        subscription.paid_until,
        subscription.cancel_at,
        subscription.cancel_reason,
        subscription.tells_consumer,
        subscription.waits_for_account,
        subscription.is_revoked,
        subscription.ended_with,
        subscription.next_prices and prices_to_json(subscription.next_prices),
        subscription.network_transaction_id,
        subscription.check_card_at,
        subscription.approved_at,
        is_charge_next(subscription),
    )


def _columns_of_keys(keys: Iterable[Key]) -> dict[str, list[Any]]:
    listed = list(keys)
    return {
        "merchant_ids": [merchant_id for merchant_id, _ in listed],
        "subscription_ids": [subscription_id for _, subscription_id in listed],
    }


def read_case(row: Mapping[str, Any]) -> SubscriptionContext:
    """Read a row of the view `subscription_case`."""
    return SubscriptionContext(
        **pick_fields(SubscriptionContext, row)
        | {
            "subscription": _read_subscription(row),
            "now": row["merchant_now"],
            "policy": choose_policy(row["policy"]),
            "last_decline": _read_last_decline(row),
            "declines": tuple(row["declines"]),
        }
    )


def _read_last_decline(row: Mapping[str, Any]) -> Decline | None:
    if row["last_failed_at"] is None:
        return None
    return Decline(row["last_failed_at"], row["last_code"] or "", row["last_advice_code"], row["last_brand"] or "")


def _read_subscription(row: Mapping[str, Any]) -> Subscription:
    plan = Plan(
        _read_prices(row["prices"]),
        row["anchor_at"],
        base_months=row["anchor_months"],
        starts_at_base=row["starts_at_anchor"],
        first_period=row["first_period"],
    )
    return Subscription(
        **pick_fields(Subscription, row)
        | {
            "state": SubscriptionState(row["status"]),
            "plan": plan,
            "ended_with": EndReason(row["ended_with"]) if row["ended_with"] else None,
            "next_prices": _read_prices(row["next_prices"]) if row["next_prices"] else None,
        }
    )


def _read_prices(text: str) -> tuple[Price, ...]:
    return tuple(price_from_json(price) for price in json.loads(text))


def _read_agreement(row: Mapping[str, Any]) -> Agreement:
    terms, consumer = json.loads(row["terms"]), json.loads(row["consumer"])
    return Agreement(
        metadata=row["metadata"],
        ipn_url=row["ipn_url"],
        redirect_url=row["redirect_url"],
        consumer_ip=consumer.pop("ip", ""),
        external_id=consumer.pop("externalId", None),
        consumer=consumer,
        mid=terms.get("mid"),
        recipient=terms.get("recipient"),
    )


async def lease_cards(connection: PlainConnection, *, limit: int, pause: timedelta) -> list[SubscriptionContext]:
    """Lease subscriptions whose cards are due for a check, until the pause is over."""
    rows = queries.lease_cards(connection, limit=limit, pause=pause)
    keys = [(row["merchant_id"], row["subscription_id"]) async for row in rows]
    return list((await select_cases(connection, keys)).values()) if keys else []


async def select_next_due(connection: PlainConnection, merchant_id: int) -> datetime | None:
    """Return the merchant time at which the next subscription of a merchant is due, or None."""
    at: datetime | None = await queries.select_next_due(connection, merchant_id=merchant_id)
    return at


async def select_next_card(connection: PlainConnection, merchant_id: int) -> datetime | None:
    """Return the merchant time of the next card check of a merchant, or None."""
    at: datetime | None = await queries.select_next_card(connection, merchant_id=merchant_id)
    return at


async def select_cards_busy(connection: PlainConnection, merchant_id: int, *, due_by: datetime) -> bool:
    """Return whether a card check of a merchant was due by a merchant time."""
    is_busy: bool = await queries.select_cards_busy(connection, merchant_id=merchant_id, due_by=due_by)
    return is_busy


async def select_is_busy(connection: PlainConnection, merchant_id: int, *, due_by: datetime) -> bool:
    """Return whether subscriptions due by a merchant time are still due, or are being charged."""
    is_busy: bool = await queries.select_is_busy(connection, merchant_id=merchant_id, due_by=due_by)
    return is_busy
