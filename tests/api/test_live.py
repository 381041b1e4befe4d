"""What live refuses and stage takes."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.webshop import IPN_URL, REDIRECT_URL, OpenShop, WebShop, card, expect_rejection

URLS = {"ipnUrl": "https://shop.example/ipn", "redirectUrl": "https://shop.example/thanks"}
GOOD = {"type": "card"} | card(expirationYear="99")


def live_payment(shop: WebShop, source: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """Build a payment as live takes it."""
    return shop.payment(GOOD | (source or {}), **{"url": URLS} | changes)


async def test_live_accepts_only_public_https(opened: OpenShop) -> None:
    """Live sends callbacks and browsers only to https, to no private network, and to no URL with a password."""
    live = await opened(environment="live")
    refused = (
        "http://shop.example/ipn",
        "https://user@shop.example/ipn",
        "https://user:password@shop.example/ipn",
        "https://127.0.0.1/ipn",
        "https://10.1.2.3/ipn",
        "https://172.16.0.1/ipn",
        "https://192.168.0.1/ipn",
        "https://169.254.169.254/latest/meta-data",
        "https://100.64.0.1/ipn",
        "https://0.0.0.0/ipn",
        "https://224.0.0.1/ipn",
        "https://255.255.255.255/ipn",
        "https://[::1]/ipn",
        "https://[fe80::1]/ipn",
        "https://[fc00::1]/ipn",
        "https://[ff02::1]/ipn",
        "https://[::ffff:127.0.0.1]/ipn",
        "https://[::ffff:10.1.2.3]/ipn",
        "https://2130706433/ipn",
        "https://0x7f000001/ipn",
        "https://0177.0.0.1/ipn",
        "https://127.1/ipn",
        "https://localhost/ipn",
        "https://shop.example:0/ipn",
        "https://shop.example:22/ipn",
        "https://shop.example:6379/ipn",
        "https://shop.example\\@evil.example/ipn",
        "https://[fd00:ec2::254]/ipn",
        "https://[64:ff9b::a00:1]/ipn",
    )
    for url in refused:
        for field in ("ipnUrl", "redirectUrl"):
            answer = await live.pay(live_payment(live, url=URLS | {field: url}))
            await expect_rejection(live, answer, f"url.{field}")
            answer = await live.pay(live_payment(live, url=URLS, sku=live.sku(url={field: url})))
            await expect_rejection(live, answer, f"sku.url.{field}")
    for url in ("https://shop.example:8443/ipn?wc-api=x", "https://8.8.8.8/ipn", "https://[2606:4700::1]/ipn"):
        answer = await live.pay(live_payment(live, url={"ipnUrl": url, "redirectUrl": url}))
        assert answer.status_code == 201, (url, answer.text)


async def test_stage_accepts_http_and_private_networks(shop: WebShop) -> None:
    """Stage accepts http, loopback and private networks, where the server of a developer runs."""
    for url in (IPN_URL, REDIRECT_URL, "http://localhost/x", "http://[::1]:8081/", "http://10.0.0.1/", "http://web/x"):
        assert (await shop.pay(shop.payment(url={"ipnUrl": url, "redirectUrl": url}))).status_code == 201


async def test_uncallable_url_is_400_in_stage(shop: WebShop) -> None:
    """A URL that no callback could reach is 400 in the request, in stage too."""
    urls = (
        "http://user@shop.example/",
        "http://user:password@shop.example/",
        "http://shop.example:0/",
        "http://shop.example\\x",
        "http://169.254.169.254/",
        "http://127.1/",
        "http://[fd00:ec2::254]/",
    )
    for url in urls:
        for field in ("ipnUrl", "redirectUrl"):
            answer = await shop.pay(shop.payment(url={"ipnUrl": IPN_URL, "redirectUrl": REDIRECT_URL} | {field: url}))
            await expect_rejection(shop, answer, f"url.{field}")


async def test_return_to_an_app_is_accepted(opened: OpenShop, shop: WebShop) -> None:
    """A cardholder may return to an app by its own scheme; a callback needs a web server."""
    live = await opened(environment="live")
    for at in (shop, live):
        answer = await at.pay(live_payment(at, url=URLS | {"redirectUrl": "javascript:alert(1)"}))
        await expect_rejection(at, answer, "url.redirectUrl")
        answer = await at.pay(live_payment(at, url=URLS | {"ipnUrl": "com.shop.app://paid"}))
        await expect_rejection(at, answer, "url.ipnUrl")
    for at in (shop, live):
        urls = URLS | {"redirectUrl": "com.shop.app://paid?x=1"}
        assert (await at.pay(live_payment(at, url=urls))).status_code == 201


@pytest.mark.parametrize("networks", ["10.1.0.0/16", "::ffff:10.1.0.0/112"])
async def test_configured_private_networks_are_accepted(opened: OpenShop, networks: str) -> None:
    """Live accepts addresses in the private networks of a setting, in either spelling."""
    live = await opened(environment="live", callback_networks=networks)
    answer = await live.pay(live_payment(live, url=URLS | {"ipnUrl": "https://10.2.2.3/ipn"}))
    await expect_rejection(live, answer, "url.ipnUrl")
    answer = await live.pay(live_payment(live, url=URLS | {"ipnUrl": "https://10.1.2.3/ipn"}))
    assert answer.status_code == 201, answer.text


async def test_emulated_code_is_rejected_in_live(opened: OpenShop, shop: WebShop) -> None:
    """A code may be requested in stage; in live it is a fault."""
    live = await opened(environment="live")
    answer = await live.pay(live_payment(live, {"emulateCode": "0000"}))
    errors = await expect_rejection(live, answer, "paymentSource.emulateCode")
    assert errors["paymentSource.emulateCode"] == ["is for stage only"]
    for code, status in (("0000", "success"), ("5051", "fail")):
        answer = await shop.pay(shop.payment({"type": "card", "emulateCode": code} | card()))
        assert answer.json()["payment"]["status"] == status


async def test_live_has_no_simulator(opened: OpenShop) -> None:
    """Live has no page or call of the simulator."""
    live = await opened(environment="live")
    for path in ("/simulator/", "/simulator/challenge", "/stage/inbox", "/stage/clock"):
        assert (await live.get(path)).status_code == 404
    for path in ("/stage/clock", "/stage/3ds/100000000", "/stage/chargeback/10000000", "/stage/inbox"):
        # A body that whatever takes one would refuse with 400.
        assert (await live.post(path, {"amount": "x"})).status_code == 404
