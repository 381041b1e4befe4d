"""The form of EMV 3-D Secure messages: their data elements and formats.

Elements and error codes are those of EMVCo's core specification 2.2.0, annex A. A message that violates the protocol
raises `EmvProtocolError`, which names elements and never their values.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from tollhouse.http.decode import GivenTwice, parse_json
from tollhouse.kernel.errors import Invalid

#: The supported versions, oldest first.
VERSIONS = ("2.1.0", "2.2.0")

UUID_FORM = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
URL_FORM = r"https?://[!-~]+"
#: 20 bytes in base64.
CAVV_FORM = r"[A-Za-z0-9+/]{27}="

UNKNOWN_MESSAGE = "101"
UNKNOWN_VERSION = "102"
MISSING = "201"
FORM = "203"
TWICE = "204"
UNKNOWN_TRANSACTION = "301"
TRANSIENT = "403"

ERROR_TEXTS = {
    UNKNOWN_MESSAGE: "Message Received Invalid",
    UNKNOWN_VERSION: "Message Version Number Not Supported",
    MISSING: "Required Data Element Missing",
    FORM: "Format of one or more Data Elements is Invalid according to the Specification",
    TWICE: "Duplicate Data Element",
    UNKNOWN_TRANSACTION: "Transaction ID Not Recognised",
    TRANSIENT: "Transient System Failure",
}


class ProtocolError(ValueError):
    """A message violates the protocol.

    `code` is EMVCo's, `detail` names the elements, `message` is the readable part.
    """

    def __init__(self, code: str, detail: str, message: Mapping[str, Any] | None = None) -> None:
        super().__init__(f"{code} {detail}")
        self.code = code
        self.detail = detail
        self.message = message or {}


@dataclass(frozen=True, slots=True)
class Element:
    """A data element that is a text of a certain form."""

    name: str
    form: str
    required: bool = True

    def fits(self, value: object) -> bool:
        """Return whether a value has the form."""
        return isinstance(value, str) and re.fullmatch(self.form, value) is not None


def optional(name: str, form: str) -> Element:
    """An element that may be missing."""
    return Element(name, form, required=False)


def read_message(body: bytes, message_type: str, elements: Sequence[Element]) -> dict[str, Any]:
    """Parse a message of one type. Raises ProtocolError. Elements that are not listed are ignored."""
    message = read_object(body)
    if message.get("messageType") != message_type:
        raise ProtocolError(UNKNOWN_MESSAGE, "messageType", message)
    if message.get("messageVersion") not in VERSIONS:
        is_there = "messageVersion" in message
        raise ProtocolError(UNKNOWN_VERSION if is_there else MISSING, "messageVersion", message)
    check_elements(message, elements)
    return message


def check_elements(message: Mapping[str, Any], elements: Sequence[Element]) -> None:
    """Check that elements are present and have their form. Raises ProtocolError."""
    missing = [element.name for element in elements if element.required and not message.get(element.name)]
    if missing:
        raise ProtocolError(MISSING, ",".join(missing), message)
    faulty = [e.name for e in elements if e.name in message and not e.fits(message[e.name])]
    if faulty:
        raise ProtocolError(FORM, ",".join(faulty), message)


def write_message(elements: Mapping[str, Any]) -> bytes:
    """Serialize a message. Elements without a value are left out, as the specification requires."""
    present = {name: value for name, value in elements.items() if value is not None}
    return json.dumps(present, separators=(",", ":")).encode()


def read_uuid(message: Mapping[str, Any], name: str) -> UUID:
    """Return an element that was already checked to be a UUID."""
    return UUID(message[name])


def encode_base64url(data: bytes) -> str:
    """Encode bytes as base64url without padding, as EMVCo requires it in forms."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode_base64url(text: str) -> bytes:
    """Decode base64url with or without padding. Raises ProtocolError."""
    bare = text.rstrip("=")
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise ProtocolError(FORM, "base64url") from None


def read_object(body: bytes) -> dict[str, Any]:
    """Parse a JSON object in which no name occurs twice. Raises ProtocolError."""
    try:
        message = parse_json(body)
    except GivenTwice as error:
        raise ProtocolError(TWICE, "message", error.content if isinstance(error.content, dict) else {}) from None
    except Invalid:
        raise ProtocolError(FORM, "message") from None
    if not isinstance(message, dict):
        raise ProtocolError(FORM, "message")
    return message
