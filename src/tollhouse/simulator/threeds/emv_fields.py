"""Data elements of EMV 3-D Secure messages: their form, and the Erro that names a faulty one.

The tables follow EMVCo's core specification 2.2.0, annex A and its table of error codes: elements required for browser
payments are required; optional ones are checked if present, as far as they matter here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from tollhouse.http.decode import GivenTwice, parse_json
from tollhouse.kernel.errors import Invalid

VERSIONS = ("2.1.0", "2.2.0")

UUID_FORM = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
URL_FORM = r"https?://[^\s\"'<>]+"

ERROR_TEXTS = {
    "101": "Message type is not one that is expected here",
    "102": "Message version is not supported",
    "201": "Required data element is missing",
    "203": "Data element does not have the form that the specification gives it",
    "204": "Data element occurs twice",
    "304": "ISO code is not valid",
}


class EmvProtocolError(ValueError):
    """A message violates the protocol. `code` is EMVCo's; `detail` names the elements, never their values."""

    def __init__(self, code: str, detail: str, message: dict[str, Any] | None = None) -> None:
        super().__init__(f"{code} {detail}")
        self.code = code
        self.detail = detail
        #: The readable part of the faulty message.
        self.message = message or {}


@dataclass(frozen=True, slots=True)
class EmvElement:
    """A data element: a text with a form and a maximum length, or a boolean if there is no form."""

    name: str
    form: str | None = r".+"
    longest: int = 2048
    required: bool = True

    def fits(self, value: object) -> bool:
        """Return whether a value has the form."""
        if self.form is None:
            return isinstance(value, bool)
        return (
            isinstance(value, str)
            and len(value) <= self.longest
            and re.fullmatch(self.form, value, re.DOTALL) is not None
        )


def _optional(name: str, form: str | None = r".*", longest: int = 2048) -> EmvElement:
    return EmvElement(name, form, longest, required=False)


AREQ = (
    EmvElement("threeDSServerTransID", UUID_FORM),
    EmvElement("threeDSServerURL", URL_FORM),
    EmvElement("threeDSServerRefNumber", longest=32),
    EmvElement("threeDSRequestorID", longest=35),
    EmvElement("threeDSRequestorName", longest=40),
    EmvElement("threeDSRequestorURL", URL_FORM),
    EmvElement("threeDSRequestorAuthenticationInd", r"0[1-6]"),
    EmvElement("acquirerBIN", r"[0-9]{1,11}"),
    EmvElement("acquirerMerchantID", longest=35),
    EmvElement("mcc", r"[0-9]{4}"),
    EmvElement("merchantCountryCode", r"[0-9]{3}"),
    EmvElement("merchantName", longest=40),
    EmvElement("acctNumber", r"[0-9]{13,19}"),
    EmvElement("cardExpiryDate", r"[0-9]{2}(0[1-9]|1[0-2])"),
    EmvElement("deviceChannel", r"02"),
    EmvElement("messageCategory", r"0[12]"),
    EmvElement("threeDSCompInd", r"[YNU]"),
    EmvElement("notificationURL", URL_FORM, 256),
    EmvElement("purchaseAmount", r"[0-9]{1,48}"),
    EmvElement("purchaseCurrency", r"[0-9]{3}"),
    EmvElement("purchaseExponent", r"[0-9]"),
    EmvElement("purchaseDate", r"[0-9]{14}"),
    EmvElement("browserAcceptHeader"),
    EmvElement("browserLanguage", r"[A-Za-z0-9-]{1,8}"),
    EmvElement("browserUserAgent"),
    _optional("browserIP", r"[0-9A-Fa-f.:]{2,45}"),
    _optional("browserJavascriptEnabled", None),
    _optional("browserJavaEnabled", None),
    _optional("browserColorDepth", r"1|4|8|15|16|24|32|48"),
    _optional("browserScreenHeight", r"[0-9]{1,6}"),
    _optional("browserScreenWidth", r"[0-9]{1,6}"),
    _optional("browserTZ", r"[+-]?[0-9]{1,4}"),
    _optional("threeDSRequestorChallengeInd", r"0[1-9]"),
    _optional("threeDSRequestorDecReqInd", r"[YN]"),
    _optional("threeDSRequestorDecMaxTime", r"[0-9]{5}"),
    _optional("cardholderName", longest=45),
)

#: Only a browser that runs scripts can provide these. Version 2.1 assumes that it does.
SCRIPTED = ("browserJavaEnabled", "browserColorDepth", "browserScreenHeight", "browserScreenWidth", "browserTZ")

PREQ = (EmvElement("threeDSServerTransID", UUID_FORM), _optional("serialNum", longest=20))

CREQ = (
    EmvElement("threeDSServerTransID", UUID_FORM),
    EmvElement("acsTransID", UUID_FORM),
    _optional("challengeWindowSize", r"0[1-5]"),
)


def read_message(text: bytes, message_type: str, elements: tuple[EmvElement, ...]) -> dict[str, Any]:
    """Parse one message of a type. Raises EmvProtocolError 101, 102, 201, 203 and 204, in this order."""
    message = read_object(text)
    if message.get("messageType") != message_type:
        raise EmvProtocolError("101", "messageType", message)
    if "messageVersion" not in message:
        raise EmvProtocolError("201", "messageVersion", message)
    if message["messageVersion"] not in VERSIONS:
        raise EmvProtocolError("102", ",".join(VERSIONS), message)
    missing = [element.name for element in elements if element.required and _is_absent(message, element.name)]
    missing += _missing_of_browser(message) if message_type == "AReq" else []
    if missing:
        raise EmvProtocolError("201", ",".join(missing), message)
    faulty = [e.name for e in elements if e.name in message and not e.fits(message[e.name])]
    if faulty:
        raise EmvProtocolError("203", ",".join(faulty), message)
    return message


def _missing_of_browser(message: dict[str, Any]) -> list[str]:
    switch = "browserJavascriptEnabled"
    if message["messageVersion"] != "2.1.0" and switch not in message:
        return [switch]
    if message.get(switch) is False:
        return []
    return [name for name in SCRIPTED if _is_absent(message, name)]


def _is_absent(message: dict[str, Any], name: str) -> bool:
    value = message.get(name)
    return value is None or value == ""


def read_object(text: bytes) -> dict[str, Any]:
    """Parse a JSON object in which no name occurs twice. Raises EmvProtocolError."""
    try:
        message = parse_json(text)
    except GivenTwice as error:
        raise EmvProtocolError("204", "message", error.content if isinstance(error.content, dict) else {}) from None
    except Invalid:
        raise EmvProtocolError("203", "message") from None
    if not isinstance(message, dict):
        raise EmvProtocolError("203", "message")
    return message
