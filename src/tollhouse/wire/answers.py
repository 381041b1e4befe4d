"""The answers of the API, as its clients read them (wire contract, sections 3 and 4).

Amounts are exact decimals; `render` writes them as JSON numbers.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

Amount = Annotated[Decimal, WithJsonSchema({"type": "number", "minimum": 0})]


class Answer(BaseModel):
    """What all answers share: names as on the wire, and no surprises in them."""

    model_config = ConfigDict(populate_by_name=True, extra="forbid")


class Timestamp(Answer):
    """A moment in three forms."""

    dateTime: str = Field(description="UTC, `YYYY-MM-DD hh:mm:ss`.")
    timezone: str = Field(description="Always `+00:00`.")
    unixTime: str = Field(description="Unix seconds, as a string.")


class SourceAnswer(Answer):
    """The card that paid, as far as it may be shown."""

    method: Literal["card"] = "card"
    number: str = Field(description="First six and last four digits.", pattern=r"^\d{6}\*{4}\d{4}$")
    brand: str
    paymentAccountId: str = Field(description="UUID of the stored card; good for later payments once one was approved.")
    expirationMonth: int
    expirationYear: int = Field(description="Last two digits of the year.")
    disabled: bool = False


class PaymentBlock(Answer):
    """One transaction."""

    code: str = Field(description="`0` approved or still open; anything else is a decline, see the table of codes.")
    description: str
    action: Literal["charge", "redirect"]
    url: str | None = Field(None, description="Where to send the cardholder; only with action `redirect`.")
    mode: Literal["sale", "auth", "capture", "void", "credit", "chargeback", "payout"]
    status: Literal["success", "pending", "fail"]
    codeCategory: int | None = Field(None, description="1 never retry, 2 retry later, 3 fix the data, 4 other.")
    amount: Amount
    currency: str
    amountUsd: Amount | None = None
    orderId: str
    transactionId: str
    descriptor: str
    apiPaymentSource: str = Field(description="The paymentSource.type of the request.")
    source: SourceAnswer
    timestamp: Timestamp


class ConsumerBlock(Answer):
    """Who paid."""

    id: str
    externalId: str | None = None
    email: str | None = None
    firstName: str | None = None
    lastName: str | None = None
    birthday: str | None = None
    phone: str | None = None
    country: str | None = None
    state: str | None = None
    city: str | None = None
    address: str | None = None
    zip: str | None = None
    blocked: bool = False


class SubscriptionBlock(Answer):
    """The subscription that the payment started."""

    id: str
    status: str
    cycle: int
    renewalDate: str | None = None
    cancelDate: str | None = None
    skuName: str | None = None
    siteId: str | None = None
    consumerId: str | None = None


class PaymentAnswer(Answer):
    """The answer to a payment; also what `GET /payment/{transactionId}` gives."""

    payment: PaymentBlock
    consumer: ConsumerBlock
    subscription: SubscriptionBlock | None = None
    metadata: Annotated[Any, WithJsonSchema({"type": ["object", "array"], "description": "As sent."})]


class PaymentEvent(PaymentAnswer):
    """The body of an IPN about a transaction."""

    timestamp: Timestamp


class TokenAnswer(Answer):
    """A token for one payment."""

    token: str = Field(description="UUID.")
    expireAt: int = Field(description="Unix seconds.")


class ProblemAnswer(Answer):
    """Why a request was refused. `errors` names every faulty field by its path, and is `{}` when none is at fault."""

    message: str
    errors: dict[str, list[str]]
