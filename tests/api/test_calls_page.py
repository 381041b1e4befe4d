"""The page of calls and sources is correct and complete."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from tests.support.contract import CALLS, CARD_SOURCES, OTHERS, SOURCES
from tests.support.php_client import PhpClient
from tests.support.webshop import WebShop

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "calls.md").read_text()
ROW = re.compile(r"^\| `([^`]+)` \| (.+?) \|(?: (.+?) \|)?$", re.MULTILINE)
IMPLEMENTED = "implemented"
#: Calls of other public clients than the one that these tests speak.
OTHER_CALLS = {
    "GET /transaction/{}/ipn",
    "GET /order/{}/ipn",
    "POST /transaction/{}/ipn",
    "POST /epayment/lib/paypage_api/pay.php",
}


def rows_of(title: str) -> dict[str, str]:
    """Return the first and the last column of a section's table."""
    section = re.search(rf"^## {title}$(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert section
    return {name: state or what for name, what, state in ROW.findall(section[1])}


def shape(call: str) -> str:
    """Return a call without the names of its parameters."""
    return re.sub(r"\{\w*\}", "{}", call)


async def routes_of(shop: WebShop) -> set[str]:
    """Return the calls of the application, without the names of their parameters."""
    document: dict[str, Any] = (await shop.get("/openapi.json")).json()
    return {
        shape(f"{method.upper()} {path}") for path, operations in document["paths"].items() for method in operations
    }


async def test_every_call_of_the_contract(refusing_shop: WebShop) -> None:
    """The page lists each call once, and calls those with a route implemented, and no others."""
    listed = {shape(call): state for call, state in rows_of("Calls").items()}
    assert listed.keys() == {f"{call.method} {call.path}" for call in CALLS} | OTHER_CALLS
    assert len(CALLS) == 41
    implemented = {call for call, state in listed.items() if state == IMPLEMENTED}
    assert implemented == listed.keys() & await routes_of(refusing_shop)
    assert all(state == IMPLEMENTED or state.startswith("planned with ") for state in listed.values())


async def test_every_other_call(refusing_shop: WebShop) -> None:
    """Each call that the application has besides is listed too."""
    known = {f"{call.method} {call.path}" for call in CALLS} | OTHER_CALLS
    assert {shape(call) for call in rows_of("Calls of our own")} == await routes_of(refusing_shop) - known


async def test_every_source(refusing_shop: WebShop) -> None:
    """The page lists each source; the API accepts implemented types and rejects the others."""
    shop, listed = refusing_shop, rows_of("Payment sources")
    assert listed.keys() == SOURCES
    for kind, state in listed.items():
        answer = await shop.pay({"paymentSource": {"type": kind}})
        is_refused = "paymentSource.type" in answer.json()["errors"]
        assert is_refused is (state != IMPLEMENTED), kind
    assert {kind for kind, state in listed.items() if state == IMPLEMENTED} >= CARD_SOURCES


async def test_every_call_about_cards_is_there(refusing_shop: WebShop) -> None:
    """What concerns cards is there, all of it, and the client of these tests makes each of these calls."""
    about_cards = [call for call in CALLS if not any(call.path.startswith(other) for other in OTHERS)]
    assert {f"{call.method} {call.path}" for call in about_cards} <= await routes_of(refusing_shop)
    tested = (Path(__file__).parent / "test_php_client.py").read_text()
    assert [call.client for call in about_cards if not hasattr(PhpClient, call.client)] == []
    assert [call.client for call in about_cards if f"php.{call.client}(" not in tested] == []
