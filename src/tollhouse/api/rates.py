"""`GET /currency-exchange-rate`, `GET /currency-exchange-rate/{iso}` and `GET /ips`."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address

from tollhouse.api.reading.access import RequestAuthenticator
from tollhouse.http.requests import Request
from tollhouse.http.responses import Response
from tollhouse.http.routes import Calls, call
from tollhouse.kernel.errors import NotFound
from tollhouse.rates.access import Rates
from tollhouse.rates.model import Rate
from tollhouse.wire.render import render
from tollhouse.wire.tables import AddressListAnswer, RateAnswer, RateListAnswer


class RateCalls(Calls):
    """Exchange rates, and the addresses of callbacks."""

    def __init__(
        self, rates: Rates, authenticator: RequestAuthenticator, egress_addresses: Sequence[IPv4Address | IPv6Address]
    ) -> None:
        self._rates = rates
        self._authenticator = authenticator
        self._addresses = render(AddressListAnswer([str(address) for address in egress_addresses]))

    @call("GET /currency-exchange-rate", "List exchange rates", answer=RateListAnswer)
    async def list_rates(self, request: Request) -> Response:
        """Return the value of each currency in US dollars.

        The rates are the euro reference rates of the European Central Bank and fixed parities. Payments in a currency
        that is not listed have no `amountUsd`.
        """
        await self._authenticator.access(request)
        answer = RateListAnswer([build_rate(rate) for rate in self._rates.all().values()])
        return Response(render(answer))

    @call("GET /currency-exchange-rate/{iso}", "Get an exchange rate", answer=RateAnswer)
    async def get_rate(self, request: Request) -> Response:
        """Return the value of a currency in US dollars."""
        await self._authenticator.access(request)
        rate = self._rates.all().get(request.path_parameters["iso"].upper())
        if rate is None:
            raise NotFound("Currency not found. List the rates to see all.")
        return Response(render(build_rate(rate)))

    @call("GET /ips", "List callback addresses", answer=AddressListAnswer, needs_key=False)
    async def list_addresses(self, _: Request) -> Response:
        """Return the addresses from which callbacks are sent, for the allow-list of a firewall. No key is needed."""
        return Response(self._addresses)


def build_rate(rate: Rate) -> RateAnswer:
    """Build the model of the response."""
    return RateAnswer(
        iso3=rate.currency,
        usdPerUnit=rate.usd_per_unit,
        unitPerUsd=rate.unit_per_usd,
        date=rate.day.isoformat() if rate.day else None,
    )
