"""The messages of EMV 3-D Secure that a 3DS Server sends and receives.

AReq ──> ARes     to the Directory Server: the request for an authentication
CReq ──> CRes     through the browser, to the ACS and back; a CRes proves nothing
RReq ──> RRes     from the Directory Server: the result of a challenge
PReq ──> PRes     to the Directory Server: card ranges and their versions
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import iso4217

from tollhouse.threeds.elements import (
    CAVV_FORM,
    ERROR_TEXTS,
    FORM,
    MISSING,
    UNKNOWN_TRANSACTION,
    URL_FORM,
    UUID_FORM,
    VERSIONS,
    Element,
    ProtocolError,
    check_elements,
    decode_base64url,
    encode_base64url,
    optional,
    read_message,
    read_object,
    read_uuid,
    write_message,
)
from tollhouse.threeds.lifecycle import OPEN_ENDED, PROVING
from tollhouse.threeds.model import (
    AuthenticationRequest,
    AuthenticationResponse,
    BrowserData,
    CardRange,
    ChallengeResult,
    Requestor,
    TransStatus,
)

#: Numeric codes of currencies that ISO 4217 has retired and that public clients still send.
RETIRED_CURRENCIES = {
    "ANG": "532", "BGN": "975", "BYR": "974", "CUC": "931", "EEK": "233", "HRK": "191", "LTL": "440", "LVL": "428",
    "MRO": "478", "SLL": "694", "STD": "678", "VEF": "937", "ZWL": "932",
}  # fmt: skip

#: The full window, which our page gives to the challenge (challengeWindowSize).
FULL_SCREEN = "05"

ARES = (
    Element("threeDSServerTransID", UUID_FORM),
    Element("acsTransID", UUID_FORM),
    Element("dsTransID", UUID_FORM),
    Element("transStatus", "[YANURCDI]"),
    optional("transStatusReason", "[0-9]{2}"),
    optional("acsURL", URL_FORM),
    optional("eci", "[0-9]{2}"),
    optional("authenticationValue", CAVV_FORM),
)

RREQ = (
    Element("threeDSServerTransID", UUID_FORM),
    Element("acsTransID", UUID_FORM),
    Element("dsTransID", UUID_FORM),
    Element("messageCategory", "0[12]"),
    Element("transStatus", "[YANUR]"),
    optional("transStatusReason", "[0-9]{2}"),
    optional("eci", "[0-9]{2}"),
    optional("authenticationValue", CAVV_FORM),
    optional("challengeCancel", "0[1-8]"),
)

CRES = (Element("threeDSServerTransID", UUID_FORM), Element("acsTransID", UUID_FORM), Element("transStatus", "[YN]"))

METHOD_ANSWER = (Element("threeDSServerTransID", UUID_FORM),)

PRES = (Element("threeDSServerTransID", UUID_FORM),)

VERSION_FORM = "2\\.[0-9]\\.[0-9]"
RANGE = (
    Element("startRange", "[0-9]{13,19}"),
    Element("endRange", "[0-9]{13,19}"),
    Element("acsStartProtocolVersion", VERSION_FORM),
    Element("acsEndProtocolVersion", VERSION_FORM),
    optional("threeDSMethodURL", URL_FORM),
)


class CurrencyUnknown(ValueError):
    """The currency has no numeric code, so an AReq cannot contain it."""


def build_areq(question: AuthenticationRequest, requestor: Requestor) -> bytes:
    """Build an AReq. Only here in this package is a card number in clear text. Raises CurrencyUnknown."""
    return write_message(
        {
            "messageType": "AReq",
            "messageVersion": question.version,
            "messageCategory": "01" if question.money.amount_minor else "02",
            "deviceChannel": "02",
            "threeDSServerTransID": str(question.three_ds_server_trans_id),
            "threeDSServerRefNumber": requestor.reference_number,
            "threeDSServerURL": question.results_url,
            "threeDSRequestorID": requestor.requestor_id,
            "threeDSRequestorName": requestor.name,
            "threeDSRequestorURL": question.website,
            "threeDSRequestorAuthenticationInd": "01" if question.money.amount_minor else "04",
            "threeDSRequestorChallengeInd": question.challenge_indicator,
            **_describe_decoupled(question),
            "threeDSCompInd": {None: "U", True: "Y", False: "N"}[question.method_completed],
            "notificationURL": question.notification_url,
            **_describe_merchant(question, requestor),
            **_describe_card(question),
            **_describe_purchase(question),
            **_describe_browser(question.browser, version=question.version),
        }
    )


def _describe_decoupled(question: AuthenticationRequest) -> dict[str, str]:
    """Return the element that permits confirmation in the bank's app, which version 2.1 lacks."""
    if question.version == "2.1.0":
        return {}
    return {"threeDSRequestorDecReqInd": "Y", "threeDSRequestorDecMaxTime": f"{question.decoupled_minutes:05d}"}


def _describe_merchant(question: AuthenticationRequest, requestor: Requestor) -> dict[str, str]:
    return {
        "acquirerBIN": requestor.acquirer_bin,
        "acquirerMerchantID": requestor.acquirer_merchant_id,
        "mcc": requestor.merchant_category,
        "merchantCountryCode": requestor.merchant_country,
        "merchantName": question.merchant_name[:40] or requestor.name,
    }


def _describe_card(question: AuthenticationRequest) -> dict[str, str]:
    expiry = question.card.expiry
    holder = (question.card.holder or "").strip()[:45]
    named = {"cardholderName": holder} if len(holder) > 1 else {}
    return {
        "acctNumber": question.card.number.reveal(),
        "cardExpiryDate": f"{expiry.year % 100:02d}{expiry.month:02d}",
        **named,
    }


def _describe_purchase(question: AuthenticationRequest) -> dict[str, str]:
    money = question.money
    return {
        "purchaseAmount": str(money.amount_minor),
        "purchaseCurrency": number_currency(money.currency.code),
        "purchaseExponent": str(money.currency.exponent),
        "purchaseDate": question.asked_at.strftime("%Y%m%d%H%M%S"),
    }


def _describe_browser(browser: BrowserData, *, version: str) -> dict[str, Any]:
    scripted = None if version == "2.1.0" else browser.javascript_enabled
    return {
        "browserAcceptHeader": browser.accept_header,
        "browserIP": browser.ip or None,
        "browserJavascriptEnabled": scripted,
        "browserJavaEnabled": browser.java_enabled,
        "browserLanguage": browser.language,
        "browserColorDepth": _write(browser.color_depth),
        "browserScreenHeight": _write(browser.screen_height),
        "browserScreenWidth": _write(browser.screen_width),
        "browserTZ": _write(browser.timezone_minutes),
        "browserUserAgent": browser.user_agent,
    }


def _write(number: int | None) -> str | None:
    return None if number is None else str(number)


def number_currency(code: str) -> str:
    """Return the three-digit code of a currency. Raises CurrencyUnknown."""
    if code in RETIRED_CURRENCIES:
        return RETIRED_CURRENCIES[code]
    try:
        number = iso4217.Currency(code).number
    except ValueError:
        number = None
    if number is None:
        raise CurrencyUnknown(code)
    return f"{number:03d}"


def parse_ares(body: bytes, question: AuthenticationRequest) -> AuthenticationResponse:
    """Parse the response to an AReq. Raises ProtocolError, also for an Erro and for a response to another request."""
    message = read_message(body, "ARes", ARES)
    if read_uuid(message, "threeDSServerTransID") != question.three_ds_server_trans_id:
        raise ProtocolError(UNKNOWN_TRANSACTION, "threeDSServerTransID", message)
    if message["messageVersion"] != question.version:
        raise ProtocolError(FORM, "messageVersion", message)
    status = TransStatus(message["transStatus"])
    _require_proof(message, status)
    if status is TransStatus.CHALLENGE and "acsURL" not in message:
        raise ProtocolError(MISSING, "acsURL", message)
    return AuthenticationResponse(
        status=status,
        reason=message.get("transStatusReason"),
        acs_trans_id=read_uuid(message, "acsTransID"),
        ds_trans_id=read_uuid(message, "dsTransID"),
        acs_url=message.get("acsURL") if status is TransStatus.CHALLENGE else None,
        eci=None if status in OPEN_ENDED else message.get("eci"),
        cavv=message.get("authenticationValue") if status in PROVING else None,
    )


def parse_rreq(body: bytes) -> ChallengeResult:
    """Parse an RReq. Raises ProtocolError."""
    message = read_message(body, "RReq", RREQ)
    status = TransStatus(message["transStatus"])
    _require_proof(message, status)
    return ChallengeResult(
        version=message["messageVersion"],
        three_ds_server_trans_id=read_uuid(message, "threeDSServerTransID"),
        acs_trans_id=read_uuid(message, "acsTransID"),
        ds_trans_id=read_uuid(message, "dsTransID"),
        status=status,
        reason=message.get("transStatusReason"),
        eci=message.get("eci"),
        cavv=message.get("authenticationValue") if status in PROVING else None,
        challenge_cancel=message.get("challengeCancel"),
    )


def _require_proof(message: Mapping[str, Any], status: TransStatus) -> None:
    missing = [name for name in ("eci", "authenticationValue") if status in PROVING and name not in message]
    if missing:
        raise ProtocolError(MISSING, ",".join(missing), message)


def build_rres(result: ChallengeResult) -> bytes:
    """Build the acknowledgment of an RReq (resultsStatus 01: received), for any result."""
    return write_message({"messageType": "RRes", **_describe_ids(result), "resultsStatus": "01"})


def reject_result(result: ChallengeResult, code: str, detail: str) -> ProtocolError:
    """Build the error response to an RReq that is well formed but not acceptable."""
    return ProtocolError(code, detail, _describe_ids(result))


def _describe_ids(result: ChallengeResult) -> dict[str, str]:
    return {
        "messageVersion": result.version,
        "threeDSServerTransID": str(result.three_ds_server_trans_id),
        "acsTransID": str(result.acs_trans_id),
        "dsTransID": str(result.ds_trans_id),
    }


def build_erro(error: ProtocolError, *, answers: str) -> bytes:
    """Build the error response to a message of the expected type, with the message's IDs if they are well formed."""
    ids = {name: error.message.get(name) for name in ("threeDSServerTransID", "acsTransID", "dsTransID")}
    version = error.message.get("messageVersion")
    return write_message(
        {
            "messageType": "Erro",
            "messageVersion": version if version in VERSIONS else VERSIONS[-1],
            **{name: value for name, value in ids.items() if Element(name, UUID_FORM).fits(value)},
            "errorCode": error.code,
            "errorComponent": "S",
            "errorDescription": ERROR_TEXTS[error.code],
            "errorDetail": error.detail,
            "errorMessageType": answers,
        }
    )


def build_creq(*, version: str, three_ds_server_trans_id: UUID, acs_trans_id: UUID) -> str:
    """Build the CReq for the browser's form."""
    message = {
        "messageType": "CReq",
        "messageVersion": version,
        "threeDSServerTransID": str(three_ds_server_trans_id),
        "acsTransID": str(acs_trans_id),
        "challengeWindowSize": FULL_SCREEN,
    }
    return encode_base64url(write_message(message))


def parse_cres(text: str) -> tuple[UUID, UUID, TransStatus]:
    """Parse the browser's form after a challenge.

    The IDs of 3DS Server and ACS, and a claimed status. Raises ProtocolError.
    """
    message = read_message(decode_base64url(text), "CRes", CRES)
    ids = (read_uuid(message, "threeDSServerTransID"), read_uuid(message, "acsTransID"))
    return (*ids, TransStatus(message["transStatus"]))


def build_method_data(*, three_ds_server_trans_id: UUID, notification_url: str) -> str:
    """Build the `threeDSMethodData` of the form in the hidden frame."""
    message = {"threeDSServerTransID": str(three_ds_server_trans_id), "threeDSMethodNotificationURL": notification_url}
    return encode_base64url(write_message(message))


def parse_method_answer(text: str) -> UUID:
    """Parse the `threeDSMethodData` that the ACS posts back. Raises ProtocolError."""
    message = read_object(decode_base64url(text))
    check_elements(message, METHOD_ANSWER)
    return read_uuid(message, "threeDSServerTransID")


def build_preq(*, three_ds_server_trans_id: UUID) -> bytes:
    """Build the request for the Directory Server's card ranges."""
    return write_message(
        {"messageType": "PReq", "messageVersion": VERSIONS[-1], "threeDSServerTransID": str(three_ds_server_trans_id)}
    )


def parse_pres(body: bytes, *, three_ds_server_trans_id: UUID) -> list[CardRange]:
    """Parse card ranges, in the order of their numbers, without faulty ones. Raises ProtocolError."""
    message = read_message(body, "PRes", PRES)
    if read_uuid(message, "threeDSServerTransID") != three_ds_server_trans_id:
        raise ProtocolError(UNKNOWN_TRANSACTION, "threeDSServerTransID", message)
    rows = message.get("cardRangeData", [])
    if not isinstance(rows, list):
        raise ProtocolError(FORM, "cardRangeData", message)
    ranges = [_read_range(row) for row in rows if isinstance(row, dict) and _is_range(row)]
    return sorted(ranges, key=lambda card_range: card_range.first)


def _is_range(row: Mapping[str, Any]) -> bool:
    return all(e.fits(row[e.name]) if e.name in row else not e.required for e in RANGE)


def _read_range(row: Mapping[str, Any]) -> CardRange:
    oldest, newest = row["acsStartProtocolVersion"], row["acsEndProtocolVersion"]
    common = [version for version in VERSIONS if oldest <= version <= newest]
    return CardRange(
        first=int(row["startRange"]),
        last=int(row["endRange"]),
        version=common[-1] if common else VERSIONS[-1],
        method_url=row.get("threeDSMethodURL"),
    )
