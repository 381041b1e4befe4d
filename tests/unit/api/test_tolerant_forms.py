"""A tolerant form of a value and its canonical form are the same request."""

from __future__ import annotations

import math
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iso3166 import countries

from tollhouse.api.fields.card import CardFields
from tollhouse.api.fields.consumer import ConsumerFields
from tollhouse.api.fields.price import PriceFields
from tollhouse.api.fields.source import AccountWithCodeSource, TokenSource
from tollhouse.api.payment.operations import CaptureRequest, CreditRequest
from tollhouse.api.payment_page.payment_page_request import FeeFields
from tollhouse.api.stage import test_payment_data as data_fields
from tollhouse.api.tokenize import AccountTokenRequest
from tollhouse.kernel.card import Cvv

FULL_WIDTH = str.maketrans("0123456789.", "\uff10\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18\uff19\uff0e")
ARABIC = str.maketrans("0123456789", "\u0660\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668\u0669")
TOKEN = "0b0a6f2e-6f0f-4d0b-9a58-2c5c8a1f8a11"

cents = st.integers(1, 10**9)
currencies = st.sampled_from(["USD", "EUR", "JPY", "KWD", "BYR", "XAF", "HRK"])
exponents = {"JPY": 0, "BYR": 0, "XAF": 0, "KWD": 3}


def forms_of(amount: Decimal) -> list[Any]:
    """Return the forms in which clients write an amount: as a number, as a text, and as doubles leave it."""
    plain = format(amount, "f")
    zeros = f"{plain}{'' if '.' in plain else '.'}000"
    near = [math.nextafter(float(amount), way) for way in (0.0, math.inf)]
    return [amount, Decimal(zeros), plain, zeros, *(Decimal(repr(double)) for double in near)]


@given(cents, currencies)
def test_amounts(minor: int, code: str) -> None:
    """An amount is the same in a price, a product's fee, a credit and a test card, whatever its form."""
    amount = Decimal(minor).scaleb(-exponents.get(code, 2))
    exact = PriceFields.model_validate({"amount": amount, "currency": code})
    for form in forms_of(amount):
        for currency in (code, code.lower(), code.title()):
            price = PriceFields.model_validate({"amount": form, "currency": currency})
            assert (price.model_dump(), price.price) == (exact.model_dump(), exact.price), form
        data = data_fields.TestPaymentDataRequest.model_validate(
            {"type": "visa", "balance": form, "currency": code.lower()}
        )
        assert data.to_request(None).balance == exact.price.money
        for model, more in ((CaptureRequest, {}), (CreditRequest, {"reason": "r"})):
            assert float(model.model_validate({"amount": form, **more}).amount or 0) == pytest.approx(float(amount))
        fee = {"type": "t", "items": [{"items": [{"value": form}]}]}
        assert float(FeeFields.model_validate(fee).items[0].items[0].value) == pytest.approx(float(amount))


@pytest.mark.parametrize("blank", ["", None])
def test_blank_places_of_fees_are_no_places(blank: str | None) -> None:
    """A fee for a country or a method that is blank is refused; it would be a fee for all of them."""
    for place, item in (({"geo": blank}, {}), ({}, {"paymentMethod": blank})):
        with pytest.raises(ValueError, match=r"geo|paymentMethod"):
            FeeFields.model_validate({"type": "t", "items": [{**place, "items": [{"value": 1, **item}]}]})


@pytest.mark.parametrize(
    "amount",
    [
        *("", " ", "x", " 1", "1 ", "\uff11", "\u0661", "1,5", "1.000,00", "1e2", "+5", "-1", "0x10", "1_000"),
        *("NaN", "Infinity", "1" * 65, True, [], {}),
    ],
)
def test_what_is_no_amount(amount: Any) -> None:
    """A text that people read in two ways, and what is no number, is refused, never guessed."""
    with pytest.raises(ValueError, match="amount"):
        PriceFields.model_validate({"amount": amount, "currency": "USD"})


@given(
    st.dates(date(1900, 1, 1), date(2020, 1, 1)),
    st.sampled_from(list(countries)),
    st.sampled_from(["203.0.113.45", "2001:db8::1"]),
)
def test_consumers(birthday: date, country: Any, ip: str) -> None:
    """Birthday, country and address of a consumer are the same in whatever form they come."""
    canonical = ConsumerFields(ip=ip, country=country.alpha3, birthday=birthday.isoformat())
    mapped = f"::ffff:{ip}" if "." in ip else ip.upper()
    for form in (ip, f" {ip} ", mapped, f"[{mapped}]", f"[{mapped}]:80", f"{mapped}, 10.0.0.1", f"{mapped},unknown"):
        for code in (country.alpha3, country.alpha2, country.alpha2.lower(), country.alpha3.title()):
            sent = {"ip": form, "country": code, "birthday": f" {birthday.isoformat()} "}
            assert ConsumerFields.model_validate(sent) == canonical
    assert data_fields.TestAddressesRequest.model_validate({"ips": [ip, mapped]}).ips == [ip, ip]


@pytest.mark.parametrize("zero", ["0000-00-00", " 0000-00-00", "0000-00-00 00:00:00", "0000-00-00T00:00:00Z", "", None])
def test_a_zero_birthday_is_none(zero: str | None) -> None:
    """A date of zeros, which databases write for none, is none."""
    assert ConsumerFields.model_validate({"ip": "::1", "birthday": zero}).birthday is None


@pytest.mark.parametrize("day", ["0000-00-01", "0000-01-00", "1990-00-00", "1990-02-30", "19900228", "00/00/0000"])
def test_other_days_that_are_none_are_refused(day: str) -> None:
    """A day that no calendar has is refused."""
    with pytest.raises(ValueError, match="must be a day"):
        ConsumerFields.model_validate({"ip": "::1", "birthday": day})


@given(st.integers(1, 12), st.integers(25, 60), st.sampled_from(["4024007179366348", "4111111111111111"]))
def test_cards(month: int, year: int, number: str) -> None:
    """Card number, month and year are the same in groups or not, with one digit or two, two digits or four."""
    canonical = CardFields(number=number, expirationMonth=f"{month:02d}", expirationYear=f"{year}")  # type: ignore[arg-type]
    groups = [number[at : at + 4] for at in range(0, 16, 4)]
    numbers = [int(number), " ".join(groups), "-".join(groups), f" {number} ", number.translate(FULL_WIDTH)]
    months = [month, f"{month}", f"{month:02d}", f" {month} ", f"{month:02d}".translate(ARABIC)]
    years = [year, f"20{year}", 2000 + year, f" {year} ", f"{year}".translate(FULL_WIDTH)]
    for form in zip(numbers, months, years, strict=True):
        sent = dict(zip(("number", "expirationMonth", "expirationYear"), form, strict=True))
        read = CardFields.model_validate(sent)
        assert (read.number, read.expiry) == (canonical.number, canonical.expiry)


@given(st.integers(100, 9_999))
def test_security_codes(code: int) -> None:
    """A security code is the same as a number, as a text, with spaces around and with digits of any script."""
    account = {"paymentAccountId": TOKEN}
    for form in (code, f"{code}", f" {code} ", f"{code}".translate(FULL_WIDTH), f"{code}".translate(ARABIC)):
        source = AccountWithCodeSource.model_validate({"type": "paymentAccountIdWithCvv", **account, "cvv": form})
        stored = AccountTokenRequest.model_validate({**account, "consumerId": "c1234", "cvv": form})
        assert source.cvv == stored.cvv == Cvv.parse(f"{code}")


@pytest.mark.parametrize(
    ("forms", "value"), [((True, "true", "True", "1", 1, "TRUE"), True), ((False, "false", "0", 0, "", None), False)]
)
@pytest.mark.parametrize("name", ["3ds", "threeDS"])
def test_switches(name: str, forms: tuple[Any, ...], value: bool) -> None:  # noqa: FBT001 - a value of the table
    """A switch is on or off in whatever form it comes; no other text switches anything."""
    for form in forms:
        assert TokenSource.model_validate({"type": "token", "token": TOKEN, name: form}).authenticate is value
    others: tuple[Any, ...] = ("perhaps", 2, "01", [], "yesno")
    for other in others:
        with pytest.raises(ValueError, match="valid boolean"):
            TokenSource.model_validate({"type": "token", "token": TOKEN, name: other})
