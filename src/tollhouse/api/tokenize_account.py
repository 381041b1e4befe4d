"""`POST /tokenizeWithPaymentAccountId`: a stored card and a fresh security code become a token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from litestar import Response, post
from litestar.handlers import HTTPRouteHandler
from pydantic import Field, ValidationError, field_validator

from tollhouse.api.access import AnyRequest, RequestAuthenticator
from tollhouse.api.card_fields import Code, read_code
from tollhouse.api.decode import MAX_TOKENIZE_BYTES, Body, read_object
from tollhouse.api.fields import text
from tollhouse.api.openapi import describe
from tollhouse.api.problems import describe_faults
from tollhouse.api.requests import answer
from tollhouse.api.tokenize import CREATED, find_request_faults, render_minted
from tollhouse.kernel.card import Cvv, find_brand
from tollhouse.kernel.errors import Invalid
from tollhouse.kernel.requests import Reply
from tollhouse.merchants.access import MerchantDisabled
from tollhouse.vault.accounts import select_account_holder
from tollhouse.vault.tokens import Mint, tokenize_account
from tollhouse.wire.answers import TokenAnswer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tollhouse.api.limits import TokenizeLimits
    from tollhouse.merchants.model import Merchant
    from tollhouse.storage.database import Database

#: The same for a card that is not there and for one that is somebody else's.
UNKNOWN_ACCOUNT = {"paymentAccountId": ["is unknown, or not a card of this consumer"]}


class AccountTokenRequest(Body):
    """A stored card, and the security code that its cardholder typed anew."""

    paymentAccountId: UUID = Field(
        description="`payment.source.paymentAccountId` of an approved payment; `paymentAccount` is read too."
    )
    consumerId: text(36, 5) = Field(  # type: ignore[valid-type]
        description="`consumer.id` of the same answer.", examples=["cmv4xq7k2t9d3hs6wpb5zn8rf"]
    )
    cvv: Code = Field(description="The security code. Never stored beyond the answer to the payment.")

    @field_validator("paymentAccountId", mode="before")
    @classmethod
    def _read_account_id(cls, value: Any) -> UUID:
        try:
            return UUID(value)
        except (ValueError, TypeError, AttributeError):
            raise ValueError("must be a UUID") from None

    @field_validator("cvv", mode="before")
    @classmethod
    def _read_code(cls, value: Any) -> Cvv:
        return read_code(value)


def tokenize_account_handlers(make_token: Callable[[AnyRequest], Awaitable[Reply]]) -> list[HTTPRouteHandler]:
    """Return the handlers. `make_token` is what `build_tokenize_account` returned."""

    @post(
        "/tokenizeWithPaymentAccountId",
        opt=describe(
            "Tokenize a stored card with its security code",
            request=AccountTokenRequest,
            answer=TokenAnswer,
            needs_key=False,
            needs_xml_http_request=True,
        ),
    )
    async def post_tokenize_account(request: AnyRequest) -> Response[bytes]:
        """Turn a stored card and a fresh security code into a token for one payment within 15 minutes.

        Meant for the browser of a returning cardholder; no API key is needed. The token works for the merchant whose
        stored card it is, and pays as that card's consumer. Each call makes a new token; an `X-Request-ID` is sent
        back and not remembered.
        """
        return answer(await make_token(request))

    return [post_tokenize_account]


def build_tokenize_account(
    mint: Mint,
    database: Database,
    gate: RequestAuthenticator,
    limits: TokenizeLimits,
    context: Callable[[], dict[str, Any]],
) -> Callable[[AnyRequest], Awaitable[Reply]]:
    """Return what answers the call. `context` tells the models what the environment asks of them."""

    async def make_token(request: AnyRequest) -> Reply:
        fields = await _read(request, context())
        merchant = await gate.recognise(request)
        limits.check(merchant, address=gate.address_of(request), card=fields.paymentAccountId)
        merchant_id = await _find_merchant(database, fields, merchant)
        minted = await tokenize_account(mint, fields.cvv, merchant_id=merchant_id, account_id=fields.paymentAccountId)
        return Reply(CREATED, render_minted(minted))

    return make_token


async def _read(request: AnyRequest, context: dict[str, Any]) -> AccountTokenRequest:
    """Return the fields of a sound request. Raises Invalid with every faulty one."""
    body, faults = await read_object(request, limit_bytes=MAX_TOKENIZE_BYTES)
    if not body.get("paymentAccountId"):
        body["paymentAccountId"] = body.get("paymentAccount")
    faults |= find_request_faults(request)
    try:
        fields = AccountTokenRequest.model_validate(body, context=context)
    except ValidationError as error:
        raise Invalid(describe_faults(error) | faults) from None
    if faults:
        raise Invalid(faults)
    return fields


async def _find_merchant(database: Database, fields: AccountTokenRequest, merchant: Merchant | None) -> int:
    """Find the stored card by its two ids, neither of which can be guessed, and return whose it is.

    Raises Invalid and MerchantDisabled.
    """
    async with database.acquire() as connection:
        holder = await select_account_holder(
            connection, account_id=fields.paymentAccountId, consumer_id=fields.consumerId
        )
    if holder is None or (merchant is not None and merchant.merchant_id != holder.merchant_id):
        raise Invalid(UNKNOWN_ACCOUNT)
    if not holder.is_merchant_active:
        raise MerchantDisabled
    length = find_brand(holder.brand).cvv_length
    if length is not None and len(fields.cvv) != length:
        raise Invalid({"cvv": [f"must have {length} digits"]})
    return holder.merchant_id
