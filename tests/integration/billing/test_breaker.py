"""Renewals pause if an hour has far more than forecast, and continue when they are resumed."""

from __future__ import annotations

import time

import pytest
from structlog.testing import capture_logs
from tests.support.billing import Billing

from tollhouse.billing.renewals.breaker import FLOOR, Hour, count_renewals, resume_renewals, select_hour

#: Longer than any test here runs.
LAST_SECONDS = 15
WAITING = """
update subscription set waits_for_account = true, status = 'past_due', is_charge_next = false where subscription_id = $1
"""


@pytest.fixture(autouse=True)
def within_an_hour() -> None:
    """Wait for the next hour if this one is nearly over and would end during a test."""
    left = 3600 - time.time() % 3600
    if left < LAST_SECONDS:
        time.sleep(left)


async def look(billing: Billing, count: int = 0) -> Hour:
    """Count so many renewals, and return the hour."""
    async with billing.shop.parts.database.acquire() as connection:
        return await count_renewals(connection, count)


async def fall_due(billing: Billing, count: int) -> None:
    """Make so many subscriptions due by real time."""
    for number in range(count):
        await billing.subscribe(external_id=f"user-{number}")
    await billing.shop.value(
        """
        update subscription
        set anchor_at = anchor_at - interval '30 days 2 hours',
            charge_at = now() - interval '2 hours',
            due_at = now() - interval '2 hours'
        """
    )


async def test_small_numbers_never_pause(billing: Billing) -> None:
    """Up to a hundred renewals in an hour never pause, with any forecast."""
    assert (await look(billing, FLOOR - 1)).room == 1


async def test_renewals_pause_at_three_times_the_forecast(billing: Billing) -> None:
    """At three times the forecast renewals pause, with an error in the log."""
    with capture_logs() as logs:
        assert (await look(billing, FLOOR)).room == 0
    assert [entry["log_level"] for entry in logs if entry["event"] == "renewals.paused"] == ["error"]


async def test_the_forecast_counts_due_charges(billing: Billing) -> None:
    """The forecast is the number due within the hour; three times as many may begin."""
    await billing.shop.value(
        """
        insert into subscription (
            merchant_id, subscription_id, payment_id, site_id, consumer_id, account_id, status, prices, anchor_at,
            due_at
        )
        select 1, n, n, 100, 'c', gen_random_uuid(), 'active', '[]', now(),
            date_trunc('hour', now(), 'UTC') + interval '59 min 59 s'
        from generate_series(1, 50) n
        """
    )
    assert (await look(billing)).limit == 150
    assert (await look(billing, 149)).room == 1
    assert (await look(billing, 1)).room == 0


async def test_nothing_is_begun_while_it_is_paused(billing: Billing) -> None:
    """During a pause charges by real time wait; merchants with an advanced clock continue."""
    await fall_due(billing, 2)
    await look(billing, FLOOR)
    assert await billing.renew() == []
    await billing.advance(days=1)
    assert len(await billing.renew()) == 0
    await billing.subscribe(external_id="later")
    await billing.advance(days=31)
    assert len(await billing.renew()) == 1


async def test_a_pause_does_not_end_by_itself(billing: Billing) -> None:
    """Renewals stay paused in the next hour."""
    await look(billing, FLOOR)
    await billing.shop.value("update renewal_hour set hour = hour - interval '1 hour'")
    assert (await look(billing)).room == 0


async def test_resuming_confirms_due_charges(billing: Billing) -> None:
    """After resuming, due charges count as forecast, and the next alarm counts from there."""
    await fall_due(billing, 3)
    await look(billing, FLOOR)
    async with billing.shop.parts.database.acquire() as connection:
        resumed = await resume_renewals(connection)
        assert (resumed.paused_at, resumed.due, resumed.forecast) == (None, 3, FLOOR + 3)
    assert await billing.renew() == [(1, 1, "paid")] * 3
    async with billing.shop.parts.database.acquire() as connection:
        hour = await select_hour(connection)
    assert (hour.begun, hour.due) == (FLOOR + 3, 0)


@pytest.mark.parametrize("count", [1, 5])
async def test_each_renewal_counts_for_its_hour(billing: Billing, count: int) -> None:
    """Each renewal that begins by real time counts for its hour."""
    await fall_due(billing, count)
    await billing.renew()
    assert (await look(billing)).begun == count


def test_room_ends_at_the_limit() -> None:
    """Renewals may begin up to the limit, and none during a pause."""
    assert Hour(forecast=100, begun=250, paused_at=None).room == 50
    assert Hour(forecast=100, begun=350, paused_at=None).room == 0


async def leave_over(billing: Billing, count: int) -> None:
    """Make so many renewals due since the last second of the previous hour, which was counted."""
    await billing.shop.value(
        "insert into renewal_hour (hour, forecast) values (date_trunc('hour', now(), 'UTC') - interval '1 hour', $1)",
        count,
    )
    await billing.shop.value(
        """
        insert into subscription (
            merchant_id, subscription_id, payment_id, site_id, consumer_id, account_id, status, prices, anchor_at,
            due_at
        )
        select 1, n, n, 100, 'c', gen_random_uuid(), 'active', '[]', now(),
            date_trunc('hour', now(), 'UTC') - interval '1 s'
        from generate_series(1, $1::integer) n
        """,
        count,
    )


async def test_remaining_renewals_are_expected_in_the_next_hour(billing: Billing) -> None:
    """Renewals due in the last second of an hour and begun in the next pause nothing."""
    await leave_over(billing, 150)
    hour = await look(billing, 150)
    assert (hour.forecast, hour.paused_at) == (150, None)


async def test_remaining_renewals_are_limited_to_one_hour(billing: Billing) -> None:
    """After an outage or a fault the next hour expects one hour's worth."""
    await leave_over(billing, 150)
    await billing.shop.value("update subscription set due_at = due_at - interval '3 hours' where subscription_id > 20")
    await billing.shop.value("update renewal_hour set forecast = 30")
    assert (await look(billing)).forecast == 30
    await billing.shop.value("delete from renewal_hour")
    assert (await look(billing)).forecast == 0


async def test_only_charges_pause(billing: Billing) -> None:
    """During a pause cancellations take effect, waits end and subscriptions finish; nothing is charged."""
    await fall_due(billing, 4)
    await look(billing, FLOOR)
    ids = [row["subscription_id"] for row in await billing.shop.fetch("select * from subscription order by 1, 2")]
    await billing.shop.value("update subscription set cancel_at = now() where subscription_id = $1", ids[0])
    await billing.shop.value(WAITING, ids[1])
    await billing.shop.value(
        "update subscription set is_revoked = true, is_charge_next = false where subscription_id = $1", ids[2]
    )
    assert await billing.renew() == []
    assert [(await billing.summary(each))[0] for each in ids] == ["canceled", "expired", "expired", "active"]


async def test_renewals_of_a_disabled_merchant_wait(billing: Billing) -> None:
    """A disabled merchant's subscriptions are not charged and do not expire; cancellations take effect."""
    await fall_due(billing, 3)
    ids = [row["subscription_id"] for row in await billing.shop.fetch("select * from subscription order by 1, 2")]
    await billing.shop.value("update subscription set cancel_at = now() where subscription_id = $1", ids[0])
    await billing.shop.value(WAITING, ids[1])
    await billing.shop.value("update merchant set state = 'disabled'")
    assert await billing.renew() == []
    assert [(await billing.summary(each))[0] for each in ids] == ["canceled", "past_due", "active"]
    assert (await look(billing)).forecast == 0
    await billing.shop.value("update merchant set state = 'active'")
    assert await billing.renew() == [(1, 1, "paid")]
    assert [(await billing.summary(each))[0] for each in ids] == ["canceled", "expired", "active"]
