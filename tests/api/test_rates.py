"""Exchange rates, our own addresses, and the amount in dollars of payments."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError
from tests.support.webshop import price

from tollhouse.composition.settings import Settings
from tollhouse.rates.store import load_rates

if TYPE_CHECKING:
    from tests.support.webshop import OpenShop, WebShop


async def test_the_list_of_rates(shop: WebShop) -> None:
    """The list has an object for each currency with a rate, its worth as numbers in both directions."""
    answer = await shop.get("/currency-exchange-rate")
    rates = json.loads(answer.text, parse_float=Decimal)
    by_code = {rate["iso3"]: rate for rate in rates}
    assert answer.status_code == 200
    assert len(rates) == len(by_code) > 60
    assert list(by_code) == sorted(by_code)
    assert by_code["USD"] == {"iso3": "USD", "usdPerUnit": 1, "unitPerUsd": 1}
    assert by_code["EUR"] == {
        "iso3": "EUR",
        "usdPerUnit": Decimal("1.1172"),
        "unitPerUsd": Decimal("0.895094880057"),
        "date": "2026-10-30",
    }
    assert all(isinstance(rate[name], Decimal | int) for rate in rates for name in ("usdPerUnit", "unitPerUsd"))


async def test_one_rate(shop: WebShop) -> None:
    """One rate is what the list says of it; of what has none there is no rate."""
    listed = (await shop.get("/currency-exchange-rate")).json()
    for rate in listed[:5]:
        for code in (rate["iso3"], rate["iso3"].lower()):
            assert (await shop.get(f"/currency-exchange-rate/{code}")).json() == rate
    for unknown in ("XAU", "ABC", "EURO", "%20", "%F0%9F%92%B6"):
        answer = await shop.get(f"/currency-exchange-rate/{unknown}")
        assert (answer.status_code, answer.json()["errors"]) == (404, {}), unknown


async def test_rates_are_for_merchants(shop: WebShop) -> None:
    """Rates need a key, addresses do not: who sets a firewall up opens them in a browser."""
    for path, status in (("/currency-exchange-rate", 401), ("/currency-exchange-rate/EUR", 401), ("/ips", 200)):
        assert (await shop.get(path, key="")).status_code == status


async def test_our_addresses(opened: OpenShop) -> None:
    """The list has what is set, as addresses are written; in stage by default loopback, in live nothing."""
    for environment, given, listed in (
        ("stage", "", ["127.0.0.1", "::1"]),
        ("live", "", []),
        ("live", "192.0.2.1, 2001:DB8:0:0::1, ::ffff:192.0.2.7", ["192.0.2.1", "2001:db8::1", "192.0.2.7"]),
    ):
        shop = await opened(environment=environment, egress_addresses=given)
        assert (await shop.get("/ips", key="")).json() == listed


def test_addresses_are_addresses() -> None:
    """A setting that is no address is refused at the start."""
    for given in ("192.0.2.1/24", "pay.example", "192.0.2.1;192.0.2.2", "1.2.3"):
        with pytest.raises(ValidationError):
            Settings.model_validate({"egress_addresses": given})


async def test_the_amount_in_dollars(shop: WebShop) -> None:
    """An answer has the amount in dollars, by the published rate in cents; a currency without a rate has none."""
    for amount, currency, dollars in (
        (19.99, "USD", "19.99"),
        (10, "EUR", "11.17"),
        (1000, "JPY", "6.36"),
        (5, "ARS", None),
    ):
        answer = await shop.pay(shop.payment(sku=shop.sku(price(amount, currency))))
        payment = json.loads(answer.text, parse_float=Decimal)["payment"]
        assert payment.get("amountUsd") == (dollars and Decimal(dollars)), currency
        look = await shop.get(f"/payment/{payment['transactionId']}")
        assert json.loads(look.text, parse_float=Decimal)["payment"].get("amountUsd") == payment.get("amountUsd")


async def test_the_amount_in_dollars_never_changes(shop: WebShop) -> None:
    """A payment keeps the rate of its beginning, whatever is loaded later; the next one has the new rate."""
    euros = shop.payment(sku=shop.sku(price(10, "EUR")))
    first = (await shop.pay(euros)).json()["payment"]
    await load_rates(shop.gateway.database, b"Date,USD\n2026-11-02,2\n")
    await shop.gateway.parts.rates.refresh()
    again = (await shop.get(f"/payment/{first['transactionId']}")).json()["payment"]
    assert first["amountUsd"] == again["amountUsd"] == 11.17
    assert (await shop.pay(euros | {"metadata": {"n": 2}})).json()["payment"]["amountUsd"] == 20
    [body] = [row["body"] for row in await shop.fetch("select body from event order by position limit 1")]
    assert json.loads(body)["payment"]["amountUsd"] == 11.17
