"""EMV 3-D Secure messages: what is taken, what is refused and how."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.issuing import areq, encode, number_of

from tollhouse.simulator.threeds.emv_fields import EmvProtocolError
from tollhouse.simulator.threeds.emv_messages import (
    build_erro,
    build_pres,
    decode_base64url,
    encode_base64url,
    read_areq,
    read_creq,
    read_method_data,
)

TRANSACTION = "3ac7caa7-aa42-2663-791b-2ac05a542c4a"


def refuse(body: bytes) -> EmvProtocolError:
    """Return the error that reading an AReq raises."""
    with pytest.raises(EmvProtocolError) as caught:
        read_areq(body)
    return caught.value


def test_an_areq_is_read() -> None:
    """A complete AReq gives the card, the money by its ISO number, and where to go."""
    request = read_areq(encode(areq("challenge", 12345, purchaseCurrency="978")))

    assert request.card is not None
    assert request.card.name == "challenge"
    assert (request.amount_minor, request.currency) == (12345, "EUR")
    assert request.masked_number == "400000****0004"
    assert request.merchant_name == "Demo Shop"


@pytest.mark.parametrize(
    ("change", "code", "detail"),
    [
        ({"messageType": "CReq"}, "101", "messageType"),
        ({"messageType": None}, "101", "messageType"),
        ({"messageVersion": None}, "201", "messageVersion"),
        ({"messageVersion": "2.9.0"}, "102", "2.1.0,2.2.0"),
        ({"messageVersion": ["2.2.0"]}, "102", "2.1.0,2.2.0"),
        ({"acctNumber": None, "threeDSServerURL": ""}, "201", "threeDSServerURL,acctNumber"),
        ({"browserJavascriptEnabled": None}, "201", "browserJavascriptEnabled"),
        ({"browserTZ": None, "browserJavaEnabled": None}, "201", "browserJavaEnabled,browserTZ"),
        ({"acctNumber": "4111-1111"}, "203", "acctNumber"),
        ({"acctNumber": {}}, "203", "acctNumber"),
        ({"threeDSServerTransID": "1"}, "203", "threeDSServerTransID"),
        ({"cardExpiryDate": "2513"}, "203", "cardExpiryDate"),
        ({"purchaseAmount": "19.99"}, "203", "purchaseAmount"),
        ({"purchaseAmount": "9" * 40}, "203", "purchaseAmount"),
        ({"deviceChannel": "01"}, "203", "deviceChannel"),
        ({"browserJavaEnabled": "false"}, "203", "browserJavaEnabled"),
        ({"browserColorDepth": "25"}, "203", "browserColorDepth"),
        ({"notificationURL": "javascript:alert(1)"}, "203", "notificationURL"),
        ({"notificationURL": "https://shop.example/" + "x" * 250}, "203", "notificationURL"),
        ({"purchaseCurrency": "000"}, "304", "purchaseCurrency"),
    ],
)
def test_a_faulty_areq_is_refused(change: dict[str, Any], code: str, detail: str) -> None:
    """Each fault has EMVCo's code and names the elements, all that are faulty."""
    error = refuse(encode(areq(**change)))

    assert (error.code, error.detail) == (code, detail)


def test_a_browser_without_scripts_tells_less() -> None:
    """Elements that need a script are not required of a browser without scripts."""
    scripted = ("browserJavaEnabled", "browserColorDepth", "browserScreenHeight", "browserScreenWidth", "browserTZ")
    message = areq(browserJavascriptEnabled=False)
    told = {element: value for element, value in message.items() if element not in scripted}

    assert read_areq(encode(told)).message_version == "2.2.0"


def test_version_2_1_has_no_switch_for_scripts() -> None:
    """An AReq of 2.1 is taken without browserJavascriptEnabled, which 2.2 brought."""
    message = areq(messageVersion="2.1.0", browserJavascriptEnabled=None)

    assert read_areq(encode(message)).message_version == "2.1.0"


def test_twin_elements_are_refused() -> None:
    """An element that occurs twice is 204."""
    assert refuse(b'{"messageType":"AReq","messageType":"AReq"}').code == "204"


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b"null"])
def test_other_json_is_rejected(body: bytes) -> None:
    """Bytes that are not a JSON object are 203."""
    assert refuse(body).code == "203"


@pytest.mark.slow
@given(st.dictionaries(st.sampled_from(sorted(areq())), st.none() | st.text() | st.integers() | st.lists(st.text())))
def test_any_element_may_be_anything(changes: dict[str, Any]) -> None:
    """With any value in an element, the message is parsed or rejected."""
    said = ""
    try:
        read_areq(encode(areq() | changes))
    except EmvProtocolError as error:
        said = f"{error}{build_erro(error, answers='AReq')!r}"

    assert number_of("challenge") not in said


def test_an_erro_names_the_fault() -> None:
    """The Erro has the code, the component, the elements, the type it answers, and the transaction if it had one."""
    error = refuse(encode(areq(acctNumber=None, threeDSServerTransID=TRANSACTION)))
    erro = json.loads(build_erro(error, answers="AReq"))

    assert erro["messageType"] == "Erro"
    assert (erro["errorCode"], erro["errorComponent"], erro["errorMessageType"]) == ("201", "D", "AReq")
    assert erro["errorDetail"] == "acctNumber"
    assert erro["threeDSServerTransID"] == TRANSACTION
    assert erro["messageVersion"] == "2.2.0"


def test_an_erro_repeats_no_nonsense() -> None:
    """A version or transaction id that is none does not come back."""
    error = refuse(encode(areq(messageVersion="9", threeDSServerTransID="<script>")))
    erro = json.loads(build_erro(error, answers="AReq"))

    assert erro["messageVersion"] == "2.2.0"
    assert "threeDSServerTransID" not in erro


def test_ranges_carry_the_method_of_their_cards() -> None:
    """A PRes has versions for every published card, and the 3DS Method URL of those that have one."""
    preq = {"messageType": "PReq", "messageVersion": "2.2.0", "threeDSServerTransID": TRANSACTION}
    pres = json.loads(build_pres(encode(preq), base_url="https://acs.example"))
    methods = {row["startRange"]: row.get("threeDSMethodURL") for row in pres["cardRangeData"]}

    assert methods[number_of("challenge")] is None
    assert methods[number_of("challenge_method")] == "https://acs.example/acs/method"
    assert methods[number_of("challenge_method_silent")] == "https://acs.example/acs/method/silent"
    assert {(row["acsStartProtocolVersion"], row["acsEndProtocolVersion"]) for row in pres["cardRangeData"]} == {
        ("2.1.0", "2.2.0")
    }


def test_a_creq_is_read_with_and_without_padding() -> None:
    """EMVCo wants no padding; browsers' libraries put some all the same."""
    acs = str(uuid4())
    message = {
        "messageType": "CReq",
        "messageVersion": "2.2.0",
        "threeDSServerTransID": TRANSACTION,
        "acsTransID": acs,
    }
    creq = encode_base64url(encode(message))

    for text in (creq, creq + "=" * (-len(creq) % 4)):
        assert [str(part) for part in read_creq(text)] == [acs, TRANSACTION]


@given(st.text() | st.binary().map(encode_base64url))
def test_any_creq_is_read_or_refused(creq: str) -> None:
    """Any posted text is a CReq or is rejected."""
    with pytest.raises(EmvProtocolError):
        read_creq(creq)
    with pytest.raises(EmvProtocolError):
        read_method_data(creq)


@given(st.binary())
def test_base64url_is_its_own_inverse(data: bytes) -> None:
    """Encoded bytes decode to themselves, and have no character that a form would change."""
    text = encode_base64url(data)

    assert decode_base64url(text) == data
    assert not set(text) & set("+/=")


@pytest.mark.parametrize("url", ["javascript:alert(1)", 'https://a.example/"><script>', "ftp://a.example", "", 5])
def test_the_method_posts_to_the_web_only(url: object) -> None:
    """A notification URL that is none is refused."""
    message = {"threeDSServerTransID": TRANSACTION, "threeDSMethodNotificationURL": url}
    with pytest.raises(EmvProtocolError):
        read_method_data(encode_base64url(encode(message)))
