"""`GET /subscription/{id}/upcoming` and `POST /subscription/preview`: future charges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from tollhouse.api.fields.price import PriceFields, Schedule
from tollhouse.api.fields.values import Moment, text
from tollhouse.api.reading.access import RequestAuthenticator
from tollhouse.api.reading.body import Body
from tollhouse.api.reading.ids import read_id
from tollhouse.api.reading.requests import read_query, read_request
from tollhouse.billing.changes.change import MISSING, access_subscription
from tollhouse.billing.dependencies import BillingDependencies
from tollhouse.billing.schedule import Charge
from tollhouse.billing.upcoming import MAX_CHARGES, Upcoming, list_upcoming, preview
from tollhouse.catalog.model import Price
from tollhouse.http.requests import Purpose, Request
from tollhouse.http.responses import Response
from tollhouse.http.routes import Calls, call
from tollhouse.kernel.errors import Invalid
from tollhouse.wire.render import render, render_date
from tollhouse.wire.resources import ChargeAnswer, PreviewAnswer, UpcomingAnswer

DEFAULT_CHARGES = 12
#: The conditions of a charge, by their names in responses.
WAITS_FOR = {"card": "paymentAccount", "merchant": "merchant"}
LIMIT_TEXT = "The maximum number of charges."


class UpcomingQuery(Body):
    """The number of future charges to return."""

    limit: int = Field(DEFAULT_CHARGES, ge=1, le=MAX_CHARGES, description=LIMIT_TEXT)


class PreviewSku(Body):
    """A SKU with prices."""

    name: text(36) = Field(description="Its name.", examples=["PREMIUM_MONTHLY"])  # type: ignore[valid-type]


class PreviewRequest(Body):
    """The subject of a sign-up: prices or a SKU."""

    sku: Annotated[PreviewSku | None, BeforeValidator(lambda content: content or None)] = Field(
        None, description="A SKU. Required, or `price`."
    )
    price: Schedule = Field(
        default_factory=list, validate_default=True, description="The prices, as of a SKU. Required, or `sku`."
    )
    at: Moment | None = Field(None, description="The time of the sign-up; by default now.")
    limit: int = Field(DEFAULT_CHARGES, ge=1, le=MAX_CHARGES, description=LIMIT_TEXT)

    @field_validator("price", mode="after")
    @classmethod
    def _check_price(cls, prices: list[PriceFields], info: ValidationInfo) -> list[PriceFields]:
        if "sku" in info.data:  # otherwise it is invalid and has an error of its own
            has_sku = info.data["sku"] is not None
            if has_sku and prices:
                raise ValueError("cannot be combined with sku")
            if not has_sku and not prices:
                raise ValueError("is required, or sku.name")
        return prices


class ChargeCalls(Calls):
    """Future charges."""

    def __init__(self, billing: BillingDependencies, authenticator: RequestAuthenticator) -> None:
        self._billing = billing
        self._authenticator = authenticator

    @call(
        "GET /subscription/{subscriptionId}/upcoming", "List future charges", query=UpcomingQuery, answer=UpcomingAnswer
    )
    async def list_upcoming_charges(self, request: Request) -> Response:
        """Return the next charges of a subscription, if nothing changes. The first may be in progress."""
        valid = await read_query(self._authenticator, request, UpcomingQuery)
        key = valid.merchant.merchant_id, read_id(request.path_parameters["subscriptionId"], MISSING)
        listed = list_upcoming(await access_subscription(self._billing, key), limit=valid.body.limit)
        return _render(UpcomingAnswer(data=[_show_upcoming(upcoming) for upcoming in listed]))

    @call("POST /subscription/preview", "Preview a sign-up", Purpose.READS, PreviewRequest, PreviewAnswer)
    async def preview_subscription(self, request: Request) -> Response:
        """Return the charges of a sign-up, at once and later. Nothing is stored."""
        valid = await read_request(self._authenticator, request, PreviewRequest)
        merchant_id, body = valid.merchant.merchant_id, valid.body
        prices = [price.price for price in body.price] or await _find_prices(self._billing, merchant_id, body.sku)
        at = body.at or self._billing.clock.now() + self._billing.clock.offset_of(merchant_id)
        due, charges = preview(prices, at, limit=body.limit)
        return _render(
            PreviewAnswer(
                at=render_date(at),
                amount=due.to_decimal(),
                currency=due.currency.code,
                data=[_show_charge(charge) for charge in charges],
            )
        )


async def _find_prices(billing: BillingDependencies, merchant_id: int, sku: PreviewSku | None) -> Sequence[Price]:
    """Return the prices of a SKU. Raises Invalid if it is unknown or has none."""
    found = await billing.lookups.catalog.sku(merchant_id, sku.name) if sku else None
    if found is None:
        raise Invalid({"sku.name": ["is unknown"]})
    if not found.prices:
        raise Invalid({"sku.name": ["has no price"]})
    return found.prices


def _show_charge(charge: Charge) -> ChargeAnswer:
    """Render a charge."""
    return ChargeAnswer(
        period=charge.period,
        date=render_date(charge.due_at),
        amount=charge.money.to_decimal(),
        currency=charge.money.currency.code,
        coversUntil=render_date(charge.covers_until),
    )


def _show_upcoming(upcoming: Upcoming) -> ChargeAnswer:
    """Render a future charge, with the time of its next attempt if that is later, or the event it waits for."""
    is_later = upcoming.at is not None and upcoming.at > upcoming.charge.due_at
    return _show_charge(upcoming.charge).model_copy(
        update={
            "nextTry": render_date(upcoming.at) if upcoming.at and is_later else None,
            "waitsFor": upcoming.waits_for and WAITS_FOR[upcoming.waits_for],
            "waitsUntil": upcoming.waits_until and render_date(upcoming.waits_until),
        }
    )


def _render(content: Any) -> Response:
    return Response(render(content))
