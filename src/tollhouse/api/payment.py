"""`POST /payment` and `GET /payment/{transactionId}`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from pydantic import ValidationError

from tollhouse.api.access import AnyRequest, Gate, Readable, find_request_id_faults
from tollhouse.api.decode import read_object
from tollhouse.api.envelope import request_id_of, sent_request_id_of
from tollhouse.api.openapi import describe
from tollhouse.api.payment_request import (
    LONGEST_REFERENCE,
    CardSource,
    ConsumerFields,
    PaymentRequest,
    find_cross_faults,
)
from tollhouse.api.problems import describe_faults
from tollhouse.api.requests import answer
from tollhouse.api.strays import find_strays
from tollhouse.kernel.errors import Invalid, NotFound
from tollhouse.kernel.requests import Claim, Reply
from tollhouse.payments.charge import charge
from tollhouse.payments.look import show_payment
from tollhouse.payments.model import OPERATION, Instrument, References, Wanted
from tollhouse.payments.order import build_order
from tollhouse.payments.repeat import recall_claim
from tollhouse.payments.sources import LARGEST_ID, resolve
from tollhouse.payments.store import select_payment
from tollhouse.threeds.model import BrowserData
from tollhouse.wire.answers import PaymentAnswer
from tollhouse.wire.render import render_json

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tollhouse.merchants.model import Merchant
    from tollhouse.payments.tools import Tools

#: Parts of a body that come back, are shown or are kept as they were sent.
SHOWN_PARTS = ("sku", "consumer", "url", "metadata")
#: Fields of the request's consumer that are no part of the consumer.
NOT_PROFILE = {"id", "externalId", "ip"}


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
        is_id = transaction_id.isascii() and transaction_id.isdigit() and len(transaction_id) <= len(str(LARGEST_ID))
        if not is_id or int(transaction_id) > LARGEST_ID:
            raise NotFound("There is no such transaction.")
        async with tools.database.acquire() as connection:
            payment = await select_payment(
                connection, merchant_id=merchant.merchant_id, transaction_id=int(transaction_id)
            )
        if payment is None:
            raise NotFound("There is no such transaction.")
        return Response(await show_payment(tools, payment), media_type="application/json")

    return [post_payment, get_payment]


def build_pay(
    tools: Tools, gate: Gate, context: Callable[[], dict[str, Any]]
) -> Callable[[Readable], Awaitable[Reply]]:
    """Return what answers `POST /payment`. `context` tells the models what the environment asks of them."""

    async def pay(request: Readable) -> Reply:
        return await _answer(tools, await _read(tools, gate, request, context()))

    return pay


async def _read(tools: Tools, gate: Gate, request: Readable, context: dict[str, Any]) -> _Asked:
    """Authenticate, decode and validate, and collect the faults that the body has by itself."""
    merchant = await gate.access(request)
    request_id, is_sent = request_id_of(request.scope), sent_request_id_of(request.scope) is not None
    body = await read_object(request)
    faults = find_cross_faults(body) | find_request_id_faults(request)
    faults |= find_strays(
        request, _object(body, "paymentSource").get("number"), {name: body.get(name) for name in SHOWN_PARTS}
    )
    model = None
    try:
        model = PaymentRequest.model_validate(body, context=context)
    except ValidationError as error:
        faults = describe_faults(error) | faults
    claim = Claim(merchant.merchant_id, OPERATION, request_id, digest_body(tools, body)) if is_sent else None
    return _Asked(merchant, request_id, claim, body, model, faults)


async def _answer(tools: Tools, asked: _Asked) -> Reply:
    """Charge a sound request; name every fault of another, unless its first answer is recorded."""
    resolved = await resolve(tools, read_references(asked.merchant.merchant_id, asked.body))
    faults = {**resolved.faults, **asked.faults}
    if asked.model is None or asked.faults:
        raise Invalid(faults)
    try:
        if faults:
            raise Invalid(faults)
        order = await build_order(tools, build_wanted(asked, asked.model), resolved)
    except Invalid:
        # What was true at the first time may be so no more: the token is used, the account gone.
        reply = await recall_claim(tools, asked.claim) if asked.claim else None
        if reply is None:
            raise
        return reply
    return await charge(tools, order)


def read_references(merchant_id: int, body: dict[str, Any]) -> References:
    """Read what a body points at, as far as it can be read."""
    source, sku, consumer, url = (_object(body, name) for name in ("paymentSource", "sku", "consumer", "url"))
    sku_url = _object(sku, "url")
    kind = _text(source, "type")
    return References(
        merchant_id=merchant_id,
        site_id=_text(sku, "siteId"),
        sku_name=_text(sku, "name"),
        source_kind=kind,
        token=_text(source, "token", "value") if kind == "token" else None,
        account_id=_text(source, "paymentAccountId") if kind == "paymentAccountId" else None,
        source_consumer_id=_text(source, "id", "value") if kind == "consumer" else None,
        consumer_id=_text(consumer, "id"),
        has_ipn_url=bool(url.get("ipnUrl") or sku_url.get("ipnUrl")),
        has_redirect_url=bool(url.get("redirectUrl") or sku_url.get("redirectUrl")),
    )


def _object(body: dict[str, Any], name: str) -> dict[str, Any]:
    value = body.get(name)
    return value if isinstance(value, dict) else {}


def _text(content: dict[str, Any], *names: str) -> str | None:
    """Return the first of these that is there, as the model reads it; what is no text or too long was never issued."""
    text = next((str(content[name]) for name in names if _is_scalar(content.get(name))), "")
    return text if 0 < len(text) <= LONGEST_REFERENCE else None


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | Decimal) and not isinstance(value, bool) and value != ""


def build_wanted(asked: _Asked, model: PaymentRequest) -> Wanted:
    """Say in the words of the house what a sound request wants."""
    source, consumer = model.paymentSource, model.consumer
    instrument = Instrument(source.to_card(), source.cvv) if isinstance(source, CardSource) else None
    profile = consumer.model_dump(exclude_none=True, exclude=NOT_PROFILE)
    return Wanted(
        merchant_id=asked.merchant.merchant_id,
        request_id=asked.request_id,
        claim=asked.claim,
        source_kind=source.type,
        instrument=instrument,
        title=model.sku.title or "",
        prices=tuple(price.to_price() for price in model.sku.price),
        external_id=consumer.externalId or consumer.id,
        consumer=profile,
        consumer_ip=consumer.ip,
        metadata=render_json(asked.body.get("metadata") or {}).decode(),
        ipn_url=model.url.ipnUrl or model.sku.url.ipnUrl,
        redirect_url=model.url.redirectUrl or model.sku.url.redirectUrl,
        asks_authentication=source.authenticate,
        initiator=source.initiator,
        browser=read_browser(consumer),
        emulate_code=source.emulateCode,
    )


def read_browser(consumer: ConsumerFields) -> BrowserData | None:
    """Return the browser's data when they are complete."""
    return BrowserData.from_consumer(consumer.model_dump(exclude_none=True))


def digest_body(tools: Tools, body: dict[str, Any]) -> bytes:
    """Hash a body under a key, whatever the order of its fields, without the security code: no trace of it stays."""
    source = {name: value for name, value in _object(body, "paymentSource").items() if name != "cvv"}
    canonical = json.dumps({**body, "paymentSource": source}, sort_keys=True, default=str)
    return tools.vault.digest(canonical.encode())
