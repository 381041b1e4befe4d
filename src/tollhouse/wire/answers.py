"""Responses of the API for its clients.

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
    Any, WithJsonSchema({"anyOf": [{"type": "object", "additionalProperties": True}, {"type": "array", "items": {}}]})
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
        description="The UUID of the stored card; usable for later payments after an approved one."
    )
    expirationMonth: int = Field(description="1 to 12.")
    expirationYear: int = Field(description="Last two digits of the year.")
    disabled: bool = Field(False, description="Whether the stored card is disabled.")


class VatBlock(ResponseModel):
    """The taxes in an amount."""

    amount: Amount
    amountUsd: Amount | None = Field(None, description="The amount in US dollars, if a rate is known.")


class PaymentBlock(ResponseModel):
    """One transaction."""

    code: str = Field(description="`0`: approved or pending. Any other code is a failure; see the table of codes.")
    description: str = Field(description="The text of the code.")
    action: Literal["charge", "credit", "chargeback", "redirect"] = Field(
        description="The group of the mode; `redirect`: send the cardholder to `url`."
    )
    url: WebUrl | None = Field(None, description="The URL to send the cardholder to; only with action `redirect`.")
    mode: PaymentMode = Field(description="The kind of the transaction; `settle` is a capture, `refund` a refund.")
    status: PaymentStatus = Field(
        description="`pending` until the callback; all others are final. A chargeback has the status of its mode."
    )
    codeCategory: int | None = Field(None, description="1 never retry, 2 retry later, 3 fix the data, 4 other.")
    amount: Amount
    excessAmount: Amount | None = Field(
        None, description="Of a chargeback: the part that exceeds the remaining amount of the payment, if above 0."
    )
    currency: CurrencyCode = Field(description="ISO 4217.")
    amountUsd: Amount | None = Field(
        None, description="The amount in US dollars, by the rate at the beginning of the payment, if one is known."
    )
    orderId: str = Field(description="The ID of the payment.")
    transactionId: str = Field(description="The ID of this transaction; it never changes.")
    parentTransactionId: str | None = Field(
        None, description="The transaction that was captured, refunded, voided or charged back."
    )
    descriptor: str = Field(description="The text on the cardholder's statement.")
    apiPaymentSource: str = Field(description="The `paymentSource.type` of the request.")
    source: SourceAnswer = Field(description="The card.")
    timestamp: Moment = Field(description="The time of the last change of the status.")
    vat: VatBlock | None = Field(None, description="The taxes in the amount, if its prices have any.")


class ConsumerBlock(ResponseModel):
    """The consumer of a payment."""

    id: str = Field(description="The gateway's ID; usable as a source of later payments.")
    externalId: str | None = Field(None, description="Your own ID, as sent.")
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
    blocked: bool = Field(False, description="Whether the payment was blocked because the consumer is blacklisted.")


class SubscriptionBlock(ResponseModel):
    """A subscription: the one that a payment started or renewed, or the requested one."""

    id: str
    status: str = Field(description="`active`, `trial`, `past_due`, `canceled` or `expired`.")
    cycle: int = Field(description="The number of successful renewals, 0 at the sign-up.")
    renewalDate: DateTime | None = Field(None, description="UTC, `YYYY-MM-DD hh:mm:ss`.")
    cancelDate: str | None = Field(None, description="The time when the subscription ends, in UTC.")
    skuName: str | None = None
    siteId: str | None = None
    consumerId: str | None = None
    eventTime: str | None = Field(None, description="In events about a subscription: the time of the event, in UTC.")
    timezone: str | None = Field(None, description="Of `eventTime`: always `+00:00`.")


class PaymentAnswer(ResponseModel):
    """The response to a payment, and to `GET /payment/{transactionId}`."""

    payment: PaymentBlock
    consumer: ConsumerBlock
    subscription: SubscriptionBlock | None = Field(
        None, description="The subscription, from the first approval of a schedule with later charges."
    )
    subscriptions: list[SubscriptionBlock] | None = Field(
        None, description="All subscriptions, if a bundle starts several; `subscription` is the first."
    )
    metadata: Metadata = Field(description="As sent.")


class PaymentEvent(PaymentAnswer):
    """The body of an IPN about a transaction."""

    timestamp: Timestamp = Field(description="The time when the payment was finished.")


class CancelBlock(ResponseModel):
    """An event of a subscription, in the form of a payment that moves no money."""

    code: Literal["0"] = "0"
    description: Literal["APPROVED"] = "APPROVED"
    action: Literal["cancel"] = "cancel"
    mode: Literal["cancel"] = "cancel"
    status: Literal["canceled", "delayed", "recovered"] = Field(
        description="`canceled`: it has ended; `delayed`: it will end at its `cancelDate`; `recovered`: it continues."
    )
    reason: str | None = Field(None, description="The reason of the end; for a declined renewal, with its code.")
    amount: Amount = Field(Decimal(0), description="Always 0.")
    currency: CurrencyCode = Field(description="ISO 4217.")
    orderId: str = Field(description="The last paid order of the subscription.")
    transactionId: str = Field(description="An ID of the event's own, which no payment has.")
    timestamp: Moment = Field(description="The time of the event.")


class SubscriptionEvent(ResponseModel):
    """The body of an IPN about a canceled, expired or recovered subscription."""

    payment: CancelBlock
    subscription: SubscriptionBlock
    consumer: ConsumerBlock
    metadata: Metadata = Field(description="The ID of the first payment.")
    timestamp: Timestamp = Field(description="The time of the event.")


class CardEvent(ResponseModel):
    """The body of an IPN about the card of a subscription, without a payment. Sites enable it with `extraEvents`."""

    event: Literal["subscription.card_expiring"] = Field(description="The kind of the event.")
    subscription: SubscriptionBlock
    consumer: ConsumerBlock
    metadata: Metadata = Field(description="The ID of the first payment.")
    timestamp: Timestamp = Field(description="The time of the event.")


class TokenAnswer(ResponseModel):
    """A token for one payment."""

    token: Uuid = Field(description="A UUID, valid for one payment.")
    expireAt: int = Field(description="The time of expiry in Unix seconds, after 15 minutes.")


class PaymentPageAnswer(ResponseModel):
    """A page on which one payment is made."""

    url: WebUrl = Field(description="The URL to send the consumer's browser to.")
    code: int = Field(description="Always 0.")


class RepaidLinkAnswer(ResponseModel):
    """The page on which a consumer repays a chargeback."""

    url: str = Field(description="The page; empty if it is repaid.")
    code: int = Field(description="0, or 1 if it is repaid.")


class ProblemAnswer(ResponseModel):
    """The reason for rejecting a request.

    `errors` names every faulty field by its path, and is `{}` if no field is faulty.
    """

    message: str = Field(description="What happened and what to do, as a sentence.")
    errors: dict[str, list[str]] = Field(description="Every invalid field by its path in the request.")


class FeedMeta(ResponseModel):
    """The position of the next page."""

    limit: int = Field(description="As requested.")
    cursor: str | None = Field(None, description="The cursor of the next page; absent on the last one.")


class FeedAnswer(ResponseModel):
    """Transactions, newest first."""

    data: list[PaymentEvent] = Field(
        description="May be shorter than `limit`, or empty, before the last page: a page searches 10,000 transactions."
    )
    meta: FeedMeta


class TimelineEntry(ResponseModel):
    """One event of a timeline."""

    at: Instant = Field(description="ISO 8601, UTC, to the millisecond.")
    kind: Literal["request", "rule", "route", "3ds", "acquirer", "state", "ledger", "callback"]
    text: str = Field(description="The event as a sentence for people; the text may change.")
    facts: dict[str, str] = Field(description="The details by name.")


class TimelineAnswer(ResponseModel):
    """The events of a transaction."""

    orderId: str
    transactionId: str
    data: list[TimelineEntry] = Field(description="In chronological order.")


class MethodAnswer(ResponseModel):
    """A payment method."""

    name: str


class LegacyAnswer(ResponseModel):
    """The requested consumer or payment methods."""

    result: Literal["OK"] = "OK"
    ustas: str | None = Field(None, description="The gateway's ID of the consumer, `consumer.id` elsewhere.")
    short_payment_methods: dict[str, MethodAnswer] | None = Field(None, description="By name: `cc` is cards.")


class LegacyProblemAnswer(ResponseModel):
    """The reason for rejecting a request, for clients that read `result` and for those that read the other fields."""

    result: Literal["NOK"] = "NOK"
    response_text: str = Field(description="What happened and what to do, as a sentence.")
    message: str = Field(description="The same.")
    errors: dict[str, list[str]] = Field(description="Every invalid field by its name.")


class ChannelsAnswer(ResponseModel):
    """The channels to a phone."""

    channels: list[str] = Field(description="`sms`, `call`, `whatsapp`: the channels that this gateway has.")


class CodeSentAnswer(ResponseModel):
    """The confirmation that a code was sent."""

    channel: str = Field(description="The channel.")
    expireAt: int = Field(description="The time of expiry in Unix seconds, after 10 minutes.")
    triesLeft: int = Field(description="The number of attempts allowed.")


class CodeCheckedAnswer(ResponseModel):
    """Whether a code was right."""

    verified: bool = Field(description="True once, for the last code sent.")
    triesLeft: int = Field(description="The number of attempts left; 0: send a new code.")
