"""Letters: what they say, in which language, and what nobody can make them say."""

from __future__ import annotations

import re
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP as POLICY
from html import unescape
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.letters import facts, notice

from tollhouse.kernel.money import Currency, Money
from tollhouse.notices.model import EmailFacts, NoticeKind, is_address
from tollhouse.notices.render import format_amount, load_words, render_email
from tollhouse.notices.smtp import build_message

SENDER = "receipts@pay.example"


def test_a_receipt() -> None:
    """A receipt names the shop, the amount, what was bought, when, the card's last digits and the numbers to ask by."""
    letter = render_email(notice())
    assert (letter.to, letter.sender_name, letter.subject) == (
        "jane@shop.example",
        "shop.example",
        "Your receipt from shop.example",
    )
    for part in (
        "Amount paid: 1,019.90 EUR",
        "For: Premium Monthly",
        "Date: 2026-01-02 03:04 UTC",
        "Card: Visa **** 6348",
        "Approval code: A12345",
        "Order: 100000000",
        "Transaction: 10000000",
        "On your statement: SHOP*PREMIUM",
    ):
        assert part in letter.text
    for part in ("1,019.90 EUR", "Premium Monthly", "Visa **** 6348", "100000000"):
        assert part in letter.html
    assert "402400" not in letter.text + letter.html


def test_missing_value_has_no_row() -> None:
    """A row without a value is left out."""
    letter = render_email(notice(title="", approval_code=None))
    assert "Approval code" not in letter.text + letter.html
    assert "For:" not in letter.text


def test_a_refund() -> None:
    """Money that came back has a letter of its own."""
    letter = render_email(notice(kind=NoticeKind.REFUND))
    assert letter.subject == "Your refund from shop.example"
    assert "Amount refunded: 1,019.90 EUR" in letter.text
    assert letter.name == "refund.1.10000000"


@pytest.mark.parametrize(
    ("language", "subject", "label"),
    [
        ("en", "Your subscription at shop.example has ended", "Subscription: 50000001"),
        ("de", "Ihr Abonnement bei shop.example", "Abonnement: 50000001"),
        ("fr", "Votre abonnement chez shop.example est terminé", "Abonnement: 50000001"),
        ("es", "Su suscripción en shop.example ha terminado", "Suscripción: 50000001"),
    ],
)
def test_the_end_of_a_subscription(language: str, subject: str, label: str) -> None:
    """It is told in the consumer's language with its number and date, and nothing of an amount or a card."""
    bare: dict[str, Any] = {
        "amount_minor": None,
        "currency": None,
        "transaction_id": None,
        "masked_number": "",
        "approval_code": None,
    }
    letter = render_email(
        notice(kind=NoticeKind.CANCELLATION, language=language, subscription_id="50000001", brand="", **bare)
    )
    assert letter.subject.startswith(subject)
    assert letter.name == "cancellation.1.50000001.10000000"
    for part in (label, "2026-01-02 03:04 UTC", "Premium Monthly"):
        assert part in letter.text
        assert part.rpartition(": ")[2] in letter.html
    for form in (letter.text, letter.html):
        assert "****" not in form
        assert "EUR" not in form
    assert "\n\n\n" not in letter.text


@pytest.mark.parametrize(
    ("language", "amount"),
    [
        ("en", "1,019.90 EUR"),
        ("de", "1.019,90 EUR"),
        ("de-AT", "1.019,90 EUR"),
        ("FR", "1 019,90 EUR"),
        ("es", "1.019,90 EUR"),
        ("xx", "1,019.90 EUR"),
        ("", "1,019.90 EUR"),
    ],
)
def test_amounts_follow_the_language(language: str, amount: str) -> None:
    """Amounts are formatted as the language does; a language without texts is English."""
    assert amount in render_email(notice(language=language)).text


def test_every_language_has_every_word() -> None:
    """No language lacks a word that another has, nor a place that is filled in."""
    languages = list(load_words().values())
    for words in languages:
        assert words.keys() == languages[0].keys()
        for name, text in words.items():
            if name != "separators":
                assert re.findall(r"{\w+}", text) == re.findall(r"{\w+}", languages[0][name]), text


@given(st.integers(0, 10**12), st.sampled_from(["JPY", "USD", "KWD"]))
def test_amounts_keep_their_digits(minor: int, code: str) -> None:
    """With any separators, the digits are those of the amount."""
    money = Money(minor, Currency.of(code))
    for words in load_words().values():
        digits = re.sub(r"\D", "", format_amount(money, words["separators"]))
        assert int(digits) == minor


@given(st.text(max_size=80), st.text(max_size=80), st.text(max_size=40))
def test_merchant_text_is_never_markup(shop: str, title: str, descriptor: str) -> None:
    """A merchant's text is one line of text: it opens no header, and no element of the page."""
    letter = render_email(notice(shop=shop, title=title, descriptor=descriptor))
    plain = render_email(notice(shop="x", title="x", descriptor="x"))
    assert letter.html.count("<") - plain.html.count("<") <= 0
    message = message_from_bytes(build_message(letter, sender=SENDER).as_bytes(), policy=POLICY)
    assert isinstance(message, EmailMessage)
    assert sorted(message.keys()) == sorted(build_message(plain, sender=SENDER).keys())
    assert message["To"] == "jane@shop.example"
    assert message["From"].addresses[0].addr_spec == SENDER


@pytest.mark.parametrize(
    "text",
    [
        "a\r\nBcc: b@example.org",
        "a\nTo: x",
        "a\x00b",
        "a\u2028Bcc: b",
        "a\u202eb",
        "=?utf-8?q?a=0ABcc:?=",
        "x =?utf-8?b?CkJjYzogYkBl?= =?utf-8?q?=0A?=",
    ],
)
def test_headers_cannot_be_added(text: str) -> None:
    """A line end in a shop's name ends no header, however it is written."""
    message = build_message(render_email(notice(shop=text)), sender=SENDER)
    read = message_from_bytes(message.as_bytes(), policy=POLICY)
    assert isinstance(read, EmailMessage)
    assert read["Bcc"] is None
    assert len(read.get_all("To", [])) == 1
    for name in ("From", "Subject"):
        assert not set(str(read[name])) & set("\r\n\x00\u2028\u202e")


def test_markup_is_escaped() -> None:
    """Markup in a title is shown, and an address in it is no link."""
    letter = render_email(notice(title='<img src=x onerror="alert(1)">'))
    assert "<img" not in letter.html
    assert '<img src=x onerror="alert(1)">' in unescape(letter.html)


def test_the_message_is_plain_ascii_in_two_forms() -> None:
    """Any mail server takes it; its id is the same each time."""
    first, again = [build_message(render_email(notice(language="fr", title="Été 🌞")), sender=SENDER) for _ in range(2)]
    assert first.as_bytes().isascii()
    assert [part.get_content_type() for part in first.iter_parts()] == ["text/plain", "text/html"]
    assert "Été 🌞" in first.get_body(("plain",)).get_content()  # type: ignore[union-attr]  # there is one
    assert first["Message-ID"] == again["Message-ID"] == "<receipt.1.10000000@pay.example>"
    assert first["Auto-Submitted"] == "auto-generated"


def test_facts_survive_storage() -> None:
    """Stored facts parse to equal facts."""
    assert EmailFacts.from_json(facts().to_json()) == facts()


@pytest.mark.parametrize(
    "address", ["jane@shop.example", "j@a.io", "jane.o'hara+x@mail.shop.example", "a" * 64 + "@b.example"]
)
def test_usual_addresses_are_accepted(address: str) -> None:
    """Usual addresses of people are accepted."""
    assert is_address(address)


@pytest.mark.parametrize(
    "address",
    [
        None,
        "",
        "jane",
        "jane@",
        "@shop.example",
        "jane@localhost",
        "a@b@c.example",
        "jane doe@shop.example",
        "jane@shop.example\r\nBcc: x@y.example",
        "jane@shop.example\n",
        "<jane@shop.example>",
        "a@b.example,c@d.example",
        '"a b"@shop.example',
        "jane@-shop.example",
        "jane@shop..example",
        ".a@b.example",
        "a..b@c.example",
        "jané@shop.example",
        "=?utf-8?q?a=0AX?=@shop.example",
        "jane@[127.0.0.1]",
        "a" * 65 + "@b.example",
        "a@" + "b" * 250 + ".example",
    ],
)
def test_ambiguous_address_is_rejected(address: str | None) -> None:
    """A text that could mean more than one address is rejected."""
    assert not is_address(address)
