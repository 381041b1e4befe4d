"""Charges that a merchant initiates, from the API to the issuer and back."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.webshop import WebShop, card, consumer


async def sign_up(shop: WebShop, name: str, **source: Any) -> dict[str, Any]:
    """Let a customer pay with a card, and return what a merchant charges it by."""
    answer = await shop.pay(shop.payment({"type": "card"} | card(name) | source, consumer=consumer()))
    assert answer.json()["payment"]["status"] == "success", answer.text
    account = answer.json()["payment"]["source"]["paymentAccountId"]
    return {"type": "paymentAccountId", "paymentAccountId": account, "initiator": "merchant"}


async def charge(shop: WebShop, source: dict[str, Any]) -> tuple[str, str]:
    """Charge a stored card and return status and code."""
    answer = await shop.pay(shop.payment(source, consumer={"ip": "203.0.113.45"}))
    assert answer.status_code == 201, answer.text
    payment = answer.json()["payment"]
    return payment["status"], payment["code"]


@pytest.mark.parametrize(
    ("name", "code"),
    [("renewal_51", "5051"), ("renewal_r1", "5211"), ("renewal_1a", "1012"), ("closed", "5046")],
)
async def test_cards_for_renewals(shop: WebShop, name: str, code: str) -> None:
    """A card for renewals takes the sign-up, and declines what the merchant initiates later with its own code."""
    source = await sign_up(shop, name)
    assert await charge(shop, source) == ("fail", code)


async def test_dunning_succeeds(shop: WebShop) -> None:
    """The card that declines twice approves the third try, and each goes under the id of the sign-up."""
    source = await sign_up(shop, "renewal_after_2")
    outcomes = [await charge(shop, source) for _ in range(4)]
    assert outcomes == [("fail", "5051")] * 2 + [("success", "0")] * 2
    rows = await shop.fetch("select distinct network_transaction_id from transaction where status = 'success'")
    assert len(rows) == 1


async def test_an_emulated_code_is_good_once(shop: WebShop) -> None:
    """The emulateCode of a sign-up says nothing about what is charged to the stored card afterwards."""
    source = await sign_up(shop, "renewal_51", emulateCode="0000")
    assert await charge(shop, source) == ("fail", "5051")
    assert await charge(shop, source | {"emulateCode": "0000"}) == ("success", "0")
    assert await charge(shop, source) == ("fail", "5051")
