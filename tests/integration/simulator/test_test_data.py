"""Test payment data at the simulator: made for a merchant, and obeyed by the issuer."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from tests.support.issuing import areq, encode, order, proof_of

from tollhouse.acquirers.model import Approved, Declined
from tollhouse.acquirers.simulated import SimulatedAcquirer
from tollhouse.kernel.card import Card, CardNumber, Expiry
from tollhouse.simulator.host import Simulator


async def ask(simulator: Simulator, verb: str, **message: Any) -> dict[str, Any]:
    """Ask the simulator about test data of merchant 1."""
    answer = await simulator.handle(f"/control/test-data/{verb}", encode({"merchantId": 1} | message))
    assert isinstance(answer, bytes)
    content: dict[str, Any] = json.loads(answer)
    return content


async def make(simulator: Simulator, **wanted: Any) -> dict[str, Any]:
    """Make a card with 100.00 USD."""
    answer = await ask(simulator, "create", **({"type": "visa", "balanceMinor": 10000, "currency": "USD"} | wanted))
    data: dict[str, Any] = answer["data"]
    return data


def card_of(data: dict[str, Any]) -> Card:
    """Return the card."""
    return Card(CardNumber(data["number"]), Expiry(12, 2030))


async def count_transactions(simulator: Simulator, data: dict[str, Any]) -> int:
    """Return how often the card was charged, as it is told."""
    answer = await ask(simulator, "read", id=data["id"])
    return int(answer["data"]["transactions"])


async def test_a_charge_takes_from_the_balance(simulator: Simulator, acquirer: SimulatedAcquirer) -> None:
    """Charges take, reversals give back, too much declines 51, another currency 57; approvals count."""
    data = await make(simulator)
    sale = order(card=card_of(data), amount_minor=6000)

    assert isinstance(await acquirer.authorize(sale), Approved)
    assert await acquirer.authorize(order(card=card_of(data), amount_minor=6000)) == Declined("51")
    assert await acquirer.authorize(order(card=card_of(data), amount_minor=1, currency="EUR")) == Declined("57")
    assert (await ask(simulator, "read", id=data["id"]))["data"]["balanceMinor"] == 4000
    assert await count_transactions(simulator, data) == 1
    await acquirer.reverse(sale.reference, sale.money)
    assert (await ask(simulator, "read", id=data["id"]))["data"]["balanceMinor"] == 10000


async def test_changes_are_obeyed(simulator: Simulator, acquirer: SimulatedAcquirer) -> None:
    """Blocked is 62, expired 54, an address off the list 63; each as soon as it is said, and until it is taken back."""
    data, expired = await make(simulator), await make(simulator, expired=True)

    async def pay(**changes: Any) -> object:
        return await acquirer.authorize(order(card=card_of(data), amount_minor=100, **changes))

    await ask(simulator, "change", id=data["id"], blocked=True)
    assert await pay() == Declined("62")
    await ask(simulator, "change", id=data["id"], blocked=False, allowedIps=["203.0.113.45", "2001:db8::1"])
    assert isinstance(await pay(consumer_ip="203.0.113.45"), Approved)
    agreed = await pay(consumer_ip="2001:0DB8:0::1")
    assert isinstance(agreed, Approved)
    assert await pay(consumer_ip="203.0.113.46") == Declined("63")
    assert await pay() == Declined("63")
    assert isinstance(await pay(initiator="merchant", network_transaction_id=agreed.network_transaction_id), Approved)
    assert await acquirer.authorize(order(card=card_of(expired))) == Declined("54")
    await ask(simulator, "change", id=data["id"], balanceMinor=99)
    assert await pay(consumer_ip="203.0.113.45") == Declined("51")


async def test_emulated_3ds_challenges(simulator: Simulator, acquirer: SimulatedAcquirer) -> None:
    """A card that emulates 3-D Secure wants proof, and its Directory a challenge, whose proof is good for it alone."""
    data = await make(simulator, emulate3ds=True)
    ares = await read_ares(simulator, acctNumber=data["number"])

    assert await acquirer.authorize(order(card=card_of(data))) == Declined("1A")
    assert ares["transStatus"] == "C"
    await ask(simulator, "change", id=data["id"], emulate3ds=False)
    assert isinstance(await acquirer.authorize(order(card=card_of(data))), Approved)
    ares = await read_ares(simulator, acctNumber=data["number"])
    assert ares["transStatus"] == "Y"
    other = await make(simulator)
    assert await acquirer.authorize(order(card=card_of(other), proof=proof_of(ares))) == Declined("82")
    assert isinstance(await acquirer.authorize(order(card=card_of(data), proof=proof_of(ares))), Approved)


async def test_a_deleted_card_is_no_card(simulator: Simulator, acquirer: SimulatedAcquirer) -> None:
    """A deleted card declines 14, is not listed, and cannot be changed; a merchant's card belongs to no other."""
    data = await make(simulator)

    assert (await ask(simulator, "delete", id=data["id"], merchantId=2)) == {"isDeleted": False}
    assert (await ask(simulator, "change", id=data["id"], merchantId=2, balanceMinor=0)) == {"data": None}
    assert (await ask(simulator, "read", id=data["id"]))["data"] == data
    assert (await ask(simulator, "delete", id=data["id"])) == {"isDeleted": True}
    assert (await ask(simulator, "delete", id=data["id"])) == {"isDeleted": False}
    assert (await ask(simulator, "read", id=data["id"])) == {"data": None}
    assert (await ask(simulator, "list")) == {"data": [], "total": 0}
    assert await acquirer.authorize(order(card=card_of(data))) == Declined("14")


async def test_a_request_makes_one(simulator: Simulator) -> None:
    """The same request makes one however often and at once it comes, also when that is deleted; another is told so."""
    request = {"requestKey": "k", "requestDigest": "d"}
    made = await asyncio.gather(*(make(simulator, **request) for _ in range(6)))
    await ask(simulator, "delete", id=made[0]["id"])

    assert {data["id"] for data in made} == {made[0]["id"]}
    assert (await make(simulator, **request))["id"] == made[0]["id"]
    wanted = {"type": "amex", "balanceMinor": 0, "currency": "USD", "requestKey": "k", "requestDigest": "other"}
    assert await ask(simulator, "create", **wanted) == {"data": None, "isReused": True}
    assert (await make(simulator, **request, merchantId=2))["id"] != made[0]["id"]


@pytest.mark.parametrize(("limit", "offset", "expected"), [(2, 0, ["jcb", "amex"]), (2, 2, ["visa"]), (0, 0, [])])
async def test_the_list_is_paged(simulator: Simulator, limit: int, offset: int, expected: list[str]) -> None:
    """A page has as many as were asked for, the newest first; the total is of all, or of all of a type."""
    for kind in ("visa", "amex", "jcb"):
        await make(simulator, type=kind)
    answer = await ask(simulator, "list", limit=limit, offset=offset)

    assert [data["type"] for data in answer["data"]] == expected
    assert answer["total"] == 3
    assert (await ask(simulator, "list", type="jcb"))["total"] == 1


async def read_ares(simulator: Simulator, **changes: Any) -> dict[str, Any]:
    """Send an AReq and return the ARes."""
    answer = await simulator.handle("/directory", encode(areq("visa", 1999, **changes)))
    assert isinstance(answer, bytes)
    ares: dict[str, Any] = json.loads(answer)
    return ares
