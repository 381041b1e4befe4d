"""`POST /stage/3ds/{orderId}`: complete a challenge without a browser. Stage only."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Protocol, get_args

from pydantic import BeforeValidator, Field

from tollhouse.api.reading.access import RequestAuthenticator
from tollhouse.api.reading.body import Body
from tollhouse.api.reading.ids import NO_ORDER, read_id
from tollhouse.api.reading.requests import read_lenient_request
from tollhouse.http.requests import Purpose, Request
from tollhouse.http.responses import Response, build_http_response
from tollhouse.http.routes import Calls, call
from tollhouse.kernel.rendered_response import RenderedResponse
from tollhouse.wire.answers import PaymentAnswer

Outcome = Literal["pass", "fail", "cancel", "timeout"]

MAX_BODY_BYTES = 8 * 1024


class CompleteChallenge(Protocol):
    """The function that completes an authentication, as a cardholder would."""

    async def __call__(self, *, merchant_id: int, payment_id: int, result: Outcome) -> RenderedResponse:
        """Return the resulting payment. Raises NotFound if the merchant has no such order."""
        ...


def _read_result(value: Any) -> Any:
    if value not in get_args(Outcome):
        raise ValueError(f"must be one of {', '.join(get_args(Outcome))}")
    return value


class ChallengeRequest(Body):
    """The result of a challenge."""

    result: Annotated[Outcome, BeforeValidator(_read_result)] = Field(
        description="`pass`: the cardholder enters the right code; `fail`: a wrong one; `timeout`: none."
    )


class ChallengeCalls(Calls):
    """The call that completes a challenge. Stage only."""

    def __init__(self, authenticator: RequestAuthenticator, complete: CompleteChallenge) -> None:
        self._authenticator = authenticator
        self._complete = complete

    @call("POST /stage/3ds/{orderId}", "Complete a challenge", Purpose.SETS_UP, ChallengeRequest, PaymentAnswer)
    async def answer_challenge(self, request: Request) -> Response:
        """Complete a challenge without a browser, and return the resulting payment. Stage only.

        A finished payment is returned unchanged.
        """
        valid = await read_lenient_request(self._authenticator, request, ChallengeRequest, limit_bytes=MAX_BODY_BYTES)
        order_id = read_id(request.path_parameters["orderId"], NO_ORDER)
        rendered = await self._complete(
            merchant_id=valid.merchant.merchant_id, payment_id=order_id, result=valid.body.result
        )
        return build_http_response(rendered)
