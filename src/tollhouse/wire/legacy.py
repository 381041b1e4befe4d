"""Responses of the legacy endpoint (wire contract, section 6)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tollhouse.wire.answers import ResponseModel


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
