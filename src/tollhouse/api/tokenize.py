"""`POST /tokenize`: a card from a browser becomes a token (behaviour, section 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from tollhouse.api.access import RequestAuthenticator, find_request_id_faults
from tollhouse.api.card_fields import CardFields
from tollhouse.api.decode import MAX_TOKENIZE_BYTES, read_object
from tollhouse.api.faults import describe_faults
from tollhouse.api.strays import find_misplaced_card_numbers, read_card_number
from tollhouse.http.purposes import Purpose
from tollhouse.http.requests import Request
from tollhouse.http.responses import Response
from tollhouse.http.routes import Route
from tollhouse.http.screen import CARD_FIELDS
from tollhouse.kernel.errors import Invalid
from tollhouse.vault.tokens import NewToken, TokenDependencies, tokenize
from tollhouse.wire.answers import TokenAnswer
from tollhouse.wire.render import render_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from tollhouse.api.limits import TokenizeLimits

XML_HTTP_REQUEST = "xmlhttprequest"


class TokenizeRequest(CardFields):
    """A card."""


class TokenizeCalls:
    """The call that makes a token of a card. `context` tells the model what the environment asks of it."""

    def __init__(
        self,
        mint: TokenDependencies,
        gate: RequestAuthenticator,
        limits: TokenizeLimits,
        context: Callable[[], dict[str, Any]],
    ) -> None:
        self._mint = mint
        self._gate = gate
        self._limits = limits
        self._context = context

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route(
                "POST",
                "/tokenize",
                self.post_tokenize,
                "Tokenize a card",
                request=TokenizeRequest,
                answer=TokenAnswer,
                needs_key=False,
                is_for_browsers=True,
                purpose=Purpose.SELLS,
                status=201,
            )
        ]

    async def post_tokenize(self, request: Request) -> Response:
        """Turn a card into a token for one payment within 15 minutes. Meant for the browser; no API key is needed.

        Each call makes a new token, also one with the same `X-Request-ID`, which is sent back and not remembered.
        """
        fields = await _read(request, self._context())
        merchant = await self._gate.recognise(request)
        self._limits.check(merchant, address=self._gate.address_of(request), card=fields.number)
        merchant_id = merchant.merchant_id if merchant else None
        minted = await tokenize(self._mint, fields.to_card(), fields.cvv, merchant_id=merchant_id)
        return Response(render_minted(minted), 201)


def render_minted(minted: NewToken) -> bytes:
    """Write a `TokenAnswer`."""
    return render_json({"token": str(minted.token), "expireAt": int(minted.expires_at.timestamp())})


async def _read(request: Request, context: dict[str, Any]) -> TokenizeRequest:
    body, faults = await read_object(request, limit_bytes=MAX_TOKENIZE_BYTES, card_fields=CARD_FIELDS)
    faults |= find_request_faults(request)
    if request.sent_request_id is not None:
        faults |= find_misplaced_card_numbers(request, read_card_number(body.get("number")), {})
    try:
        fields = TokenizeRequest.model_validate(body, context=context)
    except ValidationError as error:
        raise Invalid(describe_faults(error) | faults) from None
    if faults:
        raise Invalid(faults)
    return fields


def find_request_faults(request: Request) -> dict[str, list[str]]:
    """Say what is wrong with the headers: with the X-Request-ID, and with the one that no form of a page can send."""
    faults = find_request_id_faults(request)
    if request.headers.get("x-requested-with").lower() != XML_HTTP_REQUEST:
        faults["x-requested-with"] = ["the header must be there with the value XMLHttpRequest"]
    return faults
