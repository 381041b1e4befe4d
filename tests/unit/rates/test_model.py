"""Exchange rates: converted through the euro, or by a parity, and rounded as documented."""

from __future__ import annotations

from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

import iso4217
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.kernel.money import MAX_AMOUNT_MINOR, Currency, Money
from tollhouse.rates.ecb import load_shipped_table
from tollhouse.rates.model import Parity, Rate, RateTable, build_rates, convert, load_parities

DAY = date(2026, 10, 30)
TABLE = RateTable(DAY, {"USD": Decimal("1.1172"), "JPY": Decimal("175.68"), "GBP": Decimal("0.83380")})
RATES = build_rates(load_shipped_table(), load_parities())


def test_currencies_are_crossed_over_the_euro() -> None:
    """A unit is worth as many dollars as a euro is, divided by as many units as a euro is; twelve digits of it."""
    rates = build_rates(TABLE, {})
    assert list(rates) == ["EUR", "GBP", "JPY", "USD"]
    assert rates["EUR"].usd_per_unit == Decimal("1.1172")
    assert rates["JPY"].usd_per_unit == Decimal("0.00635928961749")
    assert rates["JPY"].unit_per_usd == Decimal("157.250268528")
    assert rates["USD"] == Rate("USD", Decimal(1), Decimal(1), None)
    assert rates["JPY"].day == DAY


def test_parities_follow_their_anchor() -> None:
    """A currency that is fixed to another one moves with it; one whose anchor is unknown has no rate."""
    parities = {
        "GIP": Parity(Decimal(1), Decimal(1), "GBP"),
        "XPF": Parity(Decimal(1000), Decimal("8.38"), "EUR"),
        "AED": Parity(Decimal("3.6725"), Decimal(1), "USD"),
        "BTN": Parity(Decimal(1), Decimal(1), "INR"),
        "AAA": Parity(Decimal(1), Decimal(1), "BBB"),
        "BBB": Parity(Decimal(1), Decimal(1), "AAA"),
    }
    rates = build_rates(TABLE, parities)
    assert rates["GIP"] == Rate("GIP", rates["GBP"].usd_per_unit, rates["GBP"].unit_per_usd, DAY)
    assert rates["XPF"].usd_per_unit == Decimal("0.009362136")
    assert (rates["AED"].unit_per_usd, rates["AED"].day) == (Decimal("3.6725"), None)
    assert not {"BTN", "AAA", "BBB"} & set(rates)


def test_a_quoted_rate_comes_before_a_parity() -> None:
    """If the table has a currency, its market rate applies."""
    rates = build_rates(TABLE, {"JPY": Parity(Decimal(1), Decimal(1), "USD")})
    assert rates["JPY"].unit_per_usd == Decimal("157.250268528")


def test_built_in_tables_are_valid() -> None:
    """The built-in table and parities name real currencies, and each parity reaches one of the table."""
    known = {known.code for known in iso4217.Currency}
    table = load_shipped_table()
    assert set(table.per_euro) <= known
    assert len(table.per_euro) == 29
    assert set(load_parities()) <= set(RATES)
    assert all(Currency.of(code).code == code for code in RATES)
    for code in ("XAU", "XAG", "XPT", "XDR", "LBP", "ARS"):
        assert code not in RATES, code


@given(st.sampled_from(sorted(RATES)), st.integers(0, MAX_AMOUNT_MINOR))
def test_dollars_are_the_amount_times_the_published_rate(code: str, minor: int) -> None:
    """Converting is multiplying by the rate that the API gives, exactly, and then rounding half up to cents."""
    money = Money(minor, Currency.of(code))
    exact = Fraction(minor, 10**money.currency.exponent) * Fraction(RATES[code].usd_per_unit)
    cents = (exact * 100 + Fraction(1, 2)).__floor__()
    assert convert(money, RATES[code].usd_per_unit) * 100 == cents


def test_dollars_are_rounded_half_up() -> None:
    """Half a cent is a cent, and a dollar is a dollar."""
    yen = Currency.of("JPY")
    assert convert(Money(1, yen), Decimal("0.005")) == Decimal("0.01")
    assert convert(Money(1, yen), Decimal("0.00499999999999")) == 0
    assert convert(Money(3, yen), Decimal("0.005")) == Decimal("0.02")
    assert convert(Money(1999, Currency.of("USD")), Decimal(1)) == Decimal("19.99")
    assert str(convert(Money(1000, Currency.of("USD")), Decimal(1))) == "10"


@given(st.sampled_from(sorted(RATES)))
def test_rates_have_twelve_digits(code: str) -> None:
    """A rate is the exact quotient to its twelfth digit, and neither direction is the other's rounded inverse."""
    rate = RATES[code]
    for number in (rate.usd_per_unit, rate.unit_per_usd):
        assert number > 0
        assert len(number.normalize().as_tuple().digits) <= 12
        assert "E" not in f"{number.quantize(number, rounding=ROUND_HALF_UP)}"
    assert abs(rate.usd_per_unit * rate.unit_per_usd - 1) < Decimal("1e-11")
