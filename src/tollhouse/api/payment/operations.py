"""`POST /payment/{transactionId}/capture`, `/void` and `/credit`."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any, ClassVar

from pydantic import Field, ValidationInfo, WithJsonSchema, field_validator

from tollhouse.api.fields.price import AnyCurrency, read_decimal
from tollhouse.api.fields.source import EMULATE_CODE_FORM
from tollhouse.api.reading.access import RequestAuthenticator
from tollhouse.api.reading.body import Body, naming_faults
from tollhouse.api.reading.ids import NO_TRANSACTION, read_id
from tollhouse.api.reading.requests import AuthenticatedRequest, read_creation
from tollhouse.http.purposes import Purpose
from tollhouse.http.requests import Request
from tollhouse.http.responses import Response, answer_reply
from tollhouse.http.routes import Calls, call
from tollhouse.kernel.faults import Subject
from tollhouse.payments.dependencies import VoidDependencies
from tollhouse.payments.model import Mode
from tollhouse.payments.operations.balance import RequestedAmount
from tollhouse.payments.operations.operate import OperationRequest, capture, credit
from tollhouse.payments.operations.void import void
from tollhouse.wire.answers import PaymentAnswer

MAX_REASON_LENGTH = 255
#: Where each subject of a fault is in a request.
FAULT_PATHS = {Subject.TRANSACTION: "transactionId", Subject.AMOUNT: "amount", Subject.CURRENCY: "currency"}


class OperationFields(Body):
    """What every operation takes."""

    emulateCode: str | None = Field(None, description="Stage only: end with this code; `0000` approves.")

    @field_validator("emulateCode")
    @classmethod
    def _check_emulate_code(cls, code: str | None, info: ValidationInfo) -> str | None:
        if code is not None and (info.context or {}).get("is_live"):
            raise ValueError("is for stage only")
        if code is not None and not EMULATE_CODE_FORM.fullmatch(code):
            raise ValueError("must have 4 to 6 letters or digits")
        return code


class ReasonFields(Body):
    """What may be given a reason."""

    reason: str | None = Field(None, max_length=MAX_REASON_LENGTH, description="Why, in your own words.")

    @field_validator("reason")
    @classmethod
    def _read_blank_reason(cls, reason: str | None) -> str | None:
        return reason or None


class VoidRequest(ReasonFields, OperationFields):
    """Nothing has to be said to void a payment, which is always done as a whole: an amount is refused."""

    decisive: ClassVar[frozenset[str]] = frozenset({"amount"})


class AmountFields(Body):
    """What takes or gives back an amount. Its decimals depend on the payment's currency, which is not known here."""

    decisive: ClassVar[frozenset[str]] = frozenset({"amount"})

    amount: Annotated[Decimal, WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "examples": [9.99]})] | None = (
        Field(None, description="In the currency of the payment, above 0; without it all that there is.")
    )
    currency: AnyCurrency | None = Field(None, description="That of the payment, if it is said at all.")

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
    """How much of an authorization to take."""


class CreditRequest(AmountFields, OperationFields):
    """How much to give back, and why."""

    reason: str = Field(
        min_length=1, max_length=MAX_REASON_LENGTH, description="Why the money goes back.", examples=["Returned goods"]
    )


def read_sum(body: AmountFields) -> RequestedAmount:
    """Return what a sound request says of an amount."""
    return RequestedAmount(body.amount, body.currency)


class OperationCalls(Calls):
    """Capture, void and credit."""

    def __init__(
        self,
        voiding: VoidDependencies,
        digest: Callable[[bytes], bytes],
        gate: RequestAuthenticator,
        context: Callable[[], dict[str, Any]],
    ) -> None:
        self._voiding = voiding
        self._digest = digest
        self._gate = gate
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
        """Take what an authorization holds, or a part of it; the rest is released at once.

        An authorization is captured once. The answer is the capture, a transaction of its own in the same order.
        """
        asked = await read_creation(
            self._gate,
            request,
            CaptureRequest,
            operation="capture",
            digest=self._digest,
            context=self._context(),
        )
        wish = _wish(asked, request.path_parameters["transactionId"], Mode.CAPTURE, reason=asked.body.reason)
        with naming_faults(FAULT_PATHS):
            return answer_reply(await capture(self._voiding.operations, wish, read_sum(asked.body)))

    @call(
        "POST /payment/{transactionId}/void",
        "Void a payment",
        Purpose.GIVES_BACK,
        VoidRequest,
        PaymentAnswer,
        takes_request_id=True,
    )
    async def post_void(self, request: Request) -> Response:
        """Release an authorization, or undo a sale or a capture of which nothing was credited.

        A payment that is still open is taken back itself: the answer is that payment, which ends with code 1041, or
        1011 if it waited for its cardholder.
        """
        asked = await read_creation(
            self._gate, request, VoidRequest, operation="void", digest=self._digest, context=self._context()
        )
        wish = _wish(asked, request.path_parameters["transactionId"], Mode.VOID, reason=asked.body.reason)
        with naming_faults(FAULT_PATHS):
            return answer_reply(await void(self._voiding, wish))

    @call(
        "POST /payment/{transactionId}/credit",
        "Credit a payment",
        Purpose.GIVES_BACK,
        CreditRequest,
        PaymentAnswer,
        takes_request_id=True,
    )
    async def post_credit(self, request: Request) -> Response:
        """Give captured money back: all that is left of it, or a part, as often as there is something left.

        An authorization that was not captured is voided: all of it, and a part is refused. The issuer may decline a
        credit; then the answer is 201 with status `fail`, and the amount is free again.
        """
        asked = await read_creation(
            self._gate,
            request,
            CreditRequest,
            operation="credit",
            digest=self._digest,
            context=self._context(),
        )
        wish = _wish(asked, request.path_parameters["transactionId"], Mode.CREDIT, reason=asked.body.reason)
        with naming_faults(FAULT_PATHS):
            return answer_reply(await credit(self._voiding.operations, wish, read_sum(asked.body)))


def _wish(
    asked: AuthenticatedRequest[Any], transaction_id: str, mode: Mode, *, reason: str | None = None
) -> OperationRequest:
    """Say in the words of the house what a sound request wishes. Raises NotFound for an id that was never issued."""
    return OperationRequest(
        merchant_id=asked.merchant.merchant_id,
        transaction_id=read_id(transaction_id, NO_TRANSACTION),
        request_id=asked.request_id,
        mode=mode,
        claim=asked.claim,
        reason=reason,
        emulate_code=asked.body.emulateCode,
    )
