"""The consumer of a payment, and the receipt for it (wire contract, sections 2.1 and 2.5).

`emailOptions`: clients send true or false, or an object whose fields no public page names. Ours are `send`, `to` and
`language`; others are ignored, and an empty object asks for nothing.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from tollhouse.api.fields.values import AnyNumber, AnySwitch, Country, Day, IpAddress, TypedText, text
from tollhouse.api.reading.body import Body
from tollhouse.notices.model import ReceiptRequest

#: Of what a browser says of itself.
MAX_SAID_LENGTH = 4_096


class BuyerFields(Body):
    """What may be said of a consumer, all of it optional.

    What customers type and browsers say is taken up to a generous length, whatever it is: no payment should fail over
    it. Messages to issuers and letters have it as short as they need it.
    """

    id: text(36) | None = Field(  # type: ignore[valid-type]
        None, description="The gateway's id of a known consumer, or your own of any.", examples=["user-00123"]
    )
    externalId: text(255) | None = Field(  # type: ignore[valid-type]
        None, description="Your own id: finds the consumer, or makes one."
    )
    email: TypedText | None = Field(
        None,
        description="As it was typed. Letters go to e-mail addresses only.",
        examples=["jane.smith@shop.example"],
        json_schema_extra={"format": "email"},
    )
    firstName: TypedText | None = Field(None, description="Required with source `card`.", examples=["Jane"])
    lastName: TypedText | None = Field(None, description="Required with source `card`.", examples=["Smith"])
    birthday: Day = Field(None, description="`YYYY-MM-DD`; `0000-00-00` is none.")
    phone: TypedText | None = Field(None, description="As it was typed.")
    country: Country | None = Field(
        None, description="ISO 3166-1, three letters. Two letters and lower case are taken too."
    )
    state: TypedText | None = None
    city: TypedText | None = None
    address: TypedText | None = None
    zip: TypedText | None = None
    userAgent: str | None = Field(
        None,
        max_length=MAX_SAID_LENGTH,
        description="This and the `browser...` fields save a step of 3-D Secure if all are there.",
    )
    deviceId: str | None = Field(None, max_length=1024)
    browserAcceptHeader: str | None = Field(None, max_length=MAX_SAID_LENGTH)
    browserLanguage: TypedText | None = None
    browserJavaEnabled: AnySwitch | None = None
    browserColorDepth: AnyNumber | None = None
    browserScreenHeight: AnyNumber | None = None
    browserScreenWidth: AnyNumber | None = None
    browserTimezone: TypedText | None = Field(None, description="Offset from UTC as the browser has it.")


class ConsumerFields(BuyerFields):
    """Who pays. Only the address is required; names are when a card comes in the clear."""

    ip: IpAddress = Field(
        description="The customer's address, IPv4 or IPv6; with a port, in brackets, or the first of a list too."
    )


class PageConsumerFields(BuyerFields):
    """Who buys. Where the page is not told it sees for itself."""

    ip: IpAddress | None = Field(None, description="The customer's address; else the one from which the page is paid.")


WORDS = {"true": True, "1": True, "false": False, "0": False}


class EmailOptions(Body):
    """Whether the consumer gets letters about this purchase, and how."""

    send: bool = Field(True, description="False: no receipt.")
    to: TypedText | None = Field(
        None, description="By default the consumer's `email`. What is no e-mail address gets no letters."
    )
    language: str | None = Field(None, min_length=2, max_length=16, description="`en`, `de`, `fr` or `es`.")

    def to_wish(self) -> ReceiptRequest | None:
        """Return what is asked for, or None."""
        return ReceiptRequest(self.to, self.language) if self.send else None


def read_email_options(value: Any) -> Any:
    """Read a switch as an object that has it, and an empty object as none."""
    if isinstance(value, dict | list) and not value:
        return None
    if isinstance(value, dict):
        return value
    if isinstance(value, bool | str | int | Decimal) and str(value).lower() in WORDS:
        return {"send": WORDS[str(value).lower()]}
    raise ValueError("must be true, false or an object")


AnyEmailOptions = Annotated[EmailOptions | None, BeforeValidator(read_email_options)]
EMAIL_OPTIONS_TEXT = (
    "Whether the consumer gets a receipt by e-mail when this is paid. `true` and `false` are taken too."
)
