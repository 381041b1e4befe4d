"""`POST /sku`, `GET /sku/{name}` and `PUT /sku/{name}`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

import msgspec
from pydantic import BeforeValidator, Field, ValidationInfo, WithJsonSchema, field_validator, model_validator

from tollhouse.api.fields.price import AnyCurrency, Schedule, read_amount
from tollhouse.api.fields.values import TypedText
from tollhouse.api.reading.access import RequestAuthenticator
from tollhouse.api.reading.body import Body, naming_faults
from tollhouse.api.reading.ids import read_name
from tollhouse.api.reading.requests import read_creation, read_request
from tollhouse.api.site import ExternalId
from tollhouse.catalog.access import Catalog
from tollhouse.catalog.model import Offset, Price, Sku, SkuChange, SkuDraft, SkuEntry, SkuKind
from tollhouse.catalog.skus import change_sku, create_sku
from tollhouse.catalog.store import select_sku_entry
from tollhouse.http.requests import Purpose, Request
from tollhouse.http.responses import Response, build_http_response
from tollhouse.http.routes import Calls, call
from tollhouse.idempotency.create import create_once
from tollhouse.kernel.errors import NotFound
from tollhouse.kernel.faults import Subject
from tollhouse.kernel.ids import parse_id
from tollhouse.kernel.money import Currency, Money
from tollhouse.storage.database import Database
from tollhouse.wire.render import render, render_date
from tollhouse.wire.resources import PriceAnswer, SkuAnswer

MISSING = "SKU not found."
#: The field of each subject of a fault.
FAULT_PATHS = {Subject.SITE: "siteId", Subject.SKU: "name", Subject.PRICES: "price"}


@dataclass(frozen=True, slots=True)
class _Fault:
    """A placeholder for a field that contradicts another, so that it is reported with all others."""

    text: str


def _complain(value: Any) -> Any:
    if isinstance(value, _Fault):
        raise ValueError(value.text)
    return value


Complaining = BeforeValidator(_complain)


class SkuChangeRequest(Body):
    """Changes of a SKU; absent, null and empty fields are unchanged."""

    siteId: str | None = Field(None, min_length=1, max_length=36, description="The selling site.")
    title: TypedText | None = Field(None, description="The title.")
    type: SkuKind | None = Field(None, description="A subscription has later charges.")
    price: Annotated[Schedule, Complaining] = Field(
        default_factory=list, description="Its prices; for a one-time SKU one that does not repeat."
    )
    currency: Annotated[AnyCurrency | None, Complaining] = Field(None, description="ISO 4217, with `amount`.")
    amount: Annotated[Decimal | None, WithJsonSchema({"type": "number", "minimum": 0})] = Field(
        None, description="In place of `price`: one charge, due at once."
    )
    externalId: ExternalId | None = Field(None, description="Your own ID.")
    showOnPaymentPage: bool | None = Field(None, description="Whether payment pages can offer it.")

    @model_validator(mode="before")
    @classmethod
    def _look_across(cls, content: Any) -> Any:
        """Report fields that require or exclude each other."""
        if not isinstance(content, dict):
            return content
        has_price, has_amount, has_currency = (
            content.get(name) not in (None, "", []) for name in ("price", "amount", "currency")
        )
        if has_price and has_amount:
            return {**content, "amount": _Fault("cannot be combined with price")}
        if has_amount and not has_currency:
            return {**content, "currency": _Fault("is required with amount")}
        if has_currency and not has_amount and not has_price:
            return {**content, "amount": _Fault("is required with currency")}
        return content

    @field_validator("siteId")
    @classmethod
    def _check_site_id(cls, text: str | None) -> str | None:
        if text is not None and parse_id(text) is None:
            raise ValueError("is unknown")
        return text

    @field_validator("amount", mode="before")
    @classmethod
    def _check_amount(cls, amount: Any, info: ValidationInfo) -> Decimal:
        return read_amount(_complain(amount), info.data.get("currency"))

    def read_prices(self) -> tuple[Price, ...] | None:
        """Return the given prices, or None."""
        if self.amount is not None and self.currency:
            money = Money.parse(self.amount, Currency.of(self.currency))
            return (Price(Offset(0, "d"), money, repeat=False),)
        return tuple(price.price for price in self.price) or None

    def to_change(self) -> SkuChange:
        """Return the given fields in the terms of the catalog."""
        return SkuChange(
            site_id=int(self.siteId) if self.siteId else None,
            title=self.title,
            kind=self.type,
            prices=self.read_prices(),
            external_id=self.externalId,
            is_shown=self.showOnPaymentPage,
        )


class SkuRequest(SkuChangeRequest):
    """A SKU to create. It has `price`, or `amount` and `currency`."""

    siteId: str = Field(min_length=1, max_length=36, description="The selling site.", examples=["983759353"])  # type: ignore[mutable-override]
    title: TypedText = Field(description="The title.", examples=["Premium"])  # type: ignore[mutable-override]
    type: SkuKind = Field(description="A subscription has later charges.")  # type: ignore[mutable-override]

    @model_validator(mode="before")
    @classmethod
    def _want_price(cls, content: Any) -> Any:
        names = ("price", "amount", "currency")
        if isinstance(content, dict) and all(content.get(name) in (None, "", []) for name in names):
            return {**content, "price": _Fault("is required, or amount and currency")}
        return content

    def to_draft(self) -> SkuDraft:
        """Return the SKU, which has no name yet."""
        return SkuDraft(
            Sku(int(self.siteId), None, self.title, self.read_prices() or ()),
            kind=self.type,
            external_id=self.externalId or "",
            is_shown=self.showOnPaymentPage is not False,
        )


class SkuCalls(Calls):
    """SKUs: create, get and update."""

    def __init__(
        self,
        catalog: Catalog,
        database: Database,
        digest: Callable[[bytes], bytes],
        authenticator: RequestAuthenticator,
    ) -> None:
        self._catalog = catalog
        self._database = database
        self._digest = digest
        self._authenticator = authenticator

    @call("POST /sku", "Create a SKU", Purpose.SETS_UP, SkuRequest, SkuAnswer, takes_request_id=True)
    async def post_sku(self, request: Request) -> Response:
        """Create a SKU. Its name is made of site and currency: `SHOP_EXAMPLE_COM_USD`, then `..._USD_2`."""
        valid = await read_creation(self._authenticator, request, SkuRequest, operation="sku", digest=self._digest)
        merchant_id, draft = valid.merchant.merchant_id, valid.body.to_draft()
        with naming_faults(FAULT_PATHS):
            rendered = await create_once(
                self._database, valid.claim, create_sku, show_sku, merchant_id=merchant_id, draft=draft
            )
        self._catalog.forget_sku(merchant_id, msgspec.json.decode(rendered.body)["name"])
        return build_http_response(rendered)

    @call("GET /sku/{name}", "Get a SKU", answer=SkuAnswer)
    async def get_sku(self, request: Request) -> Response:
        """Return a SKU."""
        merchant = await self._authenticator.access(request)
        async with self._database.acquire() as connection:
            entry = await select_sku_entry(
                connection, merchant_id=merchant.merchant_id, name=read_name(request.path_parameters["name"], MISSING)
            )
        if entry is None:
            raise NotFound(MISSING)
        return Response(show_sku(entry))

    @call("PUT /sku/{name}", "Update a SKU", Purpose.SETS_UP, SkuChangeRequest, SkuAnswer)
    async def put_sku(self, request: Request) -> Response:
        """Update the fields that are sent. The name is unchanged, and active subscriptions keep their prices.

        Payments use the new values at once, on other nodes within 5 seconds.
        """
        valid = await read_request(self._authenticator, request, SkuChangeRequest)
        merchant_id, change = valid.merchant.merchant_id, valid.body.to_change()
        name = read_name(request.path_parameters["name"], MISSING)
        with naming_faults(FAULT_PATHS):
            async with self._database.transaction() as connection:
                entry = await change_sku(connection, merchant_id=merchant_id, name=name, change=change)
        self._catalog.forget_sku(merchant_id, name)
        return Response(show_sku(entry))


def show_sku(entry: SkuEntry) -> bytes:
    """Render a SKU for its merchant."""
    sku = entry.sku
    return render(
        SkuAnswer(
            name=sku.name or "",
            siteId=str(sku.site_id),
            externalId=entry.external_id,
            title=sku.title,
            type=entry.kind,
            price=_show_price(entry),
            currency=sku.prices[0].money.currency.code if sku.prices else None,
            showOnPaymentPage=entry.is_shown,
            createdAt=render_date(entry.created_at),
            updatedAt=render_date(entry.updated_at),
        )
    )


def _show_price(entry: SkuEntry) -> Decimal | list[PriceAnswer]:
    prices = entry.sku.prices
    if entry.kind == "one-time":
        return prices[0].money.to_decimal() if prices else Decimal(0)
    return [
        PriceAnswer(
            amount=price.money.to_decimal(),
            currency=price.money.currency.code,
            offset=str(price.offset),
            repeat=price.repeat,
            title=price.title,
            **_describe_tax(price),
        )
        for price in prices
    ]


def _describe_tax(price: Price) -> dict[str, Any]:
    tax, currency = price.tax, price.money.currency
    if tax is None:
        return {}
    before = Money(price.money.amount_minor - tax.amount_minor, currency)
    return {
        "beforeTaxes": before.to_decimal(),
        "taxes": Money(tax.amount_minor, currency).to_decimal(),
        "taxRate": tax.rate,
        "taxName": tax.name,
    }
