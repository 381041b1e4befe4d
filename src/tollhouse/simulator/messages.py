"""The JSON messages of the issuer's host and of the control, parsed and built.

A security code in a message is never decoded, because the simulated issuer has no use for it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from asyncpg import Record
from msgspec import Meta

from tollhouse.http.decode import parse_json
from tollhouse.kernel.card import MAX_NUMBER_LENGTH, MIN_NUMBER_LENGTH, CardNumber, Expiry
from tollhouse.kernel.errors import UNREADABLE, Invalid
from tollhouse.simulator.cards import find_card
from tollhouse.simulator.model import (
    AuthorizationRequest,
    IssuerResponse,
    OperationKind,
    OperationMessage,
    ReceivedProof,
    SimulatedAuthentication,
)

Reference = Annotated[str, Meta(min_length=1, max_length=64)]
Instant = Annotated[datetime, Meta(tz=True)]


class SimulatorMessage(msgspec.Struct, rename="camel"):
    """The base of messages: camel case names, unknown fields ignored."""


class _MessageAmount(SimulatorMessage):
    minor: Annotated[int, Meta(ge=0, le=999_999_999_999)]
    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$")]


class MessageCard(SimulatorMessage):
    """The card in a message."""

    number: CardNumber
    expiry_month: Annotated[int, Meta(ge=1, le=12)]
    expiry_year: Annotated[int, Meta(ge=2000, le=2099)]


class _Proof(SimulatorMessage):
    eci: str
    cavv: str
    directory_transaction_id: str | None = None
    external: bool = False


class _Authorize(SimulatorMessage):
    reference: Reference
    amount: _MessageAmount
    card: MessageCard
    capture: bool
    initiator: Literal["customer", "merchant"]
    proof: _Proof | None = None
    acceptor: Annotated[str, Meta(max_length=36)] = ""
    consumer_ip: Annotated[str, Meta(max_length=64)] | None = None
    emulate_code: Annotated[str, Meta(max_length=6)] | None = None
    network_transaction_id: Annotated[str, Meta(max_length=64)] | None = None
    transacted_at: Instant | None = None


class _Operate(SimulatorMessage):
    reference: Reference
    original_reference: Reference
    amount: _MessageAmount
    emulate_code: Annotated[str, Meta(max_length=6)] | None = None
    transacted_at: Instant | None = None


class _ReferenceOnly(SimulatorMessage):
    reference: Reference


class JournalRequest(SimulatorMessage):
    """A request for the journal: the number of rows, and the merchant."""

    acceptor: Annotated[str, Meta(max_length=36)] | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class ChallengeEnd(SimulatorMessage):
    """The requested end of a challenge."""

    result: Literal["pass", "fail", "cancel", "timeout"]


def decode_card_number(kind: type, value: object) -> CardNumber:
    """Accept any digits. Whether a number exists is the issuer's decision, not a matter of form."""
    if kind is not CardNumber or not (
        isinstance(value, str)
        and value.isascii()
        and value.isdigit()
        and MIN_NUMBER_LENGTH <= len(value) <= MAX_NUMBER_LENGTH
    ):
        raise ValueError("a card number was not 12 to 19 digits")
    return CardNumber(value)


_authorize = msgspec.json.Decoder(_Authorize, dec_hook=decode_card_number)
_operate = msgspec.json.Decoder(_Operate)
_about = msgspec.json.Decoder(_ReferenceOnly)
_journal = msgspec.json.Decoder(JournalRequest)
_challenge = msgspec.json.Decoder(ChallengeEnd)
encode = msgspec.json.Encoder().encode


def read_authorize(body: bytes) -> AuthorizationRequest:
    """Parse an authorization. Raises Invalid, without any of its values."""
    message = decode(_authorize, body)
    number = message.card.number
    return AuthorizationRequest(
        reference=message.reference,
        acceptor=message.acceptor,
        number=number,
        masked_number=number.masked,
        brand=number.brand.name,
        expiry=Expiry(message.card.expiry_month, message.card.expiry_year),
        card=find_card(number),
        amount_minor=message.amount.minor,
        currency=message.amount.currency,
        capture=message.capture,
        by_customer=message.initiator == "customer",
        consumer_ip=message.consumer_ip,
        proof=message.proof
        and ReceivedProof(
            message.proof.eci,
            message.proof.cavv,
            message.proof.directory_transaction_id or "",
            is_external=message.proof.external,
        ),
        emulate_code=message.emulate_code,
        agreement=message.network_transaction_id if message.initiator == "merchant" else None,
        transacted_at=message.transacted_at,
    )


def read_operation(kind: OperationKind, body: bytes) -> OperationMessage:
    """Parse a capture, void or refund. Raises Invalid."""
    message = decode(_operate, body)
    return OperationMessage(
        kind=kind,
        reference=message.reference,
        original_reference=message.original_reference,
        amount_minor=message.amount.minor,
        currency=message.amount.currency,
        emulate_code=message.emulate_code,
        transacted_at=message.transacted_at,
    )


def read_reference(body: bytes) -> str:
    """Parse an inquiry or a reversal. Raises Invalid."""
    reference: str = decode(_about, body).reference
    return reference


def read_journal_request(body: bytes) -> JournalRequest:
    """Parse a request for the journal. An empty body requests the newest rows of all merchants. Raises Invalid."""
    wanted: JournalRequest = decode(_journal, body or b"{}")
    return wanted


def read_challenge_result(body: bytes) -> str:
    """Parse the requested end of a challenge. Raises Invalid."""
    result: str = decode(_challenge, body).result
    return result


def build_answer(reference: str, amount_minor: int, currency: str, result: IssuerResponse) -> bytes:
    """Build the response to an authorization or operation, and to an inquiry about one."""
    return encode(
        {
            "reference": reference,
            "amount": {"minor": amount_minor, "currency": currency},
            "result": "approved" if result.approval_code else "declined",
            "responseCode": result.response_code,
            "adviceCode": result.advice_code,
            "approvalCode": result.approval_code,
            "networkTransactionId": result.network_transaction_id,
        }
    )


def build_reversed(row: Record) -> bytes:
    """Build the response about a reversed reference. An unknown one has no amount."""
    amount = None if row["currency"] is None else {"minor": row["amount_minor"], "currency": row["currency"]}
    return encode({"reference": row["reference"], "result": "reversed", "amount": amount})


def build_not_found(reference: str) -> bytes:
    """Build the response about an unknown reference."""
    return encode({"reference": reference, "result": "not_found"})


def build_journal(rows: list[Record]) -> bytes:
    """Build the journal, newest first."""
    return encode({"entries": [_build_entry(row) for row in rows]})


def build_challenge_status(authentication: SimulatedAuthentication) -> bytes:
    """Build the state of a challenge."""
    return encode(
        {
            "acsTransID": str(authentication.acs_trans_id),
            "transStatus": authentication.final_status,
            "transStatusReason": authentication.status_reason,
            "challengeCancel": authentication.challenge_cancel,
        }
    )


def _build_entry(row: Record) -> dict[str, Any]:
    return {
        "reference": row["reference"],
        "kind": row["kind"],
        "originalReference": row["original_reference"],
        "number": row["masked_number"],
        "card": row["card_name"],
        "amount": {"minor": row["amount_minor"], "currency": row["currency"]} if row["currency"] else None,
        "approved": row["approval_code"] is not None,
        "responseCode": row["response_code"],
        "adviceCode": row["advice_code"],
        "approvalCode": row["approval_code"],
        "networkTransactionId": row["network_transaction_id"],
        "agreement": row["agreement"],
        "capturedMinor": row["captured_minor"],
        "releasedMinor": row["released_minor"],
        "creditedMinor": row["credited_minor"],
        "cavv": row["cavv"],
        "deliveries": row["deliveries"],
        "receivedAt": row["received_at"],
        "reversedAt": row["reversed_at"],
        "voidedAt": row["voided_at"],
    }


def decode(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    """Decode a body with the rules for all JSON. Raises Invalid.

    msgspec's message names the place and the kind of the fault, never the value.
    """
    parse_json(body)
    try:
        return decoder.decode(body)
    except (*UNREADABLE, ValueError) as error:
        text, _, path = str(error).partition(" - at ")
        raise Invalid({path.strip("`$.") or "body": [text]}) from None
