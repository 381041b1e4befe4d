"""A request that has a card in it or points at one, from its reading to its answer.

What stands beside the card is searched for the card's number, the faults of the body by itself are collected before
those of what it points at, and a request whose X-Request-ID is known has its first answer, whatever is wrong by now.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from tollhouse.api.access import Readable, RequestAuthenticator, find_request_id_faults
from tollhouse.api.decode import read_object
from tollhouse.api.envelope import request_id_of, sent_request_id_of
from tollhouse.api.problems import describe_faults
from tollhouse.api.strays import find_misplaced_card_numbers, read_card_number
from tollhouse.api.wanted import digest_body
from tollhouse.http.screen import CARD_FIELDS
from tollhouse.kernel.errors import Invalid
from tollhouse.kernel.requests import Claim, Reply
from tollhouse.payments.idempotency import recall_claim

if TYPE_CHECKING:
    from tollhouse.kernel.card import CardNumber
    from tollhouse.merchants.model import Merchant
    from tollhouse.payments.model import Order
    from tollhouse.payments.tools import Tools

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
    tools: Tools,
    gate: RequestAuthenticator,
    request: Readable,
    context: dict[str, Any],
    *,
    model: type[Model],
    find_cross_faults: Callable[[dict[str, Any]], Mapping[str, list[str]]],
    operation: str,
    scope: str = "",
) -> CardRequest[Model]:
    """Authenticate, decode and validate, and collect the faults that the body has by itself.

    `operation` is that of the X-Request-ID, `scope` what the request is about besides its body. Raises whatever
    `Gate.access` and `read_object` raise.
    """
    merchant = await gate.access(request)
    request_id, is_sent = request_id_of(request.scope), sent_request_id_of(request.scope) is not None
    body, card_faults = await read_object(request, card_fields=CARD_FIELDS)
    faults = {**find_cross_faults(body), **find_request_id_faults(request), **card_faults}
    faults |= find_misplaced_card_numbers(request, parse_number(body), shown_parts(body))
    read: Model | None = None
    try:
        read = model.model_validate(body, context=context)
    except ValidationError as error:
        faults = describe_faults(error) | faults
    claim = Claim(merchant.merchant_id, operation, request_id, digest_body(tools, body, scope)) if is_sent else None
    return CardRequest(merchant, request_id, claim, body, read, faults)


async def answer_order(
    tools: Tools,
    asked: CardRequest[Any],
    order: Awaitable[Order],
    carry_out: Callable[[Order], Awaitable[Reply]],
) -> Reply:
    """Carry out the order of a sound request; name every fault of another, unless its X-Request-ID is known.

    A known id has its first answer, though what was true then may be so no more: the token is used, the account gone,
    the card past its date. With another body it is refused for that, however faulty that body is.
    """
    try:
        sound = await order
    except Invalid:
        reply = await recall_claim(tools, asked.claim) if asked.claim else None
        if reply is None:
            raise
        return reply
    return await carry_out(sound)


def reject_misplaced_card_numbers(request: Readable, order: Order, asked: CardRequest[Any]) -> None:
    """Raise Invalid where the number of a token's or a stored card stands in the request."""
    if order.source.kind == "card":  # one that stands in the body was looked for there before
        return
    strays = find_misplaced_card_numbers(request, order.instrument.card.number, shown_parts(asked.body))
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
