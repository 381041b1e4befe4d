"""Responses about test payment data (wire contract, section 3.6)."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import Field, WithJsonSchema

from tollhouse.wire.answers import CurrencyCode, DateTime, ResponseModel


class TestPaymentDataAnswer(ResponseModel):
    """A card or account for tests."""

    id: int
    type: str = Field(description="The brand, or `sepa`.")
    number: str = Field(description="In clear: it buys nothing but in stage. For `sepa` an IBAN.")
    balance: Annotated[Decimal, WithJsonSchema({"type": "number"})] = Field(description="What is left on it.")
    currency: CurrencyCode = Field(description="ISO 4217. Charges in any other decline 5057.")
    allowedIps: list[str] = Field(description="Addresses of consumers that may pay with it; all when it is empty.")
    emulate3ds: bool = Field(description="Whether every payment by its holder is challenged; the code is 123456.")
    blocked: bool = Field(description="Whether charges decline 5062.")
    expired: bool = Field(description="Whether charges decline 5054, whatever date they give.")
    comment: str | None = Field(None, description="As sent.")
    transactions: int = Field(description="How many charges were approved.")
    createdAt: DateTime = Field(description="UTC, `YYYY-MM-DD hh:mm:ss`.")
    updatedAt: DateTime = Field(description="UTC, `YYYY-MM-DD hh:mm:ss`.")


class ListMeta(ResponseModel):
    """The position of this page in the list."""

    total: int = Field(description="How many there are in all.")
    offset: int
    limit: int


class TestPaymentDataListAnswer(ResponseModel):
    """A page of the list, newest first."""

    data: list[TestPaymentDataAnswer]
    meta: ListMeta
