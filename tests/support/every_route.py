"""Every route that takes a body, from the route table, with paths that lead to something."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tests.support.webshop import WebShop, card

from tollhouse.http.routes import Route

#: Ids that lead to something, by the name that a path gives them.
Ids = Mapping[str, str]

#: Bodies that are no sound JSON, or hold what nothing can be made of.
RUBBISH = (
    b"",
    b"\xff\xfe",
    b'{"a": "\xff"}',
    b"\xef\xbb\xbf{}",
    '{"a": 1}'.encode("utf-16"),
    b'{"a": "\\ud83d"}',
    b'{"a": "\\u0000", "\\u0000": 1}',
    b'{"a": ' + b"[" * 7_000,
    b'{"a": ' + b"[" * 3_000 + b"]" * 3_000 + b"}",
    b'{"a":' * 1_000 + b"1" + b"}" * 1_000,
    b'{"a": 1, "a": 2}',
    b'{"a": {"b": 1, "b": 2}}',
    b'{"a": NaN}',
    b'{"a": -Infinity}',
    b'{"a": 1e999999999}',
    b'{"a": ' + b"9" * 5_000 + b"}",
    b"[1]",
    b'"text"',
    b"null",
    b"7",
    b"{",
    b"a=b&a=c&%00=%ff&;;=&&",
    b"a=1&" * 200,
)


def find_writes(routes: Iterable[Route]) -> list[tuple[str, str]]:
    """Name every route that may take a body, by method and path."""
    return [(method, path) for method, path in find_calls(routes) if method != "GET"]


def find_calls(routes: Iterable[Route]) -> list[tuple[str, str]]:
    """Name every route by method and path."""
    return sorted((route.method, route.path.replace(":path}", "}")) for route in routes)


def fill(path: str, ids: Ids) -> str:
    """Write a path with ids that lead to something."""
    return re.sub(r"\{([^}]*)\}", lambda found: ids.get(found[1], "1"), path)


async def make_ids(shop: WebShop) -> dict[str, str]:
    """Sell something of each kind, and return the ids that paths may name. Keys of pages are by their path."""
    paid = (await shop.pay()).json()
    waiting = (await shop.pay(shop.payment({"type": "card", "3ds": True} | card("challenge")))).json()
    subscribed = (await shop.pay(shop.payment(sku={"name": "PREMIUM_MONTHLY"}))).json()
    urls = shop.payment()["url"]
    page = await shop.post("/paymentPage", {"sku": {**shop.sku(), "url": urls}, "metadata": {"order": 7}})
    test_data = (await shop.post("/testPaymentData", {"type": "visa", "balance": 10, "currency": "USD"})).json()
    return {
        "transactionId": paid["payment"]["transactionId"],
        "orderId": waiting["payment"]["orderId"],
        "subscriptionId": subscribed["subscription"]["id"],
        "paymentAccountId": paid["payment"]["source"]["paymentAccountId"],
        "consumerId": paid["consumer"]["id"],
        "siteId": str(shop.merchant.site_id),
        "name": "ONE_TIME",
        "channel": "sms",
        "testDataId": str(test_data.get("id", 1)),
        "/3ds": waiting["payment"]["url"].rpartition("/")[2],
        "/pay": page.json()["url"].rpartition("/")[2],
    }


def ids_of_path(path: str, ids: Ids) -> Ids:
    """Return the ids for one path: the key of a page is that of its kind."""
    kind = f"/{path.split('/')[1]}"
    return {**ids, "key": ids.get(kind, "unknown")}


def leaves(content: Any, path: str = "") -> Iterator[str]:
    """Yield the paths of all texts of a body."""
    if isinstance(content, dict):
        for name, child in content.items():
            yield from leaves(child, f"{path}.{name}" if path else name)
    elif isinstance(content, list):
        for place, child in enumerate(content):
            yield from leaves(child, f"{path}.{place}")
    else:
        yield path
