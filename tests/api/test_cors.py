"""Which pages may call `/tokenize` from a browser, and that they can read what it says."""

from __future__ import annotations

import httpx
import pytest
from tests.support.webshop import OpenShop, WebShop, card

from tollhouse.api.origins import is_below

NAMES = frozenset({"shop.example", "xn--bcher-kva.example"})
ORIGIN = "https://shop.example"


async def preflight(shop: WebShop, origin: str, *, path: str = "/tokenize") -> httpx.Response:
    """Ask as a browser does before it posts JSON with a header of its own."""
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,x-requested-with",
    }
    return await shop.client.options(path, headers=headers)


async def test_preflight_allows_the_call(shop: WebShop) -> None:
    """A preflight is allowed what the call needs, and remembered; cookies are no part of it."""
    answer = await preflight(shop, ORIGIN)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert answer.headers["access-control-allow-methods"] == "POST"
    allowed = set(answer.headers["access-control-allow-headers"].split(", "))
    assert {"content-type", "x-requested-with", "x-request-id"} <= allowed
    assert int(answer.headers["access-control-max-age"]) > 0
    assert "Origin" in answer.headers["vary"]
    assert "access-control-allow-credentials" not in answer.headers


async def test_preflight_needs_no_database(shop: WebShop) -> None:
    """A preflight is answered from memory: it works while the database is away."""
    await shop.gateway.database.close()
    answer = await preflight(shop, ORIGIN)
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert (await shop.tokenize()).status_code == 503


async def test_every_response_has_cors_headers(shop: WebShop) -> None:
    """Every answer of `/tokenize` carries the headers, refusals too, or the page could not tell what is wrong."""
    origin = {"Origin": ORIGIN}
    answers = (
        (201, await shop.tokenize(headers=origin)),
        (400, await shop.tokenize({}, headers=origin)),
        (400, await shop.tokenize(headers=origin | {"x-requested-with": ""})),
        (413, await shop.tokenize(content=b" " * 9000, headers=origin)),
        (415, await shop.tokenize(headers=origin | {"Content-Type": "text/plain"})),
        (405, await shop.client.get("/tokenize", headers=origin)),
    )
    for status, answer in answers:
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert answer.headers["vary"] == "Origin"
        assert "x-request-id" in answer.headers["access-control-expose-headers"]


async def test_429_and_503_have_cors_headers(opened: OpenShop) -> None:
    """So do 429 and 503, with the time after which to come again."""
    shop = await opened(tokenize_by_address=1)
    answers = [await shop.tokenize(headers={"Origin": ORIGIN}) for _ in range(2)]
    await shop.gateway.database.close()
    answers.append(await shop.tokenize(headers={"Origin": ORIGIN}, key=shop.merchant.key))
    assert [answer.status_code for answer in answers] == [201, 429, 503]
    for answer in answers[1:]:
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert "retry-after" in answer.headers["access-control-expose-headers"]
        assert int(answer.headers["retry-after"]) > 0


async def test_stage_allows_every_origin(shop: WebShop) -> None:
    """In stage every page may call, also one without an origin, from a file or a frame."""
    for origin in ("null", "http://localhost:3000", "file://", "http://192.168.1.7:8000"):
        assert (await preflight(shop, origin)).headers["access-control-allow-origin"] == origin
        assert (await shop.tokenize(headers={"Origin": origin})).headers["access-control-allow-origin"] == origin


async def test_call_without_an_origin_has_no_cors_headers(shop: WebShop) -> None:
    """A shop's server sends no origin and gets no such headers; the caches between are told all the same."""
    answer = await shop.tokenize()
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert answer.headers["vary"] == "Origin"


async def test_other_calls_allow_no_origin(shop: WebShop) -> None:
    """No page may call anything else: what needs the key has no business in a browser."""
    for path in ("/payment", "/payment/1", "/healthz"):
        answer = await preflight(shop, ORIGIN, path=path)
        assert not [name for name in answer.headers if name.startswith("access-control")]
    answer = await shop.pay(headers={"Origin": ORIGIN})
    assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_live_allows_origins_of_enabled_sites(opened: OpenShop) -> None:
    """In live pages of the sites may call while their site has CORS enabled; others get an answer they cannot read."""
    live = await opened(environment="live")
    await live.execute("update site set cors_enabled = false where name = 'shop2.example'")
    assert "access-control-allow-origin" not in (await preflight(live, "https://shop1.example")).headers
    await live.gateway.origins.refresh()
    for origin, is_allowed in (
        ("https://shop1.example", True),
        ("https://pay.shop1.example", True),
        ("https://shop2.example", False),
        ("http://shop1.example", False),
        ("https://evil.example", False),
        ("null", False),
    ):
        for answer in (
            await preflight(live, origin),
            await live.tokenize(card(expirationYear="99"), headers={"Origin": origin}),
        ):
            assert answer.status_code in {201, 204}
            assert (answer.headers.get("access-control-allow-origin") == origin) == is_allowed, origin
            if answer.status_code == 204:
                assert ("access-control-allow-methods" in answer.headers) == is_allowed
            assert answer.headers["vary"] == "Origin"


@pytest.mark.parametrize(
    "origin",
    [
        "https://shop.example",
        "https://www.shop.example",
        "https://a.b.c.shop.example",
        "https://shop.example:443",
        "https://SHOP.example",
        "https://xn--bcher-kva.example",
    ],
)
def test_subdomain_is_an_origin_of_the_site(origin: str) -> None:
    """The name of a site and every name below it, over https on its own port."""
    assert is_below(origin, NAMES)


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "null",
        "https://",
        "https://example",
        "https://evilshop.example",
        "https://shop.example.evil.example",
        "https://shop.exampleevil",
        "https://shop.example.",
        "https://shop.example@evil.example",
        "https://user@shop.example",
        "https://@shop.example",
        "https://evil.example/shop.example",
        "https://evil.example#shop.example",
        "https://evil.example?shop.example",
        "https://evil.example\\@shop.example",
        "https://shop.example/",
        "https://shop.example/path",
        "https://shop.example?x",
        "https://shop.example#x",
        "https://shop.example:8443",
        "https://shop.example:80",
        "https://shop.example:x",
        "https://shop.example:",
        "https://shop.example:0443",
        "https://[shop.example]",
        "https://[::1",
        "https://.shop.example",
        "https://a..shop.example",
        "http://shop.example",
        "ftp://shop.example",
        "shop.example",
        "//shop.example",
        "https:shop.example",
        " https://shop.example",
        "https://shop.example\n",
        "https://shop.example https://evil.example",
        "https://shop。example",
        "https://evil.example%2eshop.example",
        "https://evil%00.shop.example",
        "chrome-extension://shop.example",
    ],
)
def test_similar_name_is_no_origin_of_the_site(origin: str) -> None:
    """Nothing else is a site's origin, however much of the name it has in it."""
    assert not is_below(origin, NAMES)
