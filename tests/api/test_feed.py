"""The feed: every filter, alone and together, against a plain look through all transactions; and its pages."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
import pytest_asyncio
from tests.support.webshop import WebShop, card, clone_database, consumer, open_webshop

from tollhouse.payments.model import Mode
from tollhouse.payments.reading.feed import FeedFilter, select_page

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sold(postgres_dsn: str, template: str) -> AsyncIterator[WebShop]:
    """A shop that has sold, been declined, given back, and waits for a cardholder; another merchant has sold too."""
    async with clone_database(postgres_dsn, template) as dsn, open_webshop(dsn) as shop:
        for number in range(3):
            who = consumer(externalId=f"user-{number % 2}")
            await shop.pay(shop.payment(consumer=who), headers={"X-Request-ID": f"sale-{number}"})
        await shop.pay(shop.payment({"type": "card"} | card("decline_51")))
        await shop.pay(shop.payment({"type": "card", "3ds": True} | card("challenge")))
        held = await shop.pay(shop.payment(sku=shop.sku({"offset": "3d", "amount": 7, "currency": "EUR"})))
        assert held.json()["payment"]["mode"] == "auth", held.text
        await act(shop, held.json(), "void", {})
        bought = await shop.pay()
        await act(shop, bought.json(), "credit", {"reason": "late", "amount": 5}, {"X-Request-ID": "credit-1"})
        await shop.pay(shop.payment(sku=shop.sku(siteId=str(shop.other.site_id))), key=shop.other.key)
        yield shop


async def act(
    shop: WebShop, made: Mapping[str, Any], what: str, body: Any, headers: Mapping[str, str] | None = None
) -> None:
    """Do something with a payment that was made."""
    answer = await shop.post(f"/payment/{made['payment']['transactionId']}/{what}", body, headers=headers)
    assert answer.status_code == 201, answer.text
    assert answer.json()["payment"]["status"] == "success", answer.text


async def read(shop: WebShop, **query: Any) -> dict[str, Any]:
    """Ask once."""
    answer = await shop.get(f"/feed/transactions?{urlencode(query)}")
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()
    return content


async def read_all(shop: WebShop, **query: Any) -> list[dict[str, Any]]:
    """Ask page after page."""
    limit = query.pop("limit", 100)
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    for _ in range(100):
        page = await read(shop, limit=limit, **query, **cursor)
        found += page["data"]
        if "cursor" not in page["meta"]:
            return found
        assert len(page["data"]) <= limit
        cursor = {"cursor": page["meta"]["cursor"]}
    raise AssertionError("the pages do not end")


def id_of(event: Mapping[str, Any]) -> str:
    """The id of a transaction."""
    transaction_id: str = event["payment"]["transactionId"]
    return transaction_id


async def test_the_feed_has_every_transaction(sold: WebShop) -> None:
    """All transactions are there, newest first: what was declined, what is open, and operations as their own."""
    events = await read_all(sold)
    rows = await sold.fetch(
        "select transaction_id::text as id from transaction where merchant_id = 1 order by created_at desc, 1 desc"
    )
    assert [id_of(event) for event in events] == [row["id"] for row in rows]
    assert [(event["payment"]["mode"], event["payment"]["status"]) for event in reversed(events)] == [
        ("sale", "success"),
        ("sale", "success"),
        ("sale", "success"),
        ("sale", "fail"),
        ("sale", "pending"),
        ("auth", "success"),
        ("void", "success"),
        ("sale", "success"),
        ("refund", "success"),
    ]


async def test_objects_are_those_of_callbacks(sold: WebShop) -> None:
    """What is settled is told in the very words of its callback."""
    told = {
        row["transaction_id"]: row["body"]
        for row in await sold.fetch("select transaction_id::text, body from event where merchant_id = 1")
    }
    raw = (await sold.get("/feed/transactions")).content
    assert len(told) == 8
    assert all(body in raw for body in told.values())


#: A filter, and what fits it.
Check = tuple[dict[str, Any], Callable[[dict[str, Any]], bool]]


def checks_of(events: list[dict[str, Any]], site_id: int) -> dict[str, list[Check]]:
    """Filters by their names, with values that occur and values that do not."""
    some = events[0]["payment"], events[-1]["payment"]
    checks: dict[str, list[Check]] = {
        "order": [({"orderId": p["orderId"]}, lambda e, p=p: e["payment"]["orderId"] == p["orderId"]) for p in some],  # type: ignore[misc]
        "transaction": [({"transactionId": some[0]["transactionId"]}, lambda e: e["payment"] == some[0])],
        "request": [
            ({"requestId": "sale-1"}, lambda e: id_of(e) == id_of(events[-2])),
            ({"requestId": "credit-1"}, lambda e: id_of(e) == id_of(events[0])),
            ({"requestId": "nobody"}, lambda _: False),
        ],
        "consumer": [
            ({"consumerId": events[-1]["consumer"]["id"]}, lambda e: e["consumer"] == events[-1]["consumer"]),
            ({"externalId": "user-1"}, lambda e: e["consumer"].get("externalId") == "user-1"),
            ({"externalId": "nobody"}, lambda _: False),
        ],
        "site": [({"siteId": site_id}, lambda _: True), ({"siteId": 0}, lambda _: False)],
        "status": [
            ({"status": status}, lambda e, s=status: e["payment"]["status"] == s)  # type: ignore[misc]
            for status in ("success", "pending", "fail")
        ],
        "mode": [
            ({"mode": mode}, lambda e, m=mode: e["payment"]["mode"] == m)  # type: ignore[misc]
            for mode in ("sale", "refund", "chargebackFirst")
        ],
    }
    return checks


async def test_every_pair_of_filters(sold: WebShop) -> None:
    """Whatever two filters are given, with pages of two, the answer is what a look through everything finds."""
    events = await read_all(sold)
    checks = checks_of(events, sold.merchant.site_id)
    for first, second in itertools.combinations_with_replacement(checks, 2):
        for (one, fits_one), (other, fits_other) in itertools.product(checks[first], checks[second]):
            if first == second and one != other:
                continue
            found = await read_all(sold, limit=2, **one | other)
            expected = [id_of(event) for event in events if fits_one(event) and fits_other(event)]
            assert [id_of(event) for event in found] == expected, (one, other)


async def test_times_are_from_inclusive_to_exclusive(sold: WebShop) -> None:
    """`from` is the first moment that fits and `to` the first that does not, in every form of a moment."""
    rows = await sold.fetch(
        "select coalesce(finished_at, created_at) as shown_at from transaction where merchant_id = 1 order by 1 desc"
    )
    moments = [row["shown_at"] for row in rows]
    first, last = moments[5], moments[2]
    found = await read_all(sold, **{"from": first.isoformat(), "to": last.isoformat().replace("+00:00", "Z")})
    assert len(found) == sum(first <= moment < last for moment in moments)
    spaced = f"{first:%Y-%m-%d %H:%M:%S.%f} 00:00"
    assert len(await read_all(sold, **{"from": spaced})) == sum(first <= moment for moment in moments)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    assert await read_all(sold, **{"from": int(tomorrow.timestamp())}) == []
    assert len(await read_all(sold, to=f"{tomorrow:%Y-%m-%d}")) >= len(moments) - 1
    assert await read_all(sold, to="0001-01-01") == []


async def test_a_span_is_about_the_time_that_is_shown(sold: WebShop) -> None:
    """What was made before a span and settled in it is found, however late, by whatever else is asked; and once."""
    paid = [(await sold.pay(sold.payment(metadata={"n": n}))).json() for n in range(4)]
    ids = [each["payment"]["transactionId"] for each in paid]
    for transaction_id, days in zip(ids, (30, 20, 10, 0), strict=True):
        await sold.execute(
            "update transaction set created_at = created_at - make_interval(days => $2),"
            " finished_at = finished_at + interval '1 day', is_late = true where transaction_id = $1",
            int(transaction_id),
            days,
        )
        # A payment and its first transaction are made at the same time.
        await sold.execute(
            "update payment p set created_at = t.created_at from transaction t"
            " where t.merchant_id = p.merchant_id and t.payment_id = p.payment_id and t.transaction_id = $1",
            int(transaction_id),
        )
    [shown] = {event["payment"]["timestamp"]["dateTime"][:10] for event in await read_all(sold, transactionId=ids[0])}
    span = {"from": f"{shown}T00:00:00", "to": f"{shown}T23:59:59"}
    asked = [{}, {"mode": "sale"}, {"status": "success"}, {"orderId": paid[1]["payment"]["orderId"]}, {"limit": 1}]
    for query in asked:
        expected = {ids[1]} if "orderId" in query else set(ids)
        found = [id_of(event) for event in await read_all(sold, **span, **query)]
        assert set(found) == expected, query
        assert len(found) == len(expected), query
    await sold.execute("delete from transaction where transaction_id = any($1::bigint[])", [int(each) for each in ids])


async def test_new_transactions_do_not_move_the_pages(sold: WebShop) -> None:
    """Who reads on while payments come in sees each older transaction once, and none of the new ones."""
    before = [id_of(event) for event in await read_all(sold)]
    page = await read(sold, limit=4)
    await sold.pay()
    rest: list[dict[str, Any]] = []
    cursor = page["meta"]["cursor"]
    while cursor:
        following = await read(sold, limit=4, cursor=cursor)
        rest += following["data"]
        cursor = following["meta"].get("cursor")
    assert [id_of(event) for event in page["data"] + rest] == before


async def test_a_page_looks_at_so_many_and_no_more(sold: WebShop) -> None:
    """A page that has looked at enough ends early, and says where to go on until everything was looked at."""
    found: list[Any] = []
    after, pages = None, 0
    async with sold.gateway.database.acquire() as connection:
        for _ in range(100):
            page = await select_page(
                connection, 1, FeedFilter(mode=Mode.SALE, site_id=7), after=after, max_rows=1, max_examined_rows=1
            )
            found, after, pages = [*found, *page.payments], page.next, pages + 1
            if after is None:
                break
    assert (found, after) == ([], None)
    assert pages >= 5


async def test_others_see_their_own(sold: WebShop) -> None:
    """Another merchant's feed has that merchant's transactions; by ids of others it finds nothing; a key is needed."""
    own = (await sold.get("/feed/transactions", key=sold.other.key)).json()["data"]
    assert len(own) == 1
    some = (await read_all(sold))[-1]
    for query in (
        {"transactionId": id_of(some)},
        {"orderId": some["payment"]["orderId"]},
        {"requestId": "sale-0"},
        {"consumerId": some["consumer"]["id"]},
        {"siteId": str(sold.merchant.site_id)},
    ):
        answer = await sold.get(f"/feed/transactions?{urlencode(query)}", key=sold.other.key)
        assert answer.json()["data"] == [], query
    assert (await sold.get("/feed/transactions", key="x")).status_code == 401


@pytest.mark.parametrize(
    ("query", "faulty"),
    [
        ("orderId=x&transactionId=-1&siteId=1.5", {"orderId", "transactionId", "siteId"}),
        (f"orderId={2**63}", {"orderId"}),
        ("requestId=%C3%A4&consumerId=a%20b&externalId=a%00b", {"requestId", "consumerId", "externalId"}),
        (
            f"requestId={'x' * 129}&consumerId={'x' * 37}&externalId={'x' * 256}",
            {"requestId", "consumerId", "externalId"},
        ),
        ("status=open&mode=renewal", {"status", "mode"}),
        ("from=yesterday&to=2026-13-01", {"from", "to"}),
        ("from=2026-01-02&to=2026-01-02", {"to"}),
        ("from=0001-01-01T00:00:00%2B14:00&to=99999999999", {"from", "to"}),
        ("cursor=1&limit=0", {"cursor", "limit"}),
        ("cursor=1-2-3&limit=101", {"cursor", "limit"}),
        ("limit=x", {"limit"}),
        ("mode=capture", {"mode"}),
        ("mode=credit", {"mode"}),
        ("orderID=1&limit=0&form=2026-01-01", {"orderID", "form", "limit"}),
        ("since=2026-01-01", {"since"}),
        ("unknown=", {"unknown"}),
        ("status=fail&status=success", {"status"}),
    ],
)
async def test_faults_are_named(sold: WebShop, query: str, faulty: set[str]) -> None:
    """Every faulty parameter is named."""
    answer = await sold.get(f"/feed/transactions?{query}")
    assert (answer.status_code, set(answer.json()["errors"])) == (400, faulty), answer.text
