"""The connector to the simulated issuer: only an explicit answer decides anything."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.support.issuing import encode, number_of, operation, order

from tollhouse.acquirers.model import (
    AccountQuery,
    AcquirerDispute,
    Approved,
    AskCardholder,
    Closed,
    Declined,
    DisputeQuery,
    NotSent,
    Proof,
    ReferenceUnknown,
    Reversed,
    Unchanged,
    Unknown,
    Updated,
)
from tollhouse.acquirers.simulated import SimulatedAcquirer
from tollhouse.kernel.card import Card, CardNumber, Expiry
from tollhouse.kernel.money import Currency, Money
from tollhouse.transport import model as transport

APPROVED = {
    "result": "approved",
    "responseCode": "00",
    "adviceCode": None,
    "approvalCode": "A1B2C3",
    "networkTransactionId": "123456789012345",
}

MONEY = Money(1999, Currency.of("USD"))
AMOUNT = {"minor": 1999, "currency": "USD"}
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
QUERY = AccountQuery("r", Card(CardNumber(number_of("renumbered")), Expiry(12, 2025), "Jane Smith", "10001"), "7")
NEW_CARD = {"number": number_of("replacement"), "expiryMonth": 1, "expiryYear": 2030}


class Line:
    """A transport that answers as it was told, and keeps what was posted."""

    def __init__(self, answer: bytes | Exception) -> None:
        self.answer = answer
        self.posted: list[tuple[str, bytes, float]] = []
        self.repeatable: dict[str, bool] = {}

    async def post(
        self, path: str, body: bytes, *, timeout_seconds: float, send_before: float, is_repeatable: bool = False
    ) -> bytes:
        """Keep the message and answer."""
        del send_before
        self.posted.append((path, body, timeout_seconds))
        self.repeatable[path] = is_repeatable
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def answering(**answer: Any) -> SimulatedAcquirer:
    """Build a connector whose host answers about reference r and 19.99 USD."""
    return SimulatedAcquirer(Line(encode({"reference": "r", "amount": AMOUNT} | answer)))


async def test_the_message_is_whole() -> None:
    """Everything that the host is to know is in the message, the number and security code clear."""
    line = Line(encode({"reference": "r", "amount": AMOUNT} | APPROVED))
    proof = Proof("05", "A" * 28, "ds-1", "2.2.0")
    await SimulatedAcquirer(line, timeout_seconds=7).authorize(
        order(reference="r", proof=proof, consumer_ip="203.0.113.45", emulate_code="0000", acceptor="7",
              network_transaction_id="1", mid="123", exemption="tra", transacted_at=AT)
    )  # fmt: skip
    (path, body, timeout_seconds) = line.posted[0]

    assert (path, timeout_seconds) == ("/acquirer/authorize", 7)
    assert json.loads(body) == {
        "reference": "r",
        "amount": {"minor": 1999, "currency": "USD"},
        "card": {"number": number_of("visa"), "expiryMonth": 12, "expiryYear": 2025},
        "cvv": "009",
        "capture": True,
        "initiator": "customer",
        "reason": "one_click",
        "descriptor": "DEMO SHOP",
        "networkTransactionId": "1",
        "proof": {
            "eci": "05",
            "cavv": "A" * 28,
            "directoryTransactionId": "ds-1",
            "version": "2.2.0",
            "external": False,
        },
        "consumerIp": "203.0.113.45",
        "emulateCode": "0000",
        "acceptor": "7",
        "mid": "123",
        "exemption": "tra",
        "transactedAt": "2026-01-02T03:04:05Z",
    }


async def test_only_messages_that_move_no_money_twice_are_repeatable() -> None:
    """Questions, reversals and acknowledgements may be sent again on a new connection; orders to move money never."""
    line = Line(transport.NoResponse("the party hung up"))
    acquirer = SimulatedAcquirer(line)
    sale = order(reference="r")
    await acquirer.authorize(sale)
    for move in (acquirer.capture, acquirer.void, acquirer.credit):
        await move(operation(sale, 500))
    await acquirer.inquire("r", MONEY)
    await acquirer.reverse("r", MONEY)
    await acquirer.update_account(QUERY)
    await acquirer.list_disputes(DisputeQuery(AT))
    await acquirer.acknowledge_disputes(["1"])
    assert {path.removeprefix("/acquirer/"): may for path, may in line.repeatable.items()} == {
        **dict.fromkeys(("authorize", "capture", "void", "credit"), False),
        **dict.fromkeys(("inquire", "reverse", "update-account", "disputes", "disputes/acknowledge"), True),
    }


async def test_an_approval_approves() -> None:
    """A complete approval about this reference is Approved."""
    answer = await answering(**APPROVED).authorize(order(reference="r"))

    assert answer == Approved("A1B2C3", "123456789012345", "00")


async def test_a_decline_declines() -> None:
    """A decline carries response and advice code."""
    answer = await answering(result="declined", responseCode="51", adviceCode="24").authorize(order(reference="r"))

    assert answer == Declined("51", "24")


@pytest.mark.parametrize(
    "answer",
    [
        {"result": "approved", "responseCode": "00"},
        APPROVED | {"approvalCode": ""},
        APPROVED | {"networkTransactionId": None},
        APPROVED | {"responseCode": None},
        {"result": "declined"},
        {"result": "maybe"},
        {},
        {"result": "reversed"},
        {"result": "not_found"},
        APPROVED | {"reference": "other"},
        APPROVED | {"reference": None},
    ],
)
async def test_an_incomplete_answer_decides_nothing(answer: dict[str, Any]) -> None:
    """An incomplete response to this authorization is Unknown."""
    assert isinstance(await answering(**answer).authorize(order(reference="r")), Unknown)


@given(st.binary())
@example(b'{"reference": "r\xff"}')
@example(b'{"reference": "r", "disputes": ' + b"[" * 60_000)
async def test_garbage_decides_nothing(body: bytes) -> None:
    """Bytes that are no answer are Unknown, for every verb."""
    acquirer = SimulatedAcquirer(Line(body))

    assert isinstance(await acquirer.authorize(order(reference="r")), Unknown)
    assert isinstance(await acquirer.inquire("r", MONEY), Unknown)
    assert isinstance(await acquirer.reverse("r", MONEY), Unknown)
    assert isinstance(await acquirer.update_account(QUERY), Unknown)
    assert isinstance(await acquirer.list_disputes(DisputeQuery(AT)), Unknown)
    assert not await acquirer.acknowledge_disputes(["d-1"])


async def test_refused_connection_is_not_sent() -> None:
    """A refused connection is NotSent, silence is Unknown, for every verb."""
    for error, kind in ((transport.RequestNotSent(), NotSent), (transport.NoResponse(), Unknown)):
        acquirer = SimulatedAcquirer(Line(error))

        assert isinstance(await acquirer.authorize(order(reference="r")), kind)
        assert isinstance(await acquirer.inquire("r", MONEY), kind)
        assert isinstance(await acquirer.reverse("r", MONEY), kind)
        assert isinstance(await acquirer.update_account(QUERY), kind)
        assert isinstance(await acquirer.list_disputes(DisputeQuery(AT)), kind)
        assert not await acquirer.acknowledge_disputes(["d-1"])


async def test_an_inquiry_finds() -> None:
    """An inquiry finds what the authorization was answered, that it was reversed, or nothing."""
    assert await answering(**APPROVED).inquire("r", MONEY) == Approved("A1B2C3", "123456789012345", "00")
    assert await answering(result="declined", responseCode="05").inquire("r", MONEY) == Declined("05")
    assert await answering(result="reversed").inquire("r", MONEY) == Reversed()
    assert await answering(result="not_found").inquire("r", MONEY) == ReferenceUnknown()


async def test_a_reversal_has_to_be_acknowledged() -> None:
    """Only "reversed" acknowledges a reversal."""
    assert await answering(result="reversed").reverse("r", MONEY) == Reversed()
    assert isinstance(await answering(**APPROVED).reverse("r", MONEY), Unknown)
    assert isinstance(await answering(result="not_found").reverse("r", MONEY), Unknown)


async def test_a_question_to_the_updater_is_whole() -> None:
    """The updater is told the card as it is stored and whose it is, and no more of it."""
    line = Line(encode({"reference": "r", "result": "unchanged"}))
    assert await SimulatedAcquirer(line).update_account(QUERY) == Unchanged()
    [(path, body, _)] = line.posted
    assert path == "/acquirer/update-account"
    assert json.loads(body) == {
        "reference": "r",
        "card": {"number": number_of("renumbered"), "expiryMonth": 12, "expiryYear": 2025},
        "acceptor": "7",
    }


async def test_updater_response_is_read() -> None:
    """A new card keeps the old one's holder and postal code; other responses are read as they are."""
    updated = await answering(result="updated", card=NEW_CARD).update_account(QUERY)
    assert updated == Updated(Card(CardNumber(number_of("replacement")), Expiry(1, 2030), "Jane Smith", "10001"))
    assert await answering(result="closed").update_account(QUERY) == Closed()
    assert await answering(result="ask_cardholder").update_account(QUERY) == AskCardholder()


@pytest.mark.parametrize(
    "answer",
    [
        {"result": "updated"},
        {"result": "updated", "card": NEW_CARD | {"number": "4024007179366349"}},
        {"result": "updated", "card": NEW_CARD | {"number": "x"}},
        {"result": "updated", "card": NEW_CARD | {"expiryMonth": 13}},
        {"result": "approved"},
        {"result": "closed", "reference": "other"},
        {},
    ],
)
async def test_an_incomplete_update_changes_nothing(answer: dict[str, Any]) -> None:
    """An incomplete response to this query is Unknown, and no card is made of it."""
    assert isinstance(await answering(**answer).update_account(QUERY), Unknown)


TOLD = {
    "id": "d-1",
    "acceptor": "7",
    "reference": "1-1",
    "amount": {"minor": 1999, "currency": "USD"},
    "reason": "10.4",
    "dueAt": "2026-01-02T03:04:05Z",
}


async def test_disputes_are_read() -> None:
    """A question bears whose disputes, until when by whose clock, and after which; the answer is a page of them."""
    line = Line(encode({"disputes": [TOLD]}))
    query = DisputeQuery(AT, ahead={"8": AT.replace(year=2027)}, after="d-0")
    assert await SimulatedAcquirer(line).list_disputes(query) == (
        AcquirerDispute("d-1", "7", "1-1", Money(1999, Currency.of("USD")), "10.4", AT),
    )
    [(path, body, _)] = line.posted
    assert path == "/acquirer/disputes"
    assert json.loads(body) == {
        "until": "2026-01-02T03:04:05Z",
        "acceptor": None,
        "ahead": [{"acceptor": "8", "until": "2027-01-02T03:04:05Z"}],
        "after": "d-0",
    }


@pytest.mark.parametrize(
    "change",
    [
        {"id": ""},
        {"amount": {"minor": 0, "currency": "USD"}},
        {"amount": {"minor": 1, "currency": "XXQ"}},
        {"dueAt": "2026-01-02T03:04:05"},
        {"reference": None},
    ],
)
async def test_a_page_is_whole_or_nothing(change: dict[str, Any]) -> None:
    """A page in which one dispute is no dispute is Unknown, so that none is passed over."""
    page = {"disputes": [TOLD, TOLD | change]}
    assert isinstance(await SimulatedAcquirer(Line(encode(page))).list_disputes(DisputeQuery(AT)), Unknown)


async def test_an_acknowledgement_is_for_all() -> None:
    """Acknowledged is what the acquirer names."""
    acquirer = SimulatedAcquirer(Line(encode({"ids": ["d-1", "d-2"]})))
    assert await acquirer.acknowledge_disputes(["d-1"])
    assert not await acquirer.acknowledge_disputes(["d-1", "d-3"])
