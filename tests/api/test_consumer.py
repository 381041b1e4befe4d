"""Consumers and their stored cards: made, found, grouped, listed, switched off."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

import pytest
from tests.support.webshop import Merchant, WebShop, card, consumer

pytestmark = pytest.mark.asyncio(loop_scope="module")

PERSON = {
    "username": "jane",
    "email": "jane@shop.example",
    "firstName": "Jane",
    "lastName": "Smith",
    "birthday": "1990-02-28",
    "country": "GBR",
}


async def make_consumer(shop: WebShop, **fields: Any) -> dict[str, Any]:
    """Make a consumer, another one at each call unless an external id is given."""
    answer = await shop.post("/consumer", {"externalId": f"user-{secrets.token_hex(6)}"} | fields)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def buy(shop: WebShop, name: str = "visa", **fields: Any) -> dict[str, Any]:
    """Pay with a card, and return the answer."""
    answer = await shop.pay(shop.payment({"type": "card"} | card(name), consumer=consumer(**fields)))
    assert answer.status_code == 201, answer.text
    paid: dict[str, Any] = answer.json()
    return paid


async def pay_with(shop: WebShop, account_id: str) -> dict[str, Any]:
    """Pay with a stored card, and return the payment."""
    source = {"type": "paymentAccountId", "paymentAccountId": account_id}
    answer = await shop.pay(shop.payment(source, consumer={"ip": "203.0.113.45"}))
    assert answer.status_code == 201, answer.text
    payment: dict[str, Any] = answer.json()["payment"]
    return payment


async def test_a_consumer_is_made(refusing_shop: WebShop) -> None:
    """The answer has what was sent, an id, times as objects, a group as a text, and says whether it is blocked."""
    made = await make_consumer(refusing_shop, externalId="user-00123", **PERSON)
    assert {name: made[name] for name in PERSON} == PERSON
    assert 5 <= len(made["id"]) <= 36
    assert (made["externalId"], made["groupId"], made["blocked"]) == ("user-00123", "3", False)
    assert set(made["createdAt"]) == set(made["updatedAt"]) == {"dateTime", "timezone", "unixTime"}
    assert (await refusing_shop.get(f"/consumer/{made['id']}")).json() == made


async def test_an_external_id_names_one_consumer(refusing_shop: WebShop) -> None:
    """Whether a payment or `POST /consumer` came first, the same external id is the same consumer."""
    shop = refusing_shop
    made = await make_consumer(shop, externalId="both-ways-1", firstName="Jane")
    assert (await buy(shop, id="both-ways-1"))["consumer"]["id"] == made["id"]
    paid = await buy(shop, id="both-ways-2", firstName="John")
    found = await make_consumer(shop, externalId="both-ways-2", lastName="Miller")
    assert (found["id"], found["firstName"], found["lastName"]) == (paid["consumer"]["id"], "John", "Miller")


async def test_a_known_consumer_is_described_anew(refusing_shop: WebShop) -> None:
    """Sent again, an external id changes what is sent and keeps the rest; a blocked consumer stays blocked."""
    shop = refusing_shop
    made = await make_consumer(shop, externalId="again", groupId="2", **PERSON)
    again = await make_consumer(shop, externalId="again", groupId="1", email="new@shop.example")
    assert again == made | {"email": "new@shop.example", "updatedAt": again["updatedAt"]}
    assert again["blocked"] is True
    same = await make_consumer(shop, externalId="again")
    assert same == again


async def test_made_once_at_the_same_time(refusing_shop: WebShop) -> None:
    """Concurrent requests with one external id make one consumer; with one request id they get one answer."""
    shop = refusing_shop
    fields = [{name: value} for name, value in PERSON.items()]
    made = await asyncio.gather(*(make_consumer(shop, externalId="crowd", **one) for one in fields))
    assert len({one["id"] for one in made}) == 1
    settled = (await shop.get(f"/consumer/{made[0]['id']}")).json()
    assert {name: settled[name] for name in PERSON} == PERSON
    body, headers = {"externalId": "crowd-2"} | PERSON, {"X-Request-Id": "crowd"}
    answers = await asyncio.gather(*(shop.post("/consumer", body, headers=headers) for _ in range(4)))
    assert len({answer.content for answer in answers}) == 1
    assert (await shop.post("/consumer", body | {"email": ""}, headers=headers)).status_code == 422


@pytest.mark.parametrize(
    ("changes", "faulty"),
    [
        ({"externalId": ""}, "externalId"),
        ({"externalId": "ab"}, "externalId"),
        ({"externalId": "x" * 256}, "externalId"),
        ({"username": "x" * 256}, "username"),
        ({"email": "jane"}, "email"),
        ({"firstName": "x" * 256}, "firstName"),
        ({"lastName": "x" * 256}, "lastName"),
        ({"birthday": "1990-02-30"}, "birthday"),
        ({"birthday": "19900228"}, "birthday"),
        ({"country": "Gx"}, "country"),
        ({"groupId": "0"}, "groupId"),
        ({"groupId": "6"}, "groupId"),
        ({"groupId": 2.5}, "groupId"),
        ({"groupId": True}, "groupId"),
    ],
)
async def test_faulty_consumers(refusing_shop: WebShop, changes: dict[str, Any], faulty: str) -> None:
    """A field that is not what it should be is named."""
    answer = await refusing_shop.post("/consumer", {"externalId": "user-1"} | changes)
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [faulty])


@pytest.mark.parametrize(
    "fields",
    [
        {"externalId": "abc", "username": "x", "firstName": "x", "lastName": "x", "groupId": 1},
        {"externalId": "x" * 255, "username": "x" * 255, "firstName": "x" * 255, "lastName": "x" * 255, "groupId": "5"},
        {"externalId": 12345, "email": "", "birthday": None},
    ],
)
async def test_bounds_of_a_consumer_at_their_edges(refusing_shop: WebShop, fields: dict[str, Any]) -> None:
    """The shortest and the longest is taken, numbers for texts, and empty texts for what is absent."""
    made = await make_consumer(refusing_shop, **fields)
    assert {name: made[name] for name, value in fields.items() if value} == {
        name: str(value) for name, value in fields.items() if value
    }


@pytest.mark.parametrize("group", ["1", "2", "3", "4", "5"])
async def test_the_group_is_changed(refusing_shop: WebShop, group: str) -> None:
    """PUT changes the group and nothing else; without a group nothing changes."""
    shop = refusing_shop
    made = await make_consumer(shop, **PERSON)
    path = f"/consumer/{made['id']}"
    changed = (await shop.put(path, {"groupId": group})).json()
    assert changed == made | {"groupId": group, "blocked": group == "2", "updatedAt": changed["updatedAt"]}
    assert (await shop.put(path, [])).json() == changed


async def test_consumers_of_others_are_not_there(refusing_shop: WebShop, other_merchant_of: Merchant) -> None:
    """Another merchant's consumer, its cards and its groups are unknown."""
    shop, key = refusing_shop, other_merchant_of.key
    paid = await buy(shop)
    path = f"/consumer/{paid['consumer']['id']}"
    assert (await shop.get(path, key=key)).status_code == 404
    assert (await shop.put(path, {"groupId": "2"}, key=key)).status_code == 404
    assert (await shop.get(f"{path}/paymentAccounts", key=key)).status_code == 404
    for unknown in ("/consumer/c1", f"/consumer/{'x' * 37}", "/consumer/%00"):
        assert (await shop.get(unknown)).status_code == 404
        assert (await shop.put(unknown, {"groupId": "2"})).status_code == 404


async def test_the_list_of_cards(refusing_shop: WebShop) -> None:
    """A list, newest first, each card once and masked; of a consumer without a card an empty one."""
    shop = refusing_shop
    made = await make_consumer(shop)
    path = f"/consumer/{made['id']}/paymentAccounts"
    assert (await shop.get(path)).json() == []
    for name in ("visa", "mastercard", "visa"):
        await buy(shop, name, id=made["externalId"])
    accounts = (await shop.get(path)).json()
    assert [account["brand"] for account in accounts] == ["mastercard", "visa"]
    assert accounts[1] == {
        "paymentAccountId": accounts[1]["paymentAccountId"],
        "method": "card",
        "number": f"{card()['number'][:6]}****{card()['number'][-4:]}",
        "brand": "visa",
        "expirationMonth": 12,
        "expirationYear": 25,
        "disabled": False,
    }
    first = (await shop.get(f"{path}?limit=1")).json()
    rest = (await shop.get(f"{path}?limit=1&cursor={first[0]['paymentAccountId']}")).json()
    assert first + rest == accounts
    assert (await shop.get(f"{path}?cursor={rest[0]['paymentAccountId']}")).json() == []


@pytest.mark.parametrize(
    ("query", "faulty"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=x", "limit"),
        ("cursor=x", "cursor"),
        ("cursor=%00", "cursor"),
    ],
)
async def test_faulty_pages(refusing_shop: WebShop, query: str, faulty: str) -> None:
    """What stands after the question mark is checked like a body."""
    answer = await refusing_shop.get(f"/consumer/c12345/paymentAccounts?{query}")
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [faulty])


async def test_a_disabled_card_is_not_charged(refusing_shop: WebShop) -> None:
    """A disabled card is refused with 1020, whoever names it, and answers say that it is; enabled, it pays again."""
    shop = refusing_shop
    paid = await buy(shop)
    account_id, consumer_id = paid["payment"]["source"]["paymentAccountId"], paid["consumer"]["id"]
    for _ in range(2):
        answer = await shop.post(f"/paymentAccount/{account_id.upper()}/disable", [])
        assert (answer.status_code, answer.content) == (200, b"")
    listed = (await shop.get(f"/consumer/{consumer_id}/paymentAccounts")).json()
    assert [account["disabled"] for account in listed] == [True]
    refused = await pay_with(shop, account_id)
    assert (refused["status"], refused["code"], refused["source"]["disabled"]) == ("fail", "1020", True)
    by_code = {"type": "paymentAccountIdWithCvv", "paymentAccountId": account_id, "cvv": "009"}
    for source in ({"type": "consumer", "id": consumer_id}, by_code):
        answer = await shop.pay(shop.payment(source, consumer={"ip": "203.0.113.45"}))
        assert answer.json()["payment"]["code"] == "1020"
    assert (await shop.post(f"/paymentAccount/{account_id}/enable", content=b"")).status_code == 200
    charged = await pay_with(shop, account_id)
    assert (charged["status"], charged["source"]["disabled"]) == ("success", False)


async def test_cards_of_others_are_not_there(refusing_shop: WebShop, other_merchant_of: Merchant) -> None:
    """Nobody switches another merchant's card, and an id that is none is not found."""
    shop = refusing_shop
    account_id = (await buy(shop))["payment"]["source"]["paymentAccountId"]
    for verb in ("enable", "disable"):
        assert (await shop.post(f"/paymentAccount/{account_id}/{verb}", key=other_merchant_of.key)).status_code == 404
        assert (await shop.post(f"/paymentAccount/123/{verb}")).status_code == 404
        assert (await shop.post(f"/paymentAccount/{account_id}/{verb}", key="")).status_code == 401
    assert (await pay_with(shop, account_id))["status"] == "success"


@pytest.fixture
def other_merchant_of(refusing_shop: WebShop) -> Merchant:
    """Somebody else."""
    return refusing_shop.other
