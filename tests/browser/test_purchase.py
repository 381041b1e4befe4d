"""A purchase as a cardholder makes it: tokenized across origins, challenged, back at the shop, and called back."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.support.listener import Listener
from tests.support.merchant_site import MerchantSite

if TYPE_CHECKING:
    from playwright.sync_api import Page
    from tests.support.gateways import RunningGateway

CHALLENGED = "4000000030100004"
CHALLENGED_AFTER_METHOD = "4000000030110003"
APPROVED = "4024007179366348"


def buy(page: Page, shop: MerchantSite, number: str) -> None:
    """Fill in the shop's form and press its button."""
    page.goto(shop.url)
    page.get_by_label("Card").fill(number)
    page.get_by_role("button", name="Pay").click()


def answer_bank(page: Page, *, code: str) -> None:
    """Type the one-time code at the bank and submit it."""
    page.get_by_label("One-time code").fill(code)
    page.get_by_role("button", name="Submit").click()


def come_back(page: Page, shop: MerchantSite) -> dict[str, str]:
    """Wait until the browser is back at the shop, and return what the address says."""
    page.wait_for_url(re.compile(re.escape(shop.url) + "/done"))
    parts = urlsplit(page.url)
    assert parts.fragment == "top"
    return {name: values[0] for name, values in parse_qs(parts.query).items()}


def check_callback(listener: Listener, shop: MerchantSite, *, code: str) -> dict[str, Any]:
    """Check that exactly one callback came about the last payment, signed, with this code."""
    pending = shop.payments[-1]["payment"]
    [callback] = listener.wait_for(pending["transactionId"])
    payment: dict[str, Any] = callback["body"]["payment"]
    assert (payment["code"], payment["orderId"]) == (code, pending["orderId"])
    assert payment["status"] == ("success" if code == "0" else "fail")
    assert listener.forged == 0
    return payment


def test_without_a_challenge(page: Page, shop: MerchantSite, listener: Listener) -> None:
    """The script of a page on another port may tokenize, and the token pays."""
    buy(page, shop, APPROVED)
    page.wait_for_url(re.compile("direct=success"))

    check_callback(listener, shop, code="0")


def test_the_page_can_read_what_is_wrong(page: Page, shop: MerchantSite) -> None:
    """Errors of /tokenize carry the CORS headers too, so that the page can show them."""
    buy(page, shop, "4024007179366349")
    page.get_by_text("check digit").wait_for()


@pytest.mark.parametrize("number", [CHALLENGED, CHALLENGED_AFTER_METHOD], ids=["plain", "after the 3DS Method"])
def test_a_passed_challenge(page: Page, shop: MerchantSite, listener: Listener, number: str) -> None:
    """The right code approves: back at the shop with is_approved=1, and one verified callback."""
    buy(page, shop, number)
    answer_bank(page, code="123456")
    query = come_back(page, shop)

    payment = check_callback(listener, shop, code="0")
    assert set(query) == {
        "order", "order_id", "ustas", "consumer_id", "sh", "is_approved", "cb_code", "cb_transaction_id"
    }  # fmt: skip
    assert (query["order"], query["is_approved"], query["cb_code"]) == ("7", "1", "0")
    assert (query["order_id"], query["cb_transaction_id"]) == (payment["orderId"], payment["transactionId"])


def test_a_failed_code(page: Page, shop: MerchantSite, listener: Listener) -> None:
    """Three wrong codes end the payment with 1010: back at the shop with is_approved=0."""
    buy(page, shop, CHALLENGED)
    for _ in range(3):
        answer_bank(page, code="000000")
    query = come_back(page, shop)

    assert query["is_approved"] == "0"
    check_callback(listener, shop, code="1010")


def test_a_cancelled_challenge(page: Page, shop: MerchantSite, listener: Listener) -> None:
    """Cancelling at the bank ends the payment with 1010."""
    buy(page, shop, CHALLENGED)
    page.get_by_role("button", name="Cancel").click()
    query = come_back(page, shop)

    assert query["is_approved"] == "0"
    check_callback(listener, shop, code="1010")


def test_a_challenge_that_times_out_at_the_bank(page: Page, shop: MerchantSite, listener: Listener) -> None:
    """A challenge that the bank gives up ends the payment with 1011, and the cardholder is back at the shop."""
    buy(page, shop, CHALLENGED)
    page.get_by_role("button", name="Time out").click()
    query = come_back(page, shop)

    assert query["is_approved"] == "0"
    check_callback(listener, shop, code="1011")


def test_an_abandoned_challenge(page: Page, impatient_gateway: RunningGateway) -> None:
    """A cardholder who closes the page ends the payment with 1011 once the time is over; an old link says so."""
    listener = Listener(secret=impatient_gateway.demo["ipnSecret"])
    shop = MerchantSite(impatient_gateway, ipn_url=listener.url)
    try:
        buy(page, shop, CHALLENGED)
        page.get_by_label("One-time code").wait_for()
        page.goto("about:blank")
        check_callback(listener, shop, code="1011")

        page.goto(shop.payments[-1]["payment"]["url"])
        page.get_by_role("link", name="Back to the shop").click()
        assert come_back(page, shop)["is_approved"] == "0"
    finally:
        shop.close()
        listener.close()


def test_going_back_and_reloading_does_no_harm(page: Page, shop: MerchantSite, listener: Listener) -> None:
    """After the end, the bank's page, the link and a reload all lead to the shop, and nothing is charged again."""
    buy(page, shop, CHALLENGED)
    answer_bank(page, code="123456")
    come_back(page, shop)
    page.goto(shop.payments[-1]["payment"]["url"])
    query = come_back(page, shop)
    page.reload()

    assert query["is_approved"] == "1"
    check_callback(listener, shop, code="0")
