"""The connector to the simulated issuer: JSON over a transport.

Only a well-formed response about the requested reference decides an outcome. Everything else is `Unknown`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

import msgspec

from tollhouse.acquirers.model import (
    AccountQuery,
    AcquirerDispute,
    AcquirerOperation,
    Answer,
    Approved,
    AskCardholder,
    Authorization,
    Closed,
    Declined,
    DisputeQuery,
    Echo,
    Finding,
    NotSent,
    Proof,
    ReferenceUnknown,
    Reversed,
    Unchanged,
    Unknown,
    Update,
    Updated,
    check_echo,
)
from tollhouse.acquirers.simulated_disputes import encode_ids, encode_query, is_acknowledged, read_page
from tollhouse.kernel.card import Card, CardDataError, CardNumber, Expiry
from tollhouse.kernel.clock import boot_seconds
from tollhouse.kernel.errors import UNREADABLE
from tollhouse.kernel.money import Money
from tollhouse.transport import model as transport


class _StoredAmount(msgspec.Struct):
    minor: int | None = None
    currency: str | None = None


class _Answer(msgspec.Struct, rename="camel"):
    """A response of the simulator. `amount` is the amount stored for the reference."""

    reference: str
    result: Literal["approved", "declined", "reversed", "not_found"]
    response_code: str | None = None
    advice_code: str | None = None
    approval_code: str | None = None
    network_transaction_id: str | None = None
    amount: _StoredAmount | None = None


class _NewCard(msgspec.Struct, rename="camel"):
    number: str
    expiry_month: Annotated[int, msgspec.Meta(ge=1, le=12)]
    expiry_year: Annotated[int, msgspec.Meta(ge=2000, le=2099)]


class _Update(msgspec.Struct, rename="camel"):
    """A response of the account updater."""

    reference: str
    result: Literal["updated", "unchanged", "closed", "ask_cardholder"]
    card: _NewCard | None = None


_WITHOUT_CARD: dict[str, Update] = {"unchanged": Unchanged(), "closed": Closed(), "ask_cardholder": AskCardholder()}
_update_decoder = msgspec.json.Decoder(_Update)
_decoder = msgspec.json.Decoder(_Answer)
_encode = msgspec.json.Encoder().encode


class SimulatedAcquirer:
    """The connector to the simulator. Unknown outcomes are resolved by inquiry.

    `timeout_seconds` limits an authorization, `inquiry_timeout_seconds` an inquiry or a reversal.
    `longest_delay_seconds` must exceed the simulator's own longest delay.
    """

    name = "simulated"
    resolves_by: Literal["inquire", "reverse"] = "inquire"
    can_reverse = True

    def __init__(
        self,
        way: transport.Transport,
        *,
        timeout_seconds: float = 35.0,
        inquiry_timeout_seconds: float = 10.0,
        longest_delay_seconds: float = 45.0,
    ) -> None:
        self.timeout_seconds = timeout_seconds
        self.longest_delay_seconds = longest_delay_seconds
        self._inquiry_timeout_seconds = inquiry_timeout_seconds
        self._transport = way

    async def authorize(self, order: Authorization) -> Answer:
        """Request a sale or an authorization. Never raises for failures of the host or the network."""
        body = _encode_authorization(order)
        answer = await self._order("/acquirer/authorize", body, order)
        is_nameless = isinstance(answer, Approved) and not answer.network_transaction_id
        if is_nameless and order.initiator == "customer":
            return Unknown("approval without network transaction id")
        return answer

    async def capture(self, operation: AcquirerOperation) -> Answer:
        """Capture an authorization. Never raises for failures of the host or the network."""
        return await self._order("/acquirer/capture", _encode_operation(operation), operation)

    async def void(self, operation: AcquirerOperation) -> Answer:
        """Void an authorization or a sale. Never raises for failures of the host or the network."""
        return await self._order("/acquirer/void", _encode_operation(operation), operation)

    async def credit(self, operation: AcquirerOperation) -> Answer:
        """Refund a captured amount. Never raises for failures of the host or the network."""
        return await self._order("/acquirer/credit", _encode_operation(operation), operation)

    async def inquire(self, reference: str, money: Money) -> Finding:
        """Query the outcome of a reference."""
        answer = await self._post_soon("/acquirer/inquire", _name(reference))
        return _read(answer, reference, money) if isinstance(answer, bytes) else answer

    async def reverse(self, reference: str, money: Money) -> Finding:
        """Reverse a reference, or have it rejected if it arrives later. Safe to repeat."""
        answer = await self._post_soon("/acquirer/reverse", _name(reference))
        found = _read(answer, reference, money) if isinstance(answer, bytes) else answer
        return found if isinstance(found, Reversed | Unknown | NotSent) else Unknown("reversal not acknowledged")

    async def update_account(self, query: AccountQuery) -> Update:
        """Query changes of a stored card. Never raises for failures of the host or the network."""
        answer = await self._post_soon("/acquirer/update-account", _encode_query(query))
        return _read_update(answer, query) if isinstance(answer, bytes) else answer

    async def list_disputes(self, query: DisputeQuery) -> tuple[AcquirerDispute, ...] | Unknown | NotSent:
        """Return a page of disputes. Never raises for failures of the host or the network."""
        answer = await self._post_soon("/acquirer/disputes", encode_query(query))
        return read_page(answer) if isinstance(answer, bytes) else answer

    async def acknowledge_disputes(self, dispute_ids: Sequence[str]) -> bool:
        """Acknowledge disputes. Never raises for failures of the host or the network."""
        answer = await self._post_soon("/acquirer/disputes/acknowledge", encode_ids(dispute_ids))
        return isinstance(answer, bytes) and is_acknowledged(answer, dispute_ids)

    async def _order(self, path: str, body: bytes, order: Authorization | AcquirerOperation) -> Answer:
        """Send a request that changes state. The outcomes that only inquiries have are not valid here."""
        answer = await self._post(path, body, self.timeout_seconds, send_before=order.send_before)
        found = _read(answer, order.reference, order.money) if isinstance(answer, bytes) else answer
        return (
            found if isinstance(found, Approved | Declined | Unknown | NotSent) else Unknown("answered as an inquiry")
        )

    async def _post_soon(self, path: str, body: bytes) -> bytes | Unknown | NotSent:
        """Post a message that is harmless if it arrives late or twice, but useless if it is late."""
        seconds = self._inquiry_timeout_seconds
        return await self._post(path, body, seconds, send_before=boot_seconds() + seconds, is_repeatable=True)

    async def _post(
        self, path: str, body: bytes, timeout_seconds: float, *, send_before: float, is_repeatable: bool = False
    ) -> bytes | Unknown | NotSent:
        try:
            return await self._transport.post(
                path, body, timeout_seconds=timeout_seconds, send_before=send_before, is_repeatable=is_repeatable
            )
        except transport.RequestNotSent as error:
            return NotSent(_describe(error))
        except transport.NoResponse as error:
            return Unknown(_describe(error))


def _read(body: bytes, reference: str, money: Money) -> Finding:
    """Parse a response. Only a complete one about this reference and amount is valid."""
    try:
        answer = _decoder.decode(body)
    except UNREADABLE:
        return Unknown("answer not understood")
    echoed = answer.amount or _StoredAmount()
    echo = Echo(answer.reference, echoed.minor, echoed.currency)
    return check_echo(_read_result(answer), echo, reference=reference, money=money)


def _read_result(answer: _Answer) -> Finding:
    if answer.result == "reversed":
        return Reversed()
    if answer.result == "not_found":
        return ReferenceUnknown()
    if not answer.response_code:
        return Unknown("answer without response code")
    if answer.result == "declined":
        return Declined(answer.response_code, answer.advice_code)
    if not answer.approval_code:
        return Unknown("approval without approval code")
    return Approved(answer.approval_code, answer.network_transaction_id, answer.response_code)


def _read_update(body: bytes, query: AccountQuery) -> Update:
    """Parse a response of the account updater. A new card keeps the holder's name and postal code."""
    try:
        answer = _update_decoder.decode(body)
        if answer.reference != query.reference:
            return Unknown("answer about another reference")
        if answer.result != "updated":
            return _WITHOUT_CARD[answer.result]
        if answer.card is None:
            return Unknown("update without a card")
        number = CardNumber.parse(answer.card.number)
    except (*UNREADABLE, CardDataError):
        return Unknown("answer not understood")
    return Updated(replace(query.card, number=number, expiry=Expiry(answer.card.expiry_month, answer.card.expiry_year)))


def _encode_authorization(order: Authorization) -> bytes:
    """Build the message. Only here is the security code in clear text."""
    return _encode(
        {
            "reference": order.reference,
            "amount": _describe_money(order.money),
            "card": _describe_card(order.card),
            "cvv": order.cvv and order.cvv.reveal(),
            "capture": order.capture,
            "initiator": order.initiator,
            "reason": order.reason,
            "descriptor": order.descriptor,
            "networkTransactionId": order.network_transaction_id,
            "proof": order.proof and _describe_proof(order.proof),
            "consumerIp": order.consumer_ip,
            "emulateCode": order.emulate_code,
            "acceptor": order.acceptor,
            "mid": order.mid,
            "exemption": order.exemption,
            "transactedAt": order.transacted_at,
        }
    )


def _encode_query(query: AccountQuery) -> bytes:
    return _encode({"reference": query.reference, "card": _describe_card(query.card), "acceptor": query.acceptor})


def _describe_card(card: Card) -> dict[str, Any]:
    """Build the card's fields. Only here is its number in clear text."""
    return {"number": card.number.reveal(), "expiryMonth": card.expiry.month, "expiryYear": card.expiry.year}


def _encode_operation(operation: AcquirerOperation) -> bytes:
    return _encode(
        {
            "reference": operation.reference,
            "originalReference": operation.original_reference,
            "amount": _describe_money(operation.money),
            "emulateCode": operation.emulate_code,
            "transactedAt": operation.transacted_at,
        }
    )


def _describe_money(money: Money) -> dict[str, Any]:
    return {"minor": money.amount_minor, "currency": money.currency.code}


def _describe_proof(proof: Proof) -> dict[str, Any]:
    return {
        "eci": proof.eci,
        "cavv": proof.cavv,
        "directoryTransactionId": proof.directory_transaction_id,
        "version": proof.version,
        "external": proof.is_external,
    }


def _name(reference: str) -> bytes:
    return _encode({"reference": reference})


def _describe(error: Exception) -> str:
    """Describe a transport failure for the log: the type of the underlying error, never a message with data in it."""
    return type(error.__cause__ or error).__name__
