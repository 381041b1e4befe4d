"""`emailOptions` of a payment: whether the consumer gets a receipt, and how (wire contract, section 2.5).

Clients send true or false, or an object whose fields no public page names. Ours are `send`, `to` and `language`; others
are ignored, and an empty object asks for nothing.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from tollhouse.api.decode import Body
from tollhouse.api.fields import TypedText
from tollhouse.notices.model import ReceiptRequest

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
