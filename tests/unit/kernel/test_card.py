"""Card data cannot be shown, whoever tries."""

from __future__ import annotations

import copy
import json
import pickle
import re
import string
import traceback
from collections.abc import Callable
from dataclasses import asdict

import msgspec
import pytest
import structlog
from hypothesis import assume, given
from hypothesis import strategies as st

from tollhouse.kernel.card import (
    UNKNOWN_BRAND,
    Card,
    CardDataError,
    CardNumber,
    Cvv,
    Expiry,
    detect_brand,
    find_brand,
    is_luhn_valid,
    mask_digits,
)
from tollhouse.wire.answers import MASKED_FORM

SEED_NUMBER = "4024007179366348"


def complete(body: str) -> str:
    """Append the digit that makes a number right."""
    return next(body + digit for digit in string.digits if is_luhn_valid(body + digit))


numbers = st.text(string.digits, min_size=12, max_size=18).map(complete)
codes = st.text(string.digits, min_size=3, max_size=4)
middles = st.integers(2, 9).flatmap(lambda size: st.tuples(*[st.text(string.digits, min_size=size, max_size=size)] * 2))


def in_traceback(secret: object) -> str:
    """Fail with a secret among the locals and in the message."""
    try:
        raise ValueError(secret)
    except ValueError as error:
        return "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())


SHOWN: dict[str, Callable[[object], str]] = {
    "str": str,
    "repr": repr,
    "ascii": ascii,
    "format": format,
    "padded": lambda secret: f"{secret:>40}",
    "f-string": lambda secret: f"{secret}{secret!r}{secret!s}",
    "percent": lambda secret: "%s %r" % (secret, secret),  # noqa: UP031 - a way in which people print
    "in a list": lambda secret: str([secret, {"card": (secret,)}]),
    "json as text": lambda secret: json.dumps({"secret": secret}, default=str),
    "traceback": in_traceback,
    "log": lambda secret: str(structlog.processors.JSONRenderer(default=str)(None, "info", {"secret": secret})),
    "console": lambda secret: structlog.dev.ConsoleRenderer(colors=False)(None, "info", {"event": "x", "s": secret}),
}


@pytest.mark.parametrize("way", SHOWN)
@given(
    first=st.text(string.digits, min_size=6, max_size=6),
    middles=middles,
    last=st.text(string.digits, min_size=4, max_size=4),
)
def test_numbers_show_six_and_four(way: str, first: str, middles: tuple[str, str], last: str) -> None:
    """Every printed form of a card number shows its first and last digits, and no trace of the others."""
    one, other = (SHOWN[way](CardNumber(first + middle + last)) for middle in middles)
    assert one == other
    shown = first if len(middles[0]) > 2 else first[:4]  # of twelve digits fewer
    assert f"{shown}****{last}" in one


@pytest.mark.parametrize("way", SHOWN)
@given(one=codes, other=codes)
def test_security_codes_show_nothing(way: str, one: str, other: str) -> None:
    """Every printed form of a security code shows stars, the same for every code."""
    assert SHOWN[way](Cvv(one)) == SHOWN[way](Cvv(other))
    assert "***" in SHOWN[way](Cvv(one))


@pytest.mark.parametrize(
    "secret", [CardNumber(SEED_NUMBER), Cvv("937"), Card(CardNumber(SEED_NUMBER), Expiry(12, 2029))]
)
@pytest.mark.parametrize(
    "take_away",
    [
        *(
            lambda secret, protocol=protocol: pickle.dumps(secret, protocol)
            for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
        ),
        json.dumps,
        msgspec.json.encode,
        msgspec.msgpack.encode,
        copy.deepcopy,
    ],
)
def test_card_data_is_not_serialized(secret: object, take_away: Callable[[object], object]) -> None:
    """Card data is not pickled, turned into JSON or deeply copied, and the refusal holds none of it."""
    with pytest.raises(TypeError) as refused:
        take_away(secret)
    assert SEED_NUMBER not in str(refused.value)
    assert "937" not in str(refused.value)


@pytest.mark.parametrize("secret", [CardNumber(SEED_NUMBER), Cvv("937")])
def test_secrets_are_not_copied(secret: object) -> None:
    """There is one copy of a secret."""
    with pytest.raises(TypeError, match="not serialized"):
        copy.copy(secret)


def test_a_card_is_not_turned_into_a_dictionary() -> None:
    """The careless way of writing a record down fails before anything is written."""
    with pytest.raises(TypeError, match="not serialized"):
        asdict(Card(CardNumber(SEED_NUMBER), Expiry(12, 2029)))


@pytest.mark.parametrize(
    ("number", "masked"),
    [
        ("501800000009", "5018****0009"),
        ("5018000000009", "501800****0009"),
        (SEED_NUMBER, "402400****6348"),
        ("6304000000000000000", "630400****0000"),
    ],
)
def test_masked_number_hides_enough(number: str, masked: str) -> None:
    """The first six and the last four digits are shown; fewer for the shortest number, so that enough are hidden."""
    assert (CardNumber(number).masked, mask_digits(number)) == (masked, masked)
    assert re.fullmatch(MASKED_FORM, masked)


def test_brands_are_found_by_their_names() -> None:
    """A stored card's brand is found by its name; a name that nobody has is the unknown brand's."""
    assert [find_brand(name).cvv_length for name in ("amex", "visa", "nobody")] == [4, 3, None]


def test_a_card_prints_masked() -> None:
    """A card prints with its number masked."""
    printed = str(Card(CardNumber(SEED_NUMBER), Expiry(12, 2029)))
    assert printed.startswith("Card(number=CardNumber(402400****6348), expiry=")


@given(numbers, numbers)
def test_numbers_are_told_apart(one: str, other: str) -> None:
    """Equal numbers are equal, and no number equals its text or a security code."""
    assert (CardNumber(one) == CardNumber(other)) is (one == other)
    assert hash(CardNumber(one)) == hash(CardNumber(one))
    assert CardNumber(one) != one
    assert CardNumber("123") != Cvv("123")


@given(st.text(string.digits, min_size=12, max_size=18).filter(lambda body: not body.startswith(("62", "81"))))
def test_a_wrong_check_digit_is_refused(body: str) -> None:
    """Of the ten numbers that differ in the last digit one is right, and the refusal shows none."""
    assume(detect_brand(body).luhn)
    right = []
    for digit in string.digits:
        try:
            right.append(CardNumber.parse(body + digit))
        except CardDataError as error:
            assert body not in str(error)  # noqa: PT017 - what is under test is all ten together
    assert len(right) == 1


@given(numbers, st.integers(0, 17))
def test_neighbours_swapped(digits: str, at: int) -> None:
    """Two neighbouring digits swapped are found out, except 0 and 9, as the formula has it."""
    at %= len(digits) - 1
    one, two = digits[at], digits[at + 1]
    assume(one != two and {one, two} != {"0", "9"})
    assert not is_luhn_valid(digits[:at] + two + one + digits[at + 2 :])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4" * 11,
        "4" * 20,
        "4024 0071 7936 6348",
        "402400717936634x",
        "４０２４００７１７９３６６３４８",
        "-402400717936634",
    ],
)
def test_invalid_number_is_rejected(text: str) -> None:
    """A card number has 12 to 19 digits, which are ASCII."""
    with pytest.raises(CardDataError):
        CardNumber.parse(text)


@pytest.mark.parametrize(
    ("digits", "brand"),
    [
        ("4024007179366348", "visa"),
        ("5555555555554444", "mastercard"),
        ("2221000000000009", "mastercard"),
        ("2720990000000007", "mastercard"),
        ("2721000000000000", "unknown"),
        ("378282246310005", "amex"),
        ("30569309025904", "diners"),
        ("6011111111111117", "discover"),
        ("3530111333300000", "jcb"),
        ("6221260000000000", "unionpay"),
        ("6759649826438453", "maestro"),
        ("9999999999999995", "unknown"),
    ],
)
def test_longest_prefix_decides_the_brand(digits: str, brand: str) -> None:
    """The longest prefix decides the brand."""
    assert detect_brand(digits).name == brand


def test_unionpay_has_numbers_without_check_digit() -> None:
    """A brand whose numbers may lack the check digit is not refused for it."""
    assert CardNumber.parse("6221260000000001").brand.name == "unionpay"


@pytest.mark.parametrize(
    ("brand", "right", "wrong"), [("378282246310005", "1234", "123"), (SEED_NUMBER, "123", "1234")]
)
def test_security_codes_have_the_length_of_their_brand(brand: str, right: str, wrong: str) -> None:
    """American Express has four digits, Visa three."""
    assert Cvv.parse(right, brand=detect_brand(brand)).reveal() == right
    with pytest.raises(CardDataError, match="digits") as refused:
        Cvv.parse(wrong, brand=detect_brand(brand))
    assert wrong not in str(refused.value)


@pytest.mark.parametrize("text", ["123", "1234"])
def test_unknown_brand_accepts_both_code_lengths(text: str) -> None:
    """For an unknown brand, three and four digits are valid."""
    assert Cvv.parse(text, brand=UNKNOWN_BRAND).reveal() == text


@pytest.mark.parametrize("text", ["", "12", "12345", "12a", "１２３"])
def test_invalid_security_code_is_rejected(text: str) -> None:
    """A security code has three or four digits, which are ASCII."""
    with pytest.raises(CardDataError):
        Cvv.parse(text)


@given(st.integers(1, 12), st.integers(0, 99))
def test_card_is_valid_through_its_month(month: int, year: int) -> None:
    """A card is valid to the end of its month."""
    expiry = Expiry.parse(f"{month:02}", f"{year:02}")
    assert (expiry.month, expiry.year) == (month, 2000 + year)
    assert not expiry.is_past(year=2000 + year, month=month)
    following = (2000 + year + month // 12, month % 12 + 1)
    assert expiry.is_past(year=following[0], month=following[1])


@pytest.mark.parametrize(
    ("month", "year"),
    [
        ("00", "29"),
        ("13", "29"),
        ("1", "29"),
        ("012", "29"),
        ("ab", "29"),
        ("01", "2029"),
        ("01", "9"),
        ("01", ""),
        ("１２", "29"),
    ],
)
def test_invalid_expiry_is_rejected(month: str, year: str) -> None:
    """The month is 01 to 12 and the year has two digits."""
    with pytest.raises(CardDataError):
        Expiry.parse(month, year)
