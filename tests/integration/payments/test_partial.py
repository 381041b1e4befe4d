"""Approvals of part of the amount: reversed and declined as 5010."""

from __future__ import annotations

from tests.support.acquirer import Plan
from tests.support.shop import Shop

from tollhouse.acquirers.model import Approved, Unknown
from tollhouse.payments.model import AttemptState, Status

PART = Approved("A1", "N1", response_code="10")


async def test_a_partial_approval_is_reversed_and_declined(shop: Shop) -> None:
    """The acquirer reverses it before the merchant gets the decline."""
    shop.acquirer.plan(Plan(PART))
    paid = await shop.pay()

    assert paid.outcome == ("fail", "5010")
    assert shop.acquirer.count("reverse") == 1
    assert shop.acquirer.charged == []


async def test_a_partial_approval_is_open_until_it_is_reversed(shop: Shop) -> None:
    """Until the reversal is acknowledged the payment is pending, and the resolver ends it."""
    shop.acquirer.plan(Plan(PART))
    shop.acquirer.find(Unknown("no answer"))
    paid = await shop.pay()
    assert paid.payment["status"] == "pending"

    resolved = await shop.resolve(paid.transaction_id)
    assert (resolved.status, resolved.code) == (Status.FAIL, "5010")
    assert shop.acquirer.charged == []


async def test_the_resolver_reverses_a_partial_approval(shop: Shop) -> None:
    """After a crash before the reversal, the resolver finds the partial approval and reverses it."""
    payment = await shop.begin(outcome=PART)
    shop.acquirer.books[payment.attempt.reference] = PART

    resolved = await shop.resolve(payment.transaction_id)
    assert resolved.attempt.state is AttemptState.DECLINED
    assert shop.acquirer.charged == []
