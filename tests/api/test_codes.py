"""The table of payment codes."""

from __future__ import annotations

import pytest
from tests.support.webshop import WebShop

from tollhouse.kernel.codes import list_codes, translate_response_code

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_the_table_has_every_code(refusing_shop: WebShop) -> None:
    """Whatever a payment's code may be is in the table, with the text and category that the payment shows."""
    answer = await refusing_shop.get("/codes", key="")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    table = answer.json()
    assert (table["edition"], table["date"]) == ("2026-11", "2026-11-22")
    assert table["source"]
    rows = {(row["code"], row["brand"]): row for row in table["data"]}
    assert {code for code, _ in rows} == {code.code for code in list_codes()} | {"5299"}
    assert rows["0", "any"] == {"code": "0", "brand": "any", "text": "APPROVED", "advice": ""}
    funds = translate_response_code("51", brand="visa")
    assert rows["5051", "any"] == {
        "code": "5051",
        "brand": "any",
        "responseCode": "51",
        "text": funds.text,
        "category": funds.category,
        "retry": funds.retry,
        "advice": funds.advice,
    }
    assert rows["5201", "mastercard"]["responseCode"] == "65"


async def test_the_table_is_kept(refusing_shop: WebShop) -> None:
    """Who has the table already is told so, and anybody may keep it for an hour."""
    first = await refusing_shop.get("/codes", key="")
    again = await refusing_shop.get("/codes", key="", **{"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert first.headers["cache-control"] == "public, max-age=3600"
