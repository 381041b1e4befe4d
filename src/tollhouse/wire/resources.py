"""Responses about resources of merchants (wire contract, 3.2, 3.4, 3.5 and 3.7), and about future charges."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, RootModel

from tollhouse.wire.answers import MASKED_FORM, Amount, CurrencyCode, DateTime, ResponseModel, Timestamp, Uuid

WHEN = "UTC, `YYYY-MM-DD hh:mm:ss`."
OWN = "Kept for you as sent."


class SiteAnswer(ResponseModel):
    """A site."""

    id: str = Field(description="Names the site in payments: `sku.siteId`.")
    name: str = Field(description="Its host name.")
    externalId: str = Field(description="Your own id; empty where you gave none.")
    ipnUrl: str = Field(description="Where callbacks go when a payment names no address.")
    redirectUrl: str = Field(description="Where cardholders go when a payment names no address.")
    createdAt: DateTime = Field(description=WHEN)
    updatedAt: DateTime = Field(description=WHEN)
    status: bool = Field(description="Whether it sells.")
    corsEnabled: bool = Field(description="Whether browsers may tokenize from its pages.")
    autoRedirect: bool
    descriptor: str = Field(description="What stands on the cardholder's statement; empty for the name.")
    delayedCapture: bool = Field(description="Whether a single price that is due later is authorized now.")
    guardsDoubleClicks: bool = Field(
        description="Whether the second of two equal payments gets the first one's answer."
    )
    proceedWithout3ds: bool = Field(description="Whether a payment goes on when nobody could authenticate it.")
    threeDs: Literal["when_asked", "always"] = Field(description="When cardholders are authenticated.")
    ipnFormat: Literal["json", "legacy", "both", "plugin", "none"] = Field(description="The form of its callbacks.")
    subscriptionEvents: bool = Field(
        description="Whether what happens to its subscriptions without a payment is posted."
    )
    extraEvents: list[Literal["subscription.card_expiring", "dispute.won"]] = Field(
        description="Events that are posted because you asked for them."
    )
    trackingCode: str | None = Field(None, description=OWN)
    rebillRetryPolicy: str | None = Field(None, description="When failed renewals are tried again, as you sent it.")
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
    offset: str = Field(description="When, counted from the charge before: `0d`, `30d`, `1m`.")
    repeat: bool | int = Field(description="Without end, or so many charges in all.")
    title: str | None = Field(None, description="What the charge is for.")
    beforeTaxes: Amount | None = Field(None, description="The amount without its taxes, where they are known.")
    taxes: Amount | None = Field(None, description="What of the amount is tax.")
    taxRate: Amount | None = Field(None, description="A fraction: 0.2 for 20 %.")
    taxName: str | None = None


class SkuAnswer(ResponseModel):
    """A SKU. `price` is a number for one-time products and a list of charges for subscriptions."""

    name: str = Field(description="Names the product in payments: `sku.name`.")
    siteId: str
    externalId: str = Field(description="Your own id; empty where you gave none.")
    title: str
    type: Literal["one-time", "subscription"]
    price: Amount | list[PriceAnswer] = Field(description="What it costs; 0 for a product without a price of its own.")
    currency: CurrencyCode | None = Field(None, description="ISO 4217; absent where there is no price.")
    showOnPaymentPage: bool = Field(description="Whether payment pages may offer it.")
    createdAt: DateTime = Field(description=WHEN)
    updatedAt: DateTime = Field(description=WHEN)


class ConsumerAnswer(ResponseModel):
    """A consumer."""

    id: str = Field(description="The gateway's id; good as a source of payments once one was approved.")
    externalId: str | None = Field(None, description="Your own id.")
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
    blocked: bool = Field(description="Whether payments are refused: group 2.")
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
    disabled: bool = Field(description="Whether it may be paid with no more.")


class AccountListAnswer(RootModel[list[AccountAnswer]]):
    """A consumer's stored cards, newest first."""


class ChargeAnswer(ResponseModel):
    """One future charge."""

    period: int = Field(description="Counts the charges after the sign-up from 1.")
    date: DateTime = Field(description="When it falls due: UTC, `YYYY-MM-DD hh:mm:ss`.")
    amount: Amount = Field(description="All prices that fall due together; of 0 nothing is charged.")
    currency: CurrencyCode = Field(description="ISO 4217.")
    coversUntil: DateTime = Field(description="Until when it pays: mostly when the next one falls due.")
    nextTry: DateTime | None = Field(
        None, description="When it is tried next, where that is later than its date: it failed, or was missed."
    )
    waitsFor: str | None = Field(
        None,
        description="`paymentAccount`: it is not tried before a new card comes. `merchant`: your account is disabled.",
    )
    waitsUntil: DateTime | None = Field(
        None, description="When the subscription expires, unless a new card comes before."
    )


class UpcomingAnswer(ResponseModel):
    """The future charges of a subscription, if nothing changes."""

    data: list[ChargeAnswer] = Field(description="Oldest first; empty for a subscription that is over or ends before.")


class PreviewAnswer(ResponseModel):
    """The charges of a sign-up."""

    at: DateTime = Field(description="When it would be: UTC, `YYYY-MM-DD hh:mm:ss`.")
    amount: Amount = Field(description="What would be charged at once; 0 begins with a trial.")
    currency: CurrencyCode = Field(description="ISO 4217.")
    data: list[ChargeAnswer] = Field(description="What would follow, oldest first; empty where nothing would.")
