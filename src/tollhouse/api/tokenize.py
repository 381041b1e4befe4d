"""`POST /tokenize`: a card from a browser becomes a token (behaviour, section 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litestar import Response, post
from litestar.handlers import HTTPRouteHandler
from pydantic import ValidationError

from tollhouse.api.access import AnyRequest, Readable, RequestAuthenticator, find_request_id_faults
from tollhouse.api.card_fields import CardFields
from tollhouse.api.decode import MAX_TOKENIZE_BYTES, read_object
from tollhouse.api.envelope import sent_request_id_of
from tollhouse.api.openapi import describe
from tollhouse.api.problems import describe_faults
from tollhouse.api.requests import answer
from tollhouse.api.strays import find_misplaced_card_numbers, read_card_number
from tollhouse.http.screen import CARD_FIELDS
from tollhouse.kernel.errors import Invalid
from tollhouse.kernel.requests import Reply
from tollhouse.vault.tokens import Mint, Minted, tokenize
from tollhouse.wire.answers import TokenAnswer
from tollhouse.wire.render import render_json

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tollhouse.api.limits import TokenizeLimits

XML_HTTP_REQUEST = "xmlhttprequest"
CREATED = 201


class TokenizeRequest(CardFields):
    """A card."""


def tokenize_handlers(make_token: Callable[[Readable], Awaitable[Reply]]) -> list[HTTPRouteHandler]:
    """Return the handlers. `make_token` is what `build_tokenize` returned."""

    @post(
        "/tokenize",
        opt=describe(
            "Tokenize a card",
            request=TokenizeRequest,
            answer=TokenAnswer,
            needs_key=False,
            needs_xml_http_request=True,
        ),
    )
    async def post_tokenize(request: AnyRequest) -> Response[bytes]:
        """Turn a card into a token for one payment within 15 minutes. Meant for the browser; no API key is needed.

        Each call makes a new token, also one with the same `X-Request-ID`, which is sent back and not remembered.
        """
        return answer(await make_token(request))

    return [post_tokenize]


def build_tokenize(
    mint: Mint, gate: RequestAuthenticator, limits: TokenizeLimits, context: Callable[[], dict[str, Any]]
) -> Callable[[Readable], Awaitable[Reply]]:
    """Return what answers `POST /tokenize`. `context` tells the models what the environment asks of them."""

    async def make_token(request: Readable) -> Reply:
        fields = await _read(request, context())
        merchant = await gate.recognise(request)
        limits.check(merchant, address=gate.address_of(request), card=fields.number)
        merchant_id = merchant.merchant_id if merchant else None
        minted = await tokenize(mint, fields.to_card(), fields.cvv, merchant_id=merchant_id)
        return Reply(CREATED, render_minted(minted))

    return make_token


def render_minted(minted: Minted) -> bytes:
    """Write a `TokenAnswer`."""
    return render_json({"token": str(minted.token), "expireAt": int(minted.expires_at.timestamp())})


async def _read(request: Readable, context: dict[str, Any]) -> TokenizeRequest:
    body, faults = await read_object(request, limit_bytes=MAX_TOKENIZE_BYTES, card_fields=CARD_FIELDS)
    faults |= find_request_faults(request)
    if sent_request_id_of(request.scope) is not None:
        faults |= find_misplaced_card_numbers(request, read_card_number(body.get("number")), {})
    try:
        fields = TokenizeRequest.model_validate(body, context=context)
    except ValidationError as error:
        raise Invalid(describe_faults(error) | faults) from None
    if faults:
        raise Invalid(faults)
    return fields


def find_request_faults(request: Readable) -> dict[str, list[str]]:
    """Say what is wrong with the headers: with the X-Request-ID, and with the one that no form of a page can send."""
    faults = find_request_id_faults(request)
    if request.headers.get("x-requested-with", "").lower() != XML_HTTP_REQUEST:
        faults["x-requested-with"] = ["the header must be there with the value XMLHttpRequest"]
    return faults
