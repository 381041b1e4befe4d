"""`GET /currency-exchange-rate`, `GET /currency-exchange-rate/{iso}` and `GET /ips`."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from litestar import Response, get
from litestar.params import FromPath

from tollhouse.api.access import AnyRequest, RequestAuthenticator
from tollhouse.api.openapi import describe
from tollhouse.kernel.errors import NotFound
from tollhouse.wire.rates import AddressListAnswer, RateAnswer, RateListAnswer
from tollhouse.wire.render import render

if TYPE_CHECKING:
    from litestar.handlers import HTTPRouteHandler

    from tollhouse.rates.access import Rates
    from tollhouse.rates.model import Rate

JSON = "application/json"


def rate_handlers(
    rates: Rates, gate: RequestAuthenticator, egress_addresses: Sequence[IPv4Address | IPv6Address]
) -> list[HTTPRouteHandler]:
    """Return the handlers."""

    @get("/currency-exchange-rate", opt=describe("List exchange rates", answer=RateListAnswer))
    async def list_rates(request: AnyRequest) -> Response[bytes]:
        """Return what each currency is worth in US dollars.

        From the euro reference rates of the European Central Bank and from fixed parities. A currency without a rate
        is not in the list, and payments in it have no `amountUsd`.
        """
        await gate.access(request)
        answer = RateListAnswer([build_rate(rate) for rate in rates.all().values()])
        return Response(render(answer), media_type=JSON)

    @get("/currency-exchange-rate/{iso:str}", opt=describe("Get an exchange rate", answer=RateAnswer, may_miss=True))
    async def get_rate(request: AnyRequest, iso: FromPath[str]) -> Response[bytes]:
        """Return what one currency is worth in US dollars."""
        await gate.access(request)
        rate = rates.all().get(iso.upper())
        if rate is None:
            raise NotFound("There is no rate of that currency.")
        return Response(render(build_rate(rate)), media_type=JSON)

    addresses = render(AddressListAnswer([str(address) for address in egress_addresses]))

    @get("/ips", opt=describe("List our addresses", answer=AddressListAnswer, needs_key=False), sync_to_thread=False)
    def list_addresses() -> Response[bytes]:
        """Return the addresses from which callbacks are sent, for the allow-list of a firewall. No key is needed."""
        return Response(addresses, media_type=JSON)

    return [list_rates, get_rate, list_addresses]


def build_rate(rate: Rate) -> RateAnswer:
    """Say it in the words of the wire."""
    return RateAnswer(
        iso3=rate.currency,
        usdPerUnit=rate.usd_per_unit,
        unitPerUsd=rate.unit_per_usd,
        date=rate.day.isoformat() if rate.day else None,
    )
