"""A request that contains or refers to a card, from reading to response.

The card's number must not be in other fields. Faults of the body are collected before those of its references. A
request with a known X-Request-ID gets its first response, even if it would be rejected now.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from tollhouse.api.payment.payment_request import name_faults
from tollhouse.api.reading.access import RequestAuthenticator, find_request_id_faults
from tollhouse.api.reading.body import describe_faults, read_object, validate
from tollhouse.api.reading.requests import build_claim
from tollhouse.http.requests import Request
from tollhouse.http.screen import CARD_FIELDS, find_misplaced_card_numbers, read_card_number
from tollhouse.idempotency.model import Claim
from tollhouse.kernel.card import CardNumber
from tollhouse.kernel.errors import Invalid
from tollhouse.kernel.faults import RequestRejected
from tollhouse.kernel.rendered_response import RenderedResponse
from tollhouse.merchants.model import Merchant
from tollhouse.payments.charge.intent import Intent
from tollhouse.payments.charge.references import load_references
from tollhouse.payments.charge.requested_payment import RequestedPayment
from tollhouse.payments.dependencies import IntentLookups, RequestDependencies
from tollhouse.payments.idempotency import replay_claim

Model = TypeVar("Model", bound=BaseModel)

#: Parts of a body that are returned, shown or stored as sent.
SHOWN_PARTS = ("sku", "consumer", "url", "metadata", "emailOptions")


@dataclass(frozen=True, slots=True)
class CardRequest(Generic[Model]):
    """A request that was read. `faults` are those of the body alone."""

    merchant: Merchant
    request_id: str
    claim: Claim | None
    body: dict[str, Any]
    model: Model | None
    faults: dict[str, list[str]]


async def read_card_request(
    authenticator: RequestAuthenticator,
    request: Request,
    context: dict[str, Any],
    *,
    model: type[Model],
    find_cross_faults: Callable[[dict[str, Any]], Mapping[str, list[str]]],
    digest: Callable[[bytes], bytes],
    operation: str,
) -> CardRequest[Model]:
    """Authenticate, decode and validate, and collect the faults of the body alone.

    `operation` is that of the X-Request-ID. Raises as `RequestAuthenticator.access` and `read_object` do.
    """
    merchant = await authenticator.access(request)
    body, card_faults = await read_object(request, card_fields=CARD_FIELDS)
    faults = {**find_cross_faults(body), **find_request_id_faults(request), **card_faults}
    read: Model | None = None
    try:
        read = validate(model, body, context)
    except ValidationError as error:
        faults = describe_faults(error) | faults
    faults |= find_misplaced_card_numbers(request, find_number(read, body), shown_parts(body))
    claim = build_claim(request, merchant, body, operation=operation, digest=digest)
    return CardRequest(merchant, request.request_id, claim, body, read, faults)


async def find_faults(
    lookups: IntentLookups, card_request: CardRequest[Any], references: RequestedPayment
) -> dict[str, list[str]]:
    """Return all faults of an invalid body, including those of its references."""
    found = await load_references(lookups, references)
    return {**name_faults(found.faults, card_request.body), **card_request.faults}


async def replay_or_reject(
    requests: RequestDependencies, card_request: CardRequest[Any], rejected: Invalid
) -> RenderedResponse:
    """Return the first response again if the X-Request-ID is known; else raise Invalid with the faults.

    A retry may be invalid by now: its token is used, its stored card gone or expired. A different body is rejected as
    such, with any faults.
    """
    rendered = await replay_claim(requests, card_request.claim)
    if rendered is not None:
        return rendered
    if isinstance(rejected, RequestRejected):
        raise Invalid(name_faults(rejected.faults, card_request.body)) from None
    raise rejected


def reject_misplaced_card_numbers(request: Request, intent: Intent, card_request: CardRequest[Any]) -> None:
    """Raise Invalid if the request contains the number of its token's or stored card."""
    if intent.source.kind == "card":  # a number in the body was searched for before
        return
    faults = find_misplaced_card_numbers(request, intent.card.card.number, shown_parts(card_request.body))
    if faults:
        raise Invalid(faults)


def find_number(model: BaseModel | None, body: dict[str, Any]) -> CardNumber | None:
    """Return the card number of a body, if it is valid: that of the model, if there is one."""
    number: CardNumber | None = vars(vars(model)["paymentSource"]).get("number") if model else None
    source = body.get("paymentSource")
    return number or (read_card_number(source.get("number")) if isinstance(source, dict) else None)


def shown_parts(body: dict[str, Any]) -> dict[str, Any]:
    """Return the parts of a body that are returned, shown or stored as sent, by their paths."""
    source = body.get("paymentSource")
    parts = {name: body.get(name) for name in SHOWN_PARTS}
    return parts | {"paymentSource.mid": source.get("mid")} if isinstance(source, dict) else parts
