"""Tries on a payment page: one order, tried until one try succeeds, charged once."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.acquirer import Plan
from tests.support.shop import Paid, Shop, all_at_once

from tollhouse.acquirers.model import Declined
from tollhouse.kernel.errors import Invalid
from tollhouse.payments.charge.charge import charge
from tollhouse.payments.model import PageTry

PAGE = 777


async def attempt(shop: Shop, try_number: int, **changes: Any) -> Paid:
    """Try to pay on the page."""
    intent = await shop.intent(**changes, page_try=PageTry(PAGE, try_number))
    return Paid(await charge(shop.parts.charging, intent))


async def test_a_declined_page_is_tried_again(shop: Shop) -> None:
    """The next card is another transaction of the same order, and the order shows it from then on."""
    shop.acquirer.plan(Plan(Declined("51")))
    first = await attempt(shop, 1)
    second = await attempt(shop, 2, number="4111111111111111")
    assert [first.outcome, second.outcome] == [("fail", "5051"), ("success", "0")]
    assert first.payment["orderId"] == second.payment["orderId"] == str(PAGE)
    assert first.transaction_id != second.transaction_id
    assert (await shop.stored(second.transaction_id)).page_try == 2
    assert (await attempt(shop, 2)).transaction_id == second.transaction_id


@pytest.mark.parametrize("numbers", [(1, 1), (1, 2)], ids=["the same form", "a later form"])
async def test_tries_at_once_are_one(shop: Shop, other_process: Shop, numbers: tuple[int, int]) -> None:
    """Of concurrent forms in one process or two, one is charged, and all get its result."""
    tries = [attempt(one, number) for number in numbers for one in (shop, shop, other_process)]
    answers = await all_at_once(*tries)
    assert {answer.transaction_id for answer in answers} == {answers[0].transaction_id}
    assert {answer.outcome for answer in answers} == {("success", "0")}
    assert len(shop.acquirer.charged) == 1
    assert await shop.value("select count(*) from transaction") == 1


async def test_a_form_that_was_sent_twice_is_no_second_try(shop: Shop) -> None:
    """A repeated form gets its first result, and another card in it is not charged."""
    shop.acquirer.plan(Plan(Declined("05")))
    first = await attempt(shop, 1)
    again = await attempt(shop, 1, number="4111111111111111")
    assert again.transaction_id == first.transaction_id
    assert again.outcome == ("fail", "5005")
    assert len(shop.acquirer.asked) == 1


async def test_an_open_try_prevents_the_next(shop: Shop) -> None:
    """While the outcome of a try is unknown, nothing else is charged for its page."""
    shop.acquirer.plan(Plan(lost="answer"))
    first = await attempt(shop, 1)
    second = await attempt(shop, 2, number="4111111111111111")
    assert [first.outcome, second.outcome] == [("pending", "0")] * 2
    assert second.transaction_id == first.transaction_id
    assert len(shop.acquirer.asked) == 1


async def test_only_the_successful_try_is_refunded(shop: Shop) -> None:
    """A refund names the successful try; a failed one has nothing to refund."""
    shop.acquirer.plan(Plan(Declined("51")))
    first = await attempt(shop, 1)
    second = await attempt(shop, 2, number="4111111111111111")
    with pytest.raises(Invalid):
        await shop.credit(first.transaction_id)
    credited = await shop.credit(second.transaction_id)
    assert (credited.outcome, credited.payment["source"]) == (("success", "0"), second.payment["source"])
    assert (await attempt(shop, 2)).transaction_id == second.transaction_id
