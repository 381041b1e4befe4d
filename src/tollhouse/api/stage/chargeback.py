"""`POST /stage/chargeback/{transactionId}`: record the steps of a dispute. Stage only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import Field, ValidationInfo, field_validator

from tollhouse.api.payment.operations import FAULT_PATHS, AmountFields, ReasonFields, read_sum
from tollhouse.api.reading.access import RequestAuthenticator
from tollhouse.api.reading.body import naming_faults
from tollhouse.api.reading.ids import NO_TRANSACTION, read_id
from tollhouse.api.reading.requests import read_creation
from tollhouse.http.requests import Purpose, Request
from tollhouse.http.responses import Response, build_http_response
from tollhouse.http.routes import Calls, call
from tollhouse.payments.dependencies import ChargebackDependencies
from tollhouse.payments.dispute_steps import DisputeStep
from tollhouse.payments.disputes.chargeback import record_chargeback
from tollhouse.payments.model import Mode
from tollhouse.payments.operations.operate import OperationRequest
from tollhouse.payments.reading.public_names import STEPS, ChargebackMode
from tollhouse.wire.answers import PaymentAnswer


class ChargebackRequest(AmountFields, ReasonFields):
    """A step of a dispute with its amount and reason."""

    mode: ChargebackMode = Field("chargebackFirst", description="The step of the dispute.")
    won: bool = Field(False, description="With `chargebackRepresent`: the dispute is won, and the amount is returned.")

    @field_validator("won")
    @classmethod
    def _check_won(cls, won: Any, info: ValidationInfo) -> Any:
        if won and info.data.get("mode") not in {None, "chargebackRepresent"}:
            raise ValueError("is for chargebackRepresent only")
        return won

    @property
    def step(self) -> DisputeStep:
        """The step in the terms of the domain."""
        return DisputeStep.WON if self.won else STEPS[self.mode]


class IssuerCalls(Calls):
    """The call that records steps of disputes. Stage only."""

    def __init__(
        self, chargebacks: ChargebackDependencies, digest: Callable[[bytes], bytes], authenticator: RequestAuthenticator
    ) -> None:
        self._chargebacks = chargebacks
        self._digest = digest
        self._authenticator = authenticator

    @call(
        "POST /stage/chargeback/{transactionId}",
        "Record a step of a dispute",
        Purpose.SETS_UP,
        ChargebackRequest,
        PaymentAnswer,
        takes_request_id=True,
    )
    async def post_chargeback(self, request: Request) -> Response:
        """Record a step of a dispute about a payment, over an amount or all that is left. Stage only.

        Like an issuer, it accepts any amount and any payment, also a pending, failed or voided one.
        """
        valid = await read_creation(
            self._authenticator, request, ChargebackRequest, operation="chargeback", digest=self._digest
        )
        operation = OperationRequest(
            merchant_id=valid.merchant.merchant_id,
            transaction_id=read_id(request.path_parameters["transactionId"], NO_TRANSACTION),
            request_id=valid.request_id,
            mode=Mode.CHARGEBACK,
            claim=valid.claim,
            reason=valid.body.reason,
        )
        with naming_faults(FAULT_PATHS):
            return build_http_response(
                await record_chargeback(self._chargebacks, operation, read_sum(valid.body), valid.body.step)
            )
