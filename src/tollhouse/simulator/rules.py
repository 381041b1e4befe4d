"""The issuer's decisions, as rules from a request to a verdict.

Facts that only the database knows are left as conditions.
"""

from __future__ import annotations

import re

from tollhouse.kernel.money import Currency
from tollhouse.simulator.model import (
    Assessment,
    AuthorizationRequest,
    Condition,
    DeliveryMode,
    IssuerVerdict,
    OperationMessage,
    PublishedCard,
    ReceivedAreq,
)

APPROVED = "00"
#: "No reason to decline": the approval of an account verification (ISO 8583 field 39).
VERIFIED = "85"
INVALID_TRANSACTION = "12"
NO_SUCH_NUMBER = "14"
#: The reference belongs to another request (ISO 8583 field 39: duplicate transmission).
DUPLICATE = "94"
NOT_PERMITTED = "57"

#: The response to an authorization whose reversal arrived first.
REVERSED_BEFORE = INVALID_TRANSACTION

#: The reason of disputes here: fraud, card absent (Visa dispute condition 10.4).
FRAUD = "10.4"

#: Whole amounts whose last two digits are the response code.
DECIDING_AMOUNTS = range(2000, 3000)

#: The gateway's codes that correspond to letters, and a pair of letters that is in no table.
LETTER_CODES = {"5201": "1A", "5202": "N7", "5210": "R0", "5211": "R1", "5213": "R3", "5299": "ZZ"}
EMULATED = re.compile(r"(?:0{2,4}|50)([0-9]{2})|0{2,4}(1A|N7|R0|R1|R3)")

#: Transaction statuses of EMV 3DS with an authentication value, and those that let a payment pass without one.
PROVING = frozenset("YA")
NOTED = frozenset("UI")
#: Statuses with an open end.
OPEN_ENDED = frozenset("CD")

#: transStatusReason of EMV 3DS, for the statuses that require one.
CARD_AUTHENTICATION_FAILED = "01"
STATUS_REASONS = {"N": CARD_AUTHENTICATION_FAILED, "U": "22", "R": "11"}
NO_CARD_RECORD = "08"
DECOUPLED_NOT_REQUESTED = "23"

#: Electronic commerce indicators: authenticated, attempted, none, informational. Mastercard and Maestro count from 02
#: down.
ECI = {"Y": "05", "A": "06", "U": "07", "I": "07"}
ECI_MASTERCARD = {"Y": "02", "A": "01", "U": "00", "I": "06"}


def judge(order: AuthorizationRequest) -> IssuerVerdict:
    """Decide an authorization. A past expiry alone never declines.

    A merchant-initiated charge must contain the network transaction ID of the approval by which the customer agreed.
    """
    if order.emulate_code is not None:
        return IssuerVerdict(_verify(emulated_response(order.emulate_code), order))
    if order.card is None:
        return IssuerVerdict(NO_SUCH_NUMBER)
    response_code = _respond(order.card, order)
    if response_code != APPROVED:
        return IssuerVerdict(response_code, order.card.advice_code)
    if not order.by_customer:
        return _judge_renewal(order.card, order)
    if _lacks_proof(order.card, order):
        return IssuerVerdict(ask_for_authentication(order.brand))
    return IssuerVerdict(_verify(APPROVED, order), conditions=tuple(_conditions(order.card, order)))


def _judge_renewal(card: PublishedCard, order: AuthorizationRequest) -> IssuerVerdict:
    """Decide a merchant-initiated charge that the card itself would approve. No authentication is required."""
    if order.agreement is None:
        return IssuerVerdict(INVALID_TRANSACTION)
    declines = card.renewal_code is not None and not _has_new_expiry(card, order)
    if declines and card.renewal_declines is None:
        return IssuerVerdict(card.renewal_code or INVALID_TRANSACTION, card.renewal_advice)
    tries = (Condition.TRIES,) if declines else ()
    return IssuerVerdict(_verify(APPROVED, order), conditions=(Condition.AGREEMENT, *tries, *_conditions(card, order)))


def _has_new_expiry(card: PublishedCard, order: AuthorizationRequest) -> bool:
    """Return whether the card was renewed and the merchant knows its new expiry."""
    return card.updater == "new_expiry" and card.new_expiry == f"{order.expiry.year:04d}-{order.expiry.month:02d}"


def is_approval(response_code: str, *, amount_minor: int) -> bool:
    """Return whether a response code approves: 00, and 85 for an amount of zero."""
    return response_code == APPROVED or (response_code == VERIFIED and amount_minor == 0)


def emulated_response(code: str) -> str:
    """Return the response code of an `emulateCode`.

    `0000` approves; `00NN` (with up to four zeros) and `50NN` are the two digits or letters NN; `5201` to `5213` are
    the letters for which the gateway shows these codes; `5299` is a pair that it does not know. Anything else is 12.
    """
    if code in LETTER_CODES:
        return LETTER_CODES[code]
    match = EMULATED.fullmatch(code.upper())
    return (match[1] or match[2]) if match else INVALID_TRANSACTION


def ask_for_authentication(brand: str) -> str:
    """Return the soft decline of a brand: authenticate the cardholder, then retry."""
    return "65" if brand == "mastercard" else "1A"


def assess(request: ReceivedAreq) -> Assessment:
    """Return the transStatus of an AReq. A published card without one passes; an unknown number is U."""
    if request.card is None:
        return Assessment("U", NO_CARD_RECORD, choose_eci("U", request.brand))
    status = request.card.authentication or "Y"
    if status == "D" and not request.takes_decoupled:
        return Assessment("N", DECOUPLED_NOT_REQUESTED)
    return Assessment(status, STATUS_REASONS.get(status), choose_eci(status, request.brand))


def choose_eci(status: str, brand: str) -> str | None:
    """Return the ECI of a status, or None."""
    return (ECI_MASTERCARD if brand in {"mastercard", "maestro"} else ECI).get(status)


def _respond(card: PublishedCard, order: AuthorizationRequest) -> str:
    """Return the card's own response, before authentication and balance are considered."""
    if card.amount_decides:
        return respond_by_amount(order.amount_minor, order.currency)
    if card.balance_currency not in {None, order.currency}:
        return NOT_PERMITTED
    if card.proven_code is not None and order.proof is not None:
        return card.proven_code
    return card.response_code


def respond_by_amount(amount_minor: int, currency: str) -> str:
    """Return the response code that an amount selects."""
    try:
        exponent = Currency.of(currency).exponent
    except KeyError:
        return INVALID_TRANSACTION
    whole: int = amount_minor // 10**exponent
    return f"{whole % 100:02d}" if whole in DECIDING_AMOUNTS else APPROVED


def _lacks_proof(card: PublishedCard, order: AuthorizationRequest) -> bool:
    """Return whether the cardholder must be authenticated first."""
    asks = card.authentication is not None and card.authentication not in NOTED
    return asks and order.proof is None


def _conditions(card: PublishedCard, order: AuthorizationRequest) -> list[Condition]:
    conditions = []
    if order.proof is not None and not order.proof.is_external:
        conditions.append(Condition.PROOF)
    elif order.proof is None and card.authentication in NOTED and order.by_customer:
        conditions.append(Condition.NOTE)
    if card.balance_minor is not None and order.amount_minor:
        conditions.append(Condition.BALANCE)
    return conditions


def _verify(response_code: str, order: AuthorizationRequest) -> str:
    """Return the code of a verification for an approval of zero."""
    return VERIFIED if response_code == APPROVED and not order.amount_minor else response_code


def choose_operation_delivery(operation: OperationMessage, card: PublishedCard | None) -> DeliveryMode:
    """Choose the delivery of a capture, void or refund. An emulated code is answered at once."""
    return card.operation_delivery if card and operation.emulate_code is None else DeliveryMode.PROMPT


def choose_delivery(order: AuthorizationRequest) -> DeliveryMode:
    """Choose the delivery of an authorization. An emulated code is answered at once."""
    return order.card.delivery if order.card and order.emulate_code is None else DeliveryMode.PROMPT
