"""`POST /epayment/lib/paypage_api/pay.php`: calls of the public WooCommerce plugin before it shows a checkout.

The body is form fields, although a header named `0` declares JSON; the API key is one of the fields.
One method returns the consumer, the other the payment methods, of which there is one.
"""

from __future__ import annotations

import json
from typing import Any, ClassVar, Literal

from pydantic import Field

from tollhouse.api.fields.values import TypedText
from tollhouse.api.reading.access import RequestAuthenticator, read_key
from tollhouse.api.reading.body import Body, read_form
from tollhouse.api.reading.requests import validate_body
from tollhouse.consumers.model import derive_consumer_id
from tollhouse.consumers.store import ConsumerRow, insert_consumers, select_consumer
from tollhouse.http.problems import build_error_response
from tollhouse.http.requests import Purpose, Request
from tollhouse.http.responses import Response
from tollhouse.http.routes import Calls, call
from tollhouse.kernel.errors import NotFound, Rejection
from tollhouse.payments.dependencies import IntentLookups
from tollhouse.wire.answers import LegacyAnswer, LegacyProblemAnswer, MethodAnswer
from tollhouse.wire.render import render

MAX_BYTES = 8 * 1024
#: The key of a method is the end of a class name in the plugin, which crashes with other names.
METHODS = {"cc": MethodAnswer(name="Card")}

CONSUMER_METHOD = "get_ustas_or_create"
METHODS_METHOD = "get"
REQUIRED = {CONSUMER_METHOD: ("external_user_id",), METHODS_METHOD: ("ustas", "sku_name")}


class LegacyRequest(Body):
    """A request of the plugin."""

    media_type: ClassVar[str] = "application/x-www-form-urlencoded"

    authentication_key: str | None = Field(
        None, max_length=256, description="The API key; an `Authorization` header is accepted too."
    )
    fmt: TypedText | None = Field(None, description="Always `json`; other values are ignored.")
    method: Literal["get_ustas_or_create", "get"]
    username: TypedText | None = Field(None, description="The consumer's email address, for the first method.")
    external_user_id: str | None = Field(
        None, max_length=255, description="Your own ID of the consumer. Required for the first method."
    )
    ustas: str | None = Field(None, max_length=36, description="The consumer. Required for the second method.")
    sku_name: str | None = Field(
        None, max_length=36, description="`TECH_` and a site's ID. Required for the second method."
    )
    customer_remote_addr: TypedText | None = Field(None, description="Accepted and ignored.")
    load_cc_mid_info: TypedText | None = Field(None, description="Accepted and ignored.")


def build_legacy_error_response(request: Request, error: Exception) -> Response:
    """Return the usual response to an error, with fields for older clients."""
    plain = build_error_response(request, error)
    if not isinstance(error, Rejection):
        return plain
    known: dict[str, Any] = json.loads(plain.body)
    content = LegacyProblemAnswer(response_text=known["message"], message=known["message"], errors=known["errors"])
    return Response(render(content), plain.status, headers=plain.headers)


class LegacyCalls(Calls):
    """The call of older clients."""

    def __init__(self, lookups: IntentLookups, authenticator: RequestAuthenticator) -> None:
        self._lookups = lookups
        self._authenticator = authenticator

    @call(
        "POST /epayment/lib/paypage_api/pay.php",
        "Get a consumer or payment methods",
        Purpose.SETS_UP,
        LegacyRequest,
        LegacyAnswer,
        may_miss=True,
        problem=LegacyProblemAnswer,
        on_error=build_legacy_error_response,
    )
    async def post_legacy(self, request: Request) -> Response:
        """Return a consumer or the payment methods to older clients.

        `get_ustas_or_create` finds or creates the consumer with this `external_user_id` and returns its ID in `ustas`;
        `get` returns the payment methods.
        """
        fields, faults = await read_form(request, limit_bytes=MAX_BYTES)
        merchant = await self._authenticator.access_with(request, fields.get("authentication_key") or read_key(request))
        legacy_request = _validate(fields, faults)
        if legacy_request.method == CONSUMER_METHOD:
            content = LegacyAnswer(ustas=await _name_consumer(self._lookups, merchant.merchant_id, legacy_request))
        else:
            await _check_references(self._lookups, merchant.merchant_id, legacy_request)
            content = LegacyAnswer(short_payment_methods=METHODS)
        return Response(render(content))


def _validate(fields: dict[str, str], faults: dict[str, list[str]]) -> LegacyRequest:
    """Validate the fields. Raises Invalid with every fault."""
    required = REQUIRED.get(fields.get("method", ""), ())
    faults |= {name: ["is required"] for name in required if not fields.get(name)}
    return validate_body(LegacyRequest, fields, faults)


async def _name_consumer(lookups: IntentLookups, merchant_id: int, legacy_request: LegacyRequest) -> str:
    """Find or create the consumer with this external ID. Concurrent calls return the same one."""
    external_id = legacy_request.external_user_id or ""
    consumer_id = derive_consumer_id(lookups.vault.identity_key, merchant_id=merchant_id, external_id=external_id)
    profile = {"email": legacy_request.username} if legacy_request.username else {}
    async with lookups.database.transaction() as connection:
        await insert_consumers(connection, [ConsumerRow(merchant_id, consumer_id, external_id, json.dumps(profile))])
    return consumer_id


async def _check_references(lookups: IntentLookups, merchant_id: int, legacy_request: LegacyRequest) -> None:
    """Raise NotFound if the merchant has no such SKU or consumer."""
    if await lookups.catalog.sku(merchant_id, legacy_request.sku_name or "") is None:
        raise NotFound("SKU not found.")
    async with lookups.database.acquire() as connection:
        if await select_consumer(connection, merchant_id=merchant_id, consumer_id=legacy_request.ustas or "") is None:
            raise NotFound("Consumer not found.")
