"""`POST /epayment/lib/paypage_api/pay.php`: what the public WooCommerce plugin asks before it shows a checkout.

The body is form fields, although a header by the name of `0` claims that it is JSON; the API key is one of them (wire
contract, section 6). Of its two methods one names the consumer, the other the payment methods, of which there is one.
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
from tollhouse.http.problems import answer_error
from tollhouse.http.purposes import Purpose
from tollhouse.http.requests import Request
from tollhouse.http.responses import Response
from tollhouse.http.routes import Calls, call
from tollhouse.kernel.errors import NotFound, Refusal
from tollhouse.payments.dependencies import IntentLookups
from tollhouse.wire.answers import LegacyAnswer, LegacyProblemAnswer, MethodAnswer
from tollhouse.wire.render import render

MAX_BYTES = 8 * 1024
#: The key of a method is the end of a class name in the plugin, which crashes by names that it has for other things.
METHODS = {"cc": MethodAnswer(name="Card")}

CONSUMER_METHOD = "get_ustas_or_create"
METHODS_METHOD = "get"
REQUIRED = {CONSUMER_METHOD: ("external_user_id",), METHODS_METHOD: ("ustas", "sku_name")}


class LegacyRequest(Body):
    """What is asked for."""

    media_type: ClassVar[str] = "application/x-www-form-urlencoded"

    authentication_key: str | None = Field(
        None, max_length=256, description="The API key; an `Authorization` header does as well."
    )
    fmt: TypedText | None = Field(None, description="`json`, whatever it says.")
    method: Literal["get_ustas_or_create", "get"]
    username: TypedText | None = Field(None, description="The consumer's e-mail address, for the first method.")
    external_user_id: str | None = Field(
        None, max_length=255, description="Your own id of the consumer. Required for the first method."
    )
    ustas: str | None = Field(None, max_length=36, description="The consumer. Required for the second method.")
    sku_name: str | None = Field(
        None, max_length=36, description="`TECH_` and a site's id. Required for the second method."
    )
    customer_remote_addr: TypedText | None = Field(None, description="Taken and not used.")
    load_cc_mid_info: TypedText | None = Field(None, description="Taken and not used.")


def answer_legacy_error(request: Request, error: Exception) -> Response:
    """Return the response of every call to an error, with what older clients read beside it."""
    plain = answer_error(request, error)
    if not isinstance(error, Refusal):
        return plain
    known: dict[str, Any] = json.loads(plain.body)
    content = LegacyProblemAnswer(response_text=known["message"], message=known["message"], errors=known["errors"])
    return Response(render(content), plain.status, headers=plain.headers)


class LegacyCalls(Calls):
    """The call of older clients."""

    def __init__(self, lookups: IntentLookups, gate: RequestAuthenticator) -> None:
        self._lookups = lookups
        self._gate = gate

    @call(
        "POST /epayment/lib/paypage_api/pay.php",
        "Name a consumer, or the payment methods",
        Purpose.SETS_UP,
        LegacyRequest,
        LegacyAnswer,
        may_miss=True,
        problem=LegacyProblemAnswer,
        answer_error=answer_legacy_error,
    )
    async def post_legacy(self, request: Request) -> Response:
        """Answer the two questions of older clients.

        `get_ustas_or_create` finds or makes the consumer with this `external_user_id` and returns its id in `ustas`;
        `get` returns what may be paid with.
        """
        fields, faults = await read_form(request, limit_bytes=MAX_BYTES)
        merchant = await self._gate.access_with(request, fields.get("authentication_key") or read_key(request))
        asked = _validate(fields, faults)
        if asked.method == CONSUMER_METHOD:
            content = LegacyAnswer(ustas=await _name_consumer(self._lookups, merchant.merchant_id, asked))
        else:
            await _check_references(self._lookups, merchant.merchant_id, asked)
            content = LegacyAnswer(short_payment_methods=METHODS)
        return Response(render(content))


def _validate(fields: dict[str, str], faults: dict[str, list[str]]) -> LegacyRequest:
    """Read the fields. Raises Invalid, naming every faulty one."""
    required = REQUIRED.get(fields.get("method", ""), ())
    faults |= {name: ["is required"] for name in required if not fields.get(name)}
    return validate_body(LegacyRequest, fields, faults)


async def _name_consumer(lookups: IntentLookups, merchant_id: int, asked: LegacyRequest) -> str:
    """Find the consumer with this external id, or make it; the same id gives the same name, also at once."""
    external_id = asked.external_user_id or ""
    consumer_id = derive_consumer_id(lookups.vault.identity_key, merchant_id=merchant_id, external_id=external_id)
    profile = {"email": asked.username} if asked.username else {}
    async with lookups.database.transaction() as connection:
        await insert_consumers(connection, [ConsumerRow(merchant_id, consumer_id, external_id, json.dumps(profile))])
    return consumer_id


async def _check_references(lookups: IntentLookups, merchant_id: int, asked: LegacyRequest) -> None:
    """Raise NotFound for a product or a consumer that the merchant has not."""
    if await lookups.catalog.sku(merchant_id, asked.sku_name or "") is None:
        raise NotFound("There is no such product.")
    async with lookups.database.acquire() as connection:
        if await select_consumer(connection, merchant_id=merchant_id, consumer_id=asked.ustas or "") is None:
            raise NotFound("There is no such consumer.")
