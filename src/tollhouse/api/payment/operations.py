"""`POST /payment/{transactionId}/capture`, `/void` and `/credit`."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any, ClassVar

from pydantic import Field, WithJsonSchema, field_validator

from tollhouse.api.fields.price import AnyCurrency, read_decimal
from tollhouse.api.fields.values import EmulateCode
from tollhouse.api.reading.access import RequestAuthenticator
from tollhouse.api.reading.body import Body, naming_faults
from tollhouse.api.reading.ids import NO_TRANSACTION, read_id
from tollhouse.api.reading.requests import AuthenticatedRequest, read_creation
from tollhouse.http.requests import Purpose, Request
from tollhouse.http.responses import Response, build_http_response
from tollhouse.http.routes import Calls, call
from tollhouse.kernel.faults import Subject
from tollhouse.payments.dependencies import VoidDependencies
from tollhouse.payments.model import Mode
from tollhouse.payments.operations.balance import RequestedAmount
from tollhouse.payments.operations.operate import OperationRequest, capture, credit
from tollhouse.payments.operations.void import void
from tollhouse.wire.answers import PaymentAnswer

MAX_REASON_LENGTH = 255
#: The field of each subject of a fault.
FAULT_PATHS = {Subject.TRANSACTION: "transactionId", Subject.AMOUNT: "amount", Subject.CURRENCY: "currency"}


class OperationFields(Body):
    """The fields of every operation."""

    emulateCode: EmulateCode | None = Field(None, description="Stage only: finish with this code; `0000` approves.")


class ReasonFields(Body):
    """The optional reason of an operation."""

    reason: str | None = Field(None, max_length=MAX_REASON_LENGTH, description="The reason, as a text.")

    @field_validator("reason")
    @classmethod
    def _read_blank_reason(cls, reason: str | None) -> str | None:
        return reason or None


class VoidRequest(ReasonFields, OperationFields):
    """A void. It always covers the whole payment: an amount is rejected."""

    decisive: ClassVar[frozenset[str]] = frozenset({"amount"})


class AmountFields(Body):
    """The amount of an operation. Its decimals are checked later, by the payment's currency."""

    decisive: ClassVar[frozenset[str]] = frozenset({"amount"})

    amount: Annotated[Decimal, WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "examples": [9.99]})] | None = (
        Field(None, description="In the currency of the payment, above 0; by default all that is left.")
    )
    currency: AnyCurrency | None = Field(None, description="The currency of the payment.")

    @field_validator("amount", mode="before")
    @classmethod
    def _read_amount(cls, value: Any) -> Any:
        return None if value is None else read_decimal(value)

    @field_validator("amount")
    @classmethod
    def _check_amount(cls, amount: Decimal | None) -> Decimal | None:
        if amount is not None and amount <= 0:
            raise ValueError("must be above 0")
        return amount


class CaptureRequest(AmountFields, ReasonFields, OperationFields):
    """A capture of an authorization."""


class CreditRequest(AmountFields, OperationFields):
    """A refund with its reason."""

    reason: str = Field(
        min_length=1, max_length=MAX_REASON_LENGTH, description="The reason of the refund.", examples=["Returned goods"]
    )


def read_sum(body: AmountFields) -> RequestedAmount:
    """Return the amount of a valid request."""
    return RequestedAmount(body.amount, body.currency)


class OperationCalls(Calls):
    """Captures, voids and refunds."""

    def __init__(
        self,
        voiding: VoidDependencies,
        digest: Callable[[bytes], bytes],
        authenticator: RequestAuthenticator,
        context: Callable[[], dict[str, Any]],
    ) -> None:
        self._voiding = voiding
        self._digest = digest
        self._authenticator = authenticator
        self._context = context

    @call(
        "POST /payment/{transactionId}/capture",
        "Capture an authorization",
        Purpose.SELLS,
        CaptureRequest,
        PaymentAnswer,
        takes_request_id=True,
    )
    async def post_capture(self, request: Request) -> Response:
        """Capture an authorization or a part of it; the rest is released at once.

        An authorization can be captured once. The response is the capture, a separate transaction of the same order.
        """
        valid = await read_creation(
            self._authenticator,
            request,
            CaptureRequest,
            operation="capture",
            digest=self._digest,
            context=self._context(),
        )
        operation = _build_request(valid, request.path_parameters["transactionId"], Mode.CAPTURE)
        with naming_faults(FAULT_PATHS):
            return build_http_response(await capture(self._voiding.operations, operation, read_sum(valid.body)))

    @call(
        "POST /payment/{transactionId}/void",
        "Void a payment",
        Purpose.GIVES_BACK,
        VoidRequest,
        PaymentAnswer,
        takes_request_id=True,
    )
    async def post_void(self, request: Request) -> Response:
        """Cancel an authorization, or a sale or capture without refunds.

        A pending payment is canceled itself: the response is that payment, which fails with code 1041, or 1011 if it
        waited for its cardholder.
        """
        valid = await read_creation(
            self._authenticator, request, VoidRequest, operation="void", digest=self._digest, context=self._context()
        )
        operation = _build_request(valid, request.path_parameters["transactionId"], Mode.VOID)
        with naming_faults(FAULT_PATHS):
            return build_http_response(await void(self._voiding, operation))

    @call(
        "POST /payment/{transactionId}/credit",
        "Refund a payment",
        Purpose.GIVES_BACK,
        CreditRequest,
        PaymentAnswer,
        takes_request_id=True,
    )
    async def post_credit(self, request: Request) -> Response:
        """Refund a captured amount: all that is left, or a part, repeatedly until nothing is left.

        An uncaptured authorization is voided as a whole; a part is rejected. The issuer may decline a refund: then the
        response is 201 with status `fail`, and the amount can be refunded again.
        """
        valid = await read_creation(
            self._authenticator,
            request,
            CreditRequest,
            operation="credit",
            digest=self._digest,
            context=self._context(),
        )
        operation = _build_request(valid, request.path_parameters["transactionId"], Mode.CREDIT)
        with naming_faults(FAULT_PATHS):
            return build_http_response(await credit(self._voiding.operations, operation, read_sum(valid.body)))


def _build_request(valid: AuthenticatedRequest[Any], transaction_id: str, mode: Mode) -> OperationRequest:
    """Convert a valid request to the terms of the domain. Raises NotFound for an impossible ID."""
    return OperationRequest(
        merchant_id=valid.merchant.merchant_id,
        transaction_id=read_id(transaction_id, NO_TRANSACTION),
        request_id=valid.request_id,
        mode=mode,
        claim=valid.claim,
        reason=valid.body.reason,
        emulate_code=valid.body.emulateCode,
    )
