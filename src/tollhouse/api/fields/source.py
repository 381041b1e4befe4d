"""Payment sources, and results of a merchant's own 3-D Secure server."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AliasChoices, BeforeValidator, Discriminator, Field, field_validator

from tollhouse.acquirers.model import Proof
from tollhouse.api.fields.card import CardFields, Code, read_code
from tollhouse.api.fields.values import EmulateCode, read_empty_list, text
from tollhouse.api.reading.body import Body, Canonical
from tollhouse.kernel.card import Cvv
from tollhouse.payments.model import ExternalAuthentication

#: Length of a CAVV or AAV in bytes (EMV 3DS, authenticationValue).
CAVV_BYTES = 20
#: transStatus with and without an authentication value. Failed (N, R) or open (C, D) ones are not accepted.
PROVED, NOTED = frozenset("YA"), frozenset("UI")
ECI_FORM = re.compile(r"0?[0-7]")
VERSION_FORM = re.compile(r"2\.[0-9](\.[0-9])?")
DEFAULT_VERSION = "2.2.0"


class MpiParameters(Body):
    """The result of an external authentication, or an exemption."""

    authStatus: Literal["Y", "A", "U", "I"] | None = Field(
        None,
        description="transStatus: authenticated, attempted, not possible, informational. By default Y with a `cavv`.",
    )
    cavv: str | None = Field(
        None,
        description="The authentication value of Y and A: base64 of 20 bytes.",
        json_schema_extra={"maxLength": 28, "examples": ["AAIBBYNoEwAAACcKhAJkdQAAAAA="]},
    )
    eci: str | None = Field(None, description="Required with `cavv`.", json_schema_extra={"examples": ["05"]})
    protocolVersion: str | None = Field(None, description="Of EMV 3DS.", json_schema_extra={"examples": ["2.2.0"]})
    directoryServerTransactionId: str | None = Field(None, description="dsTransID, a UUID.")
    scaExemption: (
        Literal["lowValue", "tra", "merchantWhitelist", "recurringTransaction", "trustedBeneficiary", "moto"] | None
    ) = Field(None, description="The exemption from authentication. The issuer may require it anyway.")

    @field_validator("cavv")
    @classmethod
    def _check_cavv(cls, cavv: str | None) -> str | None:
        try:
            is_good = cavv is None or len(base64.b64decode(cavv, validate=True)) == CAVV_BYTES
        except (binascii.Error, ValueError):
            is_good = False
        if not is_good:
            raise ValueError("must be base64 of 20 bytes")
        return cavv

    @field_validator("eci")
    @classmethod
    def _check_eci(cls, eci: str | None) -> str | None:
        if eci is not None and not ECI_FORM.fullmatch(eci):
            raise ValueError("must be 00 to 07")
        return eci and eci.zfill(2)

    @field_validator("protocolVersion")
    @classmethod
    def _check_version(cls, version: str | None) -> str | None:
        if version is not None and not VERSION_FORM.fullmatch(version):
            raise ValueError("must be a version of EMV 3DS such as 2.2.0")
        return version

    @field_validator("directoryServerTransactionId")
    @classmethod
    def _check_directory_id(cls, sent: str | None) -> str | None:
        try:
            return str(UUID(sent)) if sent is not None else None
        except ValueError:
            raise ValueError("must be a UUID") from None

    def to_external_authentication(self) -> ExternalAuthentication | None:
        """Return the external authentication, or None without one."""
        status = self.authStatus or ("Y" if self.cavv else None)
        if status is None and self.scaExemption is None:
            return None
        return ExternalAuthentication(status, self.eci, self._to_proof(status), self.scaExemption)

    def _to_proof(self, status: str | None) -> Proof | None:
        if status not in PROVED or self.cavv is None or self.eci is None:
            return None
        version = self.protocolVersion or DEFAULT_VERSION
        return Proof(self.eci, self.cavv, self.directoryServerTransactionId, version, is_external=True)


def find_mpi_faults(sent: Any, path: str) -> dict[str, list[str]]:
    """Return missing fields that other fields require, even if the parameters have other faults."""
    if not isinstance(sent, dict):
        return {}
    status = str(sent.get("authStatus"))  # not validated yet
    is_proved = status in PROVED or bool(sent.get("cavv"))
    needed = ("cavv", "eci") if is_proved and status not in NOTED else ()
    return {f"{path}.{name}": ["is required with this authStatus"] for name in needed if not sent.get(name)}


class SourceFields(Body):
    """The fields of every source."""

    authenticate: bool = Field(
        False,
        validation_alias=AliasChoices("3ds", "threeDS"),
        description="Request 3-D Secure; `threeDS` is accepted too.",
    )
    emulateCode: EmulateCode | None = Field(None, description="Stage only: finish with this code; `0000` approves.")
    initiator: Literal["customer", "merchant"] = Field(
        "customer", description="The initiator of this payment; `merchant` requires a card with an earlier payment."
    )
    mid: text(36, 2) | None = Field(  # type: ignore[valid-type]
        None, description="The acquirer account to charge; in stage any digits are accepted."
    )
    mpiParameters: MpiParameters | None = Field(
        None, description="The result of your own 3-D Secure server; the gateway then requests no authentication."
    )


class CardSource(CardFields, SourceFields):
    """A card in the clear."""

    type: Literal["card"]


class TokenSource(SourceFields):
    """A token of `/tokenize` or `/tokenizeWithPaymentAccountId`."""

    type: Literal["token"]
    token: text(36, 5) = Field(  # type: ignore[valid-type]
        json_schema_extra={"format": "uuid"},
        validation_alias=AliasChoices("token", "value"),
        description="The token from `POST /tokenize`; `value` is accepted too.",
    )


class AccountSource(SourceFields):
    """A stored card."""

    type: Literal["paymentAccountId"]
    paymentAccountId: text(36, 36) = Field(  # type: ignore[valid-type]
        json_schema_extra={"format": "uuid"}, description="`payment.source.paymentAccountId` of an approved payment."
    )


class AccountWithCodeSource(SourceFields):
    """A stored card with a newly typed security code."""

    type: Literal["paymentAccountIdWithCvv"]
    paymentAccountId: text(36, 36) = Field(  # type: ignore[valid-type]
        json_schema_extra={"format": "uuid"}, description="`payment.source.paymentAccountId` of an approved payment."
    )
    cvv: Code = Field(description="The security code. It is never stored after the response.")

    @field_validator("cvv", mode="before")
    @classmethod
    def _read_code(cls, value: Any) -> Cvv:
        return read_code(value)


class ConsumerSource(SourceFields):
    """The card of a consumer's last approved payment."""

    type: Literal["consumer"]
    id: text(36, 5) = Field(  # type: ignore[valid-type]
        validation_alias=AliasChoices("id", "value"),
        description="`consumer.id` of an earlier response; `value` is accepted too.",
    )


class CardOnFileSource(SourceFields):
    """The card of the last approved payment of the consumer in `consumer`, by your ID or the gateway's."""

    type: Literal["cc_token"]


_Source = Annotated[
    CardSource | TokenSource | ConsumerSource | AccountSource | AccountWithCodeSource | CardOnFileSource,
    Discriminator("type"),
]
AnySource = Annotated[_Source, BeforeValidator(read_empty_list), Canonical(_Source)]
