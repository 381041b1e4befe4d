"""EMV 3-D Secure messages: what is written has every element, and what is read is believed only if it is whole."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.kernel.card import Card, CardNumber, Expiry
from tollhouse.kernel.money import RETIRED_EXPONENTS, Currency, Money
from tollhouse.simulator.threeds import emv_messages
from tollhouse.simulator.threeds.emv_fields import EmvProtocolError
from tollhouse.threeds.elements import ProtocolError, read_object
from tollhouse.threeds.messages import (
    CurrencyUnknown,
    build_areq,
    build_creq,
    build_erro,
    build_method_data,
    build_preq,
    build_rres,
    number_currency,
    parse_ares,
    parse_cres,
    parse_method_answer,
    parse_pres,
    parse_rreq,
)
from tollhouse.threeds.model import AuthenticationRequest, BrowserData, Requestor

SERVER_ID, ACS_ID, DS_ID = UUID(int=1), UUID(int=2), UUID(int=3)
CAVV = base64.b64encode(bytes(range(20))).decode()

BROWSER = BrowserData(
    accept_header="text/html",
    user_agent="Mozilla/5.0",
    language="en-US",
    ip="203.0.113.45",
    javascript_enabled=True,
    java_enabled=False,
    color_depth=24,
    screen_height=1080,
    screen_width=1920,
    timezone_minutes=-330,
)
QUESTION = AuthenticationRequest(
    three_ds_server_trans_id=SERVER_ID,
    version="2.2.0",
    card=Card(CardNumber("4024007179366348"), Expiry(12, 2029), "Jane Smith"),
    money=Money(1999, Currency.of("USD")),
    merchant_name="Demo Shop",
    browser=BROWSER,
    asked_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    website="https://pay.example",
    notification_url="https://pay.example/3ds/return/x",
    results_url="https://pay.example/3ds/results",
    method_completed=None,
    challenge_indicator="01",
    decoupled_minutes=15,
)


def write(message: dict[str, Any]) -> bytes:
    """Write a message; what is None is left out."""
    return json.dumps({name: value for name, value in message.items() if value is not None}).encode()


def ares(status: str = "Y", **changes: Any) -> bytes:
    """Write an ARes to `QUESTION`."""
    proof = {"eci": "05", "authenticationValue": CAVV} if status in "YA" else {}
    return write(
        {
            "messageType": "ARes",
            "messageVersion": "2.2.0",
            "threeDSServerTransID": str(SERVER_ID),
            "acsTransID": str(ACS_ID),
            "dsTransID": str(DS_ID),
            "transStatus": status,
            "acsURL": "https://acs.example/challenge" if status == "C" else None,
            **proof,
            **changes,
        }
    )


def rreq(status: str = "Y", **changes: Any) -> bytes:
    """Write an RReq."""
    return ares(status, **{"messageType": "RReq", "messageCategory": "01", "acsURL": None, **changes})


def refuse(body: bytes, code: str, detail: str) -> None:
    """Check that an ARes is refused with a code and the element's name."""
    with pytest.raises(ProtocolError) as caught:
        parse_ares(body, QUESTION)
    assert (caught.value.code, caught.value.detail) == (code, detail)


@pytest.mark.parametrize("version", ["2.1.0", "2.2.0"])
@pytest.mark.parametrize("scripted", [True, False])
def test_an_areq_is_whole(version: str, *, scripted: bool) -> None:
    """A strict Directory takes the AReq of every browser; but 2.1 knows none without a script."""
    bare = BrowserData(accept_header="*/*", user_agent="x", language="en", ip="2001:db8::1", javascript_enabled=False)
    question = replace(QUESTION, version=version, browser=BROWSER if scripted else bare)
    body = build_areq(question, Requestor())
    if version == "2.1.0" and not scripted:
        with pytest.raises(EmvProtocolError):
            emv_messages.read_areq(body)
        return
    read = emv_messages.read_areq(body)
    assert (read.threeds_server_trans_id, read.amount_minor, read.currency) == (SERVER_ID, 1999, "USD")
    assert read.takes_decoupled == (version == "2.2.0")


def test_areq_describes_payment_card_and_return() -> None:
    """The elements describe the payment, the card and the return URL."""
    message = json.loads(build_areq(replace(QUESTION, method_completed=False), Requestor()))
    said = {
        "messageCategory": "01",
        "acctNumber": "4024007179366348",
        "cardExpiryDate": "2912",
        "cardholderName": "Jane Smith",
        "purchaseAmount": "1999",
        "purchaseCurrency": "840",
        "purchaseExponent": "2",
        "purchaseDate": "20260102030405",
        "threeDSCompInd": "N",
        "threeDSRequestorChallengeInd": "01",
        "threeDSRequestorDecMaxTime": "00015",
        "browserTZ": "-330",
        "browserJavaEnabled": False,
        "browserJavascriptEnabled": True,
        "notificationURL": "https://pay.example/3ds/return/x",
        "threeDSServerURL": "https://pay.example/3ds/results",
    }
    assert {name: message[name] for name in said} == said


def test_an_unknown_address_is_left_out() -> None:
    """An empty element is not an element."""
    assert "browserIP" not in json.loads(build_areq(replace(QUESTION, browser=replace(BROWSER, ip="")), Requestor()))


def test_a_verification_is_no_payment() -> None:
    """A zero amount is message category 02, and the requestor adds a card."""
    message = json.loads(build_areq(replace(QUESTION, money=Money(0, Currency.of("JPY"))), Requestor()))
    assert (message["messageCategory"], message["threeDSRequestorAuthenticationInd"]) == ("02", "04")
    assert message["purchaseExponent"] == "0"


@pytest.mark.parametrize("holder", [None, "", " x ", "y" * 64])
def test_a_name_has_2_to_45_characters(holder: str | None) -> None:
    """A cardholder's name that is too short is left out, and one that is too long is cut."""
    message = json.loads(build_areq(replace(QUESTION, card=replace(QUESTION.card, holder=holder)), Requestor()))
    assert message.get("cardholderName", "yy") == ("y" * 45 if holder and len(holder) == 64 else "yy")


def test_currencies_have_numbers() -> None:
    """Currencies that old clients still send have theirs; one without a number cannot be asked about."""
    assert number_currency("KWD") == "414"
    assert all(len(number_currency(code)) == 3 for code in RETIRED_EXPONENTS)
    with pytest.raises(CurrencyUnknown):
        number_currency("XYZ")


@pytest.mark.parametrize("status", list("YANURCDI"))
def test_every_status_is_read(status: str) -> None:
    """Proofs come with Y and A only, and an address with C."""
    answer = parse_ares(ares(status), QUESTION)
    assert answer.status == status
    assert (answer.cavv is not None) == (status in "YA")
    assert (answer.acs_url is not None) == (status == "C")
    assert (answer.acs_trans_id, answer.ds_trans_id) == (ACS_ID, DS_ID)


@pytest.mark.parametrize(
    ("body", "code", "detail"),
    [
        (b"[]", "203", "message"),
        (b"\xff", "203", "message"),
        (b'{"messageType": "ARes", "messageType": "ARes"}', "204", "message"),
        (b"[" * 100_000, "203", "message"),
        (ares(messageType="Erro"), "101", "messageType"),
        (ares(messageVersion="2.9.9"), "102", "messageVersion"),
        (ares(messageVersion=None), "201", "messageVersion"),
        (ares(messageVersion="2.1.0"), "203", "messageVersion"),
        (ares(acsTransID=None), "201", "acsTransID"),
        (ares(dsTransID="x"), "203", "dsTransID"),
        (ares("X"), "203", "transStatus"),
        (ares(authenticationValue=None), "201", "authenticationValue"),
        (ares(authenticationValue="short"), "203", "authenticationValue"),
        (ares("A", eci=None), "201", "eci"),
        (ares("C", acsURL=None), "201", "acsURL"),
        (ares("C", acsURL="javascript:alert(1)"), "203", "acsURL"),
        (ares(threeDSServerTransID=str(DS_ID)), "301", "threeDSServerTransID"),
    ],
)
def test_an_answer_that_is_not_whole_is_none(body: bytes, code: str, detail: str) -> None:
    """A strict reader: what is missing, malformed, or about something else is refused with EMVCo's code."""
    refuse(body, code, detail)


@pytest.mark.parametrize("status", list("YANUR"))
def test_results_are_read(status: str) -> None:
    """The five statuses in which a challenge may end."""
    result = parse_rreq(rreq(status, challengeCancel="04", transStatusReason="14"))
    assert (result.status, result.challenge_cancel, result.reason) == (status, "04", "14")
    assert (result.three_ds_server_trans_id, result.acs_trans_id, result.ds_trans_id) == (SERVER_ID, ACS_ID, DS_ID)


@pytest.mark.parametrize(
    ("body", "code"),
    [(rreq("C"), "203"), (rreq("D"), "203"), (rreq(eci=None), "201"), (rreq(messageCategory="x"), "203"), (b"", "203")],
)
def test_results_that_are_not_whole_are_answered_with_erro(body: bytes, code: str) -> None:
    """An RReq that says nothing final decides nothing; its Erro names what could be read."""
    with pytest.raises(ProtocolError) as caught:
        parse_rreq(body)
    message = json.loads(build_erro(caught.value, answers="RReq"))
    assert (message["messageType"], message["errorCode"], message["errorComponent"]) == ("Erro", code, "S")
    assert message["errorMessageType"] == "RReq"
    assert message.get("dsTransID") == (str(DS_ID) if body else None)


def test_a_result_is_acknowledged_with_its_ids() -> None:
    """RRes says 01: taken."""
    message = json.loads(build_rres(parse_rreq(rreq())))
    assert (message["messageType"], message["resultsStatus"]) == ("RRes", "01")
    assert message["dsTransID"] == str(DS_ID)


def test_a_creq_is_what_an_acs_reads() -> None:
    """base64url without padding, with both ids and the full window."""
    creq = build_creq(version="2.2.0", three_ds_server_trans_id=SERVER_ID, acs_trans_id=ACS_ID)
    assert "=" not in creq
    assert emv_messages.read_creq(creq) == (ACS_ID, SERVER_ID)


def test_a_cres_is_read_as_a_claim() -> None:
    """The browser's form is parsed for the log only."""
    message = {
        "messageType": "CRes",
        "messageVersion": "2.2.0",
        "threeDSServerTransID": str(SERVER_ID),
        "acsTransID": str(ACS_ID),
        "transStatus": "Y",
    }
    packed = base64.urlsafe_b64encode(write(message)).decode()
    assert parse_cres(packed) == parse_cres(packed.rstrip("=")) == (SERVER_ID, ACS_ID, "Y")


def test_method_data_there_and_back() -> None:
    """The ACS finds the address to report to, and reports the transaction."""
    data = build_method_data(three_ds_server_trans_id=SERVER_ID, notification_url="https://pay.example/m/k")
    assert emv_messages.read_method_data(data) == (str(SERVER_ID), "https://pay.example/m/k")
    assert parse_method_answer(emv_messages.build_method_answer(str(SERVER_ID))) == SERVER_ID


def test_ranges_are_read_in_order_and_faulty_ones_left_out() -> None:
    """One bad range spoils none of the others; versions are the newest in common."""
    bounds = {"acsStartProtocolVersion": "2.1.0", "acsEndProtocolVersion": "2.1.0"}
    rows = [
        {"startRange": "5000000000000000", "endRange": "5999999999999999", **bounds},
        {"startRange": "4000000000000000", "endRange": "4999999999999999", **bounds, "acsEndProtocolVersion": "2.3.1"},
        {"startRange": "x", "endRange": "5999999999999999", **bounds},
        "nonsense",
        {"startRange": "6000000000000000", "endRange": "6999999999999999", **bounds, "threeDSMethodURL": "ftp://x"},
    ]
    body = write(
        {
            "messageType": "PRes",
            "messageVersion": "2.2.0",
            "threeDSServerTransID": str(SERVER_ID),
            "cardRangeData": rows,
        }
    )
    ranges = parse_pres(body, three_ds_server_trans_id=SERVER_ID)
    assert [(card_range.first // 10**15, card_range.version) for card_range in ranges] == [(4, "2.2.0"), (5, "2.1.0")]
    with pytest.raises(ProtocolError):
        parse_pres(body, three_ds_server_trans_id=uuid4())


def test_the_simulators_ranges_are_read() -> None:
    """The Directory that stage has lists every published card, some with a 3DS Method."""
    body = emv_messages.build_pres(build_preq(three_ds_server_trans_id=SERVER_ID), base_url="http://localhost:1")
    ranges = parse_pres(body, three_ds_server_trans_id=SERVER_ID)
    assert any(card_range.method_url for card_range in ranges)
    assert ranges == sorted(ranges, key=lambda card_range: card_range.first)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_bytes_break_the_readers(body: bytes) -> None:
    """Any bytes raise ProtocolError or nothing."""
    for read in (read_object, parse_rreq, lambda text: parse_ares(text, QUESTION)):
        with pytest.raises(ProtocolError):
            raise _outcome(read, body)
    for unpack in (parse_cres, parse_method_answer):
        with pytest.raises(ProtocolError):
            unpack(body.decode("latin-1"))


def _outcome(read: Any, body: bytes) -> Exception:
    """Return the error of a reader, or one for a body that happens to be an object."""
    try:
        read(body)
    except ProtocolError as error:
        return error
    return ProtocolError("000", "read")
