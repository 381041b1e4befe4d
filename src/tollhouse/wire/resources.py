"""Responses about resources of merchants, and about future charges."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, RootModel

from tollhouse.wire.answers import MASKED_FORM, Amount, CurrencyCode, DateTime, ResponseModel, Timestamp, Uuid

WHEN = "UTC, `YYYY-MM-DD hh:mm:ss`."
OWN = "Stored as sent."


class SiteAnswer(ResponseModel):
    """A site."""

    id: str = Field(description="The site's ID in payments: `sku.siteId`.")
    name: str = Field(description="Its host name.")
    externalId: str = Field(description="Your own ID, or empty.")
    ipnUrl: str = Field(description="The URL of callbacks, unless the payment has one.")
    redirectUrl: str = Field(description="The URL to which cardholders return, unless the payment has one.")
    createdAt: DateTime = Field(description=WHEN)
    updatedAt: DateTime = Field(description=WHEN)
    status: bool = Field(description="Whether it accepts payments.")
    corsEnabled: bool = Field(description="Whether scripts of its pages may tokenize.")
    autoRedirect: bool
    descriptor: str = Field(description="The text on the cardholder's statement; empty for the name.")
    delayedCapture: bool = Field(description="Whether a single price due later is authorized now.")
    guardsDoubleClicks: bool = Field(
        description="Whether the second of two equal payments gets the first one's response."
    )
    proceedWithout3ds: bool = Field(description="Whether a payment continues if authentication could not be performed.")
    threeDs: Literal["when_asked", "always"] = Field(description="When cardholders are authenticated.")
    ipnFormat: Literal["json", "legacy", "both", "plugin", "none"] = Field(description="The form of its callbacks.")
    subscriptionEvents: bool = Field(
        description="Whether callbacks are sent for events of subscriptions without a payment."
    )
    extraEvents: list[Literal["subscription.card_expiring", "dispute.won"]] = Field(
        description="Optional events that are sent."
    )
    trackingCode: str | None = Field(None, description=OWN)
    rebillRetryPolicy: str | None = Field(None, description="The days of retries after a failed renewal, as sent.")
    memberExpirationDatePadding: str | None = Field(None, description=OWN)
    declineUrl: str | None = Field(None, description=OWN)
    bgBodyColor: str | None = Field(None, description=OWN)
    linkColor: str | None = Field(None, description=OWN)
    textColor: str | None = Field(None, description=OWN)
    bgColor1: str | None = Field(None, description=OWN)
    bgColor2: str | None = Field(None, description=OWN)
    bgColor3: str | None = Field(None, description=OWN)
    textColor1: str | None = Field(None, description=OWN)
    textColor2: str | None = Field(None, description=OWN)
    textColor3: str | None = Field(None, description=OWN)
    logoBase64: str | None = Field(None, description=OWN)


class PriceAnswer(ResponseModel):
    """One charge of a schedule."""

    amount: Amount
    currency: CurrencyCode = Field(description="ISO 4217.")
    offset: str = Field(description="The time since the previous charge: `0d`, `30d`, `1m`.")
    repeat: bool | int = Field(description="Whether it repeats: without end, or this number of times.")
    title: str | None = Field(None, description="The purpose of the charge.")
    beforeTaxes: Amount | None = Field(None, description="The amount without its taxes, if they are known.")
    taxes: Amount | None = Field(None, description="The part of the amount that is tax.")
    taxRate: Amount | None = Field(None, description="A fraction: 0.2 for 20 %.")
    taxName: str | None = None


class SkuAnswer(ResponseModel):
    """A SKU. `price` is a number for one-time SKUs and a list of charges for subscriptions."""

    name: str = Field(description="The SKU's name in payments: `sku.name`.")
    siteId: str
    externalId: str = Field(description="Your own ID, or empty.")
    title: str
    type: Literal["one-time", "subscription"]
    price: Amount | list[PriceAnswer] = Field(description="Its price; 0 for a SKU without a price.")
    currency: CurrencyCode | None = Field(None, description="ISO 4217; absent without a price.")
    showOnPaymentPage: bool = Field(description="Whether payment pages can offer it.")
    createdAt: DateTime = Field(description=WHEN)
    updatedAt: DateTime = Field(description=WHEN)


class ConsumerAnswer(ResponseModel):
    """A consumer."""

    id: str = Field(description="The gateway's ID; usable as a source after an approved payment.")
    externalId: str | None = Field(None, description="Your own ID.")
    username: str | None = None
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
    groupId: Literal["1", "2", "3", "4", "5"] = Field(
        description="1 whitelist, 2 blacklist, 3 junior, 4 senior, 5 expert."
    )
    blocked: bool = Field(description="Whether payments are blocked: group 2.")
    createdAt: Timestamp
    updatedAt: Timestamp


class AccountAnswer(ResponseModel):
    """A stored card, with its number masked."""

    paymentAccountId: Uuid = Field(description="UUID; a source of payments.")
    method: Literal["card"] = "card"
    number: str = Field(description="First six and last four digits; of twelve the first four.", pattern=MASKED_FORM)
    brand: str
    expirationMonth: int = Field(description="1 to 12.")
    expirationYear: int = Field(description="Last two digits of the year.")
    disabled: bool = Field(description="Whether it is disabled.")


class AccountListAnswer(RootModel[list[AccountAnswer]]):
    """A consumer's stored cards, newest first."""


class ChargeAnswer(ResponseModel):
    """One future charge."""

    period: int = Field(description="The number of the charge after the sign-up, from 1.")
    date: DateTime = Field(description="The due time: UTC, `YYYY-MM-DD hh:mm:ss`.")
    amount: Amount = Field(description="The sum of all prices due together; 0 is not charged.")
    currency: CurrencyCode = Field(description="ISO 4217.")
    coversUntil: DateTime = Field(description="The end of the paid period, mostly the next due time.")
    nextTry: DateTime | None = Field(
        None, description="The time of the next attempt, if later than the due time: a charge failed or was missed."
    )
    waitsFor: str | None = Field(
        None,
        description="`paymentAccount`: no attempt until the card is replaced. `merchant`: your account is disabled.",
    )
    waitsUntil: DateTime | None = Field(
        None, description="The time when the subscription expires, unless its card is replaced before."
    )


class UpcomingAnswer(ResponseModel):
    """The future charges of a subscription, if nothing changes."""

    data: list[ChargeAnswer] = Field(description="Oldest first; empty if the subscription has ended or ends before.")


class PreviewAnswer(ResponseModel):
    """The charges of a sign-up."""

    at: DateTime = Field(description="The time of the sign-up: UTC, `YYYY-MM-DD hh:mm:ss`.")
    amount: Amount = Field(description="The amount charged at once; 0 starts a trial.")
    currency: CurrencyCode = Field(description="ISO 4217.")
    data: list[ChargeAnswer] = Field(description="The later charges, oldest first.")
