"""Bodies in canonical form are validated by compiled code, and mean the same as when they are read with tolerances."""

from __future__ import annotations

import copy
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from tollhouse.api.payment.payment_request import PaymentRequest, request_payment
from tollhouse.api.reading.body import describe_faults, validate
from tollhouse.kernel.urls import STAGE
from tollhouse.payments.charge.requested_payment import RequestedPayment

CONTEXT = {"address_policy": STAGE}
BODY: dict[str, Any] = {
    "paymentSource": {
        "type": "card",
        "number": "4024007179366348",
        "expirationMonth": "12",
        "expirationYear": "30",
        "cvv": "009",
    },
    "sku": {
        "siteId": "983759353",
        "title": "Tea",
        "price": [{"offset": "0d", "amount": Decimal("19.99"), "currency": "USD", "repeat": False}],
    },
    "consumer": {"firstName": "Jane", "lastName": "Smith", "ip": "203.0.113.45", "country": "USA"},
    "url": {"ipnUrl": "https://shop.example/ipn", "redirectUrl": "https://shop.example/thanks"},
    "metadata": {"cart": "17"},
}
#: Values of a field: canonical ones, tolerated ones and faulty ones.
FORMS: dict[str, tuple[Any, ...]] = {
    "paymentSource.number": (4024007179366348, "4024 0071 7936 6348", "4024007179366349"),
    "paymentSource.expirationMonth": ("1", 1, "00", "13", "\u0661\u0662", "", None),
    "paymentSource.expirationYear": ("2030", 30, "3", "\u0663\u0660", "", None),
    "paymentSource.cvv": (9, "09", "0090", "", None),
    "paymentSource.cardHolder": ("Jane", "", None, 7, "x" * 256),
    "paymentSource.threeDS": (True, "true", 1, "", None),
    "paymentSource.initiator": ("merchant", "nobody", "", None),
    "paymentSource.mid": ("12", 12, "1", "", None),
    "paymentSource.emulateCode": ("0000", "???", "", None),
    "sku": ([BODY["sku"]], [], None, "tea"),
    "sku.siteId": (983759353, "", None, "x" * 37),
    "sku.title": ("", None, 5),
    "sku.price": ([], {}, None),
    "sku.price.0.amount": (10, 0, -1, True, "10", "10.001", Decimal("10.001"), Decimal("NaN"), 10**13, "", None),
    "sku.price.0.afterTaxes": (Decimal("19.99"), 10, "19.99", "", None),
    "sku.price.0.taxRate": (Decimal("0.2"), 0, "0.2", 2, "", None),
    "sku.price.0.currency": ("EUR", "usd", "XAU", "ZZZ", "BOV", "", None, "JPY"),
    "sku.price.0.offset": ("99y", "30d", "101y", "00001d", "1x", "", None),
    "sku.price.0.repeat": (True, 0, 3, 1001, "true", "3", "", None),
    "consumer.ip": ("203.0.113.045", "203.0.113.256", "203.0.113.45:80", "203.0.113.45.", "::1", "", None),
    "consumer.country": ("US", "usa", "XYZ", "US1", "\uff35\uff33\uff21", "", None),
    "consumer.birthday": ("1990-12-31", "0000-00-00", "1990-02-31", "", None),
    "consumer.email": ("", None, 1, "jane"),
    "consumer.browserScreenWidth": (1920, "1920", 10**70, Decimal("1.5"), True, "", None),
    "consumer.browserJavaEnabled": (True, "true", 0, "", None),
    "url": ([], {}, None, "https://shop.example"),
    "url.ipnUrl": ("", None, "ftp://shop.example", 5),
    "metadata": ([], {}, ["x"], None, "x", ""),
    "emailOptions": (True, "true", {}, {"send": False}, None, "", 7),
}


def change(path: str, value: Any) -> dict[str, Any]:
    """Return the body with another value at a path."""
    body = copy.deepcopy(BODY)
    part: Any = body
    *steps, last = path.split(".")
    for step in steps:
        part = part[int(step) if step.isdigit() else step]
    part[last] = value
    return body


def read(body: dict[str, Any], *, is_strict: bool) -> RequestedPayment | None:
    """Return the payment that a body requests, or None if it is faulty."""
    try:
        model = PaymentRequest.model_validate(body, strict=is_strict, context=CONTEXT)
    except ValidationError:
        return None
    return request_payment(model, body, merchant_id=1, request_id="r", claim=None)


def test_a_canonical_body_passes_strict_validation() -> None:
    """No field of a body in canonical form needs a tolerance, so that it is validated once, by compiled code."""
    assert read(BODY, is_strict=True) == read(BODY, is_strict=False) is not None


@pytest.mark.parametrize(("path", "value"), [(path, value) for path, values in FORMS.items() for value in values])
def test_strict_validation_takes_nothing_else(path: str, value: Any) -> None:
    """A body that strict validation takes is sound and says the same as with all tolerances."""
    body = change(path, value)
    assert read(body, is_strict=True) in (None, read(body, is_strict=False))


def test_a_faulty_body_tells_its_faults_once() -> None:
    """The faults of a body that has no canonical form are those of its tolerant reading."""
    body = change("consumer.ip", "nowhere")
    with pytest.raises(ValidationError) as tolerant:
        PaymentRequest.model_validate(body, context=CONTEXT)
    with pytest.raises(ValidationError) as found:
        validate(PaymentRequest, body, CONTEXT)
    assert describe_faults(found.value) == describe_faults(tolerant.value) != {}
