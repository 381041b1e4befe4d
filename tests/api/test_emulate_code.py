"""`emulateCode`: every source ends with the code that is asked for, in stage."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from tests.support.webshop import WebShop, card, clone_database, consumer, open_webshop

SOURCES = ("card", "token", "consumer", "paymentAccountId", "paymentAccountIdWithCvv", "cc_token")

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(postgres_dsn: str, template: str) -> AsyncIterator[WebShop]:
    """Stage, for the tests of this module."""
    async with clone_database(postgres_dsn, template) as dsn, open_webshop(dsn) as shop:
        yield shop


async def build_source(stage: WebShop, kind: str, person: dict[str, Any]) -> dict[str, Any]:
    """Build a source of a kind; a stored one is of a payment that this person makes first."""
    if kind == "card":
        return {"type": kind} | card()
    if kind == "token":
        return {"type": kind, "token": await stage.token()}
    first = (await stage.pay(stage.payment(consumer=person))).json()
    account = {"paymentAccountId": first["payment"]["source"]["paymentAccountId"]}
    fields = {
        "consumer": {"id": first["consumer"]["id"]},
        "paymentAccountId": account,
        "paymentAccountIdWithCvv": account | {"cvv": "009"},
        "cc_token": {},
    }
    return {"type": kind} | fields[kind]


@pytest.mark.parametrize("kind", SOURCES)
async def test_every_source_obeys(stage: WebShop, kind: str) -> None:
    """Zeros approve, a code declines with itself, and the very source that was told to decline pays without."""
    person = consumer()
    source = await build_source(stage, kind, person)
    for code, expected in (("5051", "5051"), ("0005", "5005"), ("00R1", "5211"), ("0000", "0")):
        if kind == "token":
            source["token"] = await stage.token()
        answer = await stage.pay(stage.payment(source | {"emulateCode": code}, consumer=person))
        assert answer.status_code == 201, answer.text
        assert answer.json()["payment"]["code"] == expected
    answer = await stage.pay(stage.payment({"type": "card", "emulateCode": "0000"} | card("decline_51")))
    assert answer.json()["payment"]["status"] == "success"


@pytest.mark.parametrize("kind", SOURCES)
async def test_a_code_has_its_form(stage: WebShop, kind: str) -> None:
    """Four to six letters or digits, whatever the source."""
    person = consumer()
    source = await build_source(stage, kind, person)
    for code in ("000", "0000000", "00-0"):
        answer = await stage.pay(stage.payment(source | {"emulateCode": code}, consumer=person))
        assert answer.status_code == 400
        assert set(answer.json()["errors"]) == {"paymentSource.emulateCode"}
    assert (await stage.pay(stage.payment(source | {"emulateCode": ""}, consumer=person))).status_code == 201


async def test_live_refuses_it(postgres_dsn: str, template: str) -> None:
    """In live nobody says how a payment ends."""
    urls = {"ipnUrl": "https://shop.example/ipn", "redirectUrl": "https://shop.example/thanks"}
    fields = {
        "token": {"token": "d86bdcbb-c369-46d9-a9d0-9c5010e3bfdb"},
        "card": card(expirationYear="99"),
        "consumer": {"id": "c234567abcdefgh234567abcd"},
        "paymentAccountId": {"paymentAccountId": "d86bdcbb-c369-46d9-a9d0-9c5010e3bfdb"},
        "paymentAccountIdWithCvv": {"paymentAccountId": "d86bdcbb-c369-46d9-a9d0-9c5010e3bfdb", "cvv": "009"},
        "cc_token": {},
    }
    assert set(fields) == set(SOURCES)
    async with clone_database(postgres_dsn, template) as dsn, open_webshop(dsn, environment="live") as live:
        for kind, own in fields.items():
            answer = await live.pay(live.payment({"type": kind, "emulateCode": "0000"} | own, url=urls))
            assert answer.status_code == 400
            assert answer.json()["errors"]["paymentSource.emulateCode"] == ["is for stage only"]
