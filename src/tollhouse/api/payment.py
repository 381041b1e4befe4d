"""`POST /payment` and `GET /payment/{transactionId}`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from pydantic import ValidationError

from tollhouse.api.access import AnyRequest, Gate, Readable, find_request_id_faults
from tollhouse.api.decode import read_object
from tollhouse.api.envelope import clear_request_id, request_id_of, sent_request_id_of
from tollhouse.api.openapi import describe
from tollhouse.api.payment_request import PaymentRequest, find_cross_faults
from tollhouse.api.problems import describe_faults
from tollhouse.api.requests import answer
from tollhouse.api.strays import find_strays, read_card_number
from tollhouse.api.wanted import build_wanted, digest_body, read_references
from tollhouse.kernel.errors import Invalid, NotFound
from tollhouse.kernel.requests import Claim, Reply
from tollhouse.payments.charge import charge
from tollhouse.payments.look import show_payment
from tollhouse.payments.model import OPERATION, Order
from tollhouse.payments.order import build_order
from tollhouse.payments.repeat import recall_claim
from tollhouse.payments.sources import LARGEST_ID, resolve
from tollhouse.payments.store import select_payment
from tollhouse.wire.answers import PaymentAnswer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tollhouse.kernel.card import CardNumber
    from tollhouse.merchants.model import Merchant
    from tollhouse.payments.tools import Tools

#: Parts of a body that come back, are shown or are kept as they were sent.
SHOWN_PARTS = ("sku", "consumer", "url", "metadata", "emailOptions")

NO_TRANSACTION = "There is no such transaction."


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request as far as it was read."""

    merchant: Merchant
    request_id: str
    claim: Claim | None
    body: dict[str, Any]
    model: PaymentRequest | None
    faults: dict[str, list[str]]


def payment_handlers(tools: Tools, gate: Gate, pay: Callable[[Readable], Awaitable[Reply]]) -> list[HTTPRouteHandler]:
    """Return the handlers. `pay` is what `build_pay` returned."""

    @post("/payment", opt=describe("Pay", request=PaymentRequest, answer=PaymentAnswer, takes_request_id=True))
    async def post_payment(request: AnyRequest) -> Response[bytes]:
        """Charge a card, a token or a stored card.

        A declined payment is 201 too: look at `payment.status`. With action `redirect` send the cardholder to
        `payment.url`. The final status comes by IPN.
        """
        return answer(await pay(request))

    @get("/payment/{transaction_id:str}", opt=describe("Look a payment up", answer=PaymentAnswer, may_miss=True))
    async def get_payment(request: AnyRequest, transaction_id: FromPath[str]) -> Response[bytes]:
        """Return a payment as it stands, by its `transactionId`."""
        merchant = await gate.access(request)
        number = read_transaction_id(transaction_id)
        async with tools.database.acquire() as connection:
            payment = await select_payment(connection, merchant_id=merchant.merchant_id, transaction_id=number)
        if payment is None:
            raise NotFound(NO_TRANSACTION)
        return Response(await show_payment(tools, payment), media_type="application/json")

    return [post_payment, get_payment]


def build_pay(
    tools: Tools, gate: Gate, context: Callable[[], dict[str, Any]]
) -> Callable[[Readable], Awaitable[Reply]]:
    """Return what answers `POST /payment`. `context` tells the models what the environment asks of them."""

    async def pay(request: Readable) -> Reply:
        return await _answer(tools, request, await _read(tools, gate, request, context()))

    return pay


def read_transaction_id(text: str) -> int:
    """Read the id of a transaction from a path. Raises NotFound for what was never issued."""
    is_id = text.isascii() and text.isdigit() and len(text) <= len(str(LARGEST_ID))
    if not is_id or int(text) > LARGEST_ID:
        raise NotFound(NO_TRANSACTION)
    return int(text)


async def _read(tools: Tools, gate: Gate, request: Readable, context: dict[str, Any]) -> _Asked:
    """Authenticate, decode and validate, and collect the faults that the body has by itself."""
    merchant = await gate.access(request)
    request_id, is_sent = request_id_of(request.scope), sent_request_id_of(request.scope) is not None
    body = await read_object(request)
    faults = find_cross_faults(body) | find_request_id_faults(request)
    faults |= find_strays(request, parse_number(body), shown_parts(body))
    model = None
    try:
        model = PaymentRequest.model_validate(body, context=context)
    except ValidationError as error:
        faults = describe_faults(error) | faults
    claim = Claim(merchant.merchant_id, OPERATION, request_id, digest_body(tools, body)) if is_sent else None
    return _Asked(merchant, request_id, claim, body, model, faults)


async def _answer(tools: Tools, request: Readable, asked: _Asked) -> Reply:
    """Charge a sound request; name every fault of another, unless its X-Request-ID is known.

    A known id has its first answer, though what was true then may be so no more: the token is used, the account gone,
    the card past its date. With another body it is refused for that, however faulty that body is.
    """
    try:
        order = await _order(tools, request, asked)
    except Invalid:
        reply = await recall_claim(tools, asked.claim) if asked.claim else None
        if reply is None:
            raise
        clear_request_id(request.scope)  # it was clean the first time
        return reply
    return await charge(tools, order)


async def _order(tools: Tools, request: Readable, asked: _Asked) -> Order:
    """Put the order of a request together. Raises Invalid with all its faults."""
    merchant_id = asked.merchant.merchant_id
    resolved = await resolve(tools, read_references(merchant_id, asked.body))
    faults = {**resolved.faults, **asked.faults}
    if asked.model is None or faults:
        raise Invalid(faults)
    wanted = build_wanted(
        asked.model, asked.body, merchant_id=merchant_id, request_id=asked.request_id, claim=asked.claim
    )
    order = await build_order(tools, wanted, resolved)
    if wanted.card is None:  # one that stands in the body was looked for there before
        strays = find_strays(request, order.instrument.card.number, shown_parts(asked.body))
        if strays:
            raise Invalid(strays)
    return order


def parse_number(body: dict[str, Any]) -> CardNumber | None:
    """Return the card number of a body, if it has a well-formed one."""
    source = body.get("paymentSource")
    return read_card_number(source.get("number")) if isinstance(source, dict) else None


def shown_parts(body: dict[str, Any]) -> dict[str, Any]:
    """Return the parts of a body that come back, are shown or are kept as they were sent, by their paths."""
    source = body.get("paymentSource")
    parts = {name: body.get(name) for name in SHOWN_PARTS}
    return parts | {"paymentSource.mid": source.get("mid")} if isinstance(source, dict) else parts
