"""Sites, SKUs and prices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from msgspec import Struct

from tollhouse.kernel.money import Currency, Money

ThreeDsRule = Literal["when_asked", "always"]
#: `plugin` is the format that the public WooCommerce plugin reads; see `tollhouse.ipn.form`.
IpnFormat = Literal["json", "legacy", "both", "plugin", "none"]
#: Events that no public client knows. A site must enable each of them.
ExtraEvent = Literal["subscription.card_expiring", "dispute.won"]
SkuKind = Literal["one-time", "subscription"]


@dataclass(frozen=True, slots=True)
class Offset:
    """The delay of a charge after the one before it: `0d`, `30d`, `2w`, `1m`, `1y`."""

    count: int
    unit: Literal["d", "w", "m", "y"]

    @property
    def is_at_once(self) -> bool:
        """Whether the charge is due together with the one before it."""
        return self.count == 0

    def __str__(self) -> str:
        return f"{self.count}{self.unit}"


@dataclass(frozen=True, slots=True)
class Tax:
    """The tax in a price. `rate` is a fraction, 0.2 for 20 %, exactly as it was sent."""

    amount_minor: int
    rate: Decimal | None = None
    name: str | None = None


class Price(Struct, frozen=True):
    """One line of a price schedule. `repeat` is False, True (without end) or the total number of charges.

    The money includes the tax.
    """

    offset: Offset
    money: Money
    repeat: bool | int
    title: str | None = None
    tax: Tax | None = None

    @property
    def is_repeating(self) -> bool:
        """Whether this price is charged more than once."""
        return self.repeat is True or self.repeat > 1


@dataclass(frozen=True, slots=True)
class Site:
    """A shop of a merchant, with its defaults and rules."""

    merchant_id: int
    site_id: int
    name: str
    ipn_url: str
    redirect_url: str
    descriptor: str
    cors_enabled: bool
    delayed_capture: bool
    guards_double_clicks: bool
    three_ds: ThreeDsRule
    proceed_without_3ds: bool
    ipn_format: IpnFormat
    is_enabled: bool = True


@dataclass(frozen=True, slots=True)
class SiteEntry:
    """A site with all its fields. `extras` are texts of the merchant, by their names in the API."""

    site: Site
    external_id: str
    auto_redirect: bool
    #: Whether events of subscriptions without a payment are posted.
    subscription_events: bool
    #: The extra kinds of events that the site has enabled.
    extra_events: Sequence[ExtraEvent]
    extras: Mapping[str, str]
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class SiteChange:
    """The changes of a site. A field that is None stays unchanged, and so do extras that are not named."""

    name: str | None = None
    external_id: str | None = None
    ipn_url: str | None = None
    redirect_url: str | None = None
    descriptor: str | None = None
    is_enabled: bool | None = None
    cors_enabled: bool | None = None
    auto_redirect: bool | None = None
    delayed_capture: bool | None = None
    guards_double_clicks: bool | None = None
    proceed_without_3ds: bool | None = None
    three_ds: ThreeDsRule | None = None
    ipn_format: IpnFormat | None = None
    subscription_events: bool | None = None
    extra_events: Sequence[ExtraEvent] | None = None
    extras: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sku:
    """An item for sale: a named SKU, or one without a name that the request itself describes."""

    site_id: int
    name: str | None
    title: str
    prices: tuple[Price, ...]


@dataclass(frozen=True, slots=True)
class SkuDraft:
    """A named SKU with all its fields, before it is stored."""

    sku: Sku
    kind: SkuKind
    external_id: str = ""
    #: Whether it is offered on a payment page.
    is_shown: bool = True


@dataclass(frozen=True, slots=True)
class SkuEntry:
    """A stored SKU with its dates."""

    sku: Sku
    kind: SkuKind
    external_id: str
    is_shown: bool
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class SkuChange:
    """The changes of a SKU. A field that is None stays unchanged."""

    site_id: int | None = None
    title: str | None = None
    kind: SkuKind | None = None
    prices: tuple[Price, ...] | None = None
    external_id: str | None = None
    is_shown: bool | None = None


def price_to_json(price: Price) -> dict[str, Any]:
    """Convert a price for a JSON column."""
    row = {
        "offset": str(price.offset),
        "amount_minor": price.money.amount_minor,
        "currency": price.money.currency.code,
        "repeat": price.repeat,
    }
    if price.title:
        row["title"] = price.title
    if price.tax:
        row["tax"] = _tax_to_json(price.tax)
    return row


def _tax_to_json(tax: Tax) -> dict[str, Any]:
    rate = None if tax.rate is None else str(tax.rate)
    parts = {"amount_minor": tax.amount_minor, "rate": rate, "name": tax.name}
    return {name: value for name, value in parts.items() if value is not None}


def _tax_from_json(row: dict[str, Any]) -> Tax:
    rate = row.get("rate")
    return Tax(row["amount_minor"], None if rate is None else Decimal(rate), row.get("name"))


def price_from_json(row: dict[str, Any]) -> Price:
    """Parse a price from a JSON column."""
    money = Money(row["amount_minor"], Currency.of(row["currency"]))
    offset = row["offset"]
    tax = _tax_from_json(row["tax"]) if "tax" in row else None
    return Price(Offset(int(offset[:-1]), offset[-1]), money, row["repeat"], row.get("title"), tax)
