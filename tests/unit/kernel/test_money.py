"""Money is exact, or refused."""

from __future__ import annotations

import math
from decimal import Decimal

import iso4217
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.kernel.money import MAX_AMOUNT_MINOR, MAX_DOUBLE_STEPS, RETIRED_EXPONENTS, AmountError, Currency, Money

CURRENCIES = [Currency.of(known.code) for known in iso4217.Currency] + [Currency.of(code) for code in RETIRED_EXPONENTS]
EXPONENTS = [Currency.of(code) for code in ("JPY", "USD", "KWD", "CLF")]

currencies = st.sampled_from(CURRENCIES)
amounts = st.integers(0, MAX_AMOUNT_MINOR)


@given(currencies, amounts, st.integers(0, 6))
def test_every_amount_of_every_currency_is_read_exactly(currency: Currency, minor: int, zeros: int) -> None:
    """An amount with up to all the decimals of its currency is its minor units, however many zeros trail."""
    text = f"{minor // 10**currency.exponent}.{minor % 10**currency.exponent:0{currency.exponent}d}" + "0" * zeros
    assert Money.parse(Decimal(text.rstrip(".") or "0"), currency) == Money(minor, currency)


@given(currencies, amounts)
def test_amounts_come_back_as_written(currency: Currency, minor: int) -> None:
    """A rendered amount parses as the same amount, without trailing zeros and without an exponent."""
    written = Money(minor, currency).to_decimal()
    assert Money.parse(written, currency).amount_minor == minor
    assert "E" not in str(written)
    assert not ("." in str(written) and str(written).endswith("0"))


@given(currencies, amounts, st.integers(1, 9), st.integers(1, 30))
def test_a_decimal_too_many_is_refused(currency: Currency, minor: int, digit: int, zeros: int) -> None:
    """A digit past the last decimal of the currency is never rounded away, unless a double could not tell it apart."""
    whole, decimals = divmod(minor, 10**currency.exponent)
    decimals_text = f"{decimals:0{currency.exponent}d}" if currency.exponent else ""
    amount = Decimal(f"{whole}.{decimals_text}{'0' * (zeros - 1)}{digit}")
    exact = Decimal(minor).scaleb(-currency.exponent)
    if float(amount) - float(exact) <= MAX_DOUBLE_STEPS * math.ulp(float(exact)):
        assert Money.parse(amount, currency).amount_minor == minor
        return
    with pytest.raises(AmountError, match="more decimals"):
        Money.parse(amount, currency)


@given(currencies, amounts.filter(bool), st.integers(-MAX_DOUBLE_STEPS, MAX_DOUBLE_STEPS))
def test_traces_of_doubles_are_no_decimals(currency: Currency, minor: int, steps: int) -> None:
    """An amount up to eight doubles away from a minor unit is that minor unit."""
    amount = float(Decimal(minor).scaleb(-currency.exponent))
    for _ in range(abs(steps)):
        amount = math.nextafter(amount, math.inf if steps > 0 else 0.0)
    assert Money.parse(Decimal(repr(amount)), currency).amount_minor == minor
    assert Money.parse(Decimal(amount), currency).amount_minor == minor


@given(currencies, st.integers(1, 10**9), st.sampled_from((-1, 1)), st.integers(MAX_DOUBLE_STEPS + 1, 64))
def test_more_than_a_trace_is_refused(currency: Currency, minor: int, way: int, steps: int) -> None:
    """An amount nine doubles away from a minor unit is no amount of the currency."""
    amount = float(Decimal(minor).scaleb(-currency.exponent))
    for _ in range(steps):
        amount = math.nextafter(amount, math.inf if way > 0 else 0.0)
    with pytest.raises(AmountError, match="more decimals"):
        Money.parse(Decimal(repr(amount)), currency)


@pytest.mark.parametrize(
    ("text", "code", "minor"),
    [("0.30000000000000004", "USD", 30), ("19.990000000000002", "USD", 1999), ("2.9999999999999996", "JPY", 3)],
)
def test_sums_of_doubles_are_amounts(text: str, code: str, minor: int) -> None:
    """Amounts as programs write them that count money in doubles."""
    assert Money.parse(Decimal(text), Currency.of(code)).amount_minor == minor


@pytest.mark.parametrize("text", ["0.305", "0.3000001", "0.00000000000000001", "0.005"])
def test_fractions_of_a_cent_are_refused(text: str) -> None:
    """An amount between two cents is no amount, however near it is to one of them for a person."""
    with pytest.raises(AmountError, match="more decimals"):
        Money.parse(Decimal(text), Currency.of("USD"))


@pytest.mark.parametrize("currency", EXPONENTS, ids=lambda currency: currency.code)
def test_the_largest_amount(currency: Currency) -> None:
    """Twelve digits of minor units are taken, one unit more is not."""
    largest = Money(MAX_AMOUNT_MINOR, currency).to_decimal()
    assert Money.parse(largest, currency).amount_minor == MAX_AMOUNT_MINOR
    with pytest.raises(AmountError, match="too large"):
        Money.parse(largest + Decimal(1).scaleb(-currency.exponent), currency)


@pytest.mark.parametrize("text", ["-1", "-0.01", "NaN", "sNaN", "Infinity", "-Infinity"])
def test_negative_and_non_finite_amounts_are_rejected(text: str) -> None:
    """Negative amounts and texts that are not numbers are rejected."""
    with pytest.raises(AmountError, match="0 or more"):
        Money.parse(Decimal(text), Currency.of("USD"))


@pytest.mark.parametrize("text", ["1E+30", "1E+999999", "9" * 40])
def test_huge_numbers_cost_nothing(text: str) -> None:
    """A number far too large is refused without being written out."""
    with pytest.raises(AmountError, match="too large"):
        Money.parse(Decimal(text), Currency.of("USD"))


@pytest.mark.parametrize("text", ["0", "0.00", "-0", "0E+5", "0E-30"])
def test_zero_is_an_amount(text: str) -> None:
    """Zero is zero in every spelling."""
    assert Money.parse(Decimal(text), Currency.of("JPY")).amount_minor == 0


@pytest.mark.parametrize(
    ("text", "code", "minor"),
    [("1000.0", "JPY", 1000), ("10.5", "USD", 1050), ("0.001", "KWD", 1), ("1", "CLF", 10_000)],
)
def test_amounts_of_each_exponent_are_exact(text: str, code: str, minor: int) -> None:
    """Amounts of each exponent are parsed as in examples made by hand."""
    assert Money.parse(Decimal(text), Currency.of(code)).amount_minor == minor


@pytest.mark.parametrize("code", ["usd", "840", "", "US", "XYZ", "USDT", "ANT"])
def test_unknown_currencies(code: str) -> None:
    """A currency is named by three capital letters of ISO 4217."""
    with pytest.raises(KeyError):
        Currency.of(code)


def test_retired_currencies_keep_their_exponents() -> None:
    """Codes that the public clients still send are taken with the exponents they had."""
    assert Currency.of("BYR").exponent == 0
    assert Currency.of("HRK").exponent == 2


#: The decision of what can be paid in: codes of the tables that are no money, and codes of old money that stay.
NO_MONEY = [
    *("XAD", "XAG", "XAU", "XBA", "XBB", "XBC", "XBD", "XDR", "XPD", "XPT", "XSU", "XTS", "XUA", "XXX"),
    *("BOV", "CHE", "CHW", "CLF", "COU", "MXV", "USN", "UYI", "UYW"),
]


@pytest.mark.parametrize("code", NO_MONEY)
def test_codes_that_are_no_money_cannot_be_paid_in(code: str) -> None:
    """Metals, accounting units, funds and tests have codes of ISO 4217, and nobody can pay with them."""
    for spelling in (code, code.lower()):
        with pytest.raises(KeyError):
            Currency.parse(spelling)


def test_every_other_code_can_be_paid_in() -> None:
    """Every other code of the table and every retired one is taken, in lower case too."""
    codes = {known.code for known in iso4217.Currency} | RETIRED_EXPONENTS.keys()
    for code in codes - set(NO_MONEY):
        assert Currency.parse(code) == Currency.parse(code.lower()) == Currency.of(code)
    assert {code for code in codes if code.startswith("X")} - set(NO_MONEY) <= {"XAF", "XCD", "XCG", "XOF", "XPF"}
    assert {Currency.parse(code).code for code in ("XAF", "XCD", "XCG", "XOF", "XPF")}
