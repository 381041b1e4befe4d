"""Sites, SKUs and prices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from tollhouse.kernel.money import Currency, Money

ThreeDsRule = Literal["when_asked", "always"]
#: `plugin` is what the public WooCommerce plugin understands; see `tollhouse.ipn.form`.
IpnFormat = Literal["json", "legacy", "both", "plugin", "none"]


@dataclass(frozen=True, slots=True)
class Offset:
    """How long after the charge before a charge falls due: `0d`, `30d`, `2w`, `1m`, `1y`."""

    count: int
    unit: Literal["d", "w", "m", "y"]

    @property
    def is_at_once(self) -> bool:
        """Whether the charge falls due with the one before it."""
        return self.count == 0

    def __str__(self) -> str:
        return f"{self.count}{self.unit}"


@dataclass(frozen=True, slots=True)
class Price:
    """One line of a price schedule. `repeat` is False, True (without end) or the number of charges in all."""

    offset: Offset
    money: Money
    repeat: bool | int

    @property
    def is_repeating(self) -> bool:
        """Whether this price is charged more than once."""
        return self.repeat is True or self.repeat > 1


@dataclass(frozen=True, slots=True)
class Site:
    """Where a merchant sells, with its defaults and rules."""

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
    goes_on_unauthenticated: bool
    ipn_format: IpnFormat


@dataclass(frozen=True, slots=True)
class Sku:
    """What is sold: a named product, or one described by the request itself, which has no name."""

    site_id: int
    name: str | None
    title: str
    prices: tuple[Price, ...]


def price_to_json(price: Price) -> dict[str, Any]:
    """Write a price for a JSON column."""
    return {
        "offset": str(price.offset),
        "amount_minor": price.money.amount_minor,
        "currency": price.money.currency.code,
        "repeat": price.repeat,
    }


def price_from_json(row: dict[str, Any]) -> Price:
    """Read a price from a JSON column."""
    money = Money(row["amount_minor"], Currency.of(row["currency"]))
    offset = row["offset"]
    return Price(Offset(int(offset[:-1]), offset[-1]), money, row["repeat"])
