"""Test cards: made, changed and looked at by their merchant, and obeyed by payments."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from tests.support.gateways import RunningGateway, request
from tests.support.webshop import IPN_URL, WebShop, card, clone_database, consumer, open_webshop, price

from tollhouse.kernel.card import CardNumber

PATH = "/testPaymentData"
FIELDS = {
    "id",
    "type",
    "number",
    "balance",
    "currency",
    "allowedIps",
    "emulate3ds",
    "blocked",
    "expired",
    "transactions",
    "createdAt",
    "updatedAt",
}

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bank(postgres_dsn: str, template: str) -> AsyncIterator[WebShop]:
    """One application for the tests of this module; each makes cards of its own."""
    async with clone_database(postgres_dsn, template) as dsn, open_webshop(dsn) as shop:
        yield shop


async def make(bank: WebShop, **wanted: Any) -> dict[str, Any]:
    """Make a visa card."""
    answer = await bank.post(PATH, {"type": "visa"} | wanted)
    assert answer.status_code == 201, answer.text
    data: dict[str, Any] = answer.json()
    return data


async def put(bank: WebShop, path: str, body: Any) -> Any:
    """Put JSON with the merchant's key."""
    headers = {"Authorization": bank.merchant.key}
    return await bank.client.put(f"{PATH}/{path}", json=body, headers=headers)


async def look(bank: WebShop, data: dict[str, Any]) -> dict[str, Any]:
    """Look a card up."""
    found: dict[str, Any] = (await bank.get(f"{PATH}/{data['id']}")).json()
    return found


async def pay(bank: WebShop, data: dict[str, Any], amount: Any = 10, currency: str = "USD", **changes: Any) -> Any:
    """Pay with a card, and return the payment as it is answered."""
    source = {"type": "card"} | card(number=data["number"], cvv="0009"[-4 if data["type"] == "amex" else -3 :])
    sku = bank.sku(price(amount, currency))
    answer = await bank.pay(bank.payment(source, sku=sku, **changes))
    assert answer.status_code == 201, answer.text
    return answer.json()["payment"]


async def test_a_card_as_it_is_made(bank: WebShop) -> None:
    """Nothing but a type gives an open card with plenty on it; the answer has every field in its kind."""
    data = await make(bank)

    assert set(data) == FIELDS
    assert isinstance(data["id"], int)
    assert (data["balance"], data["currency"], data["allowedIps"], data["transactions"]) == (1_000_000, "USD", [], 0)
    assert [data[name] for name in ("emulate3ds", "blocked", "expired")] == [False, False, False]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", data["createdAt"])
    assert await look(bank, data) == data


@pytest.mark.parametrize("kind", ["maestro", "mastercard", "visa", "discover", "unionpay", "jcb", "diners", "amex"])
async def test_every_brand_pays(bank: WebShop, kind: str) -> None:
    """A card of each brand is a number of it, and pays."""
    data = await make(bank, type=kind)
    payment = await pay(bank, data)

    assert (data["type"], CardNumber.parse(data["number"]).brand.name) == (kind, kind)
    assert payment["status"] == "success"
    assert payment["source"]["brand"] == kind


async def test_what_was_asked_for_is_shown(bank: WebShop) -> None:
    """Every field of the request comes back: numbers as texts and switches as 1 are read, twins are one."""
    ips = ["203.0.113.45", "2001:db8::1", "203.0.113.45"]
    data = await make(
        bank, balance="12.50", currency="EUR", allowedIps=ips, emulate3ds=1, expired="true", comment="For Ann's tests"
    )

    assert (data["balance"], data["currency"], data["comment"]) == (12.5, "EUR", "For Ann's tests")
    assert data["allowedIps"] == ips[:2]
    assert (data["emulate3ds"], data["expired"]) == (True, True)
    assert (await make(bank, allowedIps=[], balance="", comment=""))["allowedIps"] == []
    assert re.fullmatch(r"DE\d{20}", (await make(bank, type="sepa"))["number"])


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ([], {"type"}),
        ({"type": "cash", "balance": -1, "currency": "XYZ"}, {"type", "balance", "currency"}),
        ({"type": "visa", "balance": 0.001}, {"balance"}),
        ({"type": "visa", "balance": 1.5, "currency": "JPY"}, {"balance"}),
        ({"type": "visa", "balance": "9" * 15}, {"balance"}),
        ({"type": "visa", "balance": True, "emulate3ds": "perhaps"}, {"balance", "emulate3ds"}),
        ({"type": "visa", "allowedIps": ["203.0.113.45", "here", "fe80::1%eth0"]}, {"allowedIps.1", "allowedIps.2"}),
        ({"type": "visa", "allowedIps": [f"10.0.0.{n}" for n in range(51)]}, {"allowedIps"}),
        ({"type": "visa", "comment": "x" * 256, "expired": []}, {"comment", "expired"}),
    ],
)
async def test_faulty_wishes(bank: WebShop, body: Any, fields: set[str]) -> None:
    """A card is refused with all that is faulty."""
    answer = await bank.post(PATH, body)

    assert answer.status_code == 400, answer.text
    assert set(answer.json()["errors"]) == fields


async def test_the_balance_is_obeyed(bank: WebShop) -> None:
    """Charges take from the balance until it is too little, 5051; it is set anew; only what took is counted."""
    data = await make(bank, balance=25)
    assert [(await pay(bank, data))["code"] for _ in range(3)] == ["0", "0", "5051"]
    assert (await pay(bank, data, 5, "EUR"))["code"] == "5057"
    found = await look(bank, data)
    assert (found["balance"], found["transactions"]) == (5, 2)

    answer = await put(bank, f"{data['id']}/balance", {"balance": 10.01})
    assert (answer.status_code, answer.json()["balance"]) == (200, 10.01)
    assert (await pay(bank, data, 10.01))["code"] == "0"
    assert (await look(bank, data))["transactions"] == 3


async def test_many_at_once_spend_once(bank: WebShop) -> None:
    """Payments at once never take more than there is."""
    data = await make(bank, balance=30)
    codes = [payment["code"] for payment in await asyncio.gather(*(pay(bank, data) for _ in range(8)))]

    assert sorted(codes) == ["0"] * 3 + ["5051"] * 5
    assert (await look(bank, data))["balance"] == 0


async def test_switches_are_obeyed(bank: WebShop) -> None:
    """Blocked declines 5062, expired 5054, an address off the list 5063; unblocked it pays."""
    data = await make(bank, allowedIps=["198.51.100.7"])
    here: dict[str, Any] = {"consumer": consumer(ip="198.51.100.7")}
    assert (await pay(bank, data))["code"] == "5063"
    assert (await pay(bank, data, **here))["code"] == "0"
    blocked = await bank.post(f"{PATH}/{data['id']}/block", [])
    assert (blocked.status_code, blocked.json()["blocked"]) == (200, True)
    assert (await pay(bank, data, **here))["code"] == "5062"
    unblocked = await bank.post(f"{PATH}/{data['id']}/unblock", content=b"", headers={"Content-Type": ""})
    assert (unblocked.status_code, unblocked.json()["blocked"]) == (200, False)
    for key, address in (("ips", "203.0.113.45"), ("items", "198.51.100.7"), ("allowedIps", "2001:db8::7")):
        answer = await put(bank, f"{data['id']}/allowedIps", {key: [address]})
        assert answer.json()["allowedIps"] == [address]
        assert (await pay(bank, data, consumer=consumer(ip=address)))["code"] == "0"
    assert (await pay(bank, await make(bank, expired=True)))["code"] == "5054"


async def test_3ds_is_switched(bank: WebShop) -> None:
    """A card that emulates 3-D Secure sends its holder to the bank; the path switches, whatever the body says."""
    data = await make(bank)
    switched = await bank.post(f"{PATH}/{data['id']}/emulate3ds", {"emulate3ds": False})
    assert switched.json()["emulate3ds"] is True
    payment = await pay(bank, data)
    assert (payment["status"], payment["action"]) == ("pending", "redirect")
    switched = await bank.post(f"{PATH}/{data['id']}/notEmulate3ds", [])
    assert switched.json()["emulate3ds"] is False
    assert (await pay(bank, data))["status"] == "success"


@pytest.mark.parametrize(("result", "code", "left"), [("pass", "0", 15), ("fail", "1010", 25)])
async def test_3ds_is_emulated(running_gateway: RunningGateway, result: str, code: str, left: int) -> None:
    """A challenge that is passed ends in a charge, and counts as one; a failed one takes nothing."""
    url, key = running_gateway.url, running_gateway.demo["apiKey"]
    _, data = request(url + PATH, body={"type": "visa", "emulate3ds": True, "balance": 25}, key=key)
    body = {
        "paymentSource": {"type": "card"} | card(number=data["number"]),
        "sku": {"siteId": running_gateway.demo["siteId"], "price": [price(10)]},
        "consumer": consumer(),
        "url": {"ipnUrl": IPN_URL, "redirectUrl": IPN_URL},
    }
    _, paid = request(f"{url}/payment", body=body, key=key)
    _, ended = request(f"{url}/stage/3ds/{paid['payment']['orderId']}", body={"result": result}, key=key)
    _, after = request(f"{url}{PATH}/{data['id']}", key=key)

    assert paid["payment"]["action"] == "redirect"
    assert ended["payment"]["code"] == code
    assert (after["balance"], after["transactions"]) == (left, int(code == "0"))


@pytest.mark.parametrize(
    ("path", "body", "fields"),
    [
        ("balance", [], {"balance"}),
        ("balance", {"balance": -0.01}, {"balance"}),
        ("balance", {"balance": 0.001}, {"balance"}),
        ("balance", {"balance": "much"}, {"balance"}),
        ("allowedIps", [], {"ips"}),
        ("allowedIps", {"ips": []}, {"ips"}),
        ("allowedIps", {"ips": ["nowhere"]}, {"ips.0"}),
        ("allowedIps", {"ips": "203.0.113.45"}, {"ips"}),
    ],
)
async def test_faulty_changes(bank: WebShop, path: str, body: Any, fields: set[str]) -> None:
    """A faulty change is refused and changes nothing."""
    data = await make(bank)
    answer = await put(bank, f"{data['id']}/{path}", body)

    assert answer.status_code == 400, answer.text
    assert set(answer.json()["errors"]) == fields
    assert await look(bank, data) == data


async def test_deleted(bank: WebShop) -> None:
    """A deleted card is answered with nothing at all, is not found any more, and declines 5014."""
    data = await make(bank)
    headers = {"Authorization": bank.merchant.key}
    answer = await bank.client.delete(f"{PATH}/{data['id']}", headers=headers)

    assert (answer.status_code, answer.content) == (200, b"")
    assert (await bank.client.delete(f"{PATH}/{data['id']}", headers=headers)).status_code == 404
    assert (await bank.get(f"{PATH}/{data['id']}")).status_code == 404
    assert (await put(bank, f"{data['id']}/balance", {"balance": 1})).status_code == 404
    assert (await pay(bank, data))["code"] == "5014"


@pytest.mark.parametrize("name", ["0", "1", "abc", "9" * 18, "9" * 40, "-1", "100001.0"])
async def test_ids_that_were_never_issued(bank: WebShop, name: str) -> None:
    """What names nothing is not found."""
    assert (await bank.get(f"{PATH}/{name}")).status_code == 404
    assert (await bank.post(f"{PATH}/{name}/block", [])).status_code == 404


async def test_a_card_is_its_merchants(bank: WebShop) -> None:
    """Another merchant neither sees, changes nor deletes it; without a key nobody does anything."""
    data = await make(bank)
    path, key = f"{PATH}/{data['id']}", bank.other.key
    put_balance = bank.client.put(f"{path}/balance", json={"balance": 0}, headers={"Authorization": key})

    assert (await bank.get(path, key=key)).status_code == 404
    assert (await bank.post(f"{path}/block", [], key=key)).status_code == 404
    assert (await put_balance).status_code == 404
    assert (await bank.client.delete(path, headers={"Authorization": key})).status_code == 404
    assert (await bank.get(PATH, key=key)).json() == {"data": [], "meta": {"total": 0, "offset": 0, "limit": 100}}
    assert await look(bank, data) == data
    assert (await bank.get(path, key="wrong")).status_code == 401
    assert (await bank.post(PATH, {"type": "visa"}, key="")).status_code == 401


async def test_a_request_id_makes_one(bank: WebShop) -> None:
    """A repeated request gets the first answer, byte for byte, whatever became of the card; another body is 422."""
    headers = {"X-Request-Id": "make-1"}
    body = {"type": "jcb", "balance": 5}
    before = await count(bank, "jcb")
    answers = await asyncio.gather(*(bank.post(PATH, body, headers=headers) for _ in range(4)))
    first = answers[0].json()
    assert await count(bank, "jcb") == before + 1
    await bank.client.delete(f"{PATH}/{first['id']}", headers={"Authorization": bank.merchant.key})
    answers.append(await bank.post(PATH, body, headers=headers))

    assert {(answer.status_code, answer.content) for answer in answers} == {(201, answers[0].content)}
    assert answers[-1].headers["idempotent-replay"] == "true"
    assert (await bank.post(PATH, body | {"balance": 6}, headers=headers)).status_code == 422
    assert await count(bank, "jcb") == before
    assert (await bank.post(PATH, body, headers=headers, key=bank.other.key)).json()["id"] != first["id"]


async def count(bank: WebShop, kind: str) -> int:
    """Count the merchant's cards of a type."""
    answer = await bank.get(f"{PATH}?type={kind}&limit=0")
    return int(answer.json()["meta"]["total"])


async def test_the_list(postgres_dsn: str, template: str) -> None:
    """The newest come first, in an object with where the page is; a faulty question is refused."""
    async with clone_database(postgres_dsn, template) as dsn, open_webshop(dsn) as shop:
        await check_list(shop)


async def check_list(shop: WebShop) -> None:
    """Make four cards and look at the list in every way."""
    made = [await make(shop, type=kind) for kind in ("visa", "amex", "visa", "diners")]

    page = (await shop.get(f"{PATH}?limit=2")).json()
    assert page == {"data": [made[3], made[2]], "meta": {"total": 4, "offset": 0, "limit": 2}}
    rest = (await shop.get(f"{PATH}?limit=2&offset=2")).json()
    assert [data["id"] for data in rest["data"]] == [made[1]["id"], made[0]["id"]]
    assert (await shop.get(f"{PATH}?type=visa")).json()["data"] == [made[2], made[0]]
    assert (await shop.get(f"{PATH}?limit=0")).json() == {"data": [], "meta": {"total": 4, "offset": 0, "limit": 0}}
    assert (await shop.get(f"{PATH}?limit=5000&type=")).json()["meta"]["limit"] == 100
    answer = await shop.get(f"{PATH}?limit=-1&type=cash&offset=x")
    assert answer.status_code == 400
    assert set(answer.json()["errors"]) == {"limit", "type", "offset"}


async def test_options(bank: WebShop) -> None:
    """A path tells all of its methods, whichever was registered first."""
    for path, methods in ((PATH, "GET, HEAD, OPTIONS, POST"), (f"{PATH}/100001", "DELETE, GET, HEAD, OPTIONS")):
        answer = await bank.client.options(path)
        assert (answer.status_code, answer.headers.get_list("allow")) == (204, [methods])


async def test_not_in_live(postgres_dsn: str, template: str) -> None:
    """In live there are no test cards."""
    async with clone_database(postgres_dsn, template) as dsn, open_webshop(dsn, environment="live") as live:
        assert (await live.post(PATH, {"type": "visa"})).status_code == 404
        assert (await live.get(PATH)).status_code == 404
        assert PATH not in (await live.get("/openapi.json")).json()["paths"]
