"""The form of the payment page, as it is read."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tollhouse.checkout.card_form import SubmittedForm, read_card_form
from tollhouse.kernel.card import Card, Expiry

FORM = {"number": "4024 0071-7936.6348", "expiry": "04 / 29", "code": "123", "holder": "Jane Smith", "zip": "10001"}
TODAY = datetime(2026, 11, 22, tzinfo=UTC)


def read(**changes: str) -> SubmittedForm:
    """Read the form with changes."""
    return read_card_form(FORM | changes, today=None)


def card_of(filled: SubmittedForm) -> Card:
    """Return the card of a sound form."""
    assert filled.faults == {}
    assert filled.card is not None
    assert filled.card.card is not None
    return filled.card.card


def test_people_write_cards_in_groups() -> None:
    """Spaces, hyphens and points between the digits are no fault."""
    card = card_of(read())
    assert (card.number.masked, card.holder, card.zip) == ("402400****6348", "Jane Smith", "10001")


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("number", "4024\u202f0071\u202f7936\u202f6348"),
        ("number", "\u200e4024007179366348\u202c"),
        ("number", "٤٠٢٤ ٠٠٧١ ٧٩٣٦ ٦٣٤٨"),
        ("number", "４０２４－００７１－７９３６－６３４８"),
        ("number", "4024/0071/7936/6348"),
        ("expiry", "٠٤/٢٩"),
        ("expiry", "０４ ／ ２０２９"),
        ("expiry", "04\u2009/\u200929"),
        ("expiry", "042029"),
        ("code", "１２３"),
        ("code", "١٢٣\u200f"),
        ("holder", "Jane\u200c Smith"),
        ("holder", "Jane\u00a0Smith\u200e"),
        ("zip", "１０００１"),
    ],
)
def test_typed_text_is_read_as_a_person_reads_it(field: str, text: str) -> None:
    """Digits of any script, all kinds of blanks and dashes, and characters that nobody sees are no fault."""
    card = card_of(read(**{field: text}))
    assert (card.number.masked, card.holder, card.zip) == ("402400****6348", "Jane Smith", "10001")
    assert card.expiry == Expiry(4, 2029)


def test_names_keep_their_letters() -> None:
    """A name in any script stays what it is, with its accents."""
    for name in ("Zoe\u0308 Müller", "שרה", "山田 花子", "अनीता", "Đặng Thị Hoa"):
        assert card_of(read(holder=name)).holder == name


@pytest.mark.parametrize("text", ["04/29", "4/29", "04 / 2029", "0429", "2029-04", "04-29", " 04 29 "])
def test_dates_in_many_forms(text: str) -> None:
    """Whatever people and browsers fill in for April 2029 is April 2029."""
    assert card_of(read(expiry=text)).expiry == Expiry(4, 2029)


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("number", "4024007179366349"),
        ("number", ""),
        ("expiry", "13/29"),
        ("expiry", "00/29"),
        ("expiry", "1329"),
        ("expiry", "04/1929"),
        ("expiry", ""),
        ("code", "12"),
        ("code", "1234"),
        ("code", "12a"),
        ("holder", ""),
        ("holder", "J" * 256),
        ("holder", "4024007179366348"),
        ("holder", "a\nb"),
        ("zip", "1" * 256),
        ("zip", "4024 0071 7936 6348"),
    ],
)
def test_faults_are_named_by_field(field: str, text: str) -> None:
    """A field that is wrong is named, and no other; a card number belongs nowhere else."""
    assert list(read(**{field: text}).faults) == [field]


def test_all_faults_at_once() -> None:
    """An empty form names every field that is needed."""
    assert set(read_card_form({}, today=None).faults) == {"number", "expiry", "code", "holder"}


def test_a_past_date_is_refused_where_it_is_asked_for() -> None:
    """In live an expired card goes no further than the form."""
    assert read_card_form(FORM | {"expiry": "10/26"}, today=TODAY).faults == {"expiry": "fault_expired"}
    assert read_card_form(FORM | {"expiry": "11/26"}, today=TODAY).faults == {}


def test_a_stored_card_needs_its_code() -> None:
    """A stored card is named by its account, and comes with a security code."""
    account = "d86bdcbb-c369-46d9-a9d0-9c5010e3bfdb"
    means = read_card_form({"account": account, "code": "123"}, today=None).card
    assert means is not None
    assert str(means.account_id) == account
    assert read_card_form({"account": account}, today=None).faults == {"code": "fault_code"}
    assert read_card_form({"account": "x", "code": "123"}, today=None).faults == {"account": "fault_account"}


@settings(max_examples=60)
@given(st.dictionaries(st.sampled_from([*FORM, "account"]), st.text(max_size=24)))
def test_whatever_is_typed_is_read_or_named(form: dict[str, str]) -> None:
    """No form breaks the page: it has something to pay with, or faults."""
    filled = read_card_form(form, today=TODAY)
    assert (filled.card is None) == bool(filled.faults)


def test_a_slip_keeps_what_was_right() -> None:
    """Date, name and postal code are kept as they may be shown again; what is faulty is not."""
    assert read(code="").kept == {"expiry": "04 / 29", "holder": "Jane Smith", "zip": "10001"}
    assert read(expiry="13/29", zip="1" * 256).kept == {"holder": "Jane Smith"}


@given(
    st.permutations(["4024007179366348", "739", "", "4024 0071 7936 634", "7399", "٧٣٩"]),
    st.sampled_from([{}, {"number": "4024007179366348", "code": "739"}]),
)
@settings(deadline=None)
def test_no_card_data_is_kept(texts: list[str], sound: dict[str, str]) -> None:
    """A number and a code are kept in no field, in whichever they were typed, whole or in part."""
    fields = dict(zip(("holder", "zip", "expiry", "code", "number"), texts, strict=False))
    kept = read(**fields | sound).kept
    assert not any(digits in text for text in kept.values() for digits in ("4024", "7179366348", "739"))


@pytest.mark.parametrize("code", ["", "1229"])
def test_a_code_in_the_field_of_the_date_is_not_kept(code: str) -> None:
    """Four digits in a row are kept as a date only beside a code that is another."""
    assert "expiry" not in read(expiry="1229", code=code, number="374245455400126").kept
    assert read(expiry="1229").kept["expiry"] == "12 / 29"
