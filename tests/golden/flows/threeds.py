"""Payments with 3-D Secure: without the cardholder, with them on the bank's pages, and without a browser."""

from __future__ import annotations

import re
from html import unescape
from typing import Any
from urllib.parse import urlsplit

from tests.golden.flow import Flow, plain_card
from tests.support.cardholders import BROWSER, PAGE_FIELDS

SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}


def by_card(name: str, **changes: Any) -> dict[str, Any]:
    """Describe a card for which authentication is asked."""
    return {"type": "card", "3ds": True} | plain_card(name) | changes


async def frictionless(flow: Flow) -> None:
    """Authenticate without a challenge: passed, attempted, denied, unavailable, rejected, informational."""
    for name in ("visa", "frictionless", "attempted", "denied", "unavailable", "rejected", "informational"):
        await flow.pay(by_card(name), consumer=flow.buyer(name, **BROWSER))
    await flow.pay(by_card("frictionless"), consumer=flow.buyer("no-browser"))
    held = await flow.hold(by_card("frictionless"), consumer=flow.buyer("held", **BROWSER))
    await flow.act(held, "capture")
    await flow.tell_callbacks()
    await flow.shop.get(f"/payment/{held['payment']['transactionId']}/timeline")
    await flow.tell_rows()


async def challenges(flow: Flow) -> None:
    """Walk challenges as a browser without scripts: passed, failed, and ended by a void."""
    for code in ("123456", "000000"):
        paid = await flow.pay(by_card("challenge"), consumer=flow.buyer(f"types-{code}"))
        await walk(flow, paid["payment"]["url"], code)
        await flow.shop.get(f"/payment/{paid['payment']['transactionId']}")
        if code == "123456":
            await flow.shop.get(f"/payment/{paid['payment']['transactionId']}/timeline")
    left = await flow.pay(by_card("challenge"), consumer=flow.buyer("leaves"))
    await flow.act(left, "void")
    await flow.shop.client.get(path_of(left["payment"]["url"]))
    await flow.tell_callbacks()
    await flow.tell_rows()


async def walk(flow: Flow, url: str, code: str) -> None:
    """Open the gateway's page, the bank's, type a code, and come back."""
    client, path = flow.shop.client, path_of(url)
    page = await client.get(path)
    if "browserLanguage" in page.text or 'name="creq"' not in page.text:
        await client.post(path, data=PAGE_FIELDS, headers=SAME_ORIGIN)
        page = await client.get(path)
    for _ in range(5):
        action, fields = read_form(page.text)
        if not action:
            return
        if "act" in fields or 'name="code"' in page.text:
            fields["code"] = code
        page = await client.post(path_of(action), data=fields, headers=SAME_ORIGIN)
        if page.status_code in {302, 303} and path_of(page.headers["location"]).startswith("/3ds"):
            page = await client.get(path_of(page.headers["location"]))


def read_form(page: str) -> tuple[str, dict[str, str]]:
    """Return where the first form of a page goes, and its hidden fields."""
    found = re.search(r'<form[^>]*action="([^"]+)".*?</form>', page, re.DOTALL)
    if found is None:
        return "", {}
    fields = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', found[0])
    return unescape(found[1]), {name: unescape(value) for name, value in fields}


def path_of(url: str) -> str:
    """Return a URL's path with its query."""
    parts = urlsplit(url)
    return parts.path + (f"?{parts.query}" if parts.query else "")


async def without_a_browser(flow: Flow) -> None:
    """End challenges by the call of stage that stands in for cardholder and bank, and refuse what it cannot do."""
    shop = flow.shop
    for result in ("pass", "fail", "cancel", "timeout"):
        paid = await flow.pay(by_card("challenge"), consumer=flow.buyer(result, **BROWSER))
        path = f"/stage/3ds/{paid['payment']['orderId']}"
        await shop.post(path, {"result": result})
        await shop.get(f"/payment/{paid['payment']['transactionId']}")
        await shop.post(path, {"result": "pass"})
    await shop.post("/stage/3ds/1", {"result": "pass"})
    waiting = await flow.pay(by_card("challenge"), consumer=flow.buyer("waits", **BROWSER))
    await shop.post(f"/stage/3ds/{waiting['payment']['orderId']}", {"result": "perhaps"})
    await shop.post(f"/stage/3ds/{waiting['payment']['orderId']}", {"result": "pass"}, key=shop.other.key)
    await flow.act(waiting, "capture")
    await flow.act(waiting, "credit")
    await flow.tell_callbacks()
    await flow.tell_rows()


async def unknown_pages(flow: Flow) -> None:
    """Open and post to pages that do not exist, and send the Directory's results without being it."""
    client = flow.shop.client
    for path in ("/3ds/nothing", "/3ds/return/nothing", "/3ds/nothing/wait", "/3ds/return/nothing/wait", "/3ds/%C3%A9"):
        await client.get(path)
    for path in ("/3ds/nothing", "/3ds/return/nothing", "/3ds/method/nothing"):
        await client.post(path, data=PAGE_FIELDS, headers=SAME_ORIGIN)
    for name in ("checkout.css", "nothing.css"):
        await client.get(f"/3ds/assets/{name}")
    directory = {"Authorization": "Bearer the secret of the Directory", "Content-Type": "application/json"}
    for content in (b"{}", b"[", b'{"messageType":"RReq"}', b'{"messageType":"AReq","messageVersion":"2.2.0"}'):
        await client.post("/3ds/results", content=content, headers=directory)
        await client.post("/3ds/results", content=content, headers={"Content-Type": "application/json"})
    for path in ("challenge", "challenge/answer"):
        await client.get(f"/simulator/acs/{path}")
        await client.post(f"/simulator/acs/{path}", data={"creq": "x", "acsTransID": "x", "threeDSSessionData": "y"})
    await client.post("/simulator/acs/method", data={"threeDSMethodData": "x"})
    await client.post("/simulator/acs/method/silent", data={})
