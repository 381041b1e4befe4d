"""Money is exact, or refused."""

from __future__ import annotations

from decimal import Decimal

import iso4217
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.kernel.money import MAX_AMOUNT_MINOR, RETIRED_EXPONENTS, AmountError, Currency, Money

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
    """What is written for the wire reads as the same amount, without trailing zeros and without an exponent."""
    written = Money(minor, currency).to_decimal()
    assert Money.parse(written, currency).amount_minor == minor
    assert "E" not in str(written)
    assert not ("." in str(written) and str(written).endswith("0"))


@given(currencies, amounts, st.integers(1, 9), st.integers(1, 30))
def test_a_decimal_too_many_is_refused(currency: Currency, minor: int, digit: int, zeros: int) -> None:
    """A digit past the last decimal of the currency is never rounded away, however far out it stands."""
    whole, decimals = divmod(minor, 10**currency.exponent)
    decimals_text = f"{decimals:0{currency.exponent}d}" if currency.exponent else ""
    with pytest.raises(AmountError, match="more decimals"):
        Money.parse(Decimal(f"{whole}.{decimals_text}{'0' * (zeros - 1)}{digit}"), currency)


@pytest.mark.parametrize("currency", EXPONENTS, ids=lambda currency: currency.code)
def test_nines_without_end_are_not_one(currency: Currency) -> None:
    """An amount just below a whole one is not taken for it."""
    with pytest.raises(AmountError, match="more decimals"):
        Money.parse(Decimal("0." + "9" * 35), currency)


@pytest.mark.parametrize("currency", EXPONENTS, ids=lambda currency: currency.code)
def test_the_largest_amount(currency: Currency) -> None:
    """Twelve digits of minor units are taken, one unit more is not."""
    largest = Money(MAX_AMOUNT_MINOR, currency).to_decimal()
    assert Money.parse(largest, currency).amount_minor == MAX_AMOUNT_MINOR
    with pytest.raises(AmountError, match="too large"):
        Money.parse(largest + Decimal(1).scaleb(-currency.exponent), currency)


@pytest.mark.parametrize("text", ["-1", "-0.01", "NaN", "sNaN", "Infinity", "-Infinity"])
def test_what_is_no_amount(text: str) -> None:
    """Less than nothing and what is no number are refused."""
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
def test_examples(text: str, code: str, minor: int) -> None:
    """Amounts of each exponent are read by hand-made examples."""
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
