"""What is sold (wire contract, section 2.2)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, field_validator

from tollhouse.api.fields.price import PriceFields, check_schedule
from tollhouse.api.fields.values import ReturnUrl, TypedText, Url, read_empty_list, text
from tollhouse.api.reading.body import Body, Canonical
from tollhouse.catalog.prices import MAX_PRICES

#: In one bundle.
MAX_SKUS = 20
HOST_FORM = r"^([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)*[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$"


class UrlFields(Body):
    """Where to send the IPN and the cardholder."""

    ipnUrl: Url | None = Field(None, description="Gets the final status; else `sku.url`, else the site's.")
    redirectUrl: ReturnUrl | None = Field(
        None, description="Where the cardholder lands after 3-D Secure; else as above."
    )


class ActionFields(Body):
    """What the purchase is to do at the merchant's: kept with it."""

    type: text(36, 5) | None = None  # type: ignore[valid-type]
    id: text(36) | None = None  # type: ignore[valid-type]


class SkuFields(Body):
    """What is sold: a product by its name, or whatever the site sells at these prices."""

    siteId: text(36) | None = Field(  # type: ignore[valid-type]
        None, description="The site that sells. Required, or `name`.", examples=["983759353"]
    )
    name: text(36) | None = Field(  # type: ignore[valid-type]
        None, description="A product of the portal. Required, or `siteId`.", examples=["PREMIUM_MONTHLY"]
    )
    title: TypedText | None = Field(None, description="What the cardholder bought, in words.")
    price: list[PriceFields] = Field(
        default_factory=list,
        max_length=MAX_PRICES,
        description="Required with `siteId`; with `name`, in place of its own. Later prices make a subscription.",
    )
    url: UrlFields = Field(default_factory=UrlFields)
    domainName: text(36, 5) | None = Field(  # type: ignore[valid-type]
        None, pattern=HOST_FORM, description="Where it is sold; kept with the payment.", examples=["shop.example"]
    )
    action: ActionFields | None = Field(None, description="Kept with the payment.")
    xsell: Literal["checked", "unchecked"] | None = Field(None, description="Kept with the payment.")

    @property
    def extras(self) -> dict[str, Any]:
        """What is kept of it and changes nothing."""
        kept = {"domainName": self.domainName, "xsell": self.xsell}
        action = self.action.model_dump(exclude_none=True) if self.action else {}
        return {name: value for name, value in (kept | {"action": action}).items() if value}

    @field_validator("price", mode="after")
    @classmethod
    def _check_schedule(cls, prices: list[PriceFields]) -> list[PriceFields]:
        check_schedule([price.price for price in prices])
        return prices


def _choose_form(value: Any) -> str:
    return "bundle" if isinstance(value, list) else "one"


#: One SKU or a bundle of them. `reading.body.describe_faults` leaves the tags out of paths.
AnySku = Annotated[
    Annotated[SkuFields, Tag("one")] | Annotated[list[SkuFields], Field(max_length=MAX_SKUS), Tag("bundle")],
    Discriminator(_choose_form),
    BeforeValidator(read_empty_list),
    Canonical(SkuFields),
]
