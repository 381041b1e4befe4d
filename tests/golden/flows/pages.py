"""Pages for people: payment pages, the portal, and the pages of stage."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING, Any

from tests.golden.flow import Flow
from tests.golden.flows.threeds import SAME_ORIGIN, path_of, walk
from tests.support.cardholders import PAGE_FIELDS
from tests.support.issuing import number_of
from tests.support.webshop import REDIRECT_URL, price

from tollhouse.merchants.people import ensure_user

if TYPE_CHECKING:
    import httpx

EMAIL, PASSWORD = "ann@shop.example", "correct horse battery 9"
TYPED = {"expiry": "12 / 45", "code": "009", "holder": "Jane Smith", "zip": "10001"}


async def payment_pages(flow: Flow) -> None:
    """Make pages, pay on them after faults and declines, and open them when they are over."""
    shop, urls = flow.shop, {"ipnUrl": flow.endpoint.url, "redirectUrl": REDIRECT_URL}
    wanted = {"sku": shop.sku() | {"url": urls}, "metadata": {"order": 7}, "consumer": {"externalId": "user-7"}}
    bodies: tuple[Any, ...] = (
        {},
        wanted | {"sku": {}},
        wanted | {"consumer": {"ip": "x"}, "metadata": 7},
        {"sku": {"name": "GOLD"}},
    )
    for body in bodies:
        await shop.post("/paymentPage", body)
    page = path_of((await shop.post("/paymentPage", wanted)).json()["url"])
    for changes in (
        {"number": "1234", "holder": "", "expiry": "13 / 20"},
        {"number": number_of("decline_51")},
        {"number": number_of("visa")},
        {"number": number_of("visa")},
    ):
        await send_form(flow, page, changes)
        await shop.client.get(f"{page}/done")
    await shop.client.get(page)
    await shop.client.get(f"{page}/back")
    for path in ("/pay/nothing", "/pay/nothing/done", "/pay/nothing/back"):
        await shop.client.get(path)
    await flow.tell_callbacks()
    await flow.tell_rows()


async def send_form(flow: Flow, page: str, changes: dict[str, str]) -> httpx.Response:
    """Open a page and send its last form, filled in."""
    opened = (await flow.shop.client.get(page, headers={"Accept-Language": "en"})).text
    forms = re.findall(r"<form method=\"post\".*?</form>", opened, re.DOTALL)
    hidden = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', forms[-1]) if forms else []
    fields = {name: unescape(value) for name, value in hidden if value}
    return await flow.shop.client.post(page, data=fields | PAGE_FIELDS | TYPED | changes, headers=SAME_ORIGIN)


async def challenged_page(flow: Flow) -> None:
    """Pay a subscription on a page with a card whose holder is asked; ask twice for one page by a repeated id."""
    prices = (price(1), price(19.99, offset="30d", repeat=True))
    sku = flow.shop.sku(*prices) | {"url": {"ipnUrl": flow.endpoint.url, "redirectUrl": REDIRECT_URL}}
    named = {"X-Request-ID": "page-1"}
    page = ""
    bodies: tuple[Any, ...] = ({"sku": sku}, {"sku": sku}, {"sku": sku, "metadata": {"a": 1}})
    for body in bodies:
        answer = await flow.shop.post("/paymentPage", body, headers=named)
        page = path_of(answer.json()["url"]) if answer.status_code == 201 else page
    for language in ("de", "fr", "es"):
        await flow.shop.client.get(page, headers={"Accept-Language": language})
    answer = await send_form(flow, page, {"number": number_of("challenge")})
    found = re.search(r'content="0; url=([^"]+)"', answer.text)
    if found:
        await walk(flow, unescape(found[1]), "123456")
    await flow.shop.client.get(f"{page}/done")
    await flow.shop.client.get(f"{page}/back")
    await flow.tell_callbacks()
    await flow.tell_rows()


async def portal(flow: Flow) -> None:
    """Sign in wrongly and rightly, look at everything, send a callback again, and sign out."""
    async with flow.shop.gateway.database.acquire() as connection:
        await ensure_user(connection, merchant_id=1, email=EMAIL, password=PASSWORD)
    flow.tape.is_on = False
    sold = await flow.pay(metadata={"cart": 1})
    await flow.pay("decline_51", consumer=flow.buyer("declined"))
    flow.tape.is_on = True
    await flow.tell_callbacks()
    browser, transaction = flow.open_browser(), sold["payment"]["transactionId"]
    for path in ("/portal", f"/portal/payments/{transaction}", "/portal/nothing", "/portal/portal.css"):
        await browser.get(path)
    for email, password in ((EMAIL, "wrong"), ("", ""), (EMAIL, PASSWORD)):
        await submit(browser, "/portal/sign-in", "/portal/sign-in", email=email, password=password)
    await browser.post("/portal/sign-in", data={"email": EMAIL, "password": PASSWORD, "form_token": "x"})
    for path in (
        "/portal",
        "/portal/payments",
        "/portal/payments?status=fail",
        "/portal/payments?query=nobody@shop.example",
        f"/portal/payments/{transaction}",
        "/portal/payments/1",
        "/portal/payments/x",
        "/portal/keys",
        "/portal/sites",
        "/portal/sign-ins",
        "/portal/nothing",
    ):
        await browser.get(path)
    told = (await flow.shop.get(f"/transaction/{transaction}/ipn")).json()
    number = f"{told['eventId'].removeprefix('evt_')}/{told['deliveryNumber']}"
    path = f"/portal/payments/{transaction}/callbacks/{number}/again"
    token = re.search(r'name="form_token" value="([^"]+)"', (await browser.get("/portal/sites")).text)
    for shown in (token[1] if token else "", "x"):
        await browser.post(path, data={"form_token": shown})
    await flow.tell_callbacks()
    await submit(browser, "/portal/keys", "/portal/sign-out")
    await browser.get("/portal/payments")
    await flow.tell_rows()


async def submit(browser: httpx.AsyncClient, page: str, action: str, **fields: str) -> httpx.Response:
    """Open a page and submit its form that goes to an address, filled in."""
    text = (await browser.get(page)).text
    form = re.search(rf'<form[^>]*action="{action}".*?</form>', text, re.DOTALL)
    hidden = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', form[0]) if form else []
    return await browser.post(action, data={name: unescape(value) for name, value in hidden} | fields)


async def stage_pages(flow: Flow) -> None:
    """Open what only stage has: the home page, the inbox, thanks, faults, the journal, the clock."""
    shop, client = flow.shop, flow.shop.client
    for path in ("/", "/stage/inbox", "/stage/inbox/list", "/stage/thanks", "/stage/nothing", "/stage/clock"):
        await client.get(path)
    await client.post("/stage/inbox", content=b'{"payment":{}}', headers={"Content-Type": "application/json"})
    await flow.pay()
    await flow.tell_callbacks()
    bodies: tuple[Any, ...] = ({}, {"advance": "x"}, {"advance": "1d", "until": "2030-01-01"}, {"until": "2020-01-01"})
    for body in (*bodies, {"advance": "PT1H"}):
        await shop.post("/stage/clock", body)
    await shop.get("/stage/clock")
    await shop.get("/stage/journal?limit=2")
    await shop.get("/stage/journal?limit=x")
    await flow.pay(emailOptions=True, consumer=flow.buyer("reads"))
    await flow.tell_emails()
    for path in ("/docs", "/docs/docs.css", "/openapi.json", "/static/nothing.css", "/healthz", "/readyz", "/metrics"):
        if path != "/metrics":
            await client.get(path)
