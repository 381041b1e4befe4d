"""Responses about future charges of a subscription. The subscription itself is `answers.SubscriptionBlock`."""

from __future__ import annotations

from pydantic import Field

from tollhouse.wire.answers import Amount, CurrencyCode, DateTime, ResponseModel


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
