"""`POST /tokenize` and `POST /tokenizeWithPaymentAccountId`: tokens of cards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from pydantic import Field, field_validator

from tollhouse.api.fields.card import CardFields, Code, read_code
from tollhouse.api.fields.values import text
from tollhouse.api.reading.access import RequestAuthenticator, find_request_id_faults
from tollhouse.api.reading.body import MAX_TOKENIZE_BYTES, Body, read_object
from tollhouse.api.reading.requests import validate_body
from tollhouse.api.tokenize_limits import TokenizeLimits
from tollhouse.http.requests import Purpose, Request
from tollhouse.http.responses import Response
from tollhouse.http.routes import Calls, call
from tollhouse.http.screen import CARD_FIELDS, find_misplaced_card_numbers, read_card_number
from tollhouse.kernel.card import Cvv, find_brand
from tollhouse.kernel.errors import Invalid
from tollhouse.merchants.access import MerchantDisabled
from tollhouse.merchants.model import Merchant
from tollhouse.storage.database import Database
from tollhouse.vault.accounts import select_account_holder
from tollhouse.vault.tokens import NewToken, TokenDependencies, tokenize, tokenize_account
from tollhouse.wire.answers import TokenAnswer
from tollhouse.wire.render import render_json

XML_HTTP_REQUEST = "xmlhttprequest"


class TokenizeRequest(CardFields):
    """A card."""

    strict_first = True


#: The same text for an unknown card and for one of another consumer.
UNKNOWN_ACCOUNT = {"paymentAccountId": ["is unknown, or not a card of this consumer"]}


class AccountTokenRequest(Body):
    """A stored card with a newly typed security code."""

    paymentAccountId: UUID = Field(
        description="`payment.source.paymentAccountId` of an approved payment; `paymentAccount` is accepted too."
    )
    consumerId: text(36, 5) = Field(  # type: ignore[valid-type]
        description="`consumer.id` of the same response.", examples=["cmv4xq7k2t9d3hs6wpb5zn8rf"]
    )
    cvv: Code = Field(description="The security code. It is never stored after the payment's response.")

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


class TokenizeCalls(Calls):
    """Tokens of cards and stored cards. `context` has the settings that validation depends on."""

    def __init__(
        self,
        tokens: TokenDependencies,
        database: Database,
        authenticator: RequestAuthenticator,
        limits: TokenizeLimits,
        context: Callable[[], dict[str, Any]],
    ) -> None:
        self._tokens = tokens
        self._database = database
        self._authenticator = authenticator
        self._limits = limits
        self._context = context

    @call(
        "POST /tokenize",
        "Tokenize a card",
        Purpose.SELLS,
        TokenizeRequest,
        TokenAnswer,
        needs_key=False,
        is_for_browsers=True,
        status=201,
    )
    async def post_tokenize(self, request: Request) -> Response:
        """Exchange a card for a token, valid for one payment within 15 minutes. For browsers; no API key is needed.

        Each call creates a new token, even with the same `X-Request-ID`, which is only returned.
        """
        fields = await _read_card(request, self._context())
        merchant = await self._authenticator.recognise(request)
        self._limits.check(merchant, address=self._authenticator.address_of(request), card=fields.number)
        merchant_id = merchant.merchant_id if merchant else None
        created = await tokenize(self._tokens, fields.to_card(), fields.cvv, merchant_id=merchant_id)
        return Response(render_new_token(created), 201)

    @call(
        "POST /tokenizeWithPaymentAccountId",
        "Tokenize a stored card with its security code",
        Purpose.SELLS,
        AccountTokenRequest,
        TokenAnswer,
        needs_key=False,
        is_for_browsers=True,
        status=201,
    )
    async def post_tokenize_account(self, request: Request) -> Response:
        """Exchange a stored card and its security code for a token, valid for one payment within 15 minutes.

        For browsers of returning cardholders; no API key is needed. The token works for the merchant of the stored card
        and pays as the card's consumer. Each call creates a new token; an `X-Request-ID` is only returned.
        """
        fields = await _read_account(request, self._context())
        merchant = await self._authenticator.recognise(request)
        account_id = fields.paymentAccountId
        self._limits.check(merchant, address=self._authenticator.address_of(request), card=account_id)
        merchant_id = await _find_merchant(self._database, fields, merchant)
        created = await tokenize_account(self._tokens, fields.cvv, merchant_id=merchant_id, account_id=account_id)
        return Response(render_new_token(created), 201)


def render_new_token(created: NewToken) -> bytes:
    """Render a `TokenAnswer`."""
    return render_json({"token": str(created.token), "expireAt": int(created.expires_at.timestamp())})


async def _read_card(request: Request, context: dict[str, Any]) -> TokenizeRequest:
    body, faults = await read_object(request, limit_bytes=MAX_TOKENIZE_BYTES, card_fields=CARD_FIELDS)
    faults |= find_request_faults(request)
    if request.sent_request_id is not None:
        faults |= find_misplaced_card_numbers(request, read_card_number(body.get("number")), {})
    return validate_body(TokenizeRequest, body, faults, context)


def find_request_faults(request: Request) -> dict[str, list[str]]:
    """Return faults of the headers: the X-Request-ID, and the one that no form can send."""
    faults = find_request_id_faults(request)
    if request.headers.get("x-requested-with").lower() != XML_HTTP_REQUEST:
        faults["x-requested-with"] = ["is required with the value XMLHttpRequest"]
    return faults


async def _read_account(request: Request, context: dict[str, Any]) -> AccountTokenRequest:
    body, faults = await read_object(request, limit_bytes=MAX_TOKENIZE_BYTES)
    if not body.get("paymentAccountId"):
        body["paymentAccountId"] = body.get("paymentAccount")
    return validate_body(AccountTokenRequest, body, faults | find_request_faults(request), context)


async def _find_merchant(database: Database, fields: AccountTokenRequest, merchant: Merchant | None) -> int:
    """Find a stored card by its two IDs, neither of which can be guessed, and return its merchant.

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
