"""The body of `POST /paymentPage`."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, ValidationInfo, WithJsonSchema, field_validator

from tollhouse.api.fields.consumer import EMAIL_OPTIONS_TEXT, AnyEmailOptions, PageConsumerFields
from tollhouse.api.fields.price import read_amount
from tollhouse.api.fields.sku import AnySku, SkuFields
from tollhouse.api.fields.values import Country, EmulateCode, Metadata, Url, text
from tollhouse.api.reading.body import Body
from tollhouse.kernel.money import Currency, Money
from tollhouse.links.create import DEFAULT_TTL, parse_ttl
from tollhouse.links.model import ANY, FeeRule

#: Every method that clients may name. Unsupported ones are not offered.
METHODS = frozenset(
    re.findall(
        r"\w+",
        """
        card cc_token applepay sepa sofortbanking ideal eps mybank bancontact giropay przelewy24 onlinebanking skrill
        clickandbuy paypal pix boleto pps gash crypto paygarden alipay wechat unionpay_wallet voucher paysafecard ukash
        safeklick sms x1 lotericas picpay deposit_express payid spei oxxo codi todito banktransfer cashpayment pse
        efecty tpaga pago46 khipu multibanco bncr mbway
        """,
    )
)
#: The methods that a page supports.
OFFERED = frozenset({"card"})
MAX_FEES = 20
MAX_PLACES = 300


def _check_method(method: str) -> str:
    if method not in METHODS:
        raise ValueError("is not a payment method")
    return method


class FeeItem(Body):
    """The fee for a method."""

    decisive: ClassVar[frozenset[str]] = frozenset({"paymentMethod"})

    paymentMethod: str = Field(ANY, max_length=32, description="A method, or `ALL`.", examples=["card"])
    value: Annotated[
        Decimal,
        BeforeValidator(partial(read_amount, currency=None)),
        WithJsonSchema({"type": "number", "minimum": 0, "examples": [0.5]}),
    ] = Field(description="An amount in the currency of the payment.")

    @field_validator("paymentMethod")
    @classmethod
    def _check_paymentMethod(cls, method: str) -> str:  # noqa: N802 - named as on the wire
        return method if method == ANY else _check_method(method)


class FeePlace(Body):
    """The fees in a country."""

    decisive: ClassVar[frozenset[str]] = frozenset({"geo"})

    geo: Country = Field(
        ANY, description="The ISO 3166-1 code, three letters, or `ALL`. Two letters and lower case are accepted too."
    )
    items: list[FeeItem] = Field(min_length=1, max_length=len(METHODS) + 1)


class FeeFields(Body):
    """A kind of fee: a line on the page, charged once with the amount due now.

    At most one value of each kind applies: the consumer's country takes precedence over `ALL`, and so does the method.
    """

    type: text(64) = Field(description="The kind.", examples=["processing"])  # type: ignore[valid-type]
    items: list[FeePlace] = Field(min_length=1, max_length=MAX_PLACES)


class TemplateFields(Body):
    """The appearance of the page."""

    language: str | None = Field(
        None, pattern="^[A-Za-z]{2}$", description="Two letters; by default the browser's.", examples=["en"]
    )
    layout: text(64) | None = Field(None, description="Accepted and ignored: there is one layout.")  # type: ignore[valid-type]
    templateParameters: Metadata = Field(default_factory=dict, description="Accepted and ignored.")


class PagePaymentFields(Body):
    """The payment options of the page."""

    method: list[str] = Field(
        default_factory=list,
        max_length=len(METHODS),
        description="The methods to offer; empty for all. Pages support `card`.",
    )
    selected: str | None = Field(None, max_length=32, description="The method selected when the page opens.")
    secure: bool = Field(False, description="Request 3-D Secure for any card.")
    test: bool = Field(False, description="Stage only.")
    terminalMode: bool = Field(False, description="Accepted and ignored.")
    emulateCode: EmulateCode | None = Field(None, description="Stage only: finish with this code; `0000` approves.")
    mid: text(36, 2) | None = Field(  # type: ignore[valid-type]
        None, description="The acquirer account to charge."
    )
    bin: str | None = Field(
        None, pattern="^[0-9]{6,8}$", description="The number of an account for online banking; not needed for cards."
    )
    domain: Url | None = Field(None, description="The place of the link; accepted and ignored.")

    @field_validator("method")
    @classmethod
    def _check_methods(cls, methods: list[str]) -> list[str]:
        for method in methods:
            _check_method(method)
        if methods and not OFFERED & set(methods):
            raise ValueError("must include card, the only method of a page")
        return methods

    @field_validator("selected")
    @classmethod
    def _check_selected(cls, method: str | None) -> str | None:
        return None if method is None else _check_method(method)

    @field_validator("test")
    @classmethod
    def _check_test(cls, test: bool, info: ValidationInfo) -> bool:  # noqa: FBT001 - pydantic's own call
        if test and (info.context or {}).get("is_live"):
            raise ValueError("is for stage only")
        return test


class PaymentPageRequest(Body):
    """A page for one payment."""

    sku: AnySku = Field(description="The item sold, as in a payment. Its `url` has the URLs for the result.")
    consumer: PageConsumerFields = Field(default_factory=PageConsumerFields, description="The consumer, if known.")
    metadata: Metadata = Field(default_factory=dict, description="Returned as sent; a list is accepted too.")
    emailOptions: AnyEmailOptions = Field(None, description=EMAIL_OPTIONS_TEXT)
    template: TemplateFields = Field(default_factory=TemplateFields)
    payment: PagePaymentFields = Field(default_factory=PagePaymentFields)
    fees: list[FeeFields] = Field(default_factory=list, max_length=MAX_FEES)
    ttl: str | None = Field(
        None,
        max_length=16,
        description="The time to pay: seconds, or a number with `s`, `m`, `h` or `d`; from `1m` to `90d`, "
        "by default `1d`.",
        examples=["30m"],
    )

    @field_validator("ttl")
    @classmethod
    def _check_ttl(cls, ttl: str | None) -> str | None:
        if ttl is not None:
            parse_ttl(ttl)
        return ttl

    @property
    def skus(self) -> list[SkuFields]:
        """The items: one, or those of a bundle."""
        return self.sku if isinstance(self.sku, list) else [self.sku]

    @property
    def life(self) -> timedelta:
        """The lifetime of the page."""
        return DEFAULT_TTL if self.ttl is None else parse_ttl(self.ttl)


def read_fee_rules(fees: list[FeeFields], currency: Currency) -> tuple[list[FeeRule], dict[str, list[str]]]:
    """Return the fee rules, and faults of amounts that this currency does not allow."""
    rules: list[FeeRule] = []
    faults: dict[str, list[str]] = {}
    for path, kind, place, item in _walk(fees):
        try:
            amount = Money.parse(item.value, currency)
        except ValueError as error:
            faults[f"{path}.value"] = [str(error)]
        else:
            rules.append(FeeRule(kind, place.geo, item.paymentMethod, amount.amount_minor))
    return rules, faults


def _walk(fees: list[FeeFields]) -> list[tuple[str, str, FeePlace, FeeItem]]:
    return [
        (f"fees.{first}.items.{second}.items.{third}", fee.type, place, item)
        for first, fee in enumerate(fees)
        for second, place in enumerate(fee.items)
        for third, item in enumerate(place.items)
    ]


def first_path(body: dict[str, Any]) -> str:
    """Return the path of the first SKU in a body."""
    return "sku.0" if isinstance(body.get("sku"), list) and body["sku"] else "sku"
