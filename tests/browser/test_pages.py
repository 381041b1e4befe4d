"""The pages for people, as a browser shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Page, ViewportSize, expect
from tests.support.gateways import RunningGateway, request

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser

PHONE: ViewportSize = {"width": 390, "height": 844}
DESKTOP: ViewportSize = {"width": 1280, "height": 900}


def pay(gateway: RunningGateway, amount: float, **changes: Any) -> dict[str, Any]:
    """Pay as the demo merchant, with the site's own addresses."""
    status, answer = request(
        f"{gateway.url}/payment",
        key=gateway.demo["apiKey"],
        body={
            "paymentSource": {
                "type": "card",
                "number": "4024007179366348",
                "expirationMonth": "12",
                "expirationYear": "30",
            },
            "sku": {"siteId": gateway.demo["siteId"], "price": [{"amount": amount, "currency": "USD"}]},
            "consumer": {"id": "user-00123", "firstName": "Jane", "lastName": "Smith", "ip": "203.0.113.45"},
        }
        | changes,
    )
    assert status == 201
    payment: dict[str, Any] = answer["payment"]
    return payment


def test_callbacks_appear_by_themselves(gateway: RunningGateway, page: Page) -> None:
    """A callback comes into the open page with both signatures verified, and what is open stays open."""
    page.goto(f"{gateway.url}/stage/inbox")
    first = pay(gateway, 71.01)
    callback = page.locator("details", has_text=f"order {first['orderId']}")
    callback.locator("summary").click()
    expect(callback).to_contain_text("both signatures are valid")
    expect(callback).to_contain_text("x-signature")
    second = pay(gateway, 72.02)
    expect(page.locator("details", has_text=f"order {second['orderId']}")).to_contain_text("72.02 USD")
    expect(callback).to_have_attribute("open", "")


def test_the_printed_login_opens_the_portal(gateway: RunningGateway, page: Page) -> None:
    """Who starts the gateway signs in with what demo.json says, finds a payment, and signs out."""
    payment, login = pay(gateway, 73.03), gateway.demo["portal"]
    page.goto(login["url"])
    page.fill("#email", login["email"])
    page.fill("#password", login["password"])
    page.click("text=Sign in >> visible=true >> nth=-1")
    page.fill("#order", payment["orderId"])
    page.click("text=Find")
    page.locator("tbody a").first.click()
    expect(page.locator("main")).to_contain_text(payment["transactionId"])
    expect(page.locator("h1")).to_have_text("73.03 USD")
    page.click("text=Sign out")
    page.goto(f"{gateway.url}/portal/payments")
    expect(page.locator("h1")).to_have_text("Sign in")


def test_the_portal_fits_a_phone(gateway: RunningGateway, browser: Browser) -> None:
    """The list and a charge-back that takes too much are no wider than a phone."""
    paid, login = pay(gateway, 75.05), gateway.demo["portal"]
    path = f"/stage/chargeback/{paid['transactionId']}"
    _, back = request(gateway.url + path, key=gateway.demo["apiKey"], body={"amount": 99})
    context = browser.new_context(viewport=PHONE)
    page = context.new_page()
    page.goto(login["url"])
    page.fill("#email", login["email"])
    page.fill("#password", login["password"])
    page.click("text=Sign in >> visible=true >> nth=-1")
    for path in ("payments", f"payments/{back['payment']['transactionId']}"):
        page.goto(f"{gateway.url}/portal/{path}")
        expect(page.locator("main")).to_contain_text("chargeback")
        assert page.locator("html").evaluate("html => html.scrollWidth") <= PHONE["width"], path
    context.close()


def test_the_portal_fits_long_texts(gateway: RunningGateway, browser: Browser) -> None:
    """Names, titles and addresses of 255 letters without a blank widen no page, on a phone or a desktop."""
    login, word = gateway.demo["portal"], "Wolfeschlegelsteinhausenbergerdorff" * 7
    sku = {"siteId": gateway.demo["siteId"], "title": word, "price": [{"amount": 76.06, "currency": "USD"}]}
    buyer = dict.fromkeys(("firstName", "lastName", "email", "address", "city"), word) | {"ip": "203.0.113.45"}
    paid = pay(gateway, 76.06, sku=sku, consumer=buyer)
    for viewport in (PHONE, DESKTOP):
        context = browser.new_context(viewport=viewport)
        page = context.new_page()
        page.goto(login["url"])
        page.fill("#email", login["email"])
        page.fill("#password", login["password"])
        page.click("text=Sign in >> visible=true >> nth=-1")
        for path in ("payments", f"payments/{paid['transactionId']}"):
            page.goto(f"{gateway.url}/portal/{path}")
            expect(page.locator("main")).to_contain_text(word)
            assert page.locator("html").evaluate("html => html.scrollWidth") <= viewport["width"], path
        context.close()


def test_pages_fit_a_phone(gateway: RunningGateway, browser: Browser) -> None:
    """No page is wider than a phone, and the inbox needs no script."""
    pay(gateway, 74.04)
    context = browser.new_context(viewport=PHONE, java_script_enabled=False)
    page = context.new_page()
    for path in ("/", "/docs", "/stage/inbox", "/stage/thanks?is_approved=1&order_id=1", "/portal"):
        page.goto(gateway.url + path)
        assert page.locator("html").evaluate("html => html.scrollWidth") <= PHONE["width"], path
    page.goto(f"{gateway.url}/stage/inbox")
    expect(page.locator("details").first).to_be_visible()
    context.close()
