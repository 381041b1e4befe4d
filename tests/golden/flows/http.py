"""HTTP itself: methods, unknown paths, media types, sizes, cross-origin calls, keys, and response headers."""

from __future__ import annotations

from tests.golden.flow import Flow, plain_card

PATHS = (
    "/payment",
    "/tokenize",
    "/payment/1",
    "/payment/1/credit",
    "/codes",
    "/docs",
    "/pay/x",
    "/portal",
    "/stage/clock",
)


async def methods(flow: Flow) -> None:
    """Send every method to paths of every kind."""
    for path in (
        *PATHS,
        "/nothing",
        "/payment/",
        "/portal/keys",
        "/3ds/x",
        "/simulator/acs/challenge",
        "/static/x",
        "/",
    ):
        for method in ("GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH", "TRACE"):
            if (method, path) != ("GET", "/docs"):
                await flow.shop.client.request(method, path)


async def bodies(flow: Flow) -> None:
    """Send media types and bodies that nobody should read to calls of every kind."""
    shop, own = flow.shop, {"Authorization": flow.shop.merchant.key}
    calls = (("POST", "/sku"), ("PUT", "/site/983759353"), ("POST", "/consumer"), ("POST", "/stage/clock"))
    contents = (
        b"",
        b"{",
        b"[1]",
        b'"text"',
        b"null",
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        b'{"a":1,"a":2}',
        b'{"a":"\\ud83d"}',
    )
    for method, path in calls:
        for content in (*contents, b'{"a":' * 1_000 + b"1" + b"}" * 1_000, b" " * 400_000):
            await shop.client.request(method, path, content=content, headers=own | {"Content-Type": "application/json"})
        for kind in ("text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1", "x"):
            await shop.client.request(method, path, content=b"{}", headers=own | {"Content-Type": kind})


async def cross_origin(flow: Flow) -> None:
    """Call from pages of other origins: preflights and calls, to `/tokenize` and elsewhere."""
    shop = flow.shop
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,x-requested-with"}
    for origin in ("https://shop.example", "https://evil.example", "null"):
        for path in ("/tokenize", "/payment", "/tokenizeWithPaymentAccountId", "/nothing"):
            await shop.client.options(path, headers={"Origin": origin} | asked)
        await shop.tokenize(plain_card(), headers={"Origin": origin})
        await shop.tokenize({}, headers={"Origin": origin})
        await shop.client.get("/tokenize", headers={"Origin": origin})


async def access(flow: Flow) -> None:
    """Call with keys in every form: none, wrong, as a bearer, two of them, and a request id of one's own."""
    client, key = flow.shop.client, flow.shop.merchant.key
    for headers in (
        {},
        {"Authorization": ""},
        {"Authorization": "wrong"},
        {"Authorization": f"Bearer {key}"},
        {"Authorization": f"bearer {key}"},
        {"Authorization": f"Basic {key}"},
        {"Authorization": key, "X-Request-ID": "mine"},
        {"Authorization": key, "X-Request-ID": "x" * 300},
        {"Authorization": key, "X-Forwarded-For": "203.0.113.1"},
    ):
        await client.get("/site/983759353", headers=headers)
    for path in ("/site/983759354", "/feed/transactions", "/events", "/stage/clock", "/testPaymentData", "/codes"):
        await client.get(path)
