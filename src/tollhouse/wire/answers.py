"""Responses of the API for its clients (wire contract, sections 3, 4 and 6).

Amounts are exact decimals; `render` writes them as JSON numbers.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

Amount = Annotated[Decimal, WithJsonSchema({"type": "number", "minimum": 0})]

# Formats of texts, for the OpenAPI document. Responses are not checked against them.
Uuid = Annotated[str, Field(json_schema_extra={"format": "uuid"})]
WebUrl = Annotated[str, Field(json_schema_extra={"format": "uri"})]
CurrencyCode = Annotated[str, Field(json_schema_extra={"pattern": "^[A-Z]{3}$"})]
#: `YYYY-MM-DD hh:mm:ss`, in UTC.
DateTime = Annotated[str, Field(json_schema_extra={"pattern": r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$"})]
#: ISO 8601, in UTC, to the millisecond.
Instant = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Span = Annotated[str, Field(json_schema_extra={"format": "duration"})]
#: An object, or a list if the merchant sent one.
Metadata = Annotated[
    Any,
    WithJsonSchema({"anyOf": [{"type": "object", "additionalProperties": True}, {"type": "array", "items": {}}]}),
]


#: The kind and outcome of a transaction. `confirmed` and `payout` belong to methods that do not exist yet.
PaymentMode = Literal[
    "sale", "auth", "settle", "payout", "refund", "void",
    "chargebackRetrieval", "chargebackRepresent", "chargebackFirst", "chargebackSecond", "chargebackCollector",
]  # fmt: skip
PaymentStatus = Literal[
    "success", "pending", "fail", "confirmed", "retrieved", "represented", "chargeback", "chargeback_2nd", "send_ca"
]

#: A masked card number.
MASKED_FORM = r"^\d{4}(\d\d)?\*{4}\d{4}$"


class ResponseModel(BaseModel):
    """The base of all responses: names as in the API, no unknown fields."""

    model_config = ConfigDict(populate_by_name=True, extra="forbid")


class Moment(ResponseModel):
    """A moment in three forms, as in a `payment`."""

    dateTime: DateTime = Field(description="UTC, `YYYY-MM-DD hh:mm:ss`.")
    timezone: str = Field(description="Always `+00:00`.")
    unixTime: int = Field(description="Unix seconds, as a number.")


class Timestamp(ResponseModel):
    """A moment in three forms."""

    dateTime: DateTime = Field(description="UTC, `YYYY-MM-DD hh:mm:ss`.")
    timezone: str = Field(description="Always `+00:00`.")
    unixTime: str = Field(description="Unix seconds, as a string.")


class SourceAnswer(ResponseModel):
    """The card that paid, with its number masked."""

    method: Literal["card"] = "card"
    number: str = Field(description="First six and last four digits; of twelve the first four.", pattern=MASKED_FORM)
    brand: str = Field(description="`visa`, `mastercard`, `amex` and so on.")
    paymentAccountId: Uuid = Field(
        description="UUID of the stored card; good for later payments once one was approved."
    )
    expirationMonth: int = Field(description="1 to 12.")
    expirationYear: int = Field(description="Last two digits of the year.")
    disabled: bool = Field(False, description="Whether the stored card may be paid with no more.")


class VatBlock(ResponseModel):
    """The taxes in an amount."""

    amount: Amount
    amountUsd: Amount | None = Field(None, description="The same in US dollars, where a rate is known.")


class PaymentBlock(ResponseModel):
    """One transaction."""

    code: str = Field(description="`0` approved or still open; anything else is a decline, see the table of codes.")
    description: str = Field(description="The code in words.")
    action: Literal["charge", "credit", "chargeback", "redirect"] = Field(
        description="The family of its mode; `redirect`: send the cardholder to `url`."
    )
    url: WebUrl | None = Field(None, description="Where to send the cardholder; only with action `redirect`.")
    mode: PaymentMode = Field(
        description="What the transaction does; `settle` captures an authorization, `refund` gives money back."
    )
    status: PaymentStatus = Field(
        description="`pending` until the callback tells more; all others are final. A charge-back has that of its mode."
    )
    codeCategory: int | None = Field(None, description="1 never retry, 2 retry later, 3 fix the data, 4 other.")
    amount: Amount
    excessAmount: Amount | None = Field(
        None,
        description="Of a charge-back: how much of it is beyond what was left of the payment, where that is not all 0.",
    )
    currency: CurrencyCode = Field(description="ISO 4217.")
    amountUsd: Amount | None = Field(
        None,
        description="The amount in US dollars, by the rate at the purchase's beginning, where one is known.",
    )
    orderId: str = Field(description="Names the purchase.")
    transactionId: str = Field(description="Names this operation on it; never changes.")
    parentTransactionId: str | None = Field(
        None, description="The transaction that was settled, refunded, voided or charged back."
    )
    descriptor: str = Field(description="What stands on the cardholder's statement.")
    apiPaymentSource: str = Field(description="The `paymentSource.type` of the request.")
    source: SourceAnswer = Field(description="The card.")
    timestamp: Moment = Field(description="When the status became what it is.")
    vat: VatBlock | None = Field(None, description="The taxes in the amount, where its prices tell of any.")


class ConsumerBlock(ResponseModel):
    """The consumer of a payment."""

    id: str = Field(description="The gateway's id; good as a source of later payments.")
    externalId: str | None = Field(None, description="Your own id, as sent.")
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
    blocked: bool = Field(False, description="Whether the payment was refused because the consumer is blacklisted.")


class SubscriptionBlock(ResponseModel):
    """A subscription: the one that a payment started or renewed, or the requested one."""

    id: str
    status: str = Field(description="`active`, `trial`, `past_due`, `canceled` or `expired`.")
    cycle: int = Field(description="Successful renewals, 0 at the sign-up.")
    renewalDate: DateTime | None = Field(None, description="UTC, `YYYY-MM-DD hh:mm:ss`.")
    cancelDate: str | None = Field(None, description="UTC; the subscription ends then.")
    skuName: str | None = None
    siteId: str | None = None
    consumerId: str | None = None
    eventTime: str | None = Field(None, description="UTC; in events about a subscription: when it happened.")
    timezone: str | None = Field(None, description="Of `eventTime`: always `+00:00`.")


class PaymentAnswer(ResponseModel):
    """The response to a payment, and to `GET /payment/{transactionId}`."""

    payment: PaymentBlock
    consumer: ConsumerBlock
    subscription: SubscriptionBlock | None = Field(
        None, description="From the first approval of a schedule that has later charges."
    )
    subscriptions: list[SubscriptionBlock] | None = Field(
        None, description="All of them, when a bundle starts several; `subscription` is the first."
    )
    metadata: Metadata = Field(description="As sent.")


class PaymentEvent(PaymentAnswer):
    """The body of an IPN about a transaction."""

    timestamp: Timestamp = Field(description="When the status became final.")


class CancelBlock(ResponseModel):
    """An event of a subscription, in the form of a payment that moves no money."""

    code: Literal["0"] = "0"
    description: Literal["APPROVED"] = "APPROVED"
    action: Literal["cancel"] = "cancel"
    mode: Literal["cancel"] = "cancel"
    status: Literal["canceled", "delayed", "recovered"] = Field(
        description="`canceled`: it has ended; `delayed`: it will end at its `cancelDate`; `recovered`: it goes on."
    )
    reason: str | None = Field(None, description="Who ended it and why; for a declined renewal with its code.")
    amount: Amount = Field(Decimal(0), description="Always 0.")
    currency: CurrencyCode = Field(description="ISO 4217.")
    orderId: str = Field(description="The last order of the subscription that was paid.")
    transactionId: str = Field(description="Of its own: no payment has it.")
    timestamp: Moment = Field(description="When it happened.")


class SubscriptionEvent(ResponseModel):
    """The body of an IPN about a canceled, expired or recovered subscription."""

    payment: CancelBlock
    subscription: SubscriptionBlock
    consumer: ConsumerBlock
    metadata: Metadata = Field(description="Of the first payment.")
    timestamp: Timestamp = Field(description="When it happened.")


class CardEvent(ResponseModel):
    """The body of an IPN about the card of a subscription, without a payment. Sites enable it with `extraEvents`."""

    event: Literal["subscription.card_expiring"] = Field(description="What happened.")
    subscription: SubscriptionBlock
    consumer: ConsumerBlock
    metadata: Metadata = Field(description="Of the first payment.")
    timestamp: Timestamp = Field(description="When it happened.")


class TokenAnswer(ResponseModel):
    """A token for one payment."""

    token: Uuid = Field(description="UUID; good for one payment.")
    expireAt: int = Field(description="Unix seconds; 15 minutes from now.")


class PaymentPageAnswer(ResponseModel):
    """A page on which one payment is made."""

    url: WebUrl = Field(description="Where to send the customer's browser.")
    code: int = Field(description="Always 0.")


class RepaidLinkAnswer(ResponseModel):
    """The page on which a consumer repays a chargeback."""

    url: str = Field(description="The page; empty when it was repaid.")
    code: int = Field(description="0; 1 when it was repaid.")


class ProblemAnswer(ResponseModel):
    """The reason for rejecting a request.

    `errors` names every faulty field by its path, and is `{}` if no field is faulty.
    """

    message: str = Field(description="What is wrong, in a sentence.")
    errors: dict[str, list[str]] = Field(description="Every faulty field by its path in the request.")


class FeedMeta(ResponseModel):
    """The position of the next page."""

    limit: int = Field(description="As asked for.")
    cursor: str | None = Field(None, description="Ask with this for the next page; not there on the last one.")


class FeedAnswer(ResponseModel):
    """Transactions, newest first."""

    data: list[PaymentEvent] = Field(
        description="May be shorter than `limit`, or empty, before the last page: a page looks at 10,000 transactions."
    )
    meta: FeedMeta


class TimelineEntry(ResponseModel):
    """One event of a timeline."""

    at: Instant = Field(description="ISO 8601, UTC, to the millisecond.")
    kind: Literal["request", "rule", "route", "3ds", "acquirer", "state", "ledger", "callback"]
    text: str = Field(description="What happened, in a sentence for people; it may change.")
    facts: dict[str, str] = Field(description="What it is about, by name.")


class TimelineAnswer(ResponseModel):
    """The events of a transaction."""

    orderId: str
    transactionId: str
    data: list[TimelineEntry] = Field(description="In the order in which it happened.")


class MethodAnswer(ResponseModel):
    """A payment method."""

    name: str


class LegacyAnswer(ResponseModel):
    """The requested consumer or payment methods."""

    result: Literal["OK"] = "OK"
    ustas: str | None = Field(None, description="The gateway's id of the consumer, `consumer.id` elsewhere.")
    short_payment_methods: dict[str, MethodAnswer] | None = Field(None, description="By their names: `cc` is cards.")


class LegacyProblemAnswer(ResponseModel):
    """The reason for rejecting a request, for clients that read `result` and for those that read the other fields."""

    result: Literal["NOK"] = "NOK"
    response_text: str = Field(description="What is wrong, in a sentence.")
    message: str = Field(description="The same.")
    errors: dict[str, list[str]] = Field(description="Every faulty field by its name.")


class ChannelsAnswer(ResponseModel):
    """The channels to a phone."""

    channels: list[str] = Field(description="`sms`, `call`, `whatsapp`: what this gateway is set up for.")


class CodeSentAnswer(ResponseModel):
    """The confirmation that a code was sent."""

    channel: str = Field(description="How it was sent.")
    expireAt: int = Field(description="Unix seconds; 10 minutes from now.")
    triesLeft: int = Field(description="How often it may be tried.")


class CodeCheckedAnswer(ResponseModel):
    """Whether a code was right."""

    verified: bool = Field(description="True once, for the code that was sent last.")
    triesLeft: int = Field(description="How often another one may be tried; 0: have a new one sent.")
