"""The payment page as a buyer pays on it, in a browser."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect
from tests.support.gateways import RunningGateway, request
from tests.support.listener import Listener
from tests.support.merchant_site import MerchantSite

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.browser

PHONE: ViewportSize = {"width": 390, "height": 844}
APPROVED, OTHER = "4024007179366348", "4111111111111111"
DECLINED, CHALLENGED = "4000000050510009", "4000000030100004"


@pytest.fixture(autouse=True)
def only_our_own(page: Page, gateway: RunningGateway) -> Iterator[None]:
    """No page asks anybody but the gateway, the bank, which `localhost` stands for, and the shop."""
    hosts: set[str] = set()
    page.on("request", lambda asked: hosts.add(urlsplit(asked.url).netloc))
    yield
    banks = {f"127.0.0.1:{gateway.port}", f"localhost:{gateway.port}"}
    assert {host for host in hosts if host.rpartition(":")[2] == str(gateway.port)} <= banks
    assert all(host.partition(":")[0] in {"127.0.0.1", "localhost"} for host in hosts if host)


def make_page(gateway: RunningGateway, shop: MerchantSite, listener: Listener, **changes: Any) -> str:
    """Make a page for a purchase of 19.99, as the shop's server does."""
    body = {
        "sku": [
            {
                "siteId": gateway.demo["siteId"],
                "title": "Premium",
                "price": [{"amount": 19.99, "currency": "USD"}],
                "url": {"ipnUrl": listener.url, "redirectUrl": f"{shop.url}/done?order=7#top"},
            }
        ],
        "metadata": {"order": 7},
    }
    status, answer = request(f"{gateway.url}/paymentPage", body=body | changes, key=gateway.demo["apiKey"])
    assert status == 201
    return str(answer["url"])


@pytest.fixture
def url(gateway: RunningGateway, shop: MerchantSite, listener: Listener) -> str:
    """The address of a page for 19.99."""
    return make_page(gateway, shop, listener)


def fill(page: Page, number: str) -> None:
    """Type a card, digit by digit, as people do."""
    page.get_by_label("Card number").press_sequentially(number)
    page.get_by_label("Expiry date").press_sequentially("1230")
    page.get_by_label("Security code").last.fill("123")
    page.get_by_label("Name on the card").fill("Jane Smith")


def press(page: Page) -> None:
    """Press the button."""
    page.get_by_role("button", name="Pay $19.99").click()


def come_back(page: Page, shop: MerchantSite) -> dict[str, str]:
    """Wait until the browser is at the shop, and return what the address says."""
    page.wait_for_url(re.compile(re.escape(shop.url) + "/done"))
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


def check_callback(listener: Listener, query: dict[str, str], *, status: str = "success") -> None:
    """Check that one signed callback told what the address told."""
    [callback] = listener.wait_for(query["cb_transaction_id"])
    payment = callback["body"]["payment"]
    assert (payment["orderId"], payment["status"], payment["amount"]) == (query["order_id"], status, 19.99)
    assert listener.forged == 0


def test_a_card(page: Page, url: str, shop: MerchantSite, listener: Listener) -> None:
    """A card is charged, once however often the button is pressed, and the customer comes back and cannot pay again."""
    page.goto(url)
    fill(page, APPROVED)
    assert page.get_by_label("Card number").input_value() == "4024 0071 7936 6348"
    assert page.get_by_label("Expiry date").input_value() == "12 / 30"
    page.get_by_role("button", name="Pay $19.99").dblclick()
    query = come_back(page, shop)
    assert (query["is_approved"], query["order"]) == ("1", "7")
    check_callback(listener, query)
    page.go_back()
    page.reload()
    page.goto(url)
    expect(page.locator("h1")).to_have_text("Payment complete")
    page.get_by_role("link", name="Back to the shop").click()
    assert come_back(page, shop) == query


def test_a_challenge(page: Page, url: str, shop: MerchantSite, listener: Listener) -> None:
    """The bank asks for a code; afterwards the browser is at the shop, with the payment approved."""
    page.goto(url)
    fill(page, CHALLENGED)
    press(page)
    page.get_by_label("One-time code").fill("123456")
    page.get_by_role("button", name="Submit").click()
    query = come_back(page, shop)
    assert query["is_approved"] == "1"
    check_callback(listener, query)


def test_a_failed_challenge_leads_back_to_the_page(page: Page, url: str, shop: MerchantSite) -> None:
    """A consumer who cancels at the bank is told so, and may take another card."""
    page.goto(url)
    fill(page, CHALLENGED)
    press(page)
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("alert")).to_contain_text("You canceled the confirmation at your bank")
    fill(page, APPROVED)
    press(page)
    assert come_back(page, shop)["is_approved"] == "1"


def test_a_declined_card_and_then_another(page: Page, url: str, shop: MerchantSite, listener: Listener) -> None:
    """The page tells what the bank said and keeps nothing of the card; a reload does no harm."""
    page.goto(url)
    fill(page, DECLINED)
    press(page)
    expect(page.get_by_role("alert")).to_contain_text("Insufficient funds")
    assert page.get_by_label("Card number").input_value() == ""
    assert page.url == url
    page.reload()
    fill(page, OTHER)
    press(page)
    query = come_back(page, shop)
    check_callback(listener, query)
    orders = {callback["body"]["payment"]["orderId"] for callback in listener.callbacks}
    assert orders == {query["order_id"]}


def test_a_double_click_without_scripts(
    gateway: RunningGateway, browser: Browser, url: str, shop: MerchantSite, listener: Listener
) -> None:
    """Where no script holds the second click back, pressing twice charges once too."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(url)
    page.get_by_label("Card number").fill(APPROVED)
    page.get_by_label("Expiry date").fill("12/30")
    page.get_by_label("Security code").fill("123")
    page.get_by_label("Name on the card").fill("Jane Smith")
    page.get_by_role("button", name="Pay").dblclick()
    query = come_back(page, shop)
    context.close()
    check_callback(listener, query)
    _, feed = request(f"{gateway.url}/payment/{query['cb_transaction_id']}", key=gateway.demo["apiKey"])
    assert feed["payment"]["status"] == "success"
    assert len(listener.callbacks) == 1


def test_two_tabs(page: Page, url: str, shop: MerchantSite, listener: Listener) -> None:
    """What is paid in one tab is paid in the other: sent again from there, it leads to the same result."""
    other = page.context.new_page()
    for tab in (page, other):
        tab.goto(url)
        fill(tab, APPROVED)
    press(page)
    query = come_back(page, shop)
    press(other)
    assert come_back(other, shop) == query
    assert len(listener.wait_for(query["cb_transaction_id"])) == len(listener.callbacks) == 1


def test_a_stored_card(page: Page, gateway: RunningGateway, shop: MerchantSite, listener: Listener) -> None:
    """A consumer who paid before pays with the card's code alone."""
    consumer = {"externalId": f"regular-{uuid4().hex[:8]}", "firstName": "Jane", "lastName": "Smith"}
    page.goto(make_page(gateway, shop, listener, consumer=consumer))
    expect(page.get_by_label("Name on the card")).to_have_value("Jane Smith")
    fill(page, APPROVED)
    press(page)
    come_back(page, shop)
    page.goto(make_page(gateway, shop, listener, consumer=consumer))
    expect(page.get_by_text("•••• 6348")).to_be_visible()
    page.get_by_label("Security code").first.fill("123")
    page.get_by_role("button", name="Pay").first.click()
    query = come_back(page, shop)
    check_callback(listener, query)


def test_the_keyboard_alone(page: Page, url: str, shop: MerchantSite) -> None:
    """Without a mouse: the first field has the focus, Enter pays, and what is wrong is said where the focus then is."""
    page.goto(url)
    number = page.get_by_label("Card number")
    for card in ("4024007179366349", APPROVED):
        expect(number).to_be_focused()
        for text in (card, "1230", "123", "Jane Smith"):
            page.keyboard.type(text)
            page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        if card != APPROVED:
            expect(number).to_have_attribute("aria-invalid", "true")
            expect(page.locator("#number-note")).to_contain_text("Check its digits")
    assert come_back(page, shop)["is_approved"] == "1"


def test_a_phone(gateway: RunningGateway, browser: Browser, shop: MerchantSite, listener: Listener) -> None:
    """On a phone nothing is wider than the screen, in any language, with faults too; and fields say what they take."""
    context = browser.new_context(viewport=PHONE, locale="fr-FR", is_mobile=True, has_touch=True)
    page = context.new_page()
    for language in ("en", "de", "fr", "es"):
        page.goto(make_page(gateway, shop, listener, template={"language": language}))
        assert page.locator("html").get_attribute("lang") == language
        page.evaluate("for (const form of document.forms) form.noValidate = true")
        for _ in range(2):
            assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
            page.get_by_role("button").tap()
            page.wait_for_selector(".fault")
            page.evaluate("for (const form of document.forms) form.noValidate = true")
    purposes = page.locator("input:not([type=hidden])").evaluate_all("inputs => inputs.map(one => one.autocomplete)")
    assert purposes == ["cc-number", "cc-exp", "cc-csc", "cc-name", "billing postal-code"]
    context.close()
