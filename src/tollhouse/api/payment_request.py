"""The body of `POST /payment` (wire contract, section 2; behaviour, section 3)."""

from __future__ import annotations

import re
from decimal import Decimal
from ipaddress import ip_address
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AliasChoices,
    BeforeValidator,
    Discriminator,
    Field,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from tollhouse.api.card_fields import CardFields
from tollhouse.api.decode import Body
from tollhouse.catalog.model import Price
from tollhouse.catalog.prices import MAX_PRICES, find_schedule_faults, parse_offset
from tollhouse.kernel.money import Currency, Money
from tollhouse.wire.render import render_json

AMOUNT_FORM = re.compile(r"[0-9]{1,15}(\.[0-9]{1,10})?")
EMULATE_CODE_FORM = re.compile(r"[0-9A-Za-z]{4,6}")
LONGEST_URL = 2_048
LONGEST_METADATA = 16 * 1024
LONGEST_SCALAR = 64
#: Of anything that a request points at: site, SKU, token, account, consumer.
LONGEST_REFERENCE = 36
MAX_REPEATS = 1_000


def _read_empty_list(value: Any) -> Any:
    return {} if value == [] else value


def _read_url(value: Any, info: ValidationInfo) -> str:
    """Take an http or https URL; live takes https only, without userinfo and literal private addresses."""
    if not isinstance(value, str) or len(value) > LONGEST_URL:
        raise ValueError("must be a URL")
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("must be a URL") from None
    if parts.scheme not in {"http", "https"} or not host or any(c <= " " or c == "\x7f" for c in value):
        raise ValueError("must be a URL that begins with http:// or https://")
    if (info.context or {}).get("is_live"):
        _check_live_url(parts.scheme, parts.username, host)
    return value


def _check_live_url(scheme: str, username: str | None, host: str) -> None:
    if scheme != "https":
        raise ValueError("must begin with https://")
    if username is not None:
        raise ValueError("must not have a user name in it")
    try:
        address = ip_address(host)
    except ValueError:
        return
    if not address.is_global or address.is_multicast:
        raise ValueError("must not be a private address")


def _read_scalar(value: Any) -> str | int | Decimal:
    """Take what shops send for a number or a switch, as it is: it may be a text."""
    if not isinstance(value, str | int | Decimal) or len(str(value)) > LONGEST_SCALAR:
        raise ValueError("must be a text, a number, true or false")
    return value


def _read_metadata(value: Any) -> dict[str, Any] | list[Any]:
    if not isinstance(value, dict | list):
        raise ValueError("must be an object")
    if len(render_json(value)) > LONGEST_METADATA:
        raise ValueError(f"must have at most {LONGEST_METADATA} bytes")
    return value


Scalar = Annotated[
    Any, BeforeValidator(_read_scalar), WithJsonSchema({"type": ["string", "integer", "boolean"], "maxLength": 64})
]
Metadata = Annotated[Any, BeforeValidator(_read_metadata), WithJsonSchema({"type": ["object", "array"]})]

Url = Annotated[str, BeforeValidator(_read_url), Field(json_schema_extra={"format": "uri", "maxLength": LONGEST_URL})]


def _text(longest: int, shortest: int = 1) -> Any:
    return Annotated[str, Field(min_length=shortest, max_length=longest)]


class SourceFields(Body):
    """What every source may carry."""

    authenticate: bool = Field(
        False,
        validation_alias=AliasChoices("3ds", "threeDS"),
        description="Ask for 3-D Secure; `threeDS` is read too.",
    )
    emulateCode: str | None = Field(None, description="Stage only: end with this code; `0000` approves.")
    initiator: Literal["customer", "merchant"] = Field(
        "customer", description="Who starts this payment; `merchant` needs a card that was paid with before."
    )

    @field_validator("emulateCode")
    @classmethod
    def _check_emulate_code(cls, code: str | None, info: ValidationInfo) -> str | None:
        if code is not None and (info.context or {}).get("is_live"):
            raise ValueError("is for stage only")
        if code is not None and not EMULATE_CODE_FORM.fullmatch(code):
            raise ValueError("must have 4 to 6 letters or digits")
        return code


class CardSource(CardFields, SourceFields):
    """A card in the clear."""

    type: Literal["card"]


class TokenSource(SourceFields):
    """A token of `/tokenize`."""

    type: Literal["token"]
    token: _text(36, 5) = Field(  # type: ignore[valid-type]
        validation_alias=AliasChoices("token", "value"),
        description="What `POST /tokenize` returned; `value` is read too.",
    )


class AccountSource(SourceFields):
    """A stored card."""

    type: Literal["paymentAccountId"]
    paymentAccountId: _text(36, 36) = Field(  # type: ignore[valid-type]
        description="`payment.source.paymentAccountId` of an approved payment."
    )


class ConsumerSource(SourceFields):
    """The card of a consumer's last successful payment."""

    type: Literal["consumer"]
    id: _text(36, 5) = Field(  # type: ignore[valid-type]
        validation_alias=AliasChoices("id", "value"),
        description="`consumer.id` of an earlier answer; `value` is read too.",
    )


AnySource = Annotated[
    Annotated[CardSource | TokenSource | AccountSource | ConsumerSource, Discriminator("type")],
    BeforeValidator(_read_empty_list),
]


class PriceFields(Body):
    """One charge of a schedule. The currency is read first, because the decimals of the amount depend on it."""

    currency: str = Field(min_length=3, max_length=3, description="ISO 4217.", examples=["USD"])
    amount: Annotated[Decimal, WithJsonSchema({"type": "number", "minimum": 0, "examples": [19.99]})] = Field(
        description="No more decimals than the currency has."
    )
    offset: str = Field(
        "0d", description="When, counted from the charge before: days, weeks, months or years.", examples=["30d"]
    )
    repeat: bool | int = Field(
        False, description="Again and again at its offset: without end, or so many times in all."
    )

    @field_validator("offset")
    @classmethod
    def _check_offset(cls, offset: str) -> str:
        parse_offset(offset)
        return offset

    @field_validator("amount", mode="before")
    @classmethod
    def _check_amount(cls, amount: Any, info: ValidationInfo) -> Decimal:
        if isinstance(amount, bool) or not isinstance(amount, int | str | Decimal):
            raise ValueError("must be a number")
        if isinstance(amount, str) and not AMOUNT_FORM.fullmatch(amount):
            raise ValueError("must be a number")
        number, currency = Decimal(amount), info.data.get("currency")
        if currency is not None:
            Money.parse(number, Currency.of(currency))
        elif number < 0:
            raise ValueError("must be 0 or more")
        return number

    @field_validator("currency")
    @classmethod
    def _check_currency(cls, code: str) -> str:
        try:
            Currency.of(code)
        except KeyError:
            raise ValueError("is no currency of ISO 4217") from None
        return code

    @field_validator("repeat", mode="before")
    @classmethod
    def _check_repeat(cls, repeat: Any) -> bool | int:
        if isinstance(repeat, bool):
            return repeat
        text = str(repeat).lower() if isinstance(repeat, str | int) else ""
        if text in {"true", "false"}:
            return text == "true"
        if not (text.isascii() and text.isdigit() and len(text) <= 4 and int(text) <= MAX_REPEATS):
            raise ValueError(f"must be true, false, or how many times, up to {MAX_REPEATS}")
        return int(text)

    def to_price(self) -> Price:
        """Return the price in the words of the catalog. Raises AmountError."""
        money = Money.parse(self.amount, Currency.of(self.currency))
        return Price(parse_offset(self.offset), money, self.repeat)


class UrlFields(Body):
    """Where to send the IPN and the cardholder."""

    ipnUrl: Url | None = Field(None, description="Gets the final status; else `sku.url`, else the site's.")
    redirectUrl: Url | None = Field(None, description="Where the cardholder lands after 3-D Secure; else as above.")


class SkuFields(Body):
    """What is sold: a product by its name, or whatever the site sells at these prices."""

    siteId: _text(36) | None = Field(  # type: ignore[valid-type]
        None, description="The site that sells. Required, or `name`.", examples=["983759353"]
    )
    name: _text(36) | None = Field(  # type: ignore[valid-type]
        None, description="A product of the portal. Required, or `siteId`.", examples=["PREMIUM_MONTHLY"]
    )
    title: str | None = Field(None, max_length=64, description="What the cardholder bought, in words.")
    price: list[PriceFields] = Field(
        default_factory=list,
        max_length=MAX_PRICES,
        description="Required with `siteId`; with `name`, in place of its own. Later prices make a subscription.",
    )
    url: UrlFields = Field(default_factory=UrlFields)

    @field_validator("price", mode="after")
    @classmethod
    def _check_schedule(cls, prices: list[PriceFields]) -> list[PriceFields]:
        faults = find_schedule_faults([price.to_price() for price in prices])
        if faults:
            raise ValidationError.from_exception_data(
                "price",
                [
                    {"type": "value_error", "loc": (index,), "input": None, "ctx": {"error": ValueError(text)}}
                    for index, text in faults.items()
                ],
            )
        return prices


class ConsumerFields(Body):
    """Who pays. Only the address is required; names are when a card comes in the clear."""

    id: _text(36) | None = Field(  # type: ignore[valid-type]
        None, description="The gateway's id of a known consumer, or your own of any.", examples=["user-00123"]
    )
    externalId: _text(255) | None = Field(  # type: ignore[valid-type]
        None, description="Your own id: finds the consumer, or makes one."
    )
    email: str | None = Field(None, max_length=254)
    firstName: str | None = Field(None, max_length=64, description="Required with source `card`.", examples=["Jane"])
    lastName: str | None = Field(None, max_length=64, description="Required with source `card`.", examples=["Smith"])
    birthday: str | None = Field(None, max_length=10, description="`YYYY-MM-DD`.")
    phone: str | None = Field(None, max_length=32)
    country: str | None = Field(None, pattern="^[A-Z]{3}$", description="ISO 3166-1, three letters.", examples=["USA"])
    state: str | None = Field(None, max_length=64)
    city: str | None = Field(None, max_length=64)
    address: str | None = Field(None, max_length=128)
    zip: str | None = Field(None, max_length=16)
    ip: str = Field(description="The customer's address, IPv4 or IPv6.", examples=["203.0.113.45"])
    userAgent: str | None = Field(
        None,
        max_length=1024,
        description="This and the `browser...` fields save a step of 3-D Secure if all are there.",
    )
    deviceId: str | None = Field(None, max_length=1024)
    browserAcceptHeader: str | None = Field(None, max_length=2048)
    browserLanguage: str | None = Field(None, max_length=35)
    browserJavaEnabled: Scalar | None = None
    browserColorDepth: Scalar | None = None
    browserScreenHeight: Scalar | None = None
    browserScreenWidth: Scalar | None = None
    browserTimezone: str | None = Field(None, max_length=16, description="Offset from UTC as the browser has it.")

    @field_validator("ip")
    @classmethod
    def _check_ip(cls, text: str) -> str:
        try:
            return str(ip_address(text.strip()))
        except ValueError:
            raise ValueError("must be an IPv4 or IPv6 address") from None


class PaymentRequest(Body):
    """A payment."""

    paymentSource: AnySource = Field(description="What pays.")
    sku: SkuFields = Field(description="What is sold.")
    consumer: ConsumerFields = Field(description="Who pays.")
    url: UrlFields = Field(default_factory=UrlFields, description="Where the result goes.")
    metadata: Metadata = Field(default_factory=dict, description="Comes back as sent.")


def find_cross_faults(body: dict[str, Any]) -> dict[str, list[str]]:
    """Return the faults that one field has because of another, also in a body that is faulty elsewhere."""
    faults: dict[str, list[str]] = {}
    source, sku, consumer = (_object_at(body, name) for name in ("paymentSource", "sku", "consumer"))
    if sku is not None and not sku.get("name"):
        if not sku.get("siteId"):
            faults["sku.siteId"] = ["is required, or sku.name"]
        elif not sku.get("price"):
            faults["sku.price"] = ["is required with sku.siteId"]
    if consumer is not None and source is not None and source.get("type") == "card":
        missing = [name for name in ("firstName", "lastName") if not consumer.get(name)]
        faults |= {f"consumer.{name}": ["is required for a card"] for name in missing}
    return faults


def _object_at(body: dict[str, Any], name: str) -> dict[str, Any] | None:
    """Return a part of the body, or None where there is none, or something else in its place: the model says so."""
    value = _read_empty_list(body.get(name))
    return value if isinstance(value, dict) else None
