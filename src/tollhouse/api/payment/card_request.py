"""A request that has a card in it or refers to one, from its reading to its reply.

What is beside the card is searched for the card's number, the faults of the body by itself are collected before those
of what it refers to, and a request whose X-Request-ID is known has its first reply, whatever is wrong by now.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from tollhouse.api.payment.requested_payment import name_faults
from tollhouse.api.reading.access import RequestAuthenticator, find_request_id_faults
from tollhouse.api.reading.body import describe_faults, read_object, validate
from tollhouse.api.reading.requests import build_claim
from tollhouse.http.requests import Request
from tollhouse.http.screen import CARD_FIELDS, find_misplaced_card_numbers, read_card_number
from tollhouse.idempotency.model import Claim
from tollhouse.kernel.errors import Invalid
from tollhouse.kernel.faults import RequestRejected
from tollhouse.kernel.reply import Reply
from tollhouse.payments.charge.references import load_references
from tollhouse.payments.dependencies import IntentLookups
from tollhouse.payments.idempotency import recall_claim

if TYPE_CHECKING:
    from tollhouse.kernel.card import CardNumber
    from tollhouse.merchants.model import Merchant
    from tollhouse.payments.charge.intent import Intent
    from tollhouse.payments.charge.requested_payment import RequestedPayment
    from tollhouse.payments.dependencies import RequestDependencies

Model = TypeVar("Model", bound=BaseModel)

#: Parts of a body that come back, are shown or are kept as they were sent.
SHOWN_PARTS = ("sku", "consumer", "url", "metadata", "emailOptions")


@dataclass(frozen=True, slots=True)
class CardRequest(Generic[Model]):
    """A request as far as it was read. `faults` are those that the body has by itself."""

    merchant: Merchant
    request_id: str
    claim: Claim | None
    body: dict[str, Any]
    model: Model | None
    faults: dict[str, list[str]]


async def read_card_request(
    gate: RequestAuthenticator,
    request: Request,
    context: dict[str, Any],
    *,
    model: type[Model],
    find_cross_faults: Callable[[dict[str, Any]], Mapping[str, list[str]]],
    digest: Callable[[bytes], bytes],
    operation: str,
) -> CardRequest[Model]:
    """Authenticate, decode and validate, and collect the faults that the body has by itself.

    `operation` is that of the X-Request-ID. Raises whatever `RequestAuthenticator.access` and `read_object` raise.
    """
    merchant = await gate.access(request)
    body, card_faults = await read_object(request, card_fields=CARD_FIELDS)
    faults = {**find_cross_faults(body), **find_request_id_faults(request), **card_faults}
    faults |= find_misplaced_card_numbers(request, parse_number(body), shown_parts(body))
    read: Model | None = None
    try:
        read = validate(model, body, context)
    except ValidationError as error:
        faults = describe_faults(error) | faults
    claim = build_claim(request, merchant, body, operation=operation, digest=digest)
    return CardRequest(merchant, request.request_id, claim, body, read, faults)


async def find_faults(
    lookups: IntentLookups, asked: CardRequest[Any], references: RequestedPayment
) -> dict[str, list[str]]:
    """Return all faults of a faulty body: also those of what it refers to."""
    found = await load_references(lookups, references)
    return {**name_faults(found.faults, asked.body), **asked.faults}


async def replay_or_reject(requests: RequestDependencies, asked: CardRequest[Any], rejected: Invalid) -> Reply:
    """Replay the first reply to a request whose X-Request-ID is known; else raise Invalid with its faults.

    What was true then may be so no more: the token is used, the account gone, the card past its date. With another body
    it is refused for that, however faulty that body is.
    """
    reply = await recall_claim(requests, asked.claim)
    if reply is not None:
        return reply
    if isinstance(rejected, RequestRejected):
        raise Invalid(name_faults(rejected.faults, asked.body)) from None
    raise rejected


def reject_misplaced_card_numbers(request: Request, intent: Intent, asked: CardRequest[Any]) -> None:
    """Raise Invalid where the number of a token's or a stored card stands in the request."""
    if intent.source.kind == "card":  # one that stands in the body was looked for there before
        return
    strays = find_misplaced_card_numbers(request, intent.card.card.number, shown_parts(asked.body))
    if strays:
        raise Invalid(strays)


def parse_number(body: dict[str, Any]) -> CardNumber | None:
    """Return the card number of a body, if it has a well-formed one."""
    source = body.get("paymentSource")
    return read_card_number(source.get("number")) if isinstance(source, dict) else None


def shown_parts(body: dict[str, Any]) -> dict[str, Any]:
    """Return the parts of a body that come back, are shown or are kept as they were sent, by their paths."""
    source = body.get("paymentSource")
    parts = {name: body.get(name) for name in SHOWN_PARTS}
    return parts | {"paymentSource.mid": source.get("mid")} if isinstance(source, dict) else parts
