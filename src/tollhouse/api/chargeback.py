"""`GET /chargeback/{id}/repaidLink`; and `POST /stage/chargeback/{transactionId}`, which stands in for an issuer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from pydantic import Field, field_validator

from tollhouse.api.access import AnyRequest, Gate
from tollhouse.api.envelope import request_id_of
from tollhouse.api.openapi import describe
from tollhouse.api.operations import LONGEST_REASON, AmountFields, refuse_card_numbers
from tollhouse.api.payment import read_transaction_id
from tollhouse.api.requests import answer, read_creation
from tollhouse.kernel.errors import NotFound
from tollhouse.links.repay import NO_CHARGEBACK, find_repaid_link
from tollhouse.payments.chargeback import record_chargeback
from tollhouse.payments.model import Mode
from tollhouse.payments.operate import Wish
from tollhouse.wire.answers import RepaidLinkAnswer

if TYPE_CHECKING:
    from tollhouse.payments.tools import Tools


class ChargebackRequest(AmountFields):
    """How much an issuer takes back, and why."""

    reason: str | None = Field(None, max_length=LONGEST_REASON)

    @field_validator("reason")
    @classmethod
    def _check_reason(cls, reason: str | None) -> str | None:
        return refuse_card_numbers(reason) if reason else None


def chargeback_handlers(tools: Tools, gate: Gate) -> list[HTTPRouteHandler]:
    """Return the handlers."""

    @get(
        "/chargeback/{chargeback_id:str}/repaidLink",
        opt=describe("Get a link to repay a charge-back", answer=RepaidLinkAnswer, may_miss=True),
    )
    async def get_repaid_link(request: AnyRequest, chargeback_id: FromPath[str]) -> Response[bytes]:
        """Return the address of a page on which your customer pays again exactly what was charged back.

        It is paid once at the most and keeps its address: ask as often as you like. One that ran out is good for
        another 30 days. Once it was paid, `url` is empty and `code` is 1.
        """
        merchant = await gate.access(request)
        body = await find_repaid_link(
            tools,
            merchant_id=merchant.merchant_id,
            transaction_id=_read_id(chargeback_id),
            request_id=request_id_of(request.scope),
        )
        return Response(body, media_type="application/json")

    return [get_repaid_link]


def issuer_handlers(tools: Tools, gate: Gate) -> list[HTTPRouteHandler]:
    """Return what stands in for an issuer, in stage."""

    @post("/stage/chargeback/{transaction_id:str}")
    async def post_chargeback(request: AnyRequest, transaction_id: FromPath[str]) -> Response[bytes]:
        """Charge a payment back, all that is left of it or a part. Stage only."""
        asked = await read_creation(gate, request, ChargebackRequest, operation="chargeback", digest=tools.vault.digest)
        wish = Wish(
            merchant_id=asked.merchant.merchant_id,
            transaction_id=read_transaction_id(transaction_id),
            request_id=asked.request_id,
            mode=Mode.CHARGEBACK,
            claim=asked.claim,
            reason=asked.body.reason,
        )
        return answer(await record_chargeback(tools, wish, asked.body.amount))

    return [post_chargeback]


def _read_id(text: str) -> int:
    try:
        return read_transaction_id(text)
    except NotFound:
        raise NotFound(NO_CHARGEBACK) from None
