"""A merchant whose clock is ahead: dates and due times in its time, and times that stay real."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.support.clock import leap
from tests.support.shop import MERCHANT, OTHER_MERCHANT, OTHER_SITE, Shop, faults_in

from tollhouse.kernel.errors import Invalid
from tollhouse.payments.resolve.resolve_attempts import lease_due
from tollhouse.worker.payments import process_due_holds

AHEAD = timedelta(days=40)
EXPIRED = {"token": ["has expired; tokenize the card again"]}
TIMES = """
    select t.created_at - now() as created, t.finished_at - now() as settled, a.sent_at - now() as sent,
        coalesce(o.created_at - now(), p.created_at - now()) as begun
    from transaction t
    join payment p using (merchant_id, payment_id)
    left join attempt a using (merchant_id, transaction_id)
    left join operation o using (merchant_id, transaction_id)
    where t.merchant_id = $1
    order by t.created_at
"""


async def advance(shop: Shop, merchant_id: int = MERCHANT, **by: float) -> None:
    """Advance a merchant's clock, and update the shop's process."""
    await leap(shop.parts.database, merchant_id, shop.parts.clock, **by)


def is_about(moment: timedelta, expected: timedelta) -> bool:
    """Return whether two times differ by no more than the duration of a test."""
    return abs(moment - expected) < timedelta(minutes=5)


def ahead_of(paid: Any) -> timedelta:
    """Return the difference of the time in a body to real time."""
    return datetime.fromtimestamp(int(paid.payment["timestamp"]["unixTime"])) - datetime.now()  # noqa: DTZ005, DTZ006 - only their difference


async def test_payments_and_operations_have_merchant_time(shop: Shop) -> None:
    """Payments and operations have merchant time, also in bodies; the time of an acquirer call is real."""
    await advance(shop, days=40)
    sale = await shop.pay()
    await shop.credit(sale.transaction_id, "5.00")
    await shop.charge_back(sale.transaction_id, "1.00")
    rows = await shop.fetch(TIMES, MERCHANT)
    assert len(rows) == 3
    for row in rows:
        assert all(is_about(row[name], AHEAD) for name in ("created", "settled", "begun"))
        assert row["sent"] is None or is_about(row["sent"], timedelta())
    assert is_about(ahead_of(sale), AHEAD)


async def test_a_clock_belongs_to_one_merchant(shop: Shop) -> None:
    """Other merchants keep their time."""
    await advance(shop, days=40)
    paid = await shop.pay(merchant_id=OTHER_MERCHANT, site_id=OTHER_SITE)
    assert is_about(ahead_of(paid), timedelta())


async def test_a_worker_learns_the_clock_by_its_leases(shop: Shop, other_process: Shop) -> None:
    """A process without knowledge of the clock finishes leased attempts in merchant time."""
    await shop.authorize("3d")
    await leap(shop.parts.database, MERCHANT, days=3)
    assert await process_due_holds(other_process.parts.operations) == 1
    capture = (await shop.fetch(TIMES, MERCHANT))[-1]
    assert is_about(capture["settled"], timedelta(days=3))

    await shop.begin()
    await shop.value("update open_attempt set state = 'unknown', resolve_at = now()")
    await leap(shop.parts.database, MERCHANT, days=3)
    await lease_due(shop.parts.attempts, limit=9, lease_seconds=60)
    assert is_about(shop.parts.clock.offset_of(MERCHANT), timedelta(days=6))


async def test_the_schedule_counts_from_the_merchants_time(shop: Shop) -> None:
    """An authorization is captured after its days by the merchant's clock, and not before."""
    await advance(shop, days=40)
    await shop.authorize("3d")
    await advance(shop, days=2)
    assert await process_due_holds(shop.parts.operations) == 0
    await advance(shop, days=1)
    assert await process_due_holds(shop.parts.operations) == 1


async def test_a_token_expires_by_the_clock_of_its_merchant(shop: Shop) -> None:
    """A token expires by the advances of the using merchant's clock since it was made, and no other's."""
    await advance(shop, days=40)
    token = await shop.tokenize()
    await advance(shop, minutes=14)
    assert (await shop.pay(token=token)).outcome == ("success", "0")

    token = await shop.tokenize()
    await advance(shop, minutes=16)
    with pytest.raises(Invalid) as refused:
        await shop.intent(token=token)
    assert faults_in(refused.value) == EXPIRED
    paid = await shop.pay(token=token, merchant_id=OTHER_MERCHANT, site_id=OTHER_SITE)
    assert paid.outcome == ("success", "0")


async def test_only_advances_after_the_token_count(shop: Shop) -> None:
    """Only advances of the clock after the token was made count."""
    for _ in range(3):
        await advance(shop, minutes=10)
    token = await shop.tokenize()
    await advance(shop, minutes=8)
    await shop.intent(token=token)
    await advance(shop, minutes=8)
    with pytest.raises(Invalid):
        await shop.intent(token=token)


async def test_a_clock_is_never_behind(shop: Shop) -> None:
    """The history of a clock only grows, and its last row equals the merchant's row."""
    for _ in range(3):
        await advance(shop, hours=1)
    steps = await shop.fetch(
        "select clock_offset from clock_advance where merchant_id = $1 order by advanced_at", MERCHANT
    )
    offsets = [step["clock_offset"] for step in steps]
    assert offsets == sorted(set(offsets))
    assert offsets[-1] == await shop.value("select clock_offset from merchant where merchant_id = $1", MERCHANT)
