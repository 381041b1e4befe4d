"""The item of a payment."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from tollhouse.api.fields.price import Schedule
from tollhouse.api.fields.values import ReturnUrl, TypedText, Url, read_empty_list, text
from tollhouse.api.reading.body import Body, Canonical

#: Maximum number of items in a bundle.
MAX_SKUS = 20
HOST_FORM = r"^([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)*[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$"


class UrlFields(Body):
    """The URLs of callbacks and of the cardholder's return."""

    ipnUrl: Url | None = Field(
        None, description="The URL of callbacks; by default that of `sku.url`, or else the site's."
    )
    redirectUrl: ReturnUrl | None = Field(
        None, description="The URL to which the cardholder returns after 3-D Secure; by default as above."
    )


class ActionFields(Body):
    """The purpose of the payment for the merchant, stored with it."""

    type: text(36, 5) | None = None  # type: ignore[valid-type]
    id: text(36) | None = None  # type: ignore[valid-type]


class SkuFields(Body):
    """The item: a SKU by its name, or a site with these prices."""

    siteId: text(36) | None = Field(  # type: ignore[valid-type]
        None, description="The selling site. Required, or `name`.", examples=["983759353"]
    )
    name: text(36) | None = Field(  # type: ignore[valid-type]
        None, description="The name of a SKU. Required, or `siteId`.", examples=["PREMIUM_MONTHLY"]
    )
    title: TypedText | None = Field(None, description="The title of the item.")
    price: Schedule = Field(
        default_factory=list,
        description="Required with `siteId`; with `name`, replaces its prices. Later prices start a subscription.",
    )
    url: UrlFields = Field(default_factory=UrlFields)
    domainName: text(36, 5) | None = Field(  # type: ignore[valid-type]
        None, pattern=HOST_FORM, description="The place of sale; stored with the payment.", examples=["shop.example"]
    )
    action: ActionFields | None = Field(None, description="Stored with the payment.")
    xsell: Literal["checked", "unchecked"] | None = Field(None, description="Stored with the payment.")

    @property
    def extras(self) -> dict[str, Any]:
        """The fields that are only stored."""
        kept = {"domainName": self.domainName, "xsell": self.xsell}
        action = self.action.model_dump(exclude_none=True) if self.action else {}
        return {name: value for name, value in (kept | {"action": action}).items() if value}


def _choose_form(value: Any) -> str:
    return "bundle" if isinstance(value, list) else "one"


#: One SKU or a bundle of them. `reading.body.describe_faults` leaves the tags out of paths.
AnySku = Annotated[
    Annotated[SkuFields, Tag("one")] | Annotated[list[SkuFields], Field(max_length=MAX_SKUS), Tag("bundle")],
    Discriminator(_choose_form),
    BeforeValidator(read_empty_list),
    Canonical(SkuFields),
]
