"""Payments that began before their merchant was disabled take no money afterwards."""

from __future__ import annotations

from tests.support.cardholders import ServedGateway
from tests.support.shop import Shop

from tollhouse.worker.payments import process_due_holds


async def test_a_challenge_that_is_passed_later_charges_nothing(served: ServedGateway) -> None:
    """The acquirer is not called; the payment fails with 1030 and a callback although the cardholder passed."""
    answer = await served.pay("challenge", browser=True)
    await served.fetch("update merchant set state = 'disabled'")
    await served.report(await served.authentication(answer), "Y")
    payment = await served.settled(answer)
    assert (payment.status, payment.code) == ("fail", "1030")
    assert (await served.authentication(answer)).state == "passed"
    [event] = await served.fetch("select kind, status from event")
    assert event["status"] == "fail"
    assert await served.fetch("select from security_code") == []
    journal = await served.fetch("select from simulator.journal")
    assert journal == []


async def test_a_capture_by_schedule_waits(shop: Shop) -> None:
    """A due capture of a disabled merchant is not sent until the merchant is active again."""
    held = await shop.authorize()
    await shop.value("update authorization_hold set capture_at = now(), due_at = now()")
    await shop.value("update merchant set state = 'disabled'")
    await process_due_holds(shop.parts.operations)
    assert shop.acquirer.count("capture") == 0
    await shop.value("update merchant set state = 'active'")
    await shop.value("update authorization_hold set due_at = now()")
    await process_due_holds(shop.parts.operations)
    assert shop.acquirer.count("capture") == 1
    assert (await shop.stored(held.transaction_id)).status == "success"


async def test_an_expired_authorization_is_released(shop: Shop) -> None:
    """Authorizations of a disabled merchant are released when they expire."""
    await shop.authorize()
    await shop.value(
        "update authorization_hold set capture_at = now() - interval '1 second', expires_at = now(), due_at = now()"
    )
    await shop.value("update merchant set state = 'disabled'")
    await process_due_holds(shop.parts.operations)
    assert (shop.acquirer.count("capture"), shop.acquirer.count("void")) == (0, 1)
