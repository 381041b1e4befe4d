"""What pays: the sources of a payment (wire contract, section 2.4; public digest, sections 6.1 and 10.1)."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BeforeValidator, Discriminator, Field, ValidationInfo, field_validator

from tollhouse.api.card_fields import CardFields, Code, read_code
from tollhouse.api.decode import Body
from tollhouse.api.fields import read_empty_list, text
from tollhouse.api.mpi_fields import MpiParameters
from tollhouse.kernel.card import Cvv

EMULATE_CODE_FORM = re.compile(r"[0-9A-Za-z]{4,6}")


class SourceFields(Body):
    """What every source may carry."""

    authenticate: bool = Field(
        False,
        validation_alias=AliasChoices("3ds", "threeDS"),
        description="Ask for 3-D Secure; `threeDS` is read too.",
    )
    emulateCode: str | None = Field(None, description="Stage only: end with this code; `0000` approves.")
    initiator: Literal["customer", "merchant"] = Field(
        "customer", description="Who starts this payment; `merchant` needs a card that was paid with before."
    )
    mid: text(36, 2) | None = Field(  # type: ignore[valid-type]
        None, description="The merchant account that is to be charged, and no other; in stage any digits are one."
    )
    mpiParameters: MpiParameters | None = Field(
        None, description="What your own 3-D Secure server found; then the gateway asks for no authentication."
    )

    @field_validator("emulateCode")
    @classmethod
    def _check_emulate_code(cls, code: str | None, info: ValidationInfo) -> str | None:
        if code is not None and (info.context or {}).get("is_live"):
            raise ValueError("is for stage only")
        if code is not None and not EMULATE_CODE_FORM.fullmatch(code):
            raise ValueError("must have 4 to 6 letters or digits")
        return code


class CardSource(CardFields, SourceFields):
    """A card in the clear."""

    type: Literal["card"]


class TokenSource(SourceFields):
    """A token of `/tokenize` or `/tokenizeWithPaymentAccountId`."""

    type: Literal["token"]
    token: text(36, 5) = Field(  # type: ignore[valid-type]
        json_schema_extra={"format": "uuid"},
        validation_alias=AliasChoices("token", "value"),
        description="What `POST /tokenize` returned; `value` is read too.",
    )


class AccountSource(SourceFields):
    """A stored card."""

    type: Literal["paymentAccountId"]
    paymentAccountId: text(36, 36) = Field(  # type: ignore[valid-type]
        json_schema_extra={"format": "uuid"}, description="`payment.source.paymentAccountId` of an approved payment."
    )


class AccountWithCodeSource(SourceFields):
    """A stored card whose security code the cardholder typed anew."""

    type: Literal["paymentAccountIdWithCvv"]
    paymentAccountId: text(36, 36) = Field(  # type: ignore[valid-type]
        json_schema_extra={"format": "uuid"}, description="`payment.source.paymentAccountId` of an approved payment."
    )
    cvv: Code = Field(description="The security code. Never stored beyond the answer.")

    @field_validator("cvv", mode="before")
    @classmethod
    def _read_code(cls, value: Any) -> Cvv:
        return read_code(value)


class ConsumerSource(SourceFields):
    """The card of a consumer's last successful payment."""

    type: Literal["consumer"]
    id: text(36, 5) = Field(  # type: ignore[valid-type]
        validation_alias=AliasChoices("id", "value"),
        description="`consumer.id` of an earlier answer; `value` is read too.",
    )


class CardOnFileSource(SourceFields):
    """The card of the last successful payment of the consumer whom `consumer` names, by your id or the gateway's."""

    type: Literal["cc_token"]


AnySource = Annotated[
    Annotated[
        CardSource | TokenSource | ConsumerSource | AccountSource | AccountWithCodeSource | CardOnFileSource,
        Discriminator("type"),
    ],
    BeforeValidator(read_empty_list),
]
