"""The body of `POST /paymentPage` (wire contract, 4.7; public digest, section 8)."""

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
from tollhouse.api.fields.source import EMULATE_CODE_FORM
from tollhouse.api.fields.values import Country, Metadata, Url, text
from tollhouse.api.reading.body import Body
from tollhouse.kernel.money import Currency, Money
from tollhouse.links.create import DEFAULT_TTL, parse_ttl
from tollhouse.links.model import ANY, FeeRule

#: Every method that clients may name (wire contract, section 11); what cannot be paid with is not offered.
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
#: Those that a page takes.
OFFERED = frozenset({"card"})
MAX_FEES = 20
MAX_PLACES = 300


def _check_method(method: str) -> str:
    if method not in METHODS:
        raise ValueError("is no payment method")
    return method


class FeeItem(Body):
    """What a fee is for a method."""

    decisive: ClassVar[frozenset[str]] = frozenset({"paymentMethod"})

    paymentMethod: str = Field(ANY, max_length=32, description="A method, or `ALL`.", examples=["card"])
    value: Annotated[
        Decimal,
        BeforeValidator(partial(read_amount, currency=None)),
        WithJsonSchema({"type": "number", "minimum": 0, "examples": [0.5]}),
    ] = Field(description="An amount in the currency of the purchase.")

    @field_validator("paymentMethod")
    @classmethod
    def _check_paymentMethod(cls, method: str) -> str:  # noqa: N802 - named as on the wire
        return method if method == ANY else _check_method(method)


class FeePlace(Body):
    """What a fee is in a country."""

    decisive: ClassVar[frozenset[str]] = frozenset({"geo"})

    geo: Country = Field(
        ANY, description="ISO 3166-1, three letters, or `ALL`. Two letters and lower case are taken too."
    )
    items: list[FeeItem] = Field(min_length=1, max_length=len(METHODS) + 1)


class FeeFields(Body):
    """A kind of fee, which is a line of its own on the page and is charged once, with what is due at once.

    Of each kind at most one value applies: the consumer's country comes before `ALL`, and so does the method.
    """

    type: text(64) = Field(description="The kind.", examples=["processing"])  # type: ignore[valid-type]
    items: list[FeePlace] = Field(min_length=1, max_length=MAX_PLACES)


class TemplateFields(Body):
    """How the page looks."""

    language: str | None = Field(
        None, pattern="^[A-Za-z]{2}$", description="Two letters; else the browser's.", examples=["en"]
    )
    layout: text(64) | None = Field(None, description="Taken and not used: there is one layout.")  # type: ignore[valid-type]
    templateParameters: Metadata = Field(default_factory=dict, description="Taken and not used.")


class PagePaymentFields(Body):
    """How it is paid."""

    method: list[str] = Field(
        default_factory=list,
        max_length=len(METHODS),
        description="Offer only these; empty for all. A page takes `card`.",
    )
    selected: str | None = Field(None, max_length=32, description="The method that is chosen when the page opens.")
    secure: bool = Field(False, description="Ask for 3-D Secure, whatever the card.")
    test: bool = Field(False, description="Stage only.")
    terminalMode: bool = Field(False, description="Taken and not used.")
    emulateCode: str | None = Field(None, description="Stage only: end with this code; `0000` approves.")
    mid: text(36, 2) | None = Field(  # type: ignore[valid-type]
        None, description="The merchant account that is to be charged, and no other."
    )
    bin: str | None = Field(
        None, pattern="^[0-9]{6,8}$", description="Of an account for online banking; cards do not need it."
    )
    domain: Url | None = Field(None, description="Where the page is shown from; taken and not used.")

    @field_validator("method")
    @classmethod
    def _check_methods(cls, methods: list[str]) -> list[str]:
        for method in methods:
            _check_method(method)
        if methods and not OFFERED & set(methods):
            raise ValueError("has none that a page takes, which is card")
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

    @field_validator("emulateCode")
    @classmethod
    def _check_emulate_code(cls, code: str | None, info: ValidationInfo) -> str | None:
        if code is not None and (info.context or {}).get("is_live"):
            raise ValueError("is for stage only")
        if code is not None and not EMULATE_CODE_FORM.fullmatch(code):
            raise ValueError("must have 4 to 6 letters or digits")
        return code


class PaymentPageRequest(Body):
    """A page on which one purchase is paid."""

    sku: AnySku = Field(description="What is sold, as in a payment. `url` in it says where the result goes.")
    consumer: PageConsumerFields = Field(default_factory=PageConsumerFields, description="Who buys, if it is known.")
    metadata: Metadata = Field(default_factory=dict, description="Comes back as sent; a list is taken too.")
    emailOptions: AnyEmailOptions = Field(None, description=EMAIL_OPTIONS_TEXT)
    template: TemplateFields = Field(default_factory=TemplateFields)
    payment: PagePaymentFields = Field(default_factory=PagePaymentFields)
    fees: list[FeeFields] = Field(default_factory=list, max_length=MAX_FEES)
    ttl: str | None = Field(
        None,
        max_length=16,
        description="How long it may be paid: seconds, or a number with `s`, `m`, `h` or `d`; from `1m` to `90d`, "
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
        """What is sold: one, or those of a bundle."""
        return self.sku if isinstance(self.sku, list) else [self.sku]

    @property
    def life(self) -> timedelta:
        """How long the page may be paid."""
        return DEFAULT_TTL if self.ttl is None else parse_ttl(self.ttl)


def read_fee_rules(fees: list[FeeFields], currency: Currency) -> tuple[list[FeeRule], dict[str, list[str]]]:
    """Return the rules for fees, and the faults of those that are no amounts of this currency."""
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
    """Return where the first SKU stands in a body."""
    return "sku.0" if isinstance(body.get("sku"), list) and body["sku"] else "sku"
