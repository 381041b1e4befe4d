"""The issuer's rules."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.kernel import codes
from tollhouse.kernel.card import CardNumber, Expiry
from tollhouse.simulator import rules
from tollhouse.simulator.cards import published_cards
from tollhouse.simulator.model import AuthorizationRequest, Condition, DeliveryMode, ReceivedAreq, ReceivedProof

CARDS = published_cards()
PROOF = ReceivedProof("05", "A" * 28, "ds")


def order(name: str | None = "visa", **changes: Any) -> AuthorizationRequest:
    """Build an order with a published card, or with a number that is none."""
    card = CARDS[name] if name else None
    plain = AuthorizationRequest(
        reference="r",
        acceptor="1",
        number=CardNumber(card.number if card else "4242424242424242"),
        masked_number="400000****0000",
        brand=card.brand if card else "visa",
        expiry=Expiry(12, 2025),
        card=card,
        amount_minor=1999,
        currency="USD",
        capture=True,
        by_customer=True,
        consumer_ip="203.0.113.45",
        proof=None,
        emulate_code=None,
    )
    return replace(plain, **changes)


def request(name: str | None, *, takes_decoupled: bool = False) -> ReceivedAreq:
    """Build what the Directory reads from an AReq."""
    card = CARDS[name] if name else None
    return ReceivedAreq(
        threeds_server_trans_id=uuid4(),
        message_version="2.2.0",
        message_category="01",
        number=CardNumber(card.number if card else "4242424242424242"),
        masked_number="400000****0000",
        brand=card.brand if card else "visa",
        card=card,
        amount_minor=1999,
        currency="USD",
        merchant_name="Demo Shop",
        notification_url="http://127.0.0.1/",
        threeds_server_url="http://127.0.0.1/",
        takes_decoupled=takes_decoupled,
    )


@pytest.mark.parametrize("name", [name for name, card in CARDS.items() if card.group == "approve"])
def test_a_plain_card_approves(name: str) -> None:
    """A card of the approving group approves, without conditions."""
    verdict = rules.judge(order(name))

    assert (verdict.response_code, verdict.conditions) == ("00", ())


@pytest.mark.parametrize("name", [name for name, card in CARDS.items() if card.group == "decline"])
def test_a_declining_card_declines(name: str) -> None:
    """A declining card declines with its codes, whether proof is shown or not."""
    card = CARDS[name]
    for proof in (None, PROOF):
        verdict = rules.judge(order(name, proof=proof))

        assert (verdict.response_code, verdict.advice_code) == (card.response_code, card.advice_code)


def test_an_unpublished_number_does_not_exist() -> None:
    """A number that is no published card is 14."""
    assert rules.judge(order(None)).response_code == "14"


def test_nothing_is_verified_with_85() -> None:
    """An amount of zero is approved as "no reason to decline"."""
    assert rules.judge(order(amount_minor=0)).response_code == "85"
    assert rules.is_approval("85", amount_minor=0)
    assert not rules.is_approval("85", amount_minor=1)


@pytest.mark.parametrize("name", [name for name, card in CARDS.items() if card.authentication in set("YANRCD")])
def test_an_authenticating_card_asks_for_proof(name: str) -> None:
    """A card of the 3-D Secure group soft-declines a customer's payment without proof, whatever it does with one."""
    card = CARDS[name]
    expected = "65" if card.brand == "mastercard" else "1A"

    assert rules.judge(order(name)).response_code == expected
    assert codes.translate_response_code(expected, brand=card.brand).code == codes.SOFT_DECLINE


def test_a_card_may_decline_after_its_challenge() -> None:
    """The card that is challenged and then declined declines once proof is shown."""
    assert rules.judge(order("challenge_51", proof=PROOF)).response_code == "51"


def test_a_shown_proof_is_checked() -> None:
    """With a proof the approval hangs on the proof, also for a card that asks for none."""
    assert rules.judge(order("challenge", proof=PROOF)).conditions == (Condition.PROOF,)
    assert rules.judge(order("visa", proof=PROOF)).conditions == (Condition.PROOF,)


@pytest.mark.parametrize("name", ["unavailable", "informational"])
def test_a_card_without_proof_needs_a_note(name: str) -> None:
    """U and I pass without proof if the Directory said so, which the database knows."""
    assert rules.judge(order(name)).conditions == (Condition.NOTE,)


@pytest.mark.parametrize("name", ["challenge", "frictionless", "unavailable"])
def test_merchant_initiated_charges_need_no_proof(name: str) -> None:
    """A charge by the merchant is out of the scope of authentication; it hangs on the agreement that it shows."""
    verdict = rules.judge(order(name, by_customer=False, agreement="1"))

    assert (verdict.response_code, verdict.conditions) == ("00", (Condition.AGREEMENT,))


def test_a_merchant_has_to_show_an_agreement() -> None:
    """A merchant's charge without a network transaction id is an invalid transaction, unless a code is emulated."""
    assert rules.judge(order(by_customer=False)).response_code == "12"
    assert rules.judge(order(by_customer=False, emulate_code="0051")).response_code == "51"


@pytest.mark.parametrize("name", [name for name, card in CARDS.items() if card.renewal_code])
def test_a_renewal_is_declined(name: str) -> None:
    """A card of the renewals and of the updater approves its customer, and declines the merchant as it says."""
    card = CARDS[name]
    assert rules.judge(order(name)).response_code == "00"
    verdict = rules.judge(order(name, by_customer=False, agreement="1"))

    if card.renewal_declines is None:
        assert (verdict.response_code, verdict.advice_code) == (card.renewal_code, card.renewal_advice)
    else:
        assert (verdict.response_code, verdict.conditions) == ("00", (Condition.AGREEMENT, Condition.TRIES))


def test_the_new_date_of_a_card_approves() -> None:
    """The renewed card approves the merchant with its new date only; the old number of another never again."""
    codes_by_date = [
        rules.judge(order("renewed", by_customer=False, agreement="1", expiry=expiry)).response_code
        for expiry in (Expiry(12, 2039), Expiry(11, 2039), Expiry(12, 2040))
    ]
    assert codes_by_date == ["00", "54", "54"]
    kept = order("renumbered", by_customer=False, agreement="1", expiry=Expiry(12, 2039))
    assert rules.judge(kept).response_code == "54"


@given(st.integers(0, 999_999_999_999))
def test_the_amount_decides(amount_minor: int) -> None:
    """From 2000.00 to 2999.99 the last two digits of the whole part are the response code; elsewhere it approves."""
    whole = amount_minor // 100
    expected = f"{whole:04d}"[2:] if 2000 <= whole <= 2999 else "85" if not amount_minor else "00"

    assert rules.judge(order("amount", amount_minor=amount_minor)).response_code == expected


@pytest.mark.parametrize(
    ("amount_minor", "currency", "expected"),
    [(205100, "USD", "51"), (205199, "EUR", "51"), (2051, "JPY", "51"), (2051000, "KWD", "51"), (2051, "XQQ", "12")],
)
def test_the_deciding_amount_is_in_major_units(amount_minor: int, currency: str, expected: str) -> None:
    """The whole part of the amount counts, whatever decimals the currency has; an unknown currency is 12."""
    assert rules.judge(order("amount", amount_minor=amount_minor, currency=currency)).response_code == expected


def test_the_balance_is_in_one_currency() -> None:
    """The card with a balance hangs on it, and is not permitted elsewhere."""
    assert rules.judge(order("balance")).conditions == (Condition.BALANCE,)
    assert rules.judge(order("balance", amount_minor=0)).conditions == ()
    assert rules.judge(order("balance", currency="EUR")).response_code == "57"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("0000", "00"),
        ("000000", "00"),
        ("5000", "00"),
        ("0051", "51"),
        ("5051", "51"),
        ("00051", "51"),
        ("000051", "51"),
        ("5201", "1A"),
        ("5202", "N7"),
        ("5210", "R0"),
        ("5211", "R1"),
        ("5213", "R3"),
        ("5299", "ZZ"),
        ("001a", "1A"),
        ("00R3", "R3"),
        ("1010", "12"),
        ("51", "12"),
        ("abcd", "12"),
    ],
)
def test_emulated_codes(code: str, expected: str) -> None:
    """An emulateCode forces a response; one that is no issuer's is 12."""
    assert rules.emulated_response(code) == expected


@given(st.integers(1, 98))
def test_emulated_codes_come_back(number: int) -> None:
    """Emulating 50NN shows the merchant 50NN."""
    response_code = rules.emulated_response(f"50{number:02d}")

    assert codes.translate_response_code(response_code, brand="amex").code == f"50{number:02d}"


@pytest.mark.parametrize("code", ["5201", "5202", "5210", "5211", "5213", "5299"])
def test_emulated_letters_come_back(code: str) -> None:
    """Emulating one of the gateway's codes for letters shows the merchant that code."""
    assert codes.translate_response_code(rules.emulated_response(code), brand="visa").code == code


@given(st.text(max_size=8))
def test_any_emulated_code_has_a_response(code: str) -> None:
    """No text breaks the emulation: the response has two characters."""
    assert len(rules.emulated_response(code)) == 2


@pytest.mark.parametrize("name", [None, "decline_51", "challenge", "lost_answer", "balance"])
def test_an_emulated_code_comes_before_everything(name: str | None) -> None:
    """An emulated code counts for any number, hangs on nothing, and is answered at once."""
    forced = order(name, emulate_code="0000")
    verdict = rules.judge(forced)

    assert (verdict.response_code, verdict.conditions) == ("00", ())
    assert rules.choose_delivery(forced) is DeliveryMode.PROMPT


@pytest.mark.parametrize(
    ("name", "status", "eci"),
    [
        ("frictionless", "Y", "05"),
        ("frictionless_mastercard", "Y", "02"),
        ("attempted", "A", "06"),
        ("attempted_mastercard", "A", "01"),
        ("denied", "N", None),
        ("unavailable", "U", "07"),
        ("rejected", "R", None),
        ("informational", "I", "07"),
        ("challenge", "C", None),
        ("visa", "Y", "05"),
        ("maestro", "Y", "02"),
        (None, "U", "07"),
    ],
)
def test_card_decides_status_and_eci(name: str | None, status: str, eci: str | None) -> None:
    """Every card has its transStatus and the ECI of its brand; a plain one passes, an unknown number is U."""
    assessment = rules.assess(request(name))

    assert (assessment.status, assessment.eci) == (status, eci)


def test_decoupled_authentication_has_to_be_asked_for() -> None:
    """D is answered to a 3DS Server that takes it; another one gets N, reason 23."""
    assert rules.assess(request("decoupled", takes_decoupled=True)).status == "D"
    refused = rules.assess(request("decoupled"))
    assert (refused.status, refused.reason) == ("N", "23")
