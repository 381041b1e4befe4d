"""`GET /chargeback/{id}/repaidLink`; and `POST /stage/chargeback/{transactionId}`, which stands in for an issuer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from pydantic import Field, ValidationInfo, field_validator

from tollhouse.api.access import AnyRequest, RequestAuthenticator
from tollhouse.api.envelope import request_id_of
from tollhouse.api.openapi import describe
from tollhouse.api.operations import AmountFields, ReasonFields, read_sum
from tollhouse.api.payment import read_transaction_id
from tollhouse.api.requests import answer, read_creation
from tollhouse.kernel.errors import NotFound
from tollhouse.links.dependencies import LinkDependencies
from tollhouse.links.repay import NO_CHARGEBACK, find_repaid_link
from tollhouse.payments.dispute_steps import DisputeStep
from tollhouse.payments.disputes.chargeback import record_chargeback
from tollhouse.payments.model import Mode
from tollhouse.payments.operations.operate import OperationRequest
from tollhouse.payments.reading.public_names import STEPS, ChargebackMode
from tollhouse.wire.answers import RepaidLinkAnswer

if TYPE_CHECKING:
    from tollhouse.payments.tools import Tools


class ChargebackRequest(AmountFields, ReasonFields):
    """How much an issuer takes back, why, and which step of the dispute it is."""

    mode: ChargebackMode = Field("chargebackFirst", description="The step of the dispute.")
    won: bool = Field(False, description="With `chargebackRepresent`: the dispute is won, and the sum comes back.")

    @field_validator("won")
    @classmethod
    def _check_won(cls, won: Any, info: ValidationInfo) -> Any:
        if won and info.data.get("mode") not in {None, "chargebackRepresent"}:
            raise ValueError("is for chargebackRepresent only")
        return won

    @property
    def step(self) -> DisputeStep:
        """The step in the words of the house."""
        return DisputeStep.WON if self.won else STEPS[self.mode]


def chargeback_handlers(tools: Tools, gate: RequestAuthenticator) -> list[HTTPRouteHandler]:
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
            LinkDependencies(tools.lookups, tools.charging),
            merchant_id=merchant.merchant_id,
            transaction_id=_read_id(chargeback_id),
            request_id=request_id_of(request.scope),
        )
        return Response(body, media_type="application/json")

    return [get_repaid_link]


def issuer_handlers(tools: Tools, gate: RequestAuthenticator) -> list[HTTPRouteHandler]:
    """Return what stands in for an issuer, in stage."""

    @post("/stage/chargeback/{transaction_id:str}")
    async def post_chargeback(request: AnyRequest, transaction_id: FromPath[str]) -> Response[bytes]:
        """Record a step of a dispute about a payment, of all that is left of it or of an amount. Stage only.

        An issuer takes what it likes: also more than is left, and of a payment that is open, failed or was voided.
        """
        asked = await read_creation(gate, request, ChargebackRequest, operation="chargeback", digest=tools.vault.digest)
        wish = OperationRequest(
            merchant_id=asked.merchant.merchant_id,
            transaction_id=read_transaction_id(transaction_id),
            request_id=asked.request_id,
            mode=Mode.CHARGEBACK,
            claim=asked.claim,
            reason=asked.body.reason,
        )
        return answer(await record_chargeback(tools.chargebacks, wish, read_sum(asked.body), asked.body.step))

    return [post_chargeback]


def _read_id(text: str) -> int:
    try:
        return read_transaction_id(text)
    except NotFound:
        raise NotFound(NO_CHARGEBACK) from None
