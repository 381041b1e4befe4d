"""The consumer of a payment, and the receipt for it.

`emailOptions` is true, false or an object whose fields no public page documents. Ours are `send`, `to` and `language`;
others are ignored, and an empty object requests nothing.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from tollhouse.api.fields.values import AnyNumber, AnySwitch, Country, Day, IpAddress, TypedText, text
from tollhouse.api.reading.body import Body
from tollhouse.notices.model import ReceiptRequest

#: Maximum length of the browser's own fields.
MAX_SAID_LENGTH = 4_096


class BuyerFields(Body):
    """Optional fields of a consumer.

    Typed texts and browser data are accepted up to a generous length, so that no payment fails because of them.
    Messages to issuers and emails shorten them as needed.
    """

    id: text(36) | None = Field(  # type: ignore[valid-type]
        None, description="The gateway's ID of a known consumer, or your own ID of any.", examples=["user-00123"]
    )
    externalId: text(255) | None = Field(  # type: ignore[valid-type]
        None, description="Your own ID. An unknown one creates a consumer."
    )
    email: TypedText | None = Field(
        None,
        description="As typed. Receipts are sent to valid email addresses only.",
        examples=["jane.smith@shop.example"],
        json_schema_extra={"format": "email"},
    )
    firstName: TypedText | None = Field(None, description="Required with source `card`.", examples=["Jane"])
    lastName: TypedText | None = Field(None, description="Required with source `card`.", examples=["Smith"])
    birthday: Day = Field(None, description="`YYYY-MM-DD`; `0000-00-00` means no date.")
    phone: TypedText | None = Field(None, description="As typed.")
    country: Country | None = Field(
        None, description="The ISO 3166-1 code, three letters. Two letters and lower case are accepted too."
    )
    state: TypedText | None = None
    city: TypedText | None = None
    address: TypedText | None = None
    zip: TypedText | None = None
    userAgent: str | None = Field(
        None,
        max_length=MAX_SAID_LENGTH,
        description="With this and all `browser...` fields, 3-D Secure takes one step less.",
    )
    deviceId: str | None = Field(None, max_length=1024)
    browserAcceptHeader: str | None = Field(None, max_length=MAX_SAID_LENGTH)
    browserLanguage: TypedText | None = None
    browserJavaEnabled: AnySwitch | None = None
    browserColorDepth: AnyNumber | None = None
    browserScreenHeight: AnyNumber | None = None
    browserScreenWidth: AnyNumber | None = None
    browserTimezone: TypedText | None = Field(None, description="The browser's offset from UTC in minutes.")


class ConsumerFields(BuyerFields):
    """The consumer. The IP address is required, and names for a card in the clear."""

    ip: IpAddress = Field(
        description="The consumer's IP address, IPv4 or IPv6. A port, brackets and a list are accepted too."
    )


class PageConsumerFields(BuyerFields):
    """The consumer of a payment page, which reads missing data from the browser."""

    ip: IpAddress | None = Field(
        None, description="The consumer's IP address; by default the one from which the page is paid."
    )


WORDS = {"true": True, "1": True, "false": False, "0": False}


class EmailOptions(Body):
    """Options for the receipt of this payment."""

    send: bool = Field(True, description="False: no receipt.")
    to: TypedText | None = Field(
        None, description="By default the consumer's `email`. An invalid address gets no receipts."
    )
    language: str | None = Field(None, min_length=2, max_length=16, description="`en`, `de`, `fr` or `es`.")

    def to_request(self) -> ReceiptRequest | None:
        """Return the requested receipt, or None."""
        return ReceiptRequest(self.to, self.language) if self.send else None


def read_email_options(value: Any) -> Any:
    """Read true and false as an object, and an empty object as None."""
    if isinstance(value, dict | list) and not value:
        return None
    if isinstance(value, dict):
        return value
    if isinstance(value, bool | str | int | Decimal) and str(value).lower() in WORDS:
        return {"send": WORDS[str(value).lower()]}
    raise ValueError("must be true, false or an object")


AnyEmailOptions = Annotated[EmailOptions | None, BeforeValidator(read_email_options)]
EMAIL_OPTIONS_TEXT = "Whether the consumer gets a receipt by email. `true` and `false` are accepted too."
