"""`POST /epayment/lib/paypage_api/pay.php`: what the public WooCommerce plugin asks before it shows a checkout.

The body is form fields, although a header by the name of `0` claims that it is JSON; the API key is one of them (wire
contract, section 6). Of its two methods one names the consumer, the other the payment methods, of which there is one.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from litestar import Response, post
from pydantic import Field, ValidationError

from tollhouse.api.access import AnyRequest, RequestAuthenticator, read_key
from tollhouse.api.decode import Body, read_form
from tollhouse.api.fields import TypedText
from tollhouse.api.openapi import describe
from tollhouse.api.problems import answer_refusal, describe_faults
from tollhouse.consumers.model import derive_consumer_id
from tollhouse.consumers.store import ConsumerRow, insert_consumers, select_consumer
from tollhouse.kernel.errors import Invalid, NotFound, Refusal
from tollhouse.wire.legacy import LegacyAnswer, LegacyProblemAnswer, MethodAnswer
from tollhouse.wire.render import render

if TYPE_CHECKING:
    from litestar.handlers import HTTPRouteHandler

    from tollhouse.payments.tools import Tools

PATH = "/epayment/lib/paypage_api/pay.php"
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


def legacy_handlers(tools: Tools, gate: RequestAuthenticator) -> list[HTTPRouteHandler]:
    """Return the handlers."""
    described = describe(
        "Name a consumer, or the payment methods",
        request=LegacyRequest,
        answer=LegacyAnswer,
        may_miss=True,
        problem=LegacyProblemAnswer,
    )

    @post(PATH, status_code=200, opt=described, exception_handlers={Refusal: _answer_refusal})
    async def post_legacy(request: AnyRequest) -> Response[bytes]:
        """Answer the two questions of older clients.

        `get_ustas_or_create` finds or makes the consumer with this `external_user_id` and returns its id in `ustas`;
        `get` returns what may be paid with.
        """
        fields, faults = await read_form(request, limit_bytes=MAX_BYTES)
        merchant = await gate.access_with(request, fields.get("authentication_key") or read_key(request))
        asked = _validate(fields, faults)
        if asked.method == CONSUMER_METHOD:
            content = LegacyAnswer(ustas=await _name_consumer(tools, merchant.merchant_id, asked))
        else:
            await _check_references(tools, merchant.merchant_id, asked)
            content = LegacyAnswer(short_payment_methods=METHODS)
        return Response(render(content), media_type="application/json")

    return [post_legacy]


def _validate(fields: dict[str, str], faults: dict[str, list[str]]) -> LegacyRequest:
    """Read the fields. Raises Invalid, naming every faulty one."""
    required = REQUIRED.get(fields.get("method", ""), ())
    faults |= {name: ["is required"] for name in required if not fields.get(name)}
    try:
        asked = LegacyRequest.model_validate(fields)
    except ValidationError as error:
        raise Invalid(describe_faults(error) | faults) from None
    if faults:
        raise Invalid(faults)
    return asked


async def _name_consumer(tools: Tools, merchant_id: int, asked: LegacyRequest) -> str:
    """Find the consumer with this external id, or make it; the same id gives the same name, also at once."""
    external_id = asked.external_user_id or ""
    consumer_id = derive_consumer_id(tools.vault.identity_key, merchant_id=merchant_id, external_id=external_id)
    profile = {"email": asked.username} if asked.username else {}
    async with tools.database.transaction() as connection:
        await insert_consumers(connection, [ConsumerRow(merchant_id, consumer_id, external_id, json.dumps(profile))])
    return consumer_id


async def _check_references(tools: Tools, merchant_id: int, asked: LegacyRequest) -> None:
    """Raise NotFound for a product or a consumer that the merchant has not."""
    if await tools.catalog.sku(merchant_id, asked.sku_name or "") is None:
        raise NotFound("There is no such product.")
    async with tools.database.acquire() as connection:
        if await select_consumer(connection, merchant_id=merchant_id, consumer_id=asked.ustas or "") is None:
            raise NotFound("There is no such consumer.")


def _answer_refusal(request: AnyRequest, error: Exception) -> Response[bytes]:
    """Answer a refusal as every call does, with what older clients look at beside it."""
    plain = answer_refusal(request, error)
    known: dict[str, Any] = json.loads(plain.content)
    content = LegacyProblemAnswer(response_text=known["message"], message=known["message"], errors=known["errors"])
    return Response(render(content), status_code=plain.status_code, media_type=plain.media_type, headers=plain.headers)
