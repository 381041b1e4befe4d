"""Who pays (wire contract, section 2.1)."""

from __future__ import annotations

from ipaddress import ip_address

from pydantic import Field, field_validator

from tollhouse.api.decode import Body
from tollhouse.api.fields import COUNTRY_FORM, Scalar, read_day, text

#: Of what a customer typed, and of what a browser says of itself.
LONGEST_TYPED = 255
LONGEST_SAID = 4_096


class BuyerFields(Body):
    """What may be said of a consumer, all of it optional.

    The bounds are those of the public client, but for what the public plugin sends as a customer typed it or a browser
    said it: that is taken up to a generous length, since a payment should not fail for it.
    """

    id: text(36) | None = Field(  # type: ignore[valid-type]
        None, description="The gateway's id of a known consumer, or your own of any.", examples=["user-00123"]
    )
    externalId: text(255) | None = Field(  # type: ignore[valid-type]
        None, description="Your own id: finds the consumer, or makes one."
    )
    email: str | None = Field(
        None,
        max_length=254,
        description="As it was typed. Letters go to well-formed ones only.",
        examples=["jane.smith@shop.example"],
    )
    firstName: str | None = Field(None, max_length=32, description="Required with source `card`.", examples=["Jane"])
    lastName: str | None = Field(None, max_length=32, description="Required with source `card`.", examples=["Smith"])
    birthday: str | None = Field(None, max_length=10, description="`YYYY-MM-DD`.")
    phone: str | None = Field(None, max_length=LONGEST_TYPED, description="As it was typed.")
    country: str | None = Field(None, pattern=COUNTRY_FORM, description="ISO 3166-1, three letters.", examples=["USA"])
    state: str | None = Field(None, max_length=LONGEST_TYPED)
    city: str | None = Field(None, max_length=LONGEST_TYPED)
    address: str | None = Field(None, max_length=64)
    zip: str | None = Field(None, max_length=LONGEST_TYPED)
    userAgent: str | None = Field(
        None,
        max_length=LONGEST_SAID,
        description="This and the `browser...` fields save a step of 3-D Secure if all are there.",
    )
    deviceId: str | None = Field(None, max_length=1024)
    browserAcceptHeader: str | None = Field(None, max_length=LONGEST_SAID)
    browserLanguage: str | None = Field(None, max_length=35)
    browserJavaEnabled: Scalar | None = None
    browserColorDepth: Scalar | None = None
    browserScreenHeight: Scalar | None = None
    browserScreenWidth: Scalar | None = None
    browserTimezone: str | None = Field(None, max_length=16, description="Offset from UTC as the browser has it.")

    @field_validator("birthday")
    @classmethod
    def _check_birthday(cls, text: str | None) -> str | None:
        return text and read_day(text)


class ConsumerFields(BuyerFields):
    """Who pays. Only the address is required; names are when a card comes in the clear."""

    ip: str = Field(description="The customer's address, IPv4 or IPv6.", examples=["203.0.113.45"])

    @field_validator("ip")
    @classmethod
    def _check_ip(cls, text: str) -> str:
        return read_ip(text)


class PageConsumerFields(BuyerFields):
    """Who buys. Where the page is not told it sees for itself."""

    ip: str | None = Field(None, description="The customer's address; else the one from which the page is paid.")

    @field_validator("ip")
    @classmethod
    def _check_ip(cls, text: str | None) -> str | None:
        return None if text is None else read_ip(text)


def _refuse_zone(text: str) -> str:
    """Refuse the zone of a link-local address: it means nothing to anybody else."""
    if "%" in text:
        raise ValueError
    return text


def read_ip(text: str) -> str:
    """Read an address of IPv4 or IPv6. Raises ValueError with a text that is fit for an answer."""
    try:
        return str(ip_address(_refuse_zone(text.strip())))
    except ValueError:
        raise ValueError("must be an IPv4 or IPv6 address") from None
