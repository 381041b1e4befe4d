"""Charges that a merchant initiates, from the API to the issuer and back."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from tests.support.webshop import WebShop, card, consumer

from tollhouse.acquirers.model import Updated
from tollhouse.payments.charge.account_update import apply_update, query_updater


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


async def renew_card(shop: WebShop, account_id: str) -> str:
    """Ask the updater about a stored card, take over what it tells, and return the account to charge."""
    parts, merchant_id, named = shop.gateway.parts, shop.merchant.merchant_id, UUID(account_id)
    found = await query_updater(parts.card_updates, merchant_id=merchant_id, account_id=named)
    assert isinstance(found, Updated)
    async with parts.database.transaction() as connection:
        return str(
            await apply_update(connection, parts.vault, merchant_id=merchant_id, account_id=named, card=found.card)
        )


@pytest.mark.parametrize(("name", "stays"), [("renewed", True), ("renumbered", False)])
async def test_an_updated_card_is_charged(shop: WebShop, name: str, *, stays: bool) -> None:
    """The issuer declines the old card and approves the updated one, also by the old id and under the old agreement."""
    source = await sign_up(shop, name)
    assert await charge(shop, source) == ("fail", "5054")
    old = source["paymentAccountId"]
    new = await renew_card(shop, old)
    assert (new == old) is stays
    for account_id in (old, new):
        assert await charge(shop, source | {"paymentAccountId": account_id}) == ("success", "0")
    [row] = await shop.fetch("select consumer_id from account where account_id = $1", UUID(new))
    listed = (await shop.get(f"/consumer/{row['consumer_id']}/paymentAccounts")).json()
    assert [entry["paymentAccountId"] for entry in listed] == [new]
    assert (await shop.post(f"/paymentAccount/{old}/disable", {})).status_code == 200
    assert await charge(shop, source | {"paymentAccountId": new}) == ("fail", "1020")
