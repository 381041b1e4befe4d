"""EMV 3-D Secure messages, parsed and built. Names of elements are EMVCo's."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from functools import cache
from typing import Any
from uuid import UUID, uuid4

import iso4217

from tollhouse.kernel.card import CardNumber
from tollhouse.simulator.cards import find_card, published_cards
from tollhouse.simulator.model import ReceivedAreq, SimulatedAuthentication
from tollhouse.simulator.rules import PROVING
from tollhouse.simulator.threeds.emv_fields import (
    AREQ,
    CREQ,
    ERROR_TEXTS,
    PREQ,
    URL_FORM,
    UUID_FORM,
    VERSIONS,
    EmvElement,
    EmvProtocolError,
    read_message,
    read_object,
)
from tollhouse.simulator.words import DEFAULT

DIRECTORY_REFERENCE = "TOLLHOUSE_SIMULATED_DS"
ACCESS_CONTROL_REFERENCE = "TOLLHOUSE_SIMULATED_ACS"

#: Numeric codes of currencies that ISO 4217 has retired and that old clients still send.
RETIRED_CURRENCIES = {
    "191": "HRK",
    "428": "LVL",
    "440": "LTL",
    "478": "MRO",
    "532": "ANG",
    "678": "STD",
    "694": "SLL",
    "974": "BYR",
    "975": "BGN",
}

MAX_AMOUNT_MINOR = 2**63 - 1


def read_areq(body: bytes) -> ReceivedAreq:
    """Parse an AReq. Raises EmvProtocolError, with no value in it."""
    message = read_message(body, "AReq", AREQ)
    currency = currencies_by_number().get(message["purchaseCurrency"])
    if currency is None:
        raise EmvProtocolError("304", "purchaseCurrency", message)
    if int(message["purchaseAmount"]) > MAX_AMOUNT_MINOR:
        raise EmvProtocolError("203", "purchaseAmount", message)
    number = CardNumber(message["acctNumber"])
    return ReceivedAreq(
        threeds_server_trans_id=UUID(message["threeDSServerTransID"]),
        message_version=message["messageVersion"],
        message_category=message["messageCategory"],
        number=number,
        masked_number=number.masked,
        brand=number.brand.name,
        card=find_card(number),
        amount_minor=int(message["purchaseAmount"]),
        currency=currency,
        merchant_name=message["merchantName"],
        notification_url=message["notificationURL"],
        threeds_server_url=message["threeDSServerURL"],
        takes_decoupled=message.get("threeDSRequestorDecReqInd") == "Y",
        language=message["browserLanguage"],
    )


def build_ares(authentication: SimulatedAuthentication, *, base_url: str, language: str) -> bytes:
    """Build the response to an AReq. It is the same for a repeated AReq.

    The URL of the challenge contains the language of its pages, unless it is English.
    """
    query = "" if language == DEFAULT else f"?lang={language}"
    status = authentication.first_status
    proving = status in PROVING
    return _encode(
        {
            **_ids(authentication, "ARes"),
            "acsReferenceNumber": ACCESS_CONTROL_REFERENCE,
            "dsReferenceNumber": DIRECTORY_REFERENCE,
            "transStatus": status,
            "transStatusReason": authentication.status_reason if status not in "CD" else None,
            "eci": authentication.eci if status not in "CD" else None,
            "authenticationValue": authentication.cavv if proving else None,
            "acsURL": f"{base_url}/acs/challenge{query}" if status == "C" else None,
            "acsChallengeMandated": "Y" if status == "C" else "N" if status == "D" else None,
            "authenticationType": "02" if status in "CD" else None,
            "acsDecConInd": "Y" if status == "D" else None,
        }
    )


def build_rreq(authentication: SimulatedAuthentication) -> bytes:
    """Build the RReq: the deciding result of a challenge."""
    return _encode(
        {
            **_ids(authentication, "RReq"),
            "messageCategory": authentication.message_category,
            "transStatus": authentication.final_status,
            "transStatusReason": authentication.status_reason,
            "eci": authentication.eci,
            "authenticationValue": authentication.cavv,
            "authenticationType": "02",
            "authenticationMethod": "02",
            "challengeCancel": authentication.challenge_cancel,
            "interactionCounter": f"{count_interactions(authentication):02d}",
        }
    )


def count_interactions(authentication: SimulatedAuthentication) -> int:
    """Return the number of typed codes."""
    return authentication.wrong_codes + (authentication.final_status == "Y")


def check_rres(text: bytes, authentication: SimulatedAuthentication) -> None:
    """Check that an RRes acknowledges this authentication. Raises EmvProtocolError."""
    elements = (
        EmvElement("threeDSServerTransID", UUID_FORM),
        EmvElement("acsTransID", UUID_FORM),
        EmvElement("resultsStatus", r"0[1-4]"),
    )
    message = read_message(text, "RRes", elements)
    asked = (authentication.threeds_server_trans_id, authentication.acs_trans_id)
    if (UUID(message["threeDSServerTransID"]), UUID(message["acsTransID"])) != asked:
        raise EmvProtocolError("203", "threeDSServerTransID,acsTransID")


def read_creq(creq: str) -> tuple[UUID, UUID]:
    """Parse the CReq of a form: the transaction IDs of ACS and 3DS Server. Raises EmvProtocolError."""
    message = read_message(decode_base64url(creq), "CReq", CREQ)
    return UUID(message["acsTransID"]), UUID(message["threeDSServerTransID"])


def build_cres(authentication: SimulatedAuthentication) -> str:
    """Build the CRes for the form: a signal to continue, without proof."""
    message = {
        **_ids(authentication, "CRes"),
        "challengeCompletionInd": "Y",
        "transStatus": "Y" if authentication.final_status == "Y" else "N",
    }
    del message["dsTransID"]
    return encode_base64url(_encode(message))


def read_method_data(data: str) -> tuple[str, str]:
    """Parse `threeDSMethodData`: the transaction ID and the notification URL. Raises EmvProtocolError."""
    message = read_object(decode_base64url(data))
    transaction_id = str(message.get("threeDSServerTransID", ""))
    url = str(message.get("threeDSMethodNotificationURL", ""))
    if not (EmvElement("id", UUID_FORM).fits(transaction_id) and EmvElement("url", URL_FORM, 256).fits(url)):
        raise EmvProtocolError("203", "threeDSMethodData")
    return transaction_id, url


def build_method_answer(transaction_id: str) -> str:
    """Build the `threeDSMethodData` that is posted back."""
    return encode_base64url(_encode({"threeDSServerTransID": transaction_id}))


def build_pres(body: bytes, *, base_url: str) -> bytes:
    """Build the response to a PReq: every published card as a range of one. Raises EmvProtocolError."""
    message = read_message(body, "PReq", PREQ)
    return _encode(
        {
            "messageType": "PRes",
            "messageVersion": message["messageVersion"],
            "threeDSServerTransID": message["threeDSServerTransID"],
            "dsTransID": str(uuid4()),
            "dsReferenceNumber": DIRECTORY_REFERENCE,
            "serialNum": "1",
            "dsStartProtocolVersion": VERSIONS[0],
            "dsEndProtocolVersion": VERSIONS[-1],
            "cardRangeData": [_build_range(card.number, card.method, base_url) for card in published_cards().values()],
        }
    )


def build_erro(error: EmvProtocolError, *, answers: str) -> bytes:
    """Build the Erro for a faulty message of the expected type."""
    version = error.message.get("messageVersion")
    transaction_id = error.message.get("threeDSServerTransID")
    return _encode(
        {
            "messageType": "Erro",
            "messageVersion": version if version in VERSIONS else VERSIONS[-1],
            "threeDSServerTransID": transaction_id if EmvElement("id", UUID_FORM).fits(transaction_id) else None,
            "errorCode": error.code,
            "errorComponent": "D",
            "errorDescription": ERROR_TEXTS[error.code],
            "errorDetail": error.detail,
            "errorMessageType": answers,
        }
    )


@cache
def currencies_by_number() -> Mapping[str, str]:
    """Return the alphabetic codes of currencies by their three digits."""
    return RETIRED_CURRENCIES | {
        f"{currency.number:03d}": currency.code for currency in iso4217.Currency if currency.number
    }


def decode_base64url(text: str) -> bytes:
    """Decode base64url with or without padding. Raises EmvProtocolError."""
    try:
        return base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise EmvProtocolError("203", "base64url") from None


def encode_base64url(data: bytes) -> str:
    """Encode as base64url without padding, as EMVCo requires."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _ids(authentication: SimulatedAuthentication, message_type: str) -> dict[str, Any]:
    return {
        "messageType": message_type,
        "messageVersion": authentication.message_version,
        "threeDSServerTransID": str(authentication.threeds_server_trans_id),
        "acsTransID": str(authentication.acs_trans_id),
        "dsTransID": str(authentication.ds_trans_id),
    }


def _build_range(number: str, method: str | None, base_url: str) -> dict[str, Any]:
    bounds = {
        "startRange": number,
        "endRange": number,
        "actionInd": "A",
        "acsStartProtocolVersion": VERSIONS[0],
        "acsEndProtocolVersion": VERSIONS[-1],
    }
    path = {None: None, "answers": "/acs/method", "silent": "/acs/method/silent"}[method]
    return bounds if path is None else bounds | {"threeDSMethodURL": base_url + path}


def _encode(message: dict[str, Any]) -> bytes:
    """Encode a message without empty elements, as the specification requires."""
    return json.dumps(
        {name: value for name, value in message.items() if value is not None}, separators=(",", ":")
    ).encode()
